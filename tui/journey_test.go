package tui

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"

	"carrel/engine"
	"carrel/tui/screen"
	"carrel/tui/tuitest"
)

func answering(_ *Options, e *tuitest.Engine) { e.Answers = true }

// A newcomer presses Enter all the way and is shown an address.
func TestJourneyWelcome(t *testing.T) {
	welcomed := 0
	drive(t, 80, 24, func(o *Options, e *tuitest.Engine) {
		o.Start = StartWelcome
		o.Welcomed = func() { welcomed++ }
		e.Answers = true
	}, func(d *driver) {
		d.sees("Containers can run without administrator rights")
		d.press("enter")
		d.sees("What brings you here?")
		d.press("enter")
		d.sees("~/carrel-welcome")
		d.press("enter")
		if !d.e.Called("build welcome") || !d.e.Called("start "+tuitest.Home+"/.local/share/carrel/images/welcome.sif") {
			t.Errorf("calls: %v", d.e.Calls)
		}
		d.sees("http://127.0.0.1:8080/")
		d.sees("serving")
		if welcomed != 1 {
			t.Errorf("Welcomed was called %d times", welcomed)
		}
		d.press("q")
		if !d.quit {
			t.Error("q does not leave")
		}
		if g := d.m.goodbye(); !strings.Contains(g, "welcome") || !strings.Contains(g, "keep running") {
			t.Errorf("goodbye: %q", g)
		}
	})
}

func TestWelcomeSkip(t *testing.T) {
	welcomed := 0
	drive(t, 80, 24, func(o *Options, _ *tuitest.Engine) { o.Start, o.Welcomed = StartWelcome, func() { welcomed++ } }, func(d *driver) {
		d.press("esc")
		d.sees("MY CONTAINERS")
		if welcomed != 1 {
			t.Errorf("Welcomed was called %d times", welcomed)
		}
	})
}

// From the catalog: the form, the build, the address; the answers are remembered.
func TestJourneyCatalog(t *testing.T) {
	mem := &tuitest.Memory{}
	drive(t, 100, 30, func(o *Options, e *tuitest.Engine) {
		answering(o, e)
		o.Memory = mem
		e.Taken[8787] = "rsession (pid 12)"
	}, func(d *driver) {
		d.press("2", "/", ":tidyverse", "enter")
		d.sees("Which folder do you want to work in?")
		d.sees("taken by rsession (pid 12), so 8788 is used")
		d.press("ctrl+u", ":"+tuitest.Home+"/papers/2026/stroop")
		d.sees("14 files, 3 notebooks, 8 tables.")
		d.press("ctrl+y")
		want := "carrel run -B ~/papers/2026/stroop:/home/rstudio -p 8788:8787 rstudio"
		if d.copy != want {
			t.Errorf("copied %q, want %q", d.copy, want)
		}
		d.press("enter")
		d.sees("http://127.0.0.1:8788/")
	})
	if got := mem.Load("rstudio")["folder:/home/rstudio"]; got != tuitest.Home+"/papers/2026/stroop" {
		t.Errorf("remembered %q", got)
	}
	drive(t, 100, 30, func(o *Options, _ *tuitest.Engine) { o.Memory = mem }, func(d *driver) {
		d.press("2", "/", ":tidyverse", "enter")
		d.sees("papers/2026/stroop")
	})
}

// A build that is left goes on; its end is told, and asked about before leaving.
func TestBuildInBackground(t *testing.T) {
	drive(t, 100, 30, func(o *Options, e *tuitest.Engine) { answering(o, e); e.Pause = 4e9 }, func(d *driver) {
		d.press("2", "/", ":tidyverse", "enter", "enter")
		d.sees("Building RStudio")
		d.press("esc")
		d.sees("building RStudio")
		d.press("1", "q")
		d.sees("RStudio is still being built")
		d.press("n")
		if d.quit {
			t.Fatal("left although the answer was no")
		}
		for range 200 {
			d.idle()
			if d.e.Called("start " + tuitest.Home + "/.local/share/carrel/images/rstudio.sif") {
				break
			}
		}
		d.idle()
		d.sees("Running (3)")
		d.misses("building RStudio")
		d.press("3")
		for range 8 {
			d.idle()
		}
		d.sees("http://127.0.0.1:8787/")
	})
}

