package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"carrel/engine"
)

const (
	// firstSample is between the two measurements of which processor use is told at once; live tables are renewed every
	// nextSample.
	firstSample, nextSample = 300 * time.Millisecond, 2 * time.Second
)

// live is how stats and top go on.
type live struct{ once bool }

func (l *live) register(c *cobra.Command, a *app) {
	c.Flags().BoolVar(&l.once, "no-stream", false, "print it once, as it is when the output is not a terminal")
	c.Flags().BoolVar(&a.json, "json", false, "print it once, as JSON")
}

// table measures and shows, again and again on a terminal, until it is interrupted or nothing is left. measure returns the
// table, and whether there is anything to be measured again.
func (a *app) table(ctx context.Context, l live, measure func() (text string, more bool, err error)) error {
	if _, _, err := measure(); err != nil {
		return err
	}
	again := a.page.is && !l.once && !a.json
	height := 0
	for pause := firstSample; ; pause = nextSample {
		select {
		case <-ctx.Done():
			if a.interrupt.signal() != 0 {
				return nil // Ctrl+C is how one leaves it
			}
			return ctx.Err()
		case <-time.After(pause):
		}
		text, more, err := measure()
		if err != nil {
			return err
		}
		if height > 0 {
			// Back to the first line, and clear from there (ECMA-48: CPL, ED).
			text = fmt.Sprintf("\x1b[%dF\x1b[J", height) + text
		}
		if rows := strings.Split(text, "\n"); again && len(rows) > a.page.height() {
			text = strings.Join(rows[:a.page.height()-1], "\n") + "\n"
		}
		if err := a.print(text); err != nil || !again || !more {
			return err
		}
		height = strings.Count(text, "\n")
	}
}

// load is the use of processors between two measurements, in percent of one.
func load(before, now time.Duration, between time.Duration) float64 {
	if between <= 0 || now < before {
		return 0
	}
	return 100 * float64(now-before) / float64(between)
}

// usageFacts is what an app uses, as --json prints it.
type usageFacts struct {
	Name      string   `json:"name"`
	CPU       float64  `json:"cpu_percent"` // of one processor
	Seconds   float64  `json:"cpu_seconds"`
	Memory    int64    `json:"memory_bytes"`
	Processes int      `json:"processes"`
	Limits    []string `json:"limits,omitempty"`
}

func (a *app) statsCommand() *cobra.Command {
	var l live
	c := &cobra.Command{
		Use: "stats [OPTION …] [NAME …]", Short: "Show what apps use: processors, memory, processes", GroupID: groupApps,
		Long: "All that are running, without a name. 100 % is one processor; memory that processes\nshare is counted in each of them. On a terminal the table goes on until Ctrl+C.",
		Args: between(0, -1, "NAME"),
	}
	l.register(c, a)
	c.RunE = func(cmd *cobra.Command, names []string) error {
		e, err := a.engine()
		if err != nil {
			return err
		}
		ctx := cmd.Context()
		for _, name := range names {
			in, err := e.Instance(ctx, name)
			if err != nil {
				return err
			}
			if !in.State.Live() {
				return hinted(fmt.Errorf("measure %s: %w", name, engine.ErrNotRunning), "start it again: carrel restart "+name)
			}
			if in.Elsewhere != "" {
				return &engine.ElsewhereError{Name: name, Machine: in.Elsewhere}
			}
		}
		var before map[string]engine.Usage
		var last time.Time
		return a.table(ctx, l, func() (string, bool, error) {
			list, err := e.Instances(ctx)
			if err != nil && len(list) == 0 {
				return "", false, err
			}
			var shown []engine.Instance
			var ask []string
			for _, in := range list {
				if in.State.Live() && (len(names) == 0 || slices.Contains(names, in.Name)) {
					shown, ask = append(shown, in), append(ask, in.Name)
				}
			}
			now := time.Now()
			use, err := e.Usages(ctx, ask...)
			if errors.Is(err, engine.ErrNotFound) { // renamed or forgotten this moment
				return "", true, nil
			}
			if err != nil {
				return "", false, err
			}
			text, err := a.usageText(shown, use, before, now.Sub(last))
			before, last = use, now
			return text, len(shown) > 0, err
		})
	}
	return c
}

func (a *app) usageText(list []engine.Instance, use, before map[string]engine.Usage, between time.Duration) (string, error) {
	all := []usageFacts{}
	rows := [][]string{{"NAME", "CPU", "MEMORY", "PROCESSES", "CPU TIME", "STATE"}}
	for _, in := range list {
		u, ok := use[in.Name]
		if !ok {
			continue
		}
		percent := 0.0
		if old, ok := before[in.Name]; ok {
			percent = load(old.CPU, u.CPU, between)
		}
		all = append(all, usageFacts{in.Name, percent, u.CPU.Seconds(), u.Memory, u.Processes, in.Limits})
		rows = append(rows, []string{clean(in.Name), fmt.Sprintf("%.0f %%", percent), bytes(u.Memory), fmt.Sprint(u.Processes), lasting(u.CPU), stateText(in)})
	}
	if a.json {
		return marshal(all)
	}
	if len(list) == 0 {
		a.say("nothing is running")
		return "", nil
	}
	return a.page.text(a.page.columns(rows, map[int]bool{1: true, 2: true, 3: true, 4: true})), nil
}

// processFacts is a process, as --json prints it.
type processFacts struct {
	engine.Process
	Seconds float64 `json:"cpu_seconds"`
	Percent float64 `json:"cpu_percent"`
}

func (a *app) topCommand() *cobra.Command {
	var l live
	c := &cobra.Command{
		Use: "top [OPTION …] NAME", Short: "List the processes in an app", GroupID: groupApps,
		Long: "Numbers are those inside the app; --json has this computer's as well. On a terminal\nthe list goes on until Ctrl+C.",
		Args: exactly(1, "NAME"),
	}
	l.register(c, a)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		e, err := a.engine()
		if err != nil {
			return err
		}
		before := map[int]engine.Process{}
		var last time.Time
		first := true
		return a.table(cmd.Context(), l, func() (string, bool, error) {
			now := time.Now()
			list, err := e.Processes(cmd.Context(), args[0])
			if errors.Is(err, engine.ErrNotRunning) && !first {
				return "", false, nil // it has ended meanwhile
			}
			if err != nil {
				return "", false, err
			}
			first = false
			all := []processFacts{}
			rows := [][]string{{"PID", "CPU", "MEMORY", "CPU TIME", "COMMAND"}}
			next := map[int]engine.Process{}
			for _, p := range list {
				next[p.HostPID] = p
				percent := 0.0
				if old, ok := before[p.HostPID]; ok {
					percent = load(old.CPU, p.CPU, now.Sub(last))
				}
				all = append(all, processFacts{p, p.CPU.Seconds(), percent})
				rows = append(rows, []string{fmt.Sprint(p.PID), fmt.Sprintf("%.0f %%", percent), bytes(p.Memory), lasting(p.CPU), clean(p.Command)})
			}
			before, last = next, now
			if a.json {
				text, err := marshal(all)
				return text, false, err
			}
			return a.page.text(a.page.columns(rows, map[int]bool{0: true, 1: true, 2: true, 3: true})), true, nil
		})
	}
	return c
}
