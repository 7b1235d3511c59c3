package tui

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"

	"carrel/engine"
	"carrel/tui/screen"
	"carrel/tui/theme"
	"carrel/tui/tuitest"
)

// look opens a tab of an image.
func (d *driver) look(name, tab string) {
	d.t.Helper()
	d.send(screen.OpenInspect{Name: name, Tab: tab})
	d.idle()
}

const jupyterImage = tuitest.Home + "/.local/share/carrel/images/jupyter.sif"

// Files are walked through, looked at, found, and copied out.
func TestInspectFiles(t *testing.T) {
	home := t.TempDir()
	drive(t, 120, 30, func(o *Options, _ *tuitest.Engine) { o.Home = home }, func(d *driver) {
		d.look(jupyterImage, "files")
		d.sees("analysis.ipynb") // what is in the folder under the cursor, beside it
		d.press("enter", "down", "down")
		d.sees("broken.json")
		d.press("/", ":settings")
		d.sees(`"practice": 12`)
		d.press("enter", "enter")
		d.sees("JSON")
		d.press("esc")
		d.sees("/ settings")
		d.press("esc")
		d.sees("trials.csv")
		d.press("G")
		d.sees("table of 4 rows")
		d.press("c", "enter")
		d.sees("Copied to ~/trials.csv")
		if got, err := os.ReadFile(filepath.Join(home, "trials.csv")); err != nil || string(got) != string(tuitest.Inside["/data/trials.csv"]) {
			t.Errorf("copied %q, %v", got, err)
		}
		d.press("c", "enter")
		d.sees("Replace it?")
		d.press("enter")
		d.misses("Replace it?")
		d.press("c", "enter", "y")
		d.sees("Copied to ~/trials.csv")
		d.press("left")
		d.sees("▌ data/") // where we came from
		d.press("/", ":notes", "enter", "enter")
		d.sees("Opening /notes did not work") // a link to nothing
		time.Sleep(time.Hour)
		d.press("esc", "tab")
		d.sees("7 Debian · 3 Python")
		d.press("esc")
		d.sees("MY CONTAINERS")
	})
}

// What a file of an image holds cannot harm the terminal, and what cannot be shown says why.
func TestInspectForeignFiles(t *testing.T) {
	for _, th := range []theme.Options{{}, {NoColor: true}, {Background: theme.Light}, {ASCII: true, NoColor: true}, {Basic: true}} {
		drive(t, 120, 30, func(o *Options, _ *tuitest.Engine) { o.Theme = th }, func(d *driver) {
			d.look(jupyterImage, "files")
			for range 3 {
				d.press("enter", "g")
				for range 12 {
					d.press("enter") // a file on the whole page, or the folder below
					got := d.m.draw(120, 30)
					fits(t, "file", got, 120, 30)
					for _, bad := range []string{"\x1b]", "\x1b[2J", "\u202e", "\x00", "\r"} {
						if strings.Contains(got, bad) {
							t.Fatalf("the frame holds %q", bad)
						}
					}
					d.press("esc", "down")
					if d.screen(); len(d.m.stacks[d.m.top]) == 0 {
						d.look(jupyterImage, "files")
					}
				}
			}
		})
	}
}

// Sizes lead from the largest to the largest, and from there to the files.
func TestInspectSizes(t *testing.T) {
	drive(t, 100, 30, nil, func(d *driver) {
		d.look(jupyterImage, "size")
		d.sees("100 %")
		d.sees("packed into 667 kB")
		d.press("enter", "enter")
		d.sees("▌    2 MB")
		d.sees("large.bin")
		d.press("left")
		d.sees("share/")
		d.press("f")
		d.sees("share/")
	})
}