func TestBuildCancelled(t *testing.T) {
	drive(t, 100, 30, func(_ *Options, e *tuitest.Engine) { e.Pause = 4e9 }, func(d *driver) {
		d.press("2", "/", ":tidyverse", "enter", "enter", "ctrl+c")
		d.sees("was cancelled")
		d.press("esc")
		d.sees("/ tidyverse") // back in the catalog, not at the form
	})
}

func TestBuildFails(t *testing.T) {
	drive(t, 100, 30, func(_ *Options, e *tuitest.Engine) { broken(e) }, func(d *driver) {
		d.press("2", "/", ":tidyverse", "enter", "enter")
		d.sees("RStudio could not be built.")
		d.sees("Did you mean python3-numpy?")
		d.press("t")
		d.sees("Not now: the container was not kept")
		d.press("w")
		d.sees("Saved as ~/RStudio-build.log")
		d.e.BuildErr = nil
		d.press("r")
		d.sees("the address appears here")
	})
}

// Stopping asks, names the app, and takes no for an answer.
func TestStopAsks(t *testing.T) {
	drive(t, 80, 24, nil, func(d *driver) {
		d.press("s")
		d.sees("Stop jupyter?")
		d.press("enter")
		if d.e.Called("stop jupyter") {
			t.Fatal("enter on a fresh question stops the app")
		}
		d.press("s", "esc")
		if d.e.Called("stop jupyter") {
			t.Fatal("esc stops the app")
		}
		d.press("s", "y")
		if !d.e.Called("stop jupyter") {
			t.Fatal("y does not stop the app")
		}
		d.sees("jupyter has stopped.")
		d.sees("Running (1)")
	})
}

func TestRemoveImage(t *testing.T) {
	drive(t, 80, 24, nil, func(d *driver) {
		d.press("down", "down", "down", "d")
		d.sees("Delete nginx-basic.img?")
		d.sees("This cannot be undone.")
		d.press("y")
		d.sees("nginx-basic.img was deleted")
		d.misses("3 days ago")
	})
}

// A row keeps the cursor while others come and go.
func TestSelectionStays(t *testing.T) {
	drive(t, 80, 24, nil, func(d *driver) {
		d.press("down")
		d.sees("▌ ● stroop")
		d.e.Put(engine.Instance{Name: "aaa", State: engine.StateReady, Started: tuitest.Noon})
		d.idle()
		d.sees("aaa")
		d.sees("▌ ● stroop")
		if err := d.e.Forget(t.Context(), "jupyter"); err != nil {
			t.Fatal(err)
		}
		d.idle()
		d.sees("▌ ● stroop")
	})
}

func TestLogKeys(t *testing.T) {
	drive(t, 80, 24, nil, func(d *driver) {
		d.press("3", "right")
		for range 300 {
			d.e.Log("jupyter", "line of a busy server")
		}
		d.idle()
		d.sees("317 lines · following")
		d.press("up")
		d.sees("paused")
		d.press("f")
		d.sees("following")
		d.press("/")
		d.sees("esc end the search")
		d.press(":TRUSTED", "enter")
		d.sees("is not trusted")
		d.sees("in 1 line")
		d.press("q")
		if !d.quit {
			t.Error("q is taken by the search")
		}
		d.quit = false
		d.press("esc")
		d.misses("in 1 line")
		d.press("T", "w")
		d.sees("Saved as ~/jupyter.log")
		d.press("esc")
		d.sees("MY CONTAINERS")
	})
}

// An app that starts shows its address as soon as it answers, wherever the person is.
func TestReadyIsShown(t *testing.T) {
	drive(t, 80, 24, nil, func(d *driver) {
		d.e.Put(engine.Instance{Name: "slow", State: engine.StateStarting, Started: tuitest.Noon,
			Addresses: []engine.Address{{URL: "http://127.0.0.1:7000/", Host: 7000}}})
		d.idle()
		d.sees("starting …")
		d.press("3")
		d.sees("the address appears here")
		d.e.Change("slow", func(in *engine.Instance) { in.State, in.Addresses[0].Ready = engine.StateReady, true })
		d.idle()
		d.sees("http://127.0.0.1:7000/")
		d.press("c")
		if d.copy != "http://127.0.0.1:7000/" {
			t.Errorf("copied %q", d.copy)
		}
	})
}

