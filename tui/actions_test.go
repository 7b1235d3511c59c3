package tui

import (
	"errors"
	"fmt"
	"image/color"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"

	"carrel/engine"
	"carrel/tui/screen"
	"carrel/tui/tuitest"
)

// An action does what it said when it was shown, also when what it speaks of has gone meanwhile: it neither falls over nor
// does it to something else.
func TestActionsKeepTheirObject(t *testing.T) {
	tests := []struct{ words, sees string }{
		{":stop jupyter", "Stop jupyter?"},
		{":restart jupyter", "Restart jupyter?"},
		{":save the log", "jupyter is no longer the app that is shown"},
	}
	for _, tt := range tests {
		for _, left := range []bool{true, false} { // another app is left, or none
			drive(t, 100, 30, nil, func(d *driver) {
				d.press("3")
				d.press("right")
				d.sees("http://127.0.0.1:8888/")
				d.press("ctrl+p", tt.words)
				forget(t, d, "jupyter")
				if !left {
					forget(t, d, "stroop")
				}
				d.press("enter")
				d.sees(tt.sees)
			})
		}
	}
}

// Removing an app from the list, and the actions of an app that ended, keep to it.
func TestForgetKeepsItsObject(t *testing.T) {
	drive(t, 100, 30, func(_ *Options, e *tuitest.Engine) {
		e.Put(engine.Instance{Name: "old", State: engine.StateExited, ExitCode: 1, Started: tuitest.Noon.Add(-3e11)})
	}, func(d *driver) {
		d.press("3", "left", "ctrl+p", ":remove old")
		forget(t, d, "old")
		forget(t, d, "jupyter")
		forget(t, d, "stroop")
		d.press("enter")
		d.sees("Remove old from the list?")
		d.press("y")
		if !d.e.Called("forget old") {
			t.Errorf("calls: %v", d.e.Calls)
		}
	})
}