func TestInspectChangesAndTrust(t *testing.T) {
	drive(t, 100, 30, nil, func(d *driver) {
		d.look(jupyterImage, "changes")
		d.press("c", ":/x/before.sif", "enter")
		d.sees("1.24 → 1.26  Debian")
		d.sees("+2  -1  ~2")
		d.press("/", ":pandas")
		d.sees("+1  -0  ~0")
		d.press("enter", "esc", "tab")
		d.sees("Not checked yet.")
		d.press("v")
		d.sees("Every byte was read. 3 of 3 parts carry a checksum, and it is right.")
		if !d.e.Called("verify " + jupyterImage) {
			t.Errorf("calls: %v", d.e.Calls)
		}
		d.press("esc")
		d.look(tuitest.Home+"/.local/share/carrel/images/nginx-basic.img", "trust")
		d.sees("carries no checksums")
	})
}

// What takes long is told after a moment, and ends when the screen is left.
func TestInspectWaits(t *testing.T) {
	ended := make(chan struct{})
	drive(t, 80, 24, func(o *Options, e *tuitest.Engine) { o.Engine = slow{e, ended} }, func(d *driver) {
		d.look(jupyterImage, "size")
		d.misses("Adding up /")
		d.send(screen.Tick{Now: tuitest.Noon.Add(time.Minute)})
		if d.m.current().Pace() == 0 {
			t.Error("nothing turns while something is read")
		}
		d.press("esc")
		select {
		case <-ended:
		default:
			t.Error("it goes on although the screen was left")
		}
	})
}

// slow is an engine that adds up sizes for ever.
type slow struct {
	*tuitest.Engine
	ended chan struct{}
}

func (s slow) Sizes(ctx context.Context, _, _ string) (engine.Sizes, error) {
	<-ctx.Done()
	close(s.ended)
	return engine.Sizes{}, ctx.Err()
}

// An entry that is not built shows what there is, and nothing else.
func TestInspectUnbuilt(t *testing.T) {
	drive(t, 80, 24, nil, func(d *driver) {
		d.look("rstudio", "files")
		d.sees("RStudio")
		d.misses("Software")
		d.press("tab")
		d.sees("%runscript")
		if strings.Contains(d.screen(), "Trust") {
			t.Error("an image that is not there is shown")
		}
	})
}

// An image is handed over as a file with its checksum, or as its definition.
func TestShare(t *testing.T) {
	path := filepath.Join(t.TempDir(), "from anna.sif")
	if err := os.WriteFile(path, []byte("abc"), 0o600); err != nil {
		t.Fatal(err)
	}
	const sum = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" // of "abc", FIPS 180-2 B.1
	var eng *tuitest.Engine
	drive(t, 100, 30, func(_ *Options, e *tuitest.Engine) {
		eng = e
		e.AddImage(engine.ImageInfo{Name: "from anna.sif", Path: path})
		e.Defs[path] = "Bootstrap: docker\nFrom: alpine\n"
	}, func(d *driver) {
		d.send(screen.OpenShare{Name: path, Title: "From Anna"})
		d.idle()
		d.sees(sum)
		d.sees("apptainer run 'from anna.sif'")
		d.press("s")
		if d.copy != sum+"  from anna.sif" {
			t.Errorf("copied %q", d.copy)
		}
		d.press("y")
		if d.copy != "carrel run 'from anna.sif'" {
			t.Errorf("copied %q", d.copy)
		}
		d.press("n")
		d.sees("http://192.0.2.7:41234/word/")
		d.sees("192.0.2.9 downloads it")
		d.press("l")
		if d.copy != "http://192.0.2.7:41234/word/" {
			t.Errorf("copied %q", d.copy)
		}
		d.press("n")
		d.sees("n makes a link")
		d.press("p")
		d.send(tea.PasteMsg{Content: "oras://example.org/lab/anna:1"})
		d.press("enter")
		d.sees("oras://example.org/lab/anna:1 is there")
		if !eng.Called("Push " + path + " oras://example.org/lab/anna:1") {
			t.Errorf("calls %v", eng.Calls)
		}
		d.press("w")
		d.sees("Saved as ~/from anna.def")
		d.press("v")
		d.sees("From:")
		d.press("esc", "esc")
		d.sees("MY CONTAINERS")
	})
}
