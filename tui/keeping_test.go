package tui

import (
	"testing"
	"time"

	"carrel/engine"
	"carrel/tui/tuitest"
)

// Going elsewhere with 1, 2 or 3 loses nothing that was typed: coming back shows the form as it was.
func TestFormsAreKept(t *testing.T) {
	drive(t, 100, 30, nil, func(d *driver) {
		d.press("2", "/", ":tidyverse", "enter", "ctrl+u", ":~/elsewhere", "tab", "right")
		d.sees("● only read")
		d.press("1")
		d.sees("MY CONTAINERS")
		d.sees("Start RStudio stays as it is; 2 comes back to it.")
		d.press("2")
		d.sees("~/elsewhere")
		d.sees("● only read")
		d.press("2")
		d.sees("Start RStudio is not finished; esc leaves it.")
		d.sees("~/elsewhere")
		d.press("esc", "1", "2")
		d.sees("1 app")
		d.misses("not finished")
		d.press("enter", "shift+tab", "3", "2") // nothing was typed into this one
		d.sees("1 app")
	})
	_, change := folderOf(t, "site", page)
	drive(t, 100, 30, change, func(d *driver) {
		d.press(toWizard()...)
		d.press("enter", "3")
		d.sees("stays as it is; 1 comes back to it.")
		d.press("1")
		d.sees("An app of site")
	})
}

// Starting can be cancelled; the form stays. What was begun is not lost by going elsewhere, and its end is told.
func TestStartingIsCancelled(t *testing.T) {
	image := tuitest.Home + "/.local/share/carrel/images/jupyter.sif"
	slow := func(_ *Options, e *tuitest.Engine) { e.Starting = time.Hour }
	for _, key := range []string{"esc", "ctrl+c"} {
		drive(t, 100, 30, slow, func(d *driver) {
			d.press("down", "down", "enter", "enter")
			d.sees("Starting Jupyter notebook …")
			d.press(key)
			d.sees("Starting Jupyter notebook was cancelled.")
			d.sees("Which folder")
			if d.quit || !d.e.Called("start "+image) {
				t.Errorf("quit %v, calls: %v", d.quit, d.e.Calls)
			}
			d.misses("Running (3)")
		})
	}
	drive(t, 100, 30, slow, func(d *driver) {
		d.press("down", "down", "enter", "enter", "2")
		d.sees("stays as it is; 1 comes back to it.")
		d.press("q")
		d.sees("The start of Jupyter notebook is not finished")
		d.press("n")
		time.Sleep(2 * time.Hour)
		d.idle()
		d.sees("Jupyter notebook is starting; 3 shows it.")
		d.sees("RESULT PAGES")
		d.press("1")
		d.sees("MY CONTAINERS") // the form has done its work
	})
	drive(t, 100, 30, func(o *Options, e *tuitest.Engine) {
		slow(o, e)
		e.StartErr = &engine.BusyError{Image: "/x"}
	}, func(d *driver) {
		d.press("down", "down", "enter", "enter", "2")
		time.Sleep(2 * time.Hour)
		d.idle()
		d.sees("Another app keeps its changes there")
	})
}

// An app that is started after a build can be left starting, or cancelled: the program is not left by that.
func TestStartingAfterBuild(t *testing.T) {
	slow := func(_ *Options, e *tuitest.Engine) { e.Starting = time.Hour }
	drive(t, 100, 30, slow, func(d *driver) {
		d.press("2", "/", ":tidyverse", "enter", "enter")
		d.sees("Starting RStudio")
		d.press("ctrl+c")
		d.sees("RStudio is built; starting it was cancelled.")
		if d.quit {
			t.Fatal("ctrl+c leaves the program")
		}
		d.press("r")
		d.sees("Starting RStudio")
		d.press("esc")
		d.sees("starting RStudio")
	})
}

// A push of gigabytes is not ended by a key that goes back, nor waited for on the loop.
func TestPushIsKept(t *testing.T) {
	drive(t, 120, 36, func(_ *Options, e *tuitest.Engine) { e.Pushing = time.Hour }, func(d *driver) {
		d.press("down", "down", "x", "p", ":oras://host.example/x:1", "enter")
		d.sees("oras://host.example/x:1")
		d.press("esc")
		d.sees("Stop pushing")
		d.sees("40 B of 100 B")
		d.press("n", "3")
		d.sees("Share stays as it is; 1 comes back to it.")
		d.press("q")
		d.sees("The push of jupyter.sif is not finished")
		d.press("n", "1", "esc", "y")
		d.sees("MY CONTAINERS")
		if !d.e.Called("Pushing ended") {
			t.Errorf("calls: %v", d.e.Calls)
		}
	})
	drive(t, 120, 36, nil, func(d *driver) {
		d.press("down", "down", "x", "p", ":oras://host.example/x:1", "enter")
		d.sees("oras://host.example/x:1 is there.")
		d.press("ctrl+p", ":stop pushing")
		d.misses("Stop pushing jupyter")
		d.press("esc", "esc")
		d.sees("MY CONTAINERS")
	})
}
