package tui

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"carrel/engine"
	"carrel/engine/progress"
	"carrel/tui/screen"
	"carrel/tui/theme"
	"carrel/tui/tuitest"
)

// sizes are the terminals every screen is looked at in: the smallest, a small one, the usual, a larger and a wide one.
var sizes = [][2]int{{50, 14}, {60, 16}, {80, 24}, {100, 30}, {120, 36}}

// broken lets builds fail as a misspelt package does.
func broken(e *tuitest.Engine) {
	e.Events = append(e.Events[:12:12],
		engine.Event{Kind: progress.Line, Step: progress.StepInstall, Text: "E: Unable to locate package python3-nmupy"},
		engine.Event{Kind: progress.Failed, Step: progress.StepInstall, Text: "exit status 100"})
	e.BuildErr = &tuitest.ErrBuild{Text: "run %post: line 14: apt-get ended with code 100", What: "Debian has no package python3-nmupy. Did you mean python3-numpy?"}
}

// views are the screens and how to get there.
var views = []struct {
	name   string
	change func(*Options, *tuitest.Engine)
	keys   []string
}{
	{name: "desk"},
	{name: "desk-image", keys: []string{"down", "down"}},
	{name: "desk-empty", change: func(o *Options, _ *tuitest.Engine) { o.Engine = tuitest.NewEngine(o.Now) }},
	{name: "catalog", keys: []string{"2"}},
	{name: "catalog-filter", keys: []string{"2", "/", ":note"}},
	{name: "launch", keys: []string{"2", "down", "down", "enter"}, change: func(_ *Options, e *tuitest.Engine) { e.Taken[8888] = "python3 (pid 4711)" }},
	{name: "launch-more", keys: []string{"2", "down", "down", "enter", "shift+tab", "enter", "tab"}},
	{name: "build-failed", keys: []string{"2", "down", "down", "down", "enter", "enter"}, change: func(_ *Options, e *tuitest.Engine) { broken(e) }},
	{name: "running", keys: []string{"3", "right"}},
	{name: "running-remote", keys: []string{"3"}, change: func(o *Options, _ *tuitest.Engine) {
		o.Remote = &screen.Remote{User: "ada", Host: "login3.example.org"}
	}},
	{name: "running-ended", keys: []string{"3", "left"}, change: func(_ *Options, e *tuitest.Engine) {
		e.Put(engine.Instance{Name: "report", Title: "Meta-analysis report", State: engine.StateExited, ExitCode: 137, Started: tuitest.Noon.Add(-3e11)})
		e.Log("report", "reading /in/effects.csv", "Killed")
	}},
	{name: "running-none", keys: []string{"3"}, change: func(o *Options, _ *tuitest.Engine) { o.Engine = tuitest.NewEngine(o.Now) }},
	{name: "inspect", keys: []string{"down", "down", "i"}},
	{name: "inspect-definition", keys: []string{"2", "v"}},
	{name: "share", keys: []string{"down", "down", "x"}, change: sharing},
	{name: "share-network", keys: []string{"down", "down", "x", "n"}, change: sharing},
	{name: "inspect-runs", keys: inside("right")},
	{name: "inspect-files", keys: inside("shift+tab", "shift+tab", "shift+tab", "shift+tab", "shift+tab")},
	{name: "inspect-table", keys: inside("shift+tab", "shift+tab", "shift+tab", "shift+tab", "shift+tab", "enter", "G", "enter")},
	{name: "inspect-notebook", keys: inside("shift+tab", "shift+tab", "shift+tab", "shift+tab", "shift+tab", "enter", "/", ":ipynb", "enter", "enter")},
	{name: "inspect-picture", keys: inside("shift+tab", "shift+tab", "shift+tab", "shift+tab", "shift+tab", "enter", "/", ":stripes", "enter", "enter"),
		change: func(o *Options, _ *tuitest.Engine) { o.Theme.NoColor = true }},
	{name: "inspect-software", keys: inside("shift+tab", "shift+tab", "shift+tab", "shift+tab", "/", ":py")},
	{name: "inspect-size", keys: inside("shift+tab", "shift+tab", "shift+tab")},
	{name: "inspect-changes", keys: inside("shift+tab", "shift+tab", "c", ":old.sif", "enter")},
	{name: "inspect-changed", keys: inside("shift+tab", "shift+tab"), change: func(_ *Options, e *tuitest.Engine) { e.Layers = 2 }},
	{name: "inspect-unchanged", keys: inside("shift+tab", "shift+tab")},
	{name: "inspect-trust", keys: inside("shift+tab", "v")},
	{name: "doctor", keys: []string{"down"}, change: func(o *Options, _ *tuitest.Engine) { o.Start = StartDoctor }},
	{name: "welcome-1", change: func(o *Options, e *tuitest.Engine) { o.Start = StartWelcome; e.Taken[8888] = "python3 (pid 4711)" }},
	{name: "welcome-2", keys: []string{"enter"}, change: func(o *Options, _ *tuitest.Engine) { o.Start = StartWelcome }},
	{name: "welcome-3", keys: []string{"enter", "enter"}, change: func(o *Options, _ *tuitest.Engine) { o.Start = StartWelcome }},
	{name: "welcome-3-kind", keys: []string{"enter", "2"}, change: func(o *Options, _ *tuitest.Engine) { o.Start = StartWelcome }},
	{name: "sources", keys: []string{"2", "S"}},
	{name: "space", keys: []string{"ctrl+p", ":free disk", "enter"}, change: func(_ *Options, e *tuitest.Engine) {
		e.Cached = []engine.CacheUse{{Kind: "downloads", Size: 812_000_000, Items: make([]engine.CacheItem, 4)}, {Kind: "oci"}, {Kind: "hot", Size: 96_000_000, Items: make([]engine.CacheItem, 1)}}
	}},
	{name: "launch-choices", keys: []string{"2", "/", ":behav", "enter"}},
	{name: "wizard", keys: toWizard()},
	{name: "failure", keys: []string{"down", "down", "enter", "enter"}, change: func(_ *Options, e *tuitest.Engine) {
		e.StartErr = errors.New("write overlay: no space left on device")
	}},
	{name: "help", keys: []string{"?"}},
	{name: "palette", keys: []string{"ctrl+p", ":stop"}},
	{name: "confirm", keys: []string{"s"}},
	{name: "code", keys: []string{"3", "Q"}},
	{name: "prompt", keys: []string{"n"}},
	{name: "unsaved", keys: []string{"down", "down", "enter", "tab", "tab", "tab", "right", "enter"}, change: func(_ *Options, e *tuitest.Engine) {
		e.Unsaved = &engine.Unsaved{Since: tuitest.Noon.Add(-26 * time.Hour), Files: 12, Deleted: 1, Bytes: 3_400_000}
	}},
}

