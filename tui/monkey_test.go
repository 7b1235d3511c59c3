package tui

import (
	"fmt"
	"math/rand/v2"
	"testing"

	tea "charm.land/bubbletea/v2"

	"carrel/engine"
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
			for step := range 400 {
				did := ""
				if d.m.over.palette != nil || d.m.over.dialog != nil {
					may = step
				}
				switch r.IntN(12) {
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
	})
}
