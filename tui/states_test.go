package tui

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"

	"carrel/engine"
	"carrel/engine/progress"
	"carrel/tui/screen"
	"carrel/tui/task"
	"carrel/tui/theme"
	"carrel/tui/tuitest"
)

// state is something a person comes to see, and how.
type state struct {
	name   string
	change func(*Options, *tuitest.Engine)
	keys   []string
	then   func(*driver) // after the keys
}

// hostile is a name with everything in it that a terminal takes for something else, long and wide.
const hostile = "\x1b[2J\x1b]0;owned\x07宽宽宽\u202eevil\r\n\x00👩‍🔬e\u0301 a name that is longer than any window that it is ever going to be shown in, and then some more.sif"

// ownLinks are the links of Carrel itself.
var ownLinks = regexp.MustCompile(`\x1b\]8;[!-~]*\x07`)

// put adds an app to those that run.
func put(in engine.Instance) func(*Options, *tuitest.Engine) {
	return func(_ *Options, e *tuitest.Engine) {
		if in.Started.IsZero() {
			in.Started = tuitest.Noon.Add(-90 * time.Second)
		}
		e.Put(in)
	}
}

// use lets time go by, in which apps use this.
func (d *driver) use(u ...engine.Usage) {
	for _, x := range u {
		d.e.Uses(x)
		time.Sleep(time.Hour)
		d.send(screen.Tick{Now: d.m.d.Now()})
		d.idle()
	}
}

// tidyverse are the keys that start the build of RStudio.
func tidyverse(keys ...string) []string {
	return append([]string{"2", "/", ":tidyverse", "enter", "enter"}, keys...)
}

// homeOf is a home with some folders, which TestMain removes.
func homeOf(o *Options, e *tuitest.Engine, folders ...string) {
	home, err := os.MkdirTemp("", "carrel-states-")
	if err != nil {
		panic(err)
	}
	made = append(made, home)
	for _, f := range folders {
		if err := os.MkdirAll(filepath.Join(home, f), 0o755); err != nil {
			panic(err)
		}
	}
	o.Home, e.Home = home, home
}

