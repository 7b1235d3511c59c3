package e2e

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestFirstRun is the first step of the first hour: open the program, just look, and see a file appear on the page; leave,
// come back, and stop the app.
func TestFirstRun(t *testing.T) {
	h := NewHome(t)
	x := h.OpenTerminal(100, 30)
	x.Command("carrel")
	x.Wait("A private desk for every research app", "Containers can run")
	x.Press("Enter")
	x.Wait("What brings you here?", "Just looking")
	x.Press("Enter")
	x.Wait("Your first app", "carrel-welcome")
	x.Press("Enter")
	start := time.Now()
	url := x.address(deadline)
	t.Logf("address on the screen %v after Enter", time.Since(start).Round(10*time.Millisecond))
	if page := Get(t, url); !strings.Contains(page, "<html") {
		t.Errorf("the page is %q", page)
	}
	if err := os.WriteFile(filepath.Join(h.Dir, "carrel-welcome", "dropped.txt"), []byte("hello"), 0o644); err != nil {
		t.Fatal(err)
	}
	if state := Get(t, url+"state"); !strings.Contains(state, "dropped.txt") {
		t.Errorf("the file that was dropped is not on the page: %s", state)
	}

	x.Press("q")
	if screen := x.Prompt(); !strings.Contains(screen, "welcome keeps running") {
		t.Errorf("it does not say that the app goes on:\n%s", screen)
	}
	if !Answers(url) {
		t.Error("the app ended with the program")
	}
	x.Command("carrel")
	x.Wait("RUNNING", "welcome", url)
	x.Press("s")
	x.Wait("Stop welcome?")
	x.Press("y")
	if !Until(deadline, func() bool { return !Answers(url) }) {
		t.Errorf("%s still answers\n%s", url, x.Screen())
	}
	x.leave()
	h.NothingLeft()
}

// address waits for an address on the screen that answers.
func (x *Terminal) address(limit time.Duration) string {
	x.t.Helper()
	answering := ""
	x.WaitFor(limit, "an address that answers", func(screen string) bool {
		// An app that has a network of its own prints an address that is not this computer's; something else may answer there.
		for _, found := range address.FindAllString(screen, -1) {
			u, err := url.Parse(found)
			if err == nil && u.Path != "" && !x.taken[u.Port()] && Answers(found) {
				answering = found
				return true
			}
		}
		return false
	})
	return answering
}

// leave quits the program from wherever it is.
func (x *Terminal) leave() {
	x.t.Helper()
	x.Press("C-c")
	x.Prompt()
}

// TestCatalogApp is the second step: build the static pages from the catalog and see them, then with a folder of one's own.
func TestCatalogApp(t *testing.T) {
	Mirror(t)
	h := NewHome(t)
	h.Write("pages/index.html", "<p>my own page</p>")
	x := h.OpenTerminal(100, 30)
	x.Command("carrel")
	x.Wait("A private desk")
	x.Press("Escape")
	x.Wait("START SOMETHING NEW")
	x.Press("2")
	x.Wait("Static pages")
	x.Type("/static")
	x.WaitFor(deadline, "only what fits", func(screen string) bool {
		return strings.Contains(screen, "Static pages") && !strings.Contains(screen, "Welcome")
	})
	x.Press("Enter")
	x.Wait("Start Static pages", "The same as a command")
	x.Press("Enter")
	// the steps of the build, then the app
	x.Wait("Install software (%post)")
	x.WaitFor(10*time.Minute, "the app", func(screen string) bool { return strings.Contains(screen, "serving") })
	url := x.address(deadline)
	if page := Get(t, url); !strings.Contains(page, "Hello World!") {
		t.Errorf("the page is %q", page)
	}
	x.Press("s")
	x.Wait("Stop nginx-basic?")
	x.Press("y")
	if !Until(deadline, func() bool { return !Answers(url) }) {
		t.Fatalf("%s still answers\n%s", url, x.Screen())
	}

	x.Press("2")
	x.Wait("Static pages")
	x.Press("Enter")
	x.Wait("Start Static pages", "The same as a command")
	x.Type("~/pages")
	x.Wait("-B ~/pages:/data")
	x.Press("Enter")
	own := x.address(deadline)
	if page := Get(t, own); page != "<p>my own page</p>" {
		t.Errorf("with a folder the page is %q", page)
	}
	x.leave()
	if r := h.Must("ps"); !strings.Contains(r.Out, own) {
		t.Errorf("ps does not list it:\n%s", r.Out)
	}
}