func forget(t *testing.T, d *driver, name string) {
	t.Helper()
	if err := d.e.Forget(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	d.idle()
}

// One state that cannot be read hides no app that can, and is told of.
func TestUnreadableStateHidesNothing(t *testing.T) {
	drive(t, 120, 36, func(_ *Options, e *tuitest.Engine) {
		e.ListErr = errors.New("read /run/x/state.json: unexpected end of JSON input")
	}, func(d *driver) {
		d.sees("Running (2)")
		d.sees("▌ ● jupyter")
		d.sees("Not every app can be listed: read /run/x")
		d.press("3")
		d.sees("http://127.0.0.1:9684/")
		d.press("?")
		d.sees("Keys: Behavioural")
	})
	drive(t, 100, 30, func(o *Options, _ *tuitest.Engine) {
		e := tuitest.NewEngine(o.Now)
		e.ListErr = errors.New("read /run/x/state.json: permission denied")
		o.Engine = e
	}, func(d *driver) {
		d.press("3")
		d.sees("Read /run/x/state.json: permission denied.")
	})
}

// A dialog that opened by itself takes a click when there was time to read it.
func TestFailureTakesClicks(t *testing.T) {
	drive(t, 80, 24, nil, func(d *driver) {
		d.send(screen.Failed{What: "Starting jupyter", Err: errors.New("start jupyter: no space left on device")})
		d.clickOn("Close")
		d.sees("Starting jupyter did not work")
		time.Sleep(time.Hour)
		d.clickOn("Close")
		d.misses("Starting jupyter did not work")
	})
}

// Why an app ended is said with the line that says so, on the desk too, with a key for the fix; where there is little room
// whole sentences stay.
func TestEndedIsExplained(t *testing.T) {
	failing := func(_ *Options, e *tuitest.Engine) {
		e.Put(engine.Instance{Name: "zz", State: engine.StateExited, ExitCode: 1, Started: tuitest.Noon.Add(-time.Hour), Ended: tuitest.Noon.Add(-time.Minute),
			LastLines: []string{"nginx: [emerg] bind() to 0.0.0.0:80 failed (13: Permission denied)", "bye"}, Spec: engine.RunSpec{Image: "/x/zz.sif"}})
		e.Log("zz", "nginx: [emerg] bind() to 0.0.0.0:80 failed (13: Permission denied)", "bye")
	}
	drive(t, 120, 36, failing, func(d *driver) {
		d.press("down", "down")
		d.sees("It wanted to listen on port 80")
		d.sees("│ nginx: [emerg] bind()")
		d.sees("F  Give it a network of its own")
		d.press("F")
		if !d.e.Called("start /x/zz.sif") {
			t.Errorf("calls: %v", d.e.Calls)
		}
	})
	drive(t, 50, 14, failing, func(d *driver) {
		d.press("down", "down", "enter")
		d.sees("F  Give it a network of its own")
		lines := strings.Split(d.screen(), "\n")
		for i, l := range lines {
			if strings.Contains(l, "F  Give it") {
				if before := strings.TrimSpace(lines[i-1]); !strings.HasSuffix(before, ".") && !strings.HasSuffix(before, "…") {
					t.Errorf("cut within a sentence: %q\n%s", before, d.screen())
				}
			}
		}
	})
}

// A folder that is shared at a place of the image hides what is there, and the form says so.
func TestOtherFoldersSayWhatTheyHide(t *testing.T) {
	drive(t, 120, 40, nil, func(d *driver) {
		d.send(screen.OpenLaunch{Name: tuitest.Home + "/.local/share/carrel/images/jupyter.sif"})
		d.idle()
		d.press("shift+tab", "enter", "tab")
		for range 40 {
			if strings.Contains(d.screen(), "▌ Other folders") {
				break
			}
			d.press("tab")
		}
		d.press(":/tmp:/data:readonly")
		d.sees(`Bind "/tmp:/data:readonly": option "readonly" is not ro`)
		d.press("enter")
		if d.e.Called("start " + tuitest.Home + "/.local/share/carrel/images/jupyter.sif") {
			t.Error("it was started with an option that is not understood")
		}
		d.press("ctrl+w", ":ro")
		d.sees("At /data it takes the place of what the image holds there:")
	})
}

// What is typed is typed: while it is, F1 helps, and the line at the top says so.
func TestHelpWhileTyping(t *testing.T) {
	drive(t, 100, 30, nil, func(d *driver) {
		d.sees("? help")
		d.press("2", "/", ":wh?")
		d.sees("F1 help")
		d.sees("/ wh?")
		d.press("f1")
		d.sees("Keys: Catalog")
	})
}

// What cannot be done stands behind what can, and the way out always at the end.
func TestFooterOrder(t *testing.T) {
	drive(t, 80, 24, sharing, func(d *driver) {
		d.press("down", "down", "x")
		d.sees("n send over network   p push to a registry ")
		d.press("n")
		d.sees("esc stop and leave")
	})
}

// An app that asks whether to keep changes can be started by Enter alone: nothing is lost by what is proposed.
func TestKeepIsProposed(t *testing.T) {
	image := tuitest.Home + "/.local/share/carrel/images/jupyter.sif"
	drive(t, 100, 30, func(_ *Options, e *tuitest.Engine) {
		c := e.Cards[image]
		c.Writable = "ask"
		e.Cards[image] = c
	}, func(d *driver) {
		d.press("down", "down", "enter")
		d.sees("● keep them")
		d.sees("stays for the next time")
		d.press("enter")
		d.sees("starting …")
	})
}

// In a JupyterHub the address is the hub's.
func TestHubAddress(t *testing.T) {
	drive(t, 100, 30, func(o *Options, _ *tuitest.Engine) {
		o.Remote = &screen.Remote{Hub: "https://hub.example.org/user/ada/"}
	}, func(d *driver) {
		d.press("3")
		d.sees("In the JupyterHub:  https://hub.example.org/user/ada/proxy/9684/")
		d.press("C")
		if d.copy != "https://hub.example.org/user/ada/proxy/9684/" {
			t.Errorf("copied %q", d.copy)
		}
		d.press("ctrl+p", ":break long lines", "enter")
		d.press("ctrl+p", ":suspend")
		d.sees("Suspend Carrel")
	})
}

// Among ten thousand images, one is found by its name.
func TestFind(t *testing.T) {
	drive(t, 80, 24, func(_ *Options, e *tuitest.Engine) {
		for i := range 10_000 {
			e.AddImage(engine.ImageInfo{Name: fmt.Sprintf("image-%05d.sif", i), Path: fmt.Sprintf("/i/%05d.sif", i), Kind: "sif", Size: int64(i) * 1e6, ModTime: tuitest.Noon})
		}
	}, func(d *driver) {
		d.press("/", ":9876")
		d.sees("▌   image-09876.sif")
		d.misses("image-09875.sif")
		d.misses("START SOMETHING NEW")
		d.press("q")
		if d.quit {
			t.Fatal("q is no letter")
		}
		d.sees("No container fits these words")
		d.press("backspace", "enter")
		d.sees("Start image-09876.sif")
		d.press("esc", "esc")
		d.sees("▌   image-09876.sif")
		d.press("G")
		d.sees("START SOMETHING NEW")
		d.press("ctrl+p", ":free disk", "enter", "/", ":09876", "enter", "d")
		d.sees("Delete image-09876.sif?")
		d.press("esc", "esc")
		d.sees("image-09999.sif")
		d.press("1", "2", "S", "/", ":nothing")
		d.misses("built-in")
		d.press("esc")
		d.sees("built-in")
	})
}

// Ctrl+Z suspends the program, and the terminal's answer about its background changes the colours.
func TestTerminalTalks(t *testing.T) {
	drive(t, 80, 24, nil, func(d *driver) {
		_, cmd := d.m.Update(tuitest.Key("ctrl+z"))
		found := false
		var look func(tea.Cmd)
		look = func(c tea.Cmd) {
			if c == nil {
				return
			}
			switch msg := c().(type) {
			case tea.SuspendMsg:
				found = true
			case tea.BatchMsg:
				for _, one := range msg {
					look(one)
				}
			}
		}
		look(cmd)
		if !found {
			t.Error("ctrl+z does not suspend")
		}
		dark := d.m.draw(80, 24)
		d.send(tea.BackgroundColorMsg{Color: color.White})
		light := d.m.draw(80, 24)
		d.send(tea.BackgroundColorMsg{Color: color.Black})
		if light == d.m.draw(80, 24) || light == dark {
			t.Error("the colours do not follow the terminal's background")
		}
	})
}

// The header says whether apps can be run here, and a click on what is in the way shows it; the desk measures what the
// selected app uses while it is looked at.
func TestReadyAndMeasured(t *testing.T) {
	drive(t, 120, 36, nil, func(d *driver) {
		d.sees("● ready")
		d.sees("● jupyter")
		d.misses("CPU")
		for range 2 {
			d.send(screen.Shown{})
			d.run(d.m.current().Update(screen.Tick{Now: d.m.d.Now()}))
			d.idle()
			time.Sleep(time.Hour)
		}
		d.sees("CPU")
		d.sees("212 MB")
	})
	drive(t, 100, 30, func(_ *Options, e *tuitest.Engine) { e.Checks[0].Status = engine.StatusBad }, func(d *driver) {
		d.misses("● ready")
		d.sees("✗ 1 problem ")
		d.clickOn("1 problem")
		d.sees("Check this computer")
		d.e.Checks[0].Status = engine.StatusOK
		d.press("esc")
		d.sees("● ready")
	})
}

// The names of many images are listed before the images were read; what was known of them before stays meanwhile.
func TestImagesComeByAndBy(t *testing.T) {
	drive(t, 120, 36, func(_ *Options, e *tuitest.Engine) { e.Slowly = 30 * time.Second }, func(d *driver) {
		d.sees("from-anna.sif")
		d.misses("cannot run")
		d.press("down", "down", "down", "down", "down", "down")
		time.Sleep(time.Minute)
		d.idle()
		d.sees("cannot run")
		d.run(d.m.broadcast(screen.ImagesChanged{}))
		d.idle()
		d.sees("cannot run")
		time.Sleep(time.Minute)
		d.idle()
		d.sees("▌ ! half-copied.sif")
	})
}

// A click on an address opens it and one on a path copies it, wherever they stand; a key copies each of them.
func TestLinksOfTheScreen(t *testing.T) {
	var opened []string
	drive(t, 120, 36, func(o *Options, _ *tuitest.Engine) {
		o.Opener = func(url string) error { opened = append(opened, url); return nil }
	}, func(d *driver) {
		d.clickOn("9684/")
		if len(opened) != 1 || opened[0] != "http://127.0.0.1:9684/" {
			t.Errorf("opened %q", opened)
		}
		d.press("down", "down")
		d.clickOn("~/.local/share/carrel/images/jupyter.sif")
		if d.copy != tuitest.Home+"/.local/share/carrel/images/jupyter.sif" {
			t.Errorf("copied %q", d.copy)
		}
		d.press("Y")
		d.sees("Copy which one?")
		d.press(":token", "enter")
		if d.copy != "http://127.0.0.1:8888/tree?token=5f3a90c2" {
			t.Errorf("copied %q", d.copy)
		}
		d.press("3", "right")
		d.clickOn("~/papers/2026/stroop")
		if d.copy != tuitest.Home+"/papers/2026/stroop" {
			t.Errorf("copied %q", d.copy)
		}
	})
}

// Inside of tmux a text is copied for tmux, for the terminal, and through tmux to the terminal.
func TestCopyInsideTmux(t *testing.T) {
	var buffer string
	change := func(o *Options, _ *tuitest.Engine) {
		o.Inside = Tmux
		o.Clipboard = func(text string) error { buffer = text; return nil }
	}
	drive(t, 80, 24, change, func(d *driver) {
		d.press("c")
		const url = "http://127.0.0.1:8888/tree?token=5f3a90c2"
		if want := "\x1bPtmux;\x1b\x1b]52;c;"; d.copy != url || buffer != url || !strings.HasPrefix(d.raw, want) {
			t.Errorf("copied %q, to tmux %q, through it %q", d.copy, buffer, d.raw)
		}
	})
}

// The catalog tells how long the first page of an app took, when it was run here.
func TestTimeToFirstPage(t *testing.T) {
	drive(t, 120, 36, nil, func(d *driver) {
		d.press("2", "/", ":jupyter", "tab")
		d.sees("243 MB; its")
		d.sees("first page came after 1.4 s")
	})
}