func TestPaletteAndHelp(t *testing.T) {
	drive(t, 80, 24, nil, func(d *driver) {
		d.press("ctrl+p", ":check", "enter")
		d.sees("Carrel works here.")
		d.press("?")
		d.sees("Copy the line for your administrator")
		d.press("esc")
		d.press("esc")
		d.sees("MY CONTAINERS")
		d.press("esc") // never leaves
		d.press("x")   // means nothing
		if d.quit {
			t.Error("esc leaves the program")
		}
	})
}

func TestMouse(t *testing.T) {
	var opened string
	drive(t, 100, 30, func(o *Options, _ *tuitest.Engine) { o.Opener = func(u string) error { opened = u; return nil } }, func(d *driver) {
		d.clickOn("stroop")
		d.sees("▌ ● stroop")
		d.clickOn("Catalog")
		d.sees("RESULT PAGES")
		d.clickOn("RStudio")
		d.sees("▌   RStudio")
		d.clickOn("▌   RStudio")
		d.sees("Start RStudio")
		d.clickOn("only read")
		d.sees("● only read")
		d.clickOn("esc back")
		d.clickOn("Running")
		d.clickOn("http://127.0.0.1")
		if opened != "http://127.0.0.1:9684/" {
			t.Errorf("opened %q", opened)
		}
		d.clickOn("? help")
		d.sees("Keys: ")
		d.send(tea.MouseWheelMsg{X: 50, Y: 15, Button: tea.MouseWheelDown})
		d.click(1, 1)
		d.misses("Keys: ")
	})
}

func TestMouseIsReleased(t *testing.T) {
	drive(t, 80, 24, nil, func(d *driver) {
		if d.m.View().MouseMode == tea.MouseModeNone {
			t.Error("the mouse is not used at first")
		}
		d.press("M")
		d.sees("The mouse selects text now")
		if d.m.View().MouseMode != tea.MouseModeNone {
			t.Error("M does not release the mouse")
		}
		d.press("M")
		if d.m.View().MouseMode == tea.MouseModeNone {
			t.Error("M does not take the mouse back")
		}
	})
}

// A dialog that opens by itself takes no key that was meant for something else.
func TestFailureIgnoresTypeAhead(t *testing.T) {
	drive(t, 80, 24, nil, func(d *driver) {
		d.send(screen.Failed{What: "Starting jupyter", Err: errors.New("start jupyter: no space left on device")})
		d.sees("Starting jupyter did not work")
		d.send(tuitest.Key("enter"))
		d.sees("no space left on device")
	})
}

func TestMissingFolderIsOffered(t *testing.T) {
	home := t.TempDir()
	drive(t, 100, 30, func(o *Options, e *tuitest.Engine) { answering(o, e); o.Home = home }, func(d *driver) {
		d.press("2", "/", ":tidyverse", "enter", "ctrl+u", "enter")
		d.sees("Choose a folder: the app works in it.")
		d.press(":~/new/results")
		d.sees("There is no such folder yet.")
		d.press("enter")
		d.sees("Create the folder?")
		d.press("n")
		d.sees("Which folder")
		d.press("enter", "y")
		d.sees("http://127.0.0.1:8787/")
	})
}

