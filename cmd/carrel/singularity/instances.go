package singularity

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"carrel/engine"
)

const ownInstances = "instances are those of their user; become that user to see them"

// instanceStartVerb is instance start or instance run.
func (p *program) instanceStartVerb(name, script string) verb {
	l := &launch{}
	options := l.options(true)
	if name == "run" {
		options = append(options, runTimeout)
	}
	return verb{
		name: name, args: "[OPTION …] IMAGE NAME [ARGUMENT …]", short: "Run " + script + " of an image in the background", low: 2, high: -1, options: options,
		differs: "instances have their own processes, a deny-list of system calls, and appear in `carrel ps` and its screens",
		run: func(ctx context.Context, args []string) error {
			s, err := l.spec(ctx, p.c, p.warn)
			if err != nil {
				return err
			}
			s.Image, s.Name, s.Args, s.Action = args[0], args[1], args[2:], engine.ActionStart
			if name == "run" {
				s.Action = engine.ActionRun
			}
			e, err := p.engine(l.noHTTPS, s.Image)
			if err != nil {
				return err
			}
			if _, err := e.EnsureBuilt(ctx, s.Image, p.sink()); err != nil {
				return err
			}
			in, err := e.Start(ctx, s)
			if err != nil {
				return err
			}
			if l.pidFile != "" {
				if err := os.WriteFile(absolute(l.pidFile, p.c.User.Cwd), []byte(strconv.Itoa(in.PID)), 0o644); err != nil {
					return err
				}
			}
			p.info("instance started successfully")
			return nil
		},
	}
}

// running lists the instances that a pattern names, all for "".
func (p *program) running(ctx context.Context, pattern string) (*engine.Engine, []engine.Instance, error) {
	if _, err := path.Match(pattern, ""); err != nil {
		return nil, nil, usage("a pattern has *, ? and […]", "instance %q: %w", pattern, err)
	}
	e, err := p.c.Engine()
	if err != nil {
		return nil, nil, err
	}
	all, err := e.Instances(ctx)
	if err != nil {
		return nil, nil, err
	}
	var out []engine.Instance
	for _, in := range all {
		if ok, _ := path.Match(pattern, in.Name); in.State.Live() && (pattern == "" || ok) {
			out = append(out, in)
		}
	}
	return e, out, nil
}

func (p *program) instanceListVerb() verb {
	var asJSON, logs, all bool
	return verb{
		name: "list", args: "[OPTION …] [PATTERN]", short: "List instances", high: 1, interspersed: true,
		options: []option{
			{long: "all", short: "a", value: &all, env: []string{"ALL"}, help: "without effect", differs: "there are no instances of --sharens to hide"},
			{long: "json", short: "j", value: &asJSON, env: []string{"JSON"}, help: "as JSON"},
			{long: "logs", short: "l", value: &logs, env: []string{"LOGS"}, help: "where the logs are", differs: "one file holds both outputs, with times; `carrel logs NAME` shows it"},
			{long: "user", short: "u", value: &noText, env: []string{"USER"}, absent: ownInstances},
		},
		run: func(ctx context.Context, args []string) error {
			_, list, err := p.running(ctx, strings.Join(args, ""))
			if err != nil {
				return err
			}
			if asJSON {
				type row struct {
					Instance string `json:"instance"`
					PID      int    `json:"pid"`
					Image    string `json:"img"`
					IP       string `json:"ip"`
					LogErr   string `json:"logErrPath"`
					LogOut   string `json:"logOutPath"`
				}
				rows := []row{}
				for _, in := range list {
					rows = append(rows, row{in.Name, in.PID, in.Image, "", in.LogFile, in.LogFile})
				}
				return p.printJSON(map[string]any{"instances": rows})
			}
			w := tabwriter.NewWriter(p.c.Out, 0, 8, 4, ' ', 0)
			if logs {
				fmt.Fprintln(w, "INSTANCE NAME\tPID\tLOGS")
			} else {
				fmt.Fprintln(w, "INSTANCE NAME\tPID\tIP\tIMAGE")
			}
			for _, in := range list {
				if logs {
					fmt.Fprintf(w, "%s\t%d\t%s\n", in.Name, in.PID, in.LogFile)
				} else {
					fmt.Fprintf(w, "%s\t%d\t\t%s\n", in.Name, in.PID, in.Image)
				}
			}
			return w.Flush()
		},
	}
}