// states are those that no other test draws.
var states = []state{
	{name: "building", keys: tidyverse(), change: func(_ *Options, e *tuitest.Engine) { e.Pause = 4e9 }, then: func(d *driver) {
		for range 14 {
			d.idle()
		}
	}},
	{name: "building-search", keys: tidyverse("/", ":part1"), change: func(_ *Options, e *tuitest.Engine) { broken(e) }},
	{name: "built", keys: tidyverse(), change: func(_ *Options, e *tuitest.Engine) { e.StartErr = errors.New("bind() to port 80: permission denied") }},
	{name: "build-cancelled", keys: tidyverse("ctrl+c"), change: func(_ *Options, e *tuitest.Engine) { e.Pause = 4e9 }},
	{name: "building-behind", keys: tidyverse("esc"), change: func(_ *Options, e *tuitest.Engine) { e.Pause = 4e9 }},
	{name: "leave", keys: tidyverse("esc", "1", "q"), change: func(_ *Options, e *tuitest.Engine) { e.Pause = 4e9 }},
	{name: "starting", keys: []string{"3"}, change: put(engine.Instance{Name: "slow", Title: "A slow app", State: engine.StateStarting, Started: tuitest.Noon,
		Addresses: []engine.Address{{URL: "http://127.0.0.1:7000/", Host: 7000}}})},
	{name: "unhealthy", keys: []string{"3"}, change: put(engine.Instance{Name: "ill", State: engine.StateUnhealthy, Problem: "it answered with 502 three times",
		Addresses: []engine.Address{{URL: "http://127.0.0.1:7000/", Host: 7000, Ready: true}}})},
	{name: "lost", keys: []string{"3", "left"}, change: put(engine.Instance{Name: "gone", State: engine.StateLost, Started: tuitest.Noon.Add(-time.Hour)})},
	{name: "stopped", keys: []string{"3", "left"}, change: put(engine.Instance{Name: "done", State: engine.StateExited, Reason: engine.ReasonStopped,
		Started: tuitest.Noon.Add(-time.Hour), Ended: tuitest.Noon.Add(-time.Minute)})},
	{name: "no-page", keys: []string{"3"}, change: put(engine.Instance{Name: "worker", State: engine.StateRunning, Started: tuitest.Noon})},
	{name: "graphs", keys: []string{"3", "right"}, then: func(d *driver) {
		for i := range 9 {
			d.use(engine.Usage{CPU: time.Duration(i*i) * 4 * time.Minute, Memory: int64(20+i*24) * 1e6, Read: int64(i%3) * 9e9})
		}
	}},
	{name: "guarded", keys: []string{"3"}, change: put(engine.Instance{Name: "mine", State: engine.StateReady, Started: tuitest.Noon,
		Addresses: []engine.Address{{URL: "http://127.0.0.1:8888/tree?token=5f&carrel=GEADI4M2DFWFVVLTRTBAXYGNAK", Host: 8888, Proto: "http", Guarded: true, Ready: true}}})},
	{name: "log-search", keys: []string{"3", "right", "/", ":kernel"}},
	{name: "log-found", keys: []string{"3", "right", "/", ":analysis-1", "enter"}},
	{name: "log-filter", keys: []string{"3", "right", "&", ":trusted", "enter"}},
	{name: "log-none", keys: []string{"3", "right", "&", ":no such words"}},
	{name: "log-select", keys: []string{"3", "right", "v", "up", "up"}},
	{name: "log-times", keys: []string{"3", "right", "T", "z", "up"}},
	{name: "side-by-side", keys: []string{"3", "b"}},
	{name: "restart", keys: []string{"3", "r"}},
	{name: "forget", keys: []string{"3", "left", "d"}, change: put(engine.Instance{Name: "old", State: engine.StateExited, ExitCode: 1, Started: tuitest.Noon.Add(-time.Hour)})},
	{name: "delete", keys: []string{"down", "down", "d"}},
	{name: "find", keys: []string{"/", ":sif"}},
	{name: "find-none", keys: []string{"/", ":no such name"}},
	{name: "catalog-none", keys: []string{"2", "/", ":no such app"}},
	{name: "catalog-kind", keys: []string{"2", "right", "right"}},
	{name: "catalog-error", keys: []string{"2"}, change: func(o *Options, _ *tuitest.Engine) {
		c := o.Catalog.(*tuitest.Catalog)
		c.List, c.Err = nil, errors.New("open catalog: permission denied")
	}},
	{name: "source-add", keys: []string{"2", "S", "a"}},
	{name: "source-remove", keys: []string{"2", "S", "a", ":https://host.example/recipes", "enter", "end", "d"}},
	{name: "launch-required", keys: []string{"2", "/", ":tidyverse", "enter", "ctrl+u", "enter"}},
	{name: "launch-missing", keys: []string{"2", "/", ":tidyverse", "enter", "ctrl+u", ":~/new/results"}},
	{name: "launch-presets", keys: []string{"2", "/", ":tidyverse", "enter", "ctrl+s", ":course", "enter"}},
	{name: "launch-save", keys: []string{"2", "/", ":tidyverse", "enter", "ctrl+s"}},
	{name: "launch-limits", keys: []string{"2", "/", ":tidyverse", "enter", "shift+tab", "enter", "end"}, then: func(d *driver) {
		for range 9 {
			d.press("tab")
		}
	}},
	{name: "launch-starting", keys: []string{"down", "down", "enter", "enter"}, change: func(_ *Options, e *tuitest.Engine) { e.Starting = time.Hour }},
	{name: "browser", keys: []string{"2", "/", ":tidyverse", "enter", "ctrl+o"}, change: func(o *Options, e *tuitest.Engine) {
		homeOf(o, e, "papers/2026/stroop", "music", ".hidden", "a folder 宽 with a name that goes on and on and does not end before the window does")
	}},
	{name: "browser-new", keys: []string{"2", "/", ":tidyverse", "enter", "ctrl+o", "n", ":results"}, change: func(o *Options, e *tuitest.Engine) { homeOf(o, e, "papers") }},
	{name: "browser-places", keys: []string{"2", "/", ":tidyverse", "enter", "ctrl+o", "m", "p"}, change: func(o *Options, e *tuitest.Engine) { homeOf(o, e, "papers") }},
	{name: "busy", keys: []string{"down", "down", "enter", "tab", "tab", "tab", "right", "enter"}, change: func(_ *Options, e *tuitest.Engine) {
		e.KeepErr = &engine.BusyError{Image: "/x/jupyter.sif", By: "process 7"}
	}},
	{name: "share-pushing", keys: []string{"down", "down", "x", "p", ":oras://host.example/x:1", "enter", "esc"}, change: func(o *Options, e *tuitest.Engine) { sharing(o, e); e.Pushing = time.Hour }},
	{name: "share-push", keys: []string{"down", "down", "x", "p"}, change: sharing},
	{name: "inspect-found", keys: inside("shift+tab", "shift+tab", "shift+tab", "shift+tab", "shift+tab", "F", ":csv", "enter")},
	{name: "inspect-text", keys: inside("shift+tab", "shift+tab", "shift+tab", "shift+tab", "shift+tab", "enter", "/", ":settings", "enter", "enter")},
	{name: "inspect-copy", keys: inside("shift+tab", "shift+tab", "shift+tab", "shift+tab", "shift+tab", "c")},
	{name: "inspect-unchecked", keys: inside("shift+tab")},
	{name: "inspect-unbuilt", keys: []string{"2", "/", ":tidyverse", "tab", "i"}},
	{name: "doctor-bad", change: func(o *Options, e *tuitest.Engine) {
		o.Start = StartDoctor
		e.Checks[0].Status, e.Checks[0].Title = engine.StatusBad, "Containers cannot run without administrator rights"
		e.Checks[0].Detail, e.Checks[0].Admin = "the kernel forbids user namespaces to ordinary users", "sysctl -w kernel.unprivileged_userns_clone=1"
	}},
	{name: "welcome-bad", change: func(o *Options, e *tuitest.Engine) {
		o.Start = StartWelcome
		e.Checks[0].Status, e.Checks[0].Title, e.Checks[0].Admin = engine.StatusBad, "Containers cannot run without administrator rights", "sysctl -w kernel.unprivileged_userns_clone=1"
	}},
	{name: "welcome-given", keys: []string{"enter", "6"}, change: func(o *Options, _ *tuitest.Engine) { o.Start = StartWelcome }},
	{name: "space-none", keys: []string{"ctrl+p", ":free disk", "enter"}, change: func(o *Options, _ *tuitest.Engine) { o.Engine = tuitest.NewEngine(o.Now) }},
	{name: "space-delete", keys: []string{"ctrl+p", ":free disk", "enter", "d"}},
	{name: "palette-all", keys: []string{"3", "ctrl+p"}},
	{name: "palette-none", keys: []string{"ctrl+p", ":no such words"}},
	{name: "help-running", keys: []string{"3", "?"}},
	{name: "help-launch", keys: []string{"2", "enter", "f1"}},
	{name: "flash", keys: []string{"c"}},
	{name: "panic", keys: []string{"2", "enter"}, change: func(o *Options, e *tuitest.Engine) { o.Engine = panicking{e} }},
	{name: "hostile", keys: []string{"G", "up", "up", "up"}, change: func(_ *Options, e *tuitest.Engine) {
		e.AddImage(engine.ImageInfo{Name: hostile, Path: "/x/" + hostile, Size: 1, Title: hostile, Kind: hostile, Arch: hostile, Problem: hostile})
		e.Put(engine.Instance{Name: hostile, Title: hostile, State: engine.StateReady, Started: tuitest.Noon, Command: hostile,
			Addresses: []engine.Address{{URL: "http://" + hostile, Ready: true, Text: hostile}}, Binds: []engine.Bind{{Source: hostile, Dest: hostile}}})
		e.Log(hostile, hostile, hostile)
	}},
	{name: "hostile-running", keys: []string{"3"}, change: put(engine.Instance{Name: hostile, Title: hostile, State: engine.StateReady, Started: tuitest.Noon, Command: hostile,
		Addresses: []engine.Address{{URL: "http://" + hostile, Ready: true, Text: hostile}}, Binds: []engine.Bind{{Source: hostile, Dest: hostile}}})},
	{name: "ten-thousand", keys: []string{"2", "end"}, change: func(o *Options, _ *tuitest.Engine) {
		c := o.Catalog.(*tuitest.Catalog)
		for i := range 10_000 {
			c.List = append(c.List, task.Entry{Name: fmt.Sprintf("app-%05d", i), Source: "lab", Card: task.Card{Title: fmt.Sprintf("Application %05d 宽\x1b[2J", i), Category: "tool", Description: "what it does"}})
		}
	}},
}