// sharing puts a file where the image is that is handed over: its checksum is worked out for true.
func sharing(o *Options, e *tuitest.Engine) {
	image := tuitest.Home + "/.local/share/carrel/images/jupyter.sif"
	t := e.Targets[image]
	t.Path = imageFile()
	e.Targets[image] = t
	o.Home = filepath.Dir(t.Path)
}

// imageFile is a file with an image's name, which TestMain removes.
var imageFile = sync.OnceValue(func() string {
	dir, err := os.MkdirTemp("", "carrel-share-")
	if err != nil {
		panic(err)
	}
	path := filepath.Join(dir, "jupyter.sif")
	if err := os.WriteFile(path, make([]byte, 243_000), 0o600); err != nil {
		panic(err)
	}
	made = append(made, dir)
	return path
})

// made are folders that TestMain removes.
var made []string

// inside are the keys that look inside an image, and then some.
func inside(keys ...string) []string { return append([]string{"down", "down", "i"}, keys...) }

// TestGolden draws every screen in three sizes, without colours.
func TestGolden(t *testing.T) {
	for _, v := range views {
		for _, s := range sizes {
			name := fmt.Sprintf("%s-%dx%d", v.name, s[0], s[1])
			t.Run(name, func(t *testing.T) {
				drive(t, s[0], s[1], v.change, func(d *driver) {
					d.press(v.keys...)
					got := d.screen()
					if again := d.screen(); again != got {
						t.Errorf("drawing changes what is drawn:\n%s", again)
					}
					fits(t, name, d.m.draw(s[0], s[1]), s[0], s[1])
					tuitest.Golden(t, name, got)
				})
			})
		}
	}
}

// TestGoldenTooSmall tells which size is needed.
func TestGoldenTooSmall(t *testing.T) {
	drive(t, 40, 10, nil, func(d *driver) {
		tuitest.Golden(t, "too-small", d.screen())
		d.press("s", "enter")
		d.send(sizeMsg(80, 24))
		d.misses("Stop") // no key did what could not be seen
	})
}

// TestGoldenThemes draws one screen in each theme, with its colours.
func TestGoldenThemes(t *testing.T) {
	for name, o := range map[string]theme.Options{
		"unknown": {}, "dark": {Background: theme.Dark}, "light": {Background: theme.Light}, "none": {NoColor: true},
		"basic-dark": {Basic: true, Background: theme.Dark}, "basic-light": {Basic: true, Background: theme.Light}, "ascii": {NoColor: true, ASCII: true},
	} {
		t.Run(name, func(t *testing.T) {
			drive(t, 80, 24, func(op *Options, _ *tuitest.Engine) { op.Theme = o }, func(d *driver) {
				tuitest.Golden(t, "theme-"+name, visible(d.m.draw(80, 24)))
			})
		})
	}
}

// TestFits draws every screen in many sizes.
func TestFits(t *testing.T) {
	ws := []int{0, 1, 3, 8, 20, 49, 50, 61, 69, 80, 99, 100, 110, 200}
	hs := []int{0, 1, 2, 4, 7, 10, 14, 16, 19, 20, 24, 30, 60}
	for _, v := range views {
		t.Run(v.name, func(t *testing.T) {
			drive(t, 80, 24, v.change, func(d *driver) {
				d.press(v.keys...)
				for _, w := range ws {
					for _, h := range hs {
						fits(t, "frame", d.m.draw(w, h), w, h)
						fits(t, d.m.current().Title(), d.m.current().View(w, h), w, h)
					}
				}
				d.m.w, d.m.h = 200, 60
				d.m.size()
				fits(t, "after resize", d.m.draw(50, 14), 50, 14)
			})
		})
	}
}