func (p *program) instanceStatsVerb() verb {
	var asJSON, once bool
	return verb{
		name: "stats", args: "[OPTION …] NAME", short: "Tell what an instance uses", low: 1, high: 1, interspersed: true,
		differs: "measured from the processes, so that it works without control groups; printed once",
		options: []option{
			{long: "json", short: "j", value: &asJSON, help: "as JSON"},
			{long: "no-stream", value: &once, help: "once, which is so anyway: `carrel stats` goes on"},
			{long: "user", short: "u", value: &noText, env: []string{"USER"}, absent: ownInstances},
		},
		run: func(ctx context.Context, args []string) error {
			e, err := p.c.Engine()
			if err != nil {
				return err
			}
			u, err := e.Usage(ctx, args[0])
			if err != nil {
				return err
			}
			if asJSON {
				return p.printJSON(map[string]any{"instance": args[0], "cpu_seconds": u.CPU.Seconds(), "memory_bytes": u.Memory, "processes": u.Processes})
			}
			w := tabwriter.NewWriter(p.c.Out, 0, 8, 4, ' ', 0)
			fmt.Fprintln(w, "INSTANCE NAME\tCPU TIME\tMEM USAGE\tPIDS")
			fmt.Fprintf(w, "%s\t%s\t%s\t%d\n", args[0], u.CPU.Round(10*time.Millisecond), size(u.Memory), u.Processes)
			return w.Flush()
		},
	}
}

func (p *program) instanceStopVerb() verb {
	var all, force bool
	signal, timeout := "", 10
	return verb{
		name: "stop", args: "[OPTION …] [PATTERN]", short: "Stop instances", high: 1, interspersed: true,
		options: []option{
			{long: "all", short: "a", value: &all, env: []string{"ALL"}, help: "all instances"},
			{long: "force", short: "F", value: &force, env: []string{"FORCE"}, help: "kill at once"},
			{long: "signal", short: "s", value: &signal, env: []string{"SIGNAL"}, help: "signal that asks it to end", differs: "without it the image's own stop signal, and what the app has started is asked as well"},
			{long: "timeout", short: "t", value: &timeout, help: "seconds until it is killed"},
			{long: "user", short: "u", value: &noText, env: []string{"USER"}, absent: ownInstances},
		},
		run: func(ctx context.Context, args []string) error {
			switch strings.TrimPrefix(strings.ToUpper(signal), "SIG") {
			case "KILL", "9":
				force, signal = true, ""
			}
			if len(args) == 0 && !all {
				return usage("name one, or add --all", "no instance is named")
			}
			pattern := strings.Join(args, "")
			e, list, err := p.running(ctx, pattern)
			if err != nil {
				return err
			}
			if len(list) == 0 {
				return fmt.Errorf("no instance found with name %s: %w", pattern, engine.ErrNotFound)
			}
			grace := time.Duration(timeout) * time.Second
			if force {
				grace = 0
			}
			for _, in := range list {
				p.info("Stopping %s instance of %s (PID=%d)", in.Name, in.Image, in.PID)
				if err := e.StopWith(ctx, in.Name, grace, signal); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func (p *program) printJSON(v any) error {
	data, err := json.MarshalIndent(v, "", "\t")
	if err != nil {
		return err
	}
	return p.print(string(data) + "\n")
}

// size writes bytes for a person.
func size(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	f, i := float64(n), 0
	for f >= 1024 && i < len(units)-1 {
		f, i = f/1024, i+1
	}
	if i == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.2f %s", f, units[i])
}