func TestForeignTextIsHarmless(t *testing.T) {
	evil := "\x1b]0;owned\x07\x1b[2J\x1b[31mevil\u202eexe.宽\r\n\x00"
	drive(t, 80, 24, func(_ *Options, e *tuitest.Engine) {
		e.AddImage(engine.ImageInfo{Name: evil, Path: "/x/" + evil, Size: 1, Title: evil, Kind: evil, Arch: evil})
		e.Put(engine.Instance{Name: evil, Title: evil, State: engine.StateReady, Started: tuitest.Noon, Problem: evil, Command: evil,
			Addresses: []engine.Address{{URL: "http://" + evil, Ready: true, Text: evil}}, Binds: []engine.Bind{{Source: evil, Dest: evil}}})
		e.Log(evil, evil, evil)
	}, func(d *driver) {
		for _, size := range sizes {
			d.send(sizeMsg(size[0], size[1]))
			for _, keys := range [][]string{{"1"}, {"down"}, {"down"}, {"G"}, {"up", "up"}, {"3"}, {"right"}, {"right"}, {"i"}, {"esc"}, {"?"}, {"esc"}, {"ctrl+p"}, {"esc"}} {
				d.press(keys...)
				got := d.m.draw(size[0], size[1])
				fits(t, strings.Join(keys, " "), got, size[0], size[1])
				got = ownLinks.ReplaceAllString(got, "")
				for _, bad := range []string{"\x1b]", "\x07", "\x1b[2J", "\u202e", "\x00", "\r"} {
					if strings.Contains(got, bad) {
						t.Fatalf("after %v the frame holds %q", keys, bad)
					}
				}
			}
		}
	})
}

func TestTenThousandImages(t *testing.T) {
	drive(t, 80, 24, func(_ *Options, e *tuitest.Engine) {
		for i := range 10_000 {
			e.AddImage(engine.ImageInfo{Name: "n" + strings.Repeat("o", i%90), Path: "/x/" + string(rune('a'+i%26)) + strings.Repeat("y", i/26%400) + string(rune('0'+i/10400))})
		}
	}, func(d *driver) {
		d.press("G", "pgup", "g", "pgdown")
		fits(t, "desk", d.m.draw(80, 24), 80, 24)
	})
}