// TestGoldenStates draws every state in all sizes, each into one file.
func TestGoldenStates(t *testing.T) {
	for _, v := range states {
		t.Run(v.name, func(t *testing.T) {
			var all strings.Builder
			for _, s := range sizes {
				drive(t, s[0], s[1], v.change, func(d *driver) {
					v.show(d)
					frame := d.m.draw(s[0], s[1])
					fits(t, v.name, frame, s[0], s[1])
					frame = ownLinks.ReplaceAllString(frame, "")
					for _, bad := range []string{"\x1b]", "\x1b[2J", "\u202e", "\x00", "\r"} {
						if strings.Contains(frame, bad) {
							t.Errorf("the frame holds %q", bad)
						}
					}
					fmt.Fprintf(&all, "== %d×%d\n%s\n", s[0], s[1], ansi.Strip(frame))
				})
			}
			tuitest.Golden(t, "state-"+v.name, all.String())
		})
	}
}

func (s state) show(d *driver) {
	d.press(s.keys...)
	if s.then != nil {
		s.then(d)
	}
}

// every is all that is drawn by a golden test, with or without a folder of its own.
func every() []state {
	out := append([]state(nil), states...)
	for _, v := range views {
		out = append(out, state{name: v.name, change: v.change, keys: v.keys})
	}
	return out
}

