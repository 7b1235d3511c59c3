package tui

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"carrel/engine"
	"carrel/tui/tuitest"
)

// drawer is a folder of definitions of one's own.
type drawer struct {
	copied  string
	remarks []string
	builds  bool
	err     error
}

func (d *drawer) Copy(_ context.Context, name, folder string) (string, error) {
	d.copied = name + " to " + folder
	if d.err != nil {
		return "", d.err
	}
	file := filepath.Join(folder, "Singularity")
	err := os.MkdirAll(folder, 0o755)
	if err == nil {
		err = os.WriteFile(file, []byte("Bootstrap: scratch\n\n%labels\n    org.opencontainers.image.title Mine\n"), 0o644)
	}
	return file, err
}

func (d *drawer) Check(context.Context, string) ([]string, bool, error) {
	return d.remarks, d.builds, nil
}

// An app of the catalog is copied to a folder of one's own, opened in the editor, and checked after that, as often as one likes.
func TestMakeOwn(t *testing.T) {
	home := t.TempDir()
	own := &drawer{remarks: []string{"Line 3: aptget is no program: apt-get"}}
	change := func(o *Options, e *tuitest.Engine) {
		file := filepath.Join(home, "my-metafor", "Singularity")
		e.Targets[file] = engine.Target{Kind: engine.TargetImage, Name: "Singularity", Path: file, Built: true}
		o.Definitions, o.Editor, o.Home = own, []string{"vi"}, home
	}
	edited := func(d *driver) {
		if len(d.edits) == 0 {
			t.Fatalf("the editor was not opened:\n%s", d.screen())
		}
		done := d.edits[0]
		d.edits = d.edits[1:]
		d.send(done())
		d.idle()
		time.Sleep(time.Hour) // to read the dialog that opened by itself
	}
	drive(t, 100, 30, change, func(d *driver) {
		d.press("2", "/", ":metafor", "tab", "ctrl+p", ":folder of mine and edit", "enter")
		d.sees("Make Meta-analysis report your own")
		d.sees("~/my-metafor")
		d.press("enter")
		if want := "metafor to " + home + "/my-metafor"; own.copied != want {
			t.Errorf("copied %q, want %q", own.copied, want)
		}
		edited(d)
		d.sees("It cannot be built like this")
		d.sees("Line 3: aptget is no program")
		d.misses("Build and start it")
		own.remarks, own.builds = nil, true
		d.press("e")
		edited(d)
		d.sees("It can be built")
		d.press("b")
		d.sees("is built first, on this computer")
	})
	own.err = errors.New("there are files in it")
	drive(t, 80, 24, change, func(d *driver) {
		d.press("2", "e", "enter")
		d.sees("Copying the app did not work")
		if len(d.edits) > 0 {
			t.Error("the editor was opened for what is not there")
		}
	})
	drive(t, 80, 24, nil, func(d *driver) {
		d.press("2", "e")
		d.sees("cannot be copied from here")
	})
}
