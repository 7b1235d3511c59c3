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