func TestBrowseForFolder(t *testing.T) {
	home := t.TempDir()
	for _, d := range []string{"papers/2026/stroop", "music", ".secret"} {
		if err := os.MkdirAll(filepath.Join(home, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	drive(t, 80, 24, func(o *Options, _ *tuitest.Engine) { o.Home = home }, func(d *driver) {
		d.press("2", "/", ":tidyverse", "enter", "ctrl+o")
		d.sees("Choose a folder")
		d.sees("music/")
		d.misses(".secret/")
		d.press(".")
		d.sees(".secret/")
		d.press(".", "down", "down", "down", "enter")
		d.sees("2026/")
		d.press("left")
		d.sees("▌   papers/") // where we came from
		d.press("enter", "down", "down", "enter", "enter")
		d.sees("│ ~/papers/2026")
		d.press("ctrl+o", "esc")
		d.sees("│ ~/papers/2026")
	})
}

// An app that was stopped is no failure, and can be started again or taken from the list where it stands.
func TestStoppedApp(t *testing.T) {
	drive(t, 80, 24, nil, func(d *driver) {
		d.e.Put(engine.Instance{Name: "page", State: engine.StateExited, ExitCode: 143, Started: tuitest.Noon.Add(-time.Hour), Ended: tuitest.Noon.Add(-5 * time.Minute)})
		d.idle()
		d.press("down", "down")
		d.sees("ENDED")
		d.sees("▌ ○ page")
		d.sees("5 min ago")
		d.press("r")
		if !d.e.Called("restart page") {
			t.Errorf("calls: %v", d.e.Calls)
		}
		d.sees("● page")
		d.e.Change("page", func(in *engine.Instance) { in.State, in.ExitCode = engine.StateExited, 143 })
		d.idle()
		d.press("enter")
		d.sees("It was stopped.")
		d.press("1", "d", "y")
		d.misses("○ page")
	})
}

// Changes that were not saved are offered again: nothing is deleted unless the person says so.
func TestUnsavedChanges(t *testing.T) {
	lost := engine.Unsaved{Image: "/x/rstudio.sif", Since: tuitest.Noon.Add(-26 * time.Hour), Files: 12, Deleted: 1, Bytes: 3_400_000}
	image := tuitest.Home + "/.local/share/carrel/images/jupyter.sif"
	keeps := func(_ *Options, e *tuitest.Engine) {
		e.Answers, e.Unsaved = true, &lost
		c := e.Cards[image]
		c.Writable = "keep"
		e.Cards[image] = c
	}
	for _, test := range []struct{ key, call string }{{"k", "keep "}, {"d", "discard "}} {
		drive(t, 80, 24, keeps, func(d *driver) {
			d.press("down", "down", "enter")
			d.sees("● keep them")
			d.press("enter")
			d.sees("Changes were not saved last time")
			d.sees("12 files changed, 1 file deleted, 3 MB, run begun yesterday.")
			time.Sleep(time.Hour) // what is pressed at once is not taken, and the clock of these tests knows whole hours
			d.press("esc")
			d.misses("Changes were not saved")
			d.press("enter")
			d.send(tuitest.Key(test.key))
			d.sees("Changes were not saved last time")
			time.Sleep(time.Hour)
			d.press(test.key)
			if !d.e.Called(test.call + image) {
				t.Errorf("calls: %v", d.e.Calls)
			}
			d.sees("http://127.0.0.1:888")
		})
	}
}

// An app that was killed and kept its changes asks the same when it is started again from the desk.
func TestUnsavedOnRestart(t *testing.T) {
	drive(t, 80, 24, func(_ *Options, e *tuitest.Engine) {
		e.Unsaved = &engine.Unsaved{Files: 2, Since: tuitest.Noon}
		e.Put(engine.Instance{Name: "lab", State: engine.StateLost, Started: tuitest.Noon, Spec: engine.RunSpec{Image: "/x/lab.sif", Writable: true}})
	}, func(d *driver) {
		d.press("down", "down", "r")
		d.sees("Changes were not saved last time")
		time.Sleep(time.Hour)
		d.press("k")
		if !d.e.Called("keep /x/lab.sif") {
			t.Errorf("calls: %v", d.e.Calls)
		}
	})
}

// An image that another app writes to can be started without keeping anything.
func TestBusyImage(t *testing.T) {
	for _, err := range []error{&engine.BusyError{Image: "/x/jupyter.sif", By: "process 7"}, &engine.ReadOnlyImageError{Image: "/x/jupyter.sif", Err: os.ErrPermission}} {
		drive(t, 80, 24, func(_ *Options, e *tuitest.Engine) { e.KeepErr = err }, func(d *driver) {
			d.press("down", "down", "enter", "tab", "tab", "tab", "right")
			d.sees("● keep them")
			d.press("enter")
			d.sees("Start it fresh (f)")
			time.Sleep(time.Hour)
			d.press("f")
			d.sees("starting …")
		})
	}
}

// The form says what of the image a folder hides, and what else of the person's files the app sees.
func TestLaunchSaysWhatIsSeen(t *testing.T) {
	drive(t, 100, 30, nil, func(d *driver) {
		d.send(screen.OpenLaunch{Name: tuitest.Home + "/.local/share/carrel/images/nginx-basic.img"})
		d.idle()
		d.sees("It sees none of your files.")
		d.press(":~/papers/2026/stroop")
		d.sees("14 files, 3 notebooks")
		d.sees("It takes the place of what the image holds there:")
		d.sees("and 7 more.")
		if strings.Count(d.screen(), "takes the place") != 1 {
			t.Errorf("said more than once:\n%s", d.screen())
		}
		d.sees("Of your files it sees this folder, and nothing else.")
		d.press("ctrl+u", ":~")
		d.sees("your whole home folder")
	})
}

// Of a build that failed out of sight the remark names the log, a key goes there, and another opens all of it.
func TestFailedBuildNamesItsLog(t *testing.T) {
	const log = tuitest.Home + "/.local/state/carrel/builds/jupyter.log"
	drive(t, 120, 36, func(_ *Options, e *tuitest.Engine) {
		broken(e)
		e.BuildErr = &engine.BuildError{Text: "run %post: line 14: apt-get ended with code 100", HintText: "Debian has no package python3-nmupy", Log: log}
		e.Pause = time.Minute
	}, func(d *driver) {
		d.press("2", "down", "down", "down", "enter", "enter")
		d.press("esc", "1")
		time.Sleep(time.Hour)
		d.idle()
		d.sees("could not be built; E shows why. Its log: ~/.local/state/carrel/builds/jupyter.log")
		d.press("E")
		d.sees("Debian has no package python3-nmupy")
		d.sees("The whole log: ~/.local/state/carrel/builds/jupyter.log   l opens it")
		d.press("l")
		if len(d.edits) != 1 {
			t.Errorf("the log was not opened: %d", len(d.edits))
		}
	})
}