// drawnIn draws what is shown in another theme.
func (d *driver) drawnIn(o theme.Options) string {
	was := *d.m.d.Theme
	defer func() { *d.m.d.Theme = was }()
	*d.m.d.Theme = *theme.New(o)
	return d.m.draw(d.m.w, d.m.h)
}

// What colours tell is told without them, too: whatever a key changes on the screen can be seen where there are none. And
// words and their places are the same in all themes.
func TestWithoutColours(t *testing.T) {
	dark := theme.Options{Background: theme.Dark}
	themes := []theme.Options{{}, {Background: theme.Light}, {Basic: true}, {Basic: true, Background: theme.Dark}, {Basic: true, Background: theme.Light}, {NoColor: true}}
	for _, v := range every() {
		if strings.HasPrefix(v.name, "inspect-picture") || strings.HasPrefix(v.name, "code") || v.name == "ten-thousand" || v.name == "inspect-notebook" {
			continue // pictures are drawn otherwise where there are no colours
		}
		t.Run(v.name, func(t *testing.T) {
			drive(t, 80, 24, func(o *Options, e *tuitest.Engine) {
				if v.change != nil {
					v.change(o, e)
				}
				o.Theme = dark
			}, func(d *driver) {
				v.show(d)
				for _, key := range []string{"", "down", "tab", "up", "right", "left", "shift+tab"} {
					was, plain := d.drawnIn(dark), d.drawnIn(theme.Options{NoColor: true})
					if key != "" {
						d.press(key)
					}
					now := d.drawnIn(dark)
					if key != "" && now != was && d.drawnIn(theme.Options{NoColor: true}) == plain {
						t.Errorf("what %s changes is seen by its colour alone:\n%s", key, visible(now))
					}
					for _, o := range themes {
						if got := ansi.Strip(d.drawnIn(o)); got != ansi.Strip(now) {
							t.Errorf("after %q %+v has other words:\n%s\n%s", key, o, got, ansi.Strip(now))
						}
					}
					got := d.drawnIn(theme.Options{NoColor: true, ASCII: true})
					fits(t, "ASCII", got, 80, 24)
					if a := signs(got); a != "" && v.name != "hostile" && v.name != "hostile-running" && v.name != "browser" {
						t.Errorf("in ASCII there are %q:\n%s", a, got)
					}
				}
			})
		})
	}
}

// signs are the characters of a text that are not ASCII.
func signs(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x80 || r == '宽' { // which comes from a file's name
			return -1
		}
		return r
	}, s)
}

