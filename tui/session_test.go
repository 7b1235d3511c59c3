package tui

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"carrel/engine"
	"carrel/tui/tuitest"
)

// The log of a running app: only some lines, some of them copied, and the app's own colours kept harmless.
func TestLogFilterAndCopy(t *testing.T) {
	drive(t, 100, 30, nil, func(d *driver) {
		d.press("3", "right")
		d.e.Log("jupyter", "\x1b[31mred\x1b[0m and \x1b]0;owned\x07\x1b[2Jharmless", "ERROR: something fell over")
		d.idle()
		d.sees("red and harmless")
		d.press("&", ":error", "enter")
		d.sees("only “error”: 1 of")
		d.misses("harmless")
		d.press("esc")
		d.sees("harmless")
		d.press("v", "up")
		d.sees("2 lines selected")
		d.press("y")
		if !strings.Contains(d.copy, "red and harmless\nERROR: something fell over") {
			t.Errorf("copied %q", d.copy)
		}
		d.sees("Copied 2 lines of the log")
		d.press("v", "q", "?") // q ends the selection, not the program
		d.sees("Select lines of the log and copy them")
		if d.quit {
			t.Error("q left the program")
		}
	})
}

// The link of a guarded app is what is shown, copied and drawn, and it is said that it is good once.
func TestGuardedLink(t *testing.T) {
	const link = "http://127.0.0.1:8888/tree?token=5f&carrel=GEADI4M2DFWFVVLTRTBAXYGNAK"
	change := func(_ *Options, e *tuitest.Engine) {
		e.Change("jupyter", func(in *engine.Instance) { in.Addresses[0].URL, in.Addresses[0].Guarded = link, true })
	}
	drive(t, 120, 36, change, func(d *driver) {
		d.sees("good once")
		d.press("3", "right")
		d.sees(link)
		d.sees("good once")
		d.press("c")
		if d.copy != link {
			t.Errorf("copied %q", d.copy)
		}
		d.press("Q")
		d.sees("It is good")
		d.press("esc")
		d.e.Change("jupyter", func(in *engine.Instance) { in.Addresses[0].URL = strings.Replace(link, "GEADI", "SECON", 1) })
		d.idle()
		d.press("c")
		if !strings.Contains(d.copy, "SECON") {
			t.Errorf("after the link was used %q was copied", d.copy)
		}
	})
}

// Of many apps the strip always shows the one that is chosen, and the keys go round.
func TestStrip(t *testing.T) {
	change := func(_ *Options, e *tuitest.Engine) {
		for i := range 12 {
			e.Put(engine.Instance{Name: fmt.Sprintf("app-number-%02d", i), State: engine.StateReady, Started: tuitest.Noon.Add(-time.Duration(i) * time.Hour)})
		}
	}
	drive(t, 80, 24, change, func(d *driver) {
		d.press("3")
		for range 14 {
			d.press("right")
			if first := strings.Split(d.screen(), "\n")[2]; !strings.Contains(first, d.m.running.Title()) && !strings.Contains(first, "jupyter") && !strings.Contains(first, "stroop") {
				t.Fatalf("%s is not in the strip: %s", d.m.running.Title(), first)
			}
		}
		d.clickOn("app-number-02")
		if got := d.m.running.Title(); got != "app-number-02" {
			t.Errorf("clicked app-number-02, got %s", got)
		}
	})
}

// Why an app ended is said, and where something else would have helped, a key starts it like that, under the same name.
func TestMendEnded(t *testing.T) {
	change := func(_ *Options, e *tuitest.Engine) {
		e.Change("jupyter", func(in *engine.Instance) {
			in.State, in.ExitCode, in.Reason = engine.StateExited, 137, engine.ReasonMemory
			in.Spec.Image, in.Spec.Details.Limits.Memory = in.Image, 1<<30
		})
	}
	for _, size := range [][2]int{{120, 36}, {50, 14}} {
		drive(t, size[0], size[1], change, func(d *driver) {
			d.press("3")
			for range 3 {
				if strings.HasPrefix(d.m.running.Title(), "Jupyter") {
					break
				}
				d.press("right")
			}
			d.sees("memory")
			d.sees("F  Allow it 2")
			d.press("F")
			d.idle()
			d.sees("was started again")
			if in, err := d.e.Instance(t.Context(), "jupyter"); err != nil || !in.State.Live() || in.Spec.Details.Limits.Memory != 2<<30 {
				t.Errorf("started: %+v, %v", in, err)
			}
			d.misses("F  Allow it")
		})
	}
}

// Several apps side by side: each pane has its own log, search and place, the keys go to one of them, and the panes stand
// under each other where there is no room beside.
func TestPanes(t *testing.T) {
	third := func(_ *Options, e *tuitest.Engine) {
		e.Put(engine.Instance{Name: "third", Title: "A third one", State: engine.StateReady, Started: tuitest.Noon.Add(-time.Hour)})
		e.Log("third", "one", "two words", "three")
	}
	drive(t, 140, 36, third, func(d *driver) {
		d.press("3", "b", ":jupyter", "enter")
		d.sees("Booting worker")
		d.sees("NotebookApp] Saving file")
		d.sees("▌ Jupyter notebook")
		d.press("/", ":kernel", "enter")
		d.sees("“kernel” in 1 line")
		d.press("tab")
		d.sees("▌ Behavioural experiments")
		if !strings.Contains(d.screen(), "“kernel”") {
			t.Errorf("the search of the other pane is gone:\n%s", d.screen())
		}
		d.press("b") // the only one left needs no choice
		d.sees("two words")
		d.sees("▌ A third one")
		d.press("s")
		d.sees("Stop third?")
		d.press("esc", "B")
		d.misses("two words")
		d.press("b", "right") // every app is shown: none to go to
		d.sees("▌ A third one")
		d.clickOn("Jupyter notebook")
		d.sees("▌ Jupyter notebook")
		forget(t, d, "jupyter")
		d.misses("NotebookApp")
		d.sees("two words")
	})
	for _, size := range [][2]int{{80, 24}, {50, 14}, {60, 40}, {200, 60}} {
		drive(t, size[0], size[1], third, func(d *driver) {
			d.press("3", "b", ":jupyter", "enter", "b")
			for range 3 {
				d.press("tab")
				if a := d.m.running.Title(); !strings.Contains(d.screen(), "▌ "+a) {
					t.Errorf("%v: the pane of %s, which has the keys, is not shown:\n%s", size, a, d.screen())
				}
				fits(t, "panes", d.m.draw(size[0], size[1]), size[0], size[1])
			}
			beside := strings.Contains(d.screen(), "two words") && strings.Contains(d.screen(), "Booting worker")
			if beside != (size[1] > 14 && size[1] != 24) {
				t.Errorf("%v:\n%s", size, d.screen())
			}
		})
	}
}
