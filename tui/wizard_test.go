package tui

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"carrel/engine"
	"carrel/tui/theme"
	"carrel/tui/tuitest"
)

// folderOf makes a folder of a person's, in a home of its own, and lets the engine know it.
func folderOf(t *testing.T, name string, files map[string]string) (home string, change func(*Options, *tuitest.Engine)) {
	t.Helper()
	home = t.TempDir()
	dir := filepath.Join(home, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for n, text := range files {
		if err := os.WriteFile(filepath.Join(dir, n), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return home, func(o *Options, e *tuitest.Engine) {
		o.Home, o.Cwd, e.Home, e.Answers = home, dir, home, true
		e.Folders[dir] = engine.FolderState{Exists: true, IsDir: true, Readable: true, Writable: true, Files: len(files)}
		e.Targets[filepath.Join(dir, "Singularity")] = engine.Target{Kind: engine.TargetImage, Name: "Singularity", Path: filepath.Join(dir, "Singularity"), Built: true}
	}
}

// begun is the app that the test has started.
func (d *driver) begun() engine.Instance {
	for _, a := range d.m.apps {
		if a.Spec.Image != "" {
			return a
		}
	}
	d.t.Fatal("nothing was started")
	return engine.Instance{}
}

var page = map[string]string{"index.html": "<p>hello</p>"}

// toWizard are the keys from the desk to the wizard.
func toWizard(keys ...string) []string {
	return append([]string{"ctrl+p", ":app of a folder", "enter"}, keys...)
}

// A beginner presses Enter all the way: the definition is written, the image built, the app started.
func TestWizardEnterAllTheWay(t *testing.T) {
	home, change := folderOf(t, "site", page)
	drive(t, 100, 30, change, func(d *driver) {
		d.press("end")
		d.sees("An app of my own")
		d.press("enter")
		d.sees("~/site")
		d.sees("It looks like a folder of web pages.")
		d.press("enter")
		d.sees("there is index.html")
		d.press("enter")
		d.sees("How it is built and started")
		d.sees("org.opencontainers.image.title Site")
		d.press("enter")
		file := filepath.Join(home, "site", "Singularity")
		if !d.e.Called("build " + file) {
			t.Fatalf("calls: %v", d.e.Calls)
		}
		text, err := os.ReadFile(file)
		if err != nil || !strings.Contains(string(text), "http.server") {
			t.Errorf("%q, %v", text, err)
		}
		d.sees("http://127.0.0.1:8080/")
		d.press("1", "end", "enter")
		d.sees("There is a definition file in it already")
		d.press("enter", "enter", "tab", ":2", "enter") // another title
		d.sees("Replace ~/site/Singularity?")
		d.press("enter") // the harmless answer
		if again, _ := os.ReadFile(file); string(again) != string(text) {
			t.Errorf("it was replaced without a yes:\n%s", again)
		}
	})
}

// The values change the definition while they are typed, and the app that is started.
func TestWizardValues(t *testing.T) {
	home, change := folderOf(t, "site", page)
	drive(t, 120, 36, change, func(d *driver) {
		d.press(toWizard("enter", "enter")...)
		d.press("ctrl+u", ":My results", "tab", "tab", "ctrl+u", ":9000")
		d.sees("org.opencontainers.image.title My results")
		d.sees("carrel.port.9000 http / My results")
		d.sees("--directory /work 9000") // the command follows its port
		d.press("tab", "left", "tab", "right", "left", "tab", "ctrl+u", ":python3 ; rm -rf /")
		d.sees("is no name of a package")
		d.press("ctrl+u", ":python3 git")
		d.misses("is no name of a package")
		d.press("ctrl+s")
		d.sees("Wrote ~/site/Singularity")
		if text, err := os.ReadFile(filepath.Join(home, "site", "Singularity")); err != nil || !strings.Contains(string(text), "--no-install-recommends python3 git\n") {
			t.Errorf("wrote %s, %v", text, err)
		}
		d.press("ctrl+y")
		if want := "carrel build ~/site/Singularity"; d.copy != want {
			t.Errorf("copied %q, want %q", d.copy, want)
		}
		d.press("enter")
		d.sees("http://127.0.0.1:9000/")
		in := d.begun()
		want := engine.Bind{Source: filepath.Join(home, "site"), Dest: "/work"}
		if len(in.Spec.Binds) != 1 || in.Spec.Binds[0] != want {
			t.Errorf("shared %v, want %v", in.Spec.Binds, want)
		}
	})
}

// Esc leads back page by page; a folder without a hint asks; one that cannot be used says why.
func TestWizardEscAndOtherFolders(t *testing.T) {
	home, change := folderOf(t, "plain", map[string]string{"notes.txt": "x"})
	drive(t, 80, 24, func(o *Options, e *tuitest.Engine) {
		change(o, e)
		o.Cwd = home
		e.Folders[filepath.Join(home, "locked")] = engine.FolderState{Exists: true, IsDir: true, Readable: true}
	}, func(d *driver) {
		d.press(toWizard()...)
		d.press("enter")
		d.sees("Choose a folder: type its path")
		d.press(":~/nowhere", "enter")
		d.sees("There is no such folder")
		d.press("ctrl+u", ":~/locked")
		d.sees("You may not write in this folder")
		d.press("enter")
		d.sees("Which folder holds your files?")
		d.press("ctrl+u", ":~/plai", "tab")
		d.sees("~/plain/")
		d.sees("Nothing in it says by itself what to run")
		d.press("enter")
		d.sees("WHAT DO YOU WANT TO RUN?")
		d.press("end", "enter")
		d.sees("./serve")
		d.press("tab", "ctrl+u", "enter")
		d.sees("Say what starts it")
		d.press("esc")
		d.sees("2 of 3")
		d.press("esc")
		d.sees("1 of 3")
		d.press("esc")
		d.sees("MY CONTAINERS")
	})
}

// What was edited by hand counts: it is built as it is, and what is wrong in it is said before.
func TestWizardEditedByHand(t *testing.T) {
	home, change := folderOf(t, "site", page)
	file := filepath.Join(home, "site", "Singularity")
	edit := func(d *driver, text string) {
		d.press("ctrl+e") // writes the file; the editor itself needs a terminal
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		for _, msg := range d.edits {
			d.send(msg())
		}
		d.edits = nil
		d.idle()
	}
	drive(t, 80, 24, change, func(d *driver) {
		d.press(toWizard("enter", "enter")...)
		edit(d, "Bootstrap: debootstrap\nOSVersion: bookworm\n\n%psot\n    true\n")
		d.sees("Edited by hand")
		d.sees("psot")
		d.press("enter")
		d.sees("It cannot be built like this")
		d.press("ctrl+r", "y")
		d.sees("How it is built and started")
		edit(d, "Bootstrap: debootstrap\nOSVersion: bookworm\n\n%labels\n    org.opencontainers.image.title By hand\n    carrel.port.7000 http / Page\n    carrel.bind./here rw required\n\n%runscript\n    true\n")
		d.sees("By hand")
		d.press("enter")
		d.sees("http://127.0.0.1:7000/")
		if in := d.begun(); len(in.Spec.Binds) != 1 || in.Spec.Binds[0].Dest != "/here" {
			t.Errorf("started with %+v", in.Spec.Binds)
		}
	})
}

// The wizard's pages in all sizes, and the one with the definition in all themes.
func TestGoldenWizard(t *testing.T) {
	_, change := folderOf(t, "site", page)
	for _, v := range []struct {
		name string
		keys []string
	}{{"wizard-folder", toWizard()}, {"wizard-kinds", toWizard("enter")}, {"wizard-values", toWizard("enter", "enter")}, {"wizard-changed", toWizard("enter", "enter", "tab", "tab", "backspace", ":1")}} {
		for _, s := range sizes {
			name := fmt.Sprintf("%s-%dx%d", v.name, s[0], s[1])
			t.Run(name, func(t *testing.T) {
				drive(t, s[0], s[1], change, func(d *driver) {
					d.press(v.keys...)
					fits(t, name, d.m.draw(s[0], s[1]), s[0], s[1])
					tuitest.Golden(t, name, d.screen())
				})
			})
		}
	}
	for name, o := range map[string]theme.Options{
		"dark": {Background: theme.Dark}, "light": {Background: theme.Light}, "none": {NoColor: true},
		"basic-dark": {Basic: true, Background: theme.Dark}, "ascii": {NoColor: true, ASCII: true},
	} {
		t.Run(name, func(t *testing.T) {
			drive(t, 100, 30, func(op *Options, e *tuitest.Engine) { change(op, e); op.Theme = o }, func(d *driver) {
				d.press(toWizard("enter", "enter")...)
				tuitest.Golden(t, "wizard-theme-"+name, visible(d.m.draw(100, 30)))
			})
		})
	}
}

// A Dockerfile that cannot be read is told, and something else can be chosen.
func TestWizardBrokenDockerfile(t *testing.T) {
	_, change := folderOf(t, "site", map[string]string{"Dockerfile": "FORM debian:12\n"})
	drive(t, 100, 30, change, func(d *driver) {
		d.press(toWizard()...)
		d.sees("line 1")
		d.press("enter")
		d.sees("A folder of web pages")
	})
}