// TestMissingFolderIsOffered: on a terminal, a folder that is to be bound and is not there can be made.
func TestMissingFolderIsOffered(t *testing.T) {
	h := NewHome(t)
	x := h.OpenTerminal(90, 20)
	x.Command("carrel run -d --safe -p 0:7070 -B new/folder:/data welcome")
	x.Wait("is not there. Create it? [Y/n]")
	x.Press("Enter")
	x.address(deadline)
	if st, err := os.Stat(h.Path("new", "folder")); err != nil || !st.IsDir() {
		t.Errorf("the folder was not made: %v", err)
	}
	x.Prompt()
	x.Command("carrel run -B other:/data welcome")
	x.Wait("Create it? [Y/n]")
	x.Type("n")
	x.Press("Enter")
	x.Wait("mkdir -p")
	x.Prompt()
}

// TestCtrlC on a terminal reaches the app, and ends the program with it.
func TestCtrlC(t *testing.T) {
	h := NewHome(t)
	x := h.OpenTerminal(90, 20)
	x.Command("carrel run --safe -p 0:7070 welcome")
	url := x.address(deadline)
	x.Press("C-c")
	x.Prompt()
	if Answers(url) {
		t.Error("it still answers")
	}
	h.NothingLeft()
}

// TestShellInside is a shell on a terminal: it has job control and the terminal's size, and gives the terminal back.
func TestShellInside(t *testing.T) {
	Mirror(t)
	h := NewHome(t)
	h.Write("small.def", "Bootstrap: debootstrap\nOSVersion: bookworm\n")
	h.Must("build", "small.img", "small.def")
	x := h.OpenTerminal(90, 20)
	x.Command("carrel shell small.img")
	x.Wait("Singularity>")
	x.Command("stty size; cat /etc/debian_version; [ -t 0 ] && echo a terminal")
	x.Wait("20 90", "12.", "\na terminal")
	x.Command("sh -c 'echo begun; exec sleep 1000'") // the shell's own child, which has the terminal when it writes
	x.Wait("\nbegun")
	x.Press("C-c")
	// What is typed before the signal has been handled is lost, as on every terminal.
	x.WaitFor(deadline, "a new prompt", func(screen string) bool { return strings.HasSuffix(strings.TrimRight(screen, "\n"), "\nSingularity>") })
	x.Command("exit 4")
	x.WaitFor(deadline, "the outer prompt", func(screen string) bool { return strings.HasSuffix(strings.TrimRight(screen, "\n"), "\nready>") })
	x.Command("echo status $?")
	x.Wait("status 4")
	x.Prompt()
	h.NothingLeft()
}

// TestDumbTerminal: where a screen cannot be drawn the same is asked and answered in lines.
func TestDumbTerminal(t *testing.T) {
	h := NewHome(t)
	x := h.OpenTerminal(100, 45)
	x.Command("TERM=dumb NO_COLOR=1 carrel")
	x.Wait("cannot draw screens")
	x.Wait("What brings you here?")
	x.Command("just looking")
	x.Wait("[~/")
	x.Press("Enter") // the folder
	for _, question := range []string{"Make it?", "Port on this computer", "Changes inside the container", "Go on?", "Build it now?"} {
		x.Wait(question)
		x.Press("Enter")
	}
	x.Wait("is serving", "Address: ")
	url := x.address(deadline)
	Get(t, url)
	x.Command("stop")
	x.Wait("Stop it?")
	x.Command("yes")
	x.Wait("has stopped")
	x.Command("leave")
	x.Prompt()
	h.NothingLeft()
}