// Columns stay where they are when what is in them changes.
func TestColumnsStay(t *testing.T) {
	type change func(*driver)
	usage := func(u ...engine.Usage) change { return func(d *driver) { d.use(u...) } }
	in := func(f func(*engine.Instance)) change { return func(d *driver) { d.e.Change("jupyter", f); d.idle() } }
	tests := []struct {
		name  string
		keys  []string
		first change // before the first look
		then  []change
		words []string // whose places are compared
	}{
		{"what an app uses", []string{"3", "right"}, usage(engine.Usage{}, engine.Usage{CPU: 1, Memory: 9}, engine.Usage{CPU: 2, Memory: 9}),
			[]change{usage(engine.Usage{CPU: 90 * time.Hour, Memory: 212e6, Read: 9e12}), usage(engine.Usage{CPU: 91 * time.Hour, Memory: 12e9, Read: 9e12, Written: 5e15})},
			[]string{"CPU ", "memory ", "╭─ Log"}},
		{"since when", nil, nil, []change{
			in(func(i *engine.Instance) { i.Started = tuitest.Noon.Add(-9 * time.Second) }), in(func(i *engine.Instance) { i.Started = tuitest.Noon.Add(-400 * time.Hour) }),
			in(func(i *engine.Instance) { i.Addresses[0].URL = "http://127.0.0.1:8/" }), in(func(i *engine.Instance) { i.State = engine.StateUnhealthy }),
		}, []string{"http://127.0.0.1:9684/", "243 MB", "today", "MY CONTAINERS", "│  Jupyter"}},
		{"a row more than fits", nil, nil, []change{func(d *driver) {
			for i := range 30 {
				d.e.Put(engine.Instance{Name: fmt.Sprintf("zz-%02d", i), State: engine.StateReady, Started: tuitest.Noon.Add(-time.Duration(i) * time.Minute)})
			}
			d.idle()
		}}, []string{"http://127.0.0.1:9684/", "12 min"}},
		{"a state that has another word", []string{"3", "right"}, nil, []change{
			in(func(i *engine.Instance) { i.State = engine.StateStopping }), in(func(i *engine.Instance) { i.State = engine.StateReady }),
		}, []string{"Jupyter notebook", "╭─ Log", "~/papers/2026/stroop"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			drive(t, 120, 36, nil, func(d *driver) {
				d.press(tt.keys...)
				if tt.first != nil {
					tt.first(d)
				}
				want := places(d.screen(), tt.words)
				for i, c := range tt.then {
					before := d.screen()
					c(d)
					if d.screen() == before {
						t.Errorf("change %d changes nothing:\n%s", i, before)
					}
					for w, x := range places(d.screen(), tt.words) {
						if x != want[w] || x < 0 {
							t.Errorf("after change %d %q stands at %d, before at %d:\n%s\n%s", i, w, x, want[w], before, d.screen())
						}
					}
				}
			})
		})
	}
}

// places are the columns in which words begin, -1 where they are not there.
func places(frame string, words []string) map[string]int {
	out := map[string]int{}
	for _, w := range words {
		out[w] = -1
		for _, l := range strings.Split(frame, "\n") {
			if before, _, ok := strings.Cut(l, w); ok {
				out[w] = ansi.StringWidth(before)
				break
			}
		}
	}
	return out
}

// What a build tells of itself changes without moving anything.
func TestBuildColumnsStay(t *testing.T) {
	drive(t, 120, 36, func(_ *Options, e *tuitest.Engine) {
		e.Pause = 4e9
		e.Events = e.Events[:4:4]
		for _, n := range []int64{1, 999, 20_000_000, 47_999_999, 48_000_000} {
			e.Events = append(e.Events, engine.Event{Kind: progress.Amount, Step: progress.StepFetch, Done: n, Total: 48_000_000, Unit: "bytes", Text: "debian bookworm"})
		}
	}, func(d *driver) {
		d.press(tidyverse()...)
		for range 60 {
			d.idle()
			if strings.Contains(d.screen(), " of 48 MB") {
				break
			}
		}
		words := []string{"Read definition", "Fetch base", "Install software", "━", "╭─"}
		first := d.screen()
		seen := map[string]bool{}
		for range 20 {
			d.idle()
			now := d.screen()
			if !strings.Contains(now, "Building RStudio") {
				break
			}
			seen[now] = true
			for w, x := range places(now, words[:3]) {
				if want := places(first, words[:3])[w]; x != want {
					t.Errorf("%q stands at %d, before at %d:\n%s", w, x, want, now)
				}
			}
		}
		if len(seen) < 3 {
			t.Errorf("%d different screens were seen", len(seen))
		}
	})
}
