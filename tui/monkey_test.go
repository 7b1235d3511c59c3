package tui

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"

	"carrel/engine"
	"carrel/tui/screen"
	"carrel/tui/tuitest"
)

// Keys, clicks and sizes at random never panic, never draw outside of the terminal, and never leave the program by anything
// but q or ctrl+c. A failure names its seed.
func FuzzMonkey(f *testing.F) {
	keys := []string{"up", "down", "left", "right", "enter", "enter", "esc", "tab", "shift+tab", "pgup", "pgdown", "home", "end", "space", "backspace",
		"1", "2", "3", "/", "?", "ctrl+p", "ctrl+u", "ctrl+n", "ctrl+y", "y", "n", "s", "r", "d", "i", "t", "v", "b", "w", "f", "z", "T", "g", "G", "j", "k", "宽", "e", "~", "x", "ctrl+o", "c", "Q", "l", "h", "W", "S", "V", "F", "R", "m", "p", "u", "a", "ctrl+s", "ctrl+x", "ctrl+t", "ctrl+e", "ctrl+r",
		"M", "N", "&", "<", ">", "[", "]", "f1", "A", "C", "L", "K", "B", "D", "E", ".", "o", "delete", "ctrl+a", "ctrl+k", "ctrl+w", "ctrl+d", "ctrl+b", "ctrl+f", "ctrl+l", "shift+left", "shift+right"}
	sizes := [][2]int{{0, 0}, {1, 1}, {20, 5}, {50, 14}, {61, 17}, {80, 24}, {100, 30}, {200, 60}}
	for seed := range uint64(6) { // more of them: make fuzz
		f.Add(seed)
	}
	been := &visited{at: map[string]int{}, seeds: map[uint64]bool{}}
	f.Cleanup(func() { been.check(f) })
	f.Fuzz(func(t *testing.T, seed uint64) {
		home := t.TempDir()
		t.Chdir(home) // a folder of any name may be made here
		drive(t, 80, 24, func(o *Options, e *tuitest.Engine) {
			o.Home, e.Answers = home, true
			if seed%2 == 1 {
				o.Start = StartWelcome
				broken(e)
			}
		}, func(d *driver) {
			r := rand.New(rand.NewPCG(seed, 7))
			w, h := 80, 24
			may := -9 // the step that may have asked to leave: a click on “q leave”, or a choice in the palette
			for step := range 500 {
				did := ""
				if d.m.over.palette != nil || d.m.over.dialog != nil {
					may = step
				}
				if step%8 == 7 { // a dialog that opened itself takes keys when there was time to read it
					time.Sleep(time.Hour)
				}
				if step%20 == 19 { // a screen that chance seldom finds
					d.send(jumps[(int(seed%1000)*7+step/20)%len(jumps)])
				}
				been.see(d.m)
				n := r.IntN(12)
				if layout(w, h).tier == screen.TooSmall && n%3 == 0 {
					n = 0 // no key does anything there
				}
				switch n {
				case 0:
					s := sizes[r.IntN(len(sizes))]
					w, h = s[0], s[1]
					d.send(sizeMsg(w, h))
					did = fmt.Sprint("size ", s)
				case 1:
					x, y := r.IntN(w+1), r.IntN(h+1)
					d.send(tea.MouseClickMsg{X: x, Y: y, Button: tea.MouseLeft})
					did, may = fmt.Sprint("click ", x, y), step
				case 2:
					d.send(tea.MouseWheelMsg{X: r.IntN(w + 1), Y: r.IntN(h + 1), Button: []tea.MouseButton{tea.MouseWheelUp, tea.MouseWheelDown}[r.IntN(2)]})
					did = "wheel"
				case 3:
					name := fmt.Sprint("app", r.IntN(3))
					d.e.Put(engine.Instance{Name: name, State: []engine.State{engine.StateReady, engine.StateExited, engine.StateStarting, engine.StateLost}[r.IntN(4)],
						Started: tuitest.Noon, ExitCode: r.IntN(3)})
					d.e.Log(name, "a line 宽 \x1b[31mred", "another")
					did = "put " + name
				default:
					did = keys[r.IntN(len(keys))]
					d.send(tuitest.Key(did))
				}
				if step%4 == 0 {
					d.idle()
				}
				fits(t, fmt.Sprint("step ", step, " ", did), d.m.draw(w, h), w, h)
				if d.quit && step-may > 4 { // messages are taken every fourth step
					t.Fatalf("step %d: %s leaves the program", step, did)
				}
				d.quit = false
			}
		})
		been.done(seed)
	})
}

// jumps open the screens that are behind many keys.
var jumps = []tea.Msg{
	screen.OpenWizard{}, screen.OpenSpace{}, screen.OpenDoctor{}, screen.OpenShare{Name: jupyterImage, Title: "Jupyter"}, screen.OpenInspect{Name: jupyterImage},
	screen.OpenSources{}, screen.OpenLaunch{Name: "rstudio"}, screen.OpenWelcome{}, screen.ShowCode{Title: "Code", Text: "http://127.0.0.1:1/"},
	screen.PickFolder{Title: "Choose", Answer: func(string) tea.Cmd { return nil }}, screen.StartBuild{Title: "RStudio", Spec: engine.BuildSpec{Definition: "rstudio"}},
	screen.GoCatalog{}, screen.GoRunning{Name: "jupyter"}, screen.AskText{Title: "Where?", Files: true, Answer: func(string) tea.Cmd { return nil }},
	screen.Failed{What: "Starting jupyter", Err: errors.New("no space left on device")},
}

// visited counts on how many steps each screen, and each thing that stands over one, was looked at.
type visited struct {
	mu    sync.Mutex
	at    map[string]int
	seeds map[uint64]bool // that came to their end
}

func (v *visited) see(m *model) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.at[fmt.Sprintf("%T", m.current())]++
	for what, open := range map[string]bool{
		"dialog": m.over.dialog != nil, "prompt": m.over.prompt != nil, "browser": m.over.browser != nil,
		"palette": m.over.palette != nil, "help": m.over.help != nil, "code": m.over.code != nil, "too small": layout(m.w, m.h).tier == screen.TooSmall,
	} {
		if open {
			v.at[what]++
		}
	}
}

func (v *visited) done(seed uint64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.seeds[seed] = true
}

// check fails when the seeds of the test, all of them together, never came to one.
func (v *visited) check(f *testing.F) {
	for seed := range uint64(6) {
		if !v.seeds[seed] {
			return // only some were asked for
		}
	}
	for _, want := range []string{"*desk.Screen", "*catalog.Screen", "*session.Screen", "*launch.Screen", "*build.Screen", "*inspect.Screen", "*share.Screen",
		"*sources.Screen", "*space.Screen", "*welcome.Screen", "*wizard.Screen", "*doctor.Screen", "dialog", "prompt", "browser", "palette", "help", "code", "too small"} {
		if v.at[want] < 5 {
			f.Errorf("chance looked at %s in %d steps only: %v", want, v.at[want], v.at)
		}
	}
	f.Log(v.at)
}
