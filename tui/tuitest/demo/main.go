// Command demo shows the screens with an engine that answers from memory, for looking at them.
//
//	demo [-ascii] [-nocolor] [-basic] [-remote] [-fail] [-start welcome|desk|catalog|running]
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"time"

	"carrel/engine"
	"carrel/engine/progress"
	"carrel/tui"
	"carrel/tui/screen"
	"carrel/tui/theme"
	"carrel/tui/tuitest"
)

func main() {
	ascii := flag.Bool("ascii", false, "")
	nocolor := flag.Bool("nocolor", false, "")
	basic := flag.Bool("basic", false, "")
	light := flag.Bool("light", false, "")
	dark := flag.Bool("dark", false, "")
	remote := flag.Bool("remote", false, "")
	empty := flag.Bool("empty", false, "")
	fail := flag.Bool("fail", false, "")
	many := flag.Int("many", 0, "")
	start := flag.String("start", "desk", "")
	flag.Parse()
	shift := time.Since(tuitest.Noon)
	clock := func() time.Time { return time.Now().Add(-shift) }
	e, c := tuitest.World(clock)
	if *empty {
		old := e
		e, _ = tuitest.NewEngine(clock), old
		e.Cards, e.Defs, e.Targets, e.Checks, e.Events = old.Cards, old.Defs, old.Targets, old.Checks, old.Events
	}
	e.Taken[8888] = "python3 (pid 4711)"
	e.Pause = 150 * time.Millisecond
	e.Answers = true
	if *fail {
		e.Events = append(e.Events[:12:12],
			engine.Event{Kind: progress.Line, Step: progress.StepInstall, Text: "Reading package lists..."},
			engine.Event{Kind: progress.Line, Step: progress.StepInstall, Text: "E: Unable to locate package python3-nmupy"},
			engine.Event{Kind: progress.Failed, Step: progress.StepInstall, Text: "exit status 100"})
		e.BuildErr = &tuitest.ErrBuild{Text: "run %post: line 14: apt-get ended with code 100", What: "Debian has no package python3-nmupy. Did you mean python3-numpy? Correct the name in the definition and try again."}
		e.Put(engine.Instance{Name: "report", Title: "Meta-analysis report", State: engine.StateExited, ExitCode: 137, Started: clock().Add(-3 * time.Minute), Ended: clock()})
		e.Log("report", "reading /in/effects.csv", "fitting 10000 models", "Killed")
	}
	for i := range *many {
		e.AddImage(engine.ImageInfo{Name: fmt.Sprintf("image-%05d.sif", i), Path: fmt.Sprintf("/data/image-%05d.sif", i), Size: int64(i) * 1e6, Kind: "sif", ModTime: clock()})
	}
	go func() {
		for i := 0; ; i++ {
			time.Sleep(700 * time.Millisecond)
			e.Log("jupyter", fmt.Sprintf("[I %s NotebookApp] 200 GET /api/sessions?%d (127.0.0.1) 1.91ms", clock().Format("15:04:05.000"), i))
		}
	}()
	o := tui.Options{
		Engine: e, Catalog: c, Memory: &tuitest.Memory{}, Theme: theme.Options{ASCII: *ascii, NoColor: *nocolor, Basic: *basic},
		Home: tuitest.Home, Self: "/bin/true", Now: clock, Writable: true,
		Opener:   func(string) error { return nil },
		SaveFile: func(name, _ string) (string, error) { return tuitest.Home + "/" + name, nil },
	}
	if *light {
		o.Theme.Background = theme.Light
	}
	if *dark {
		o.Theme.Background = theme.Dark
	}
	if *remote {
		o.Remote = &screen.Remote{User: "ada", Host: "login3.cluster.example.org"}
	}
	switch *start {
	case "welcome":
		o.Start = tui.StartWelcome
	case "catalog":
		o.Start = tui.StartCatalog
	case "running":
		o.Start = tui.StartRunning
	}
	r, err := tui.Run(context.Background(), o)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(r.Goodbye)
}
