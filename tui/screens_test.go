package tui

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"carrel/engine"
	"carrel/tui/task"
	"carrel/tui/tuitest"
)

// What something is called comes before what is said of it, and the best match is selected.
func TestCatalogRanks(t *testing.T) {
	drive(t, 120, 36, func(o *Options, _ *tuitest.Engine) {
		c := o.Catalog.(*tuitest.Catalog)
		c.List = append([]task.Entry{
			{Name: "about-r", Card: task.Card{Title: "About", Description: "Mentions RStudio in passing", Category: "page"}},
			{Name: "x", Card: task.Card{Title: "Not at all", Description: "barstudio", Category: "page"}},
		}, c.List...)
	}, func(d *driver) {
		d.press("2", "/", ":rstudio")
		lines := strings.Split(d.screen(), "\n")
		first := -1
		for i, l := range lines {
			if strings.Contains(l, "▌") {
				first = i
				break
			}
		}
		if first < 0 || !strings.Contains(lines[first], "RStudio") || !strings.Contains(lines[first+1], "About") || !strings.Contains(lines[first+2], "Not at all") {
			t.Errorf("not in the order of how well they fit:\n%s", d.screen())
		}
		d.press("esc", "right", "right")
		d.sees("notebooks · 2 apps")
		d.misses("Meta-analysis report")
		d.press("esc")
		d.sees("Meta-analysis report")
	})
}

// Ten thousand entries and images are listed, filtered and left without being felt.
func TestTenThousand(t *testing.T) {
	drive(t, 120, 36, func(o *Options, e *tuitest.Engine) {
		c := o.Catalog.(*tuitest.Catalog)
		for i := range 10_000 {
			c.List = append(c.List, task.Entry{Name: fmt.Sprintf("app-%05d", i), Source: "lab", Card: task.Card{Title: fmt.Sprintf("Application %05d 宽\x1b[2J", i), Category: "tool", Description: strings.Repeat("words of it ", 9)}})
			e.AddImage(engine.ImageInfo{Name: fmt.Sprintf("image-%05d.sif", i), Path: fmt.Sprintf("/i/%05d.sif", i), Kind: "sif", Size: int64(i) * 1e6, ModTime: tuitest.Noon})
		}
	}, func(d *driver) {
		d.press("2", "end")
		d.sees("Application 09999")
		d.press("/", ":09876")
		d.sees("Application 09876")
		fits(t, "catalog", d.m.draw(120, 36), 120, 36)
		d.press("esc", "ctrl+p", ":free disk", "enter")
		d.sees("image-09999.sif")
		fits(t, "space", d.m.draw(50, 14), 50, 14)
	})
}

func TestCatalogVersions(t *testing.T) {
	drive(t, 120, 36, func(o *Options, e *tuitest.Engine) {
		c := o.Catalog.(*tuitest.Catalog)
		c.List = []task.Entry{{Name: "tool", Card: task.Card{Title: "Tool", Category: "tool"}, Versions: []string{"2.1", "2.0", "1.9"}}}
		e.Targets["tool:2.0"] = engine.Target{Kind: engine.TargetCatalog, Name: "tool:2.0", Path: "/i/tool-2.0.sif"}
	}, func(d *driver) {
		d.press("2")
		d.sees("2.1, 2.0, 1.9 (V chooses)")
		d.press("V", ":2.0", "enter")
		d.sees("Start tool:2.0")
	})
}

// Sources are added, brought up to date and removed; what goes is named before.
func TestSources(t *testing.T) {
	drive(t, 100, 30, nil, func(d *driver) {
		d.press("2", "S")
		d.sees("Part of Carrel")
		d.press("d")
		d.sees("Not now: it is part of Carrel")
		d.press("a", ":https://host.example/none", "enter")
		d.sees("Adding https://host.example/none did not work")
		time.Sleep(time.Hour) // the dialog opened itself: it takes no key until there was a pause
		d.press("esc", "a", ":https://host.example/recipes", "enter")
		d.sees("recipes was added.")
		d.press("end", "u")
		d.sees("recipes has nothing new.")
		d.press("d")
		d.sees("Remove the source recipes?")
		d.press("enter")
		d.sees("https://host.example/recipes")
		d.press("d", "y")
		d.sees("recipes was removed.")
		d.misses("https://host.example/recipes")
	})
}

// The choices of an experiment are a list with what each is, before the form.
func TestChoicesBeforeTheForm(t *testing.T) {
	drive(t, 100, 30, answering, func(d *driver) {
		d.press("2", "/", ":behav", "enter")
		d.sees("Which experiment?")
		d.sees("Name the colour of words that name another one")
		d.misses("The same as a command")
		d.press("down", "down", "enter")
		d.sees("carrel run -B ~/carrel-expfactory:/scif/data -p 80 expfactory n-back")
	})
}

// Answers are saved under a name, chosen again and deleted; limits and the guard become part of the command.
func TestPresetsAndLimits(t *testing.T) {
	drive(t, 120, 40, func(o *Options, e *tuitest.Engine) { answering(o, e); e.Others = true }, func(d *driver) {
		d.press("2", "/", ":jupyter", "enter")
		d.sees("me alone, by a link")
		d.press("shift+tab", "enter") // the last place is the line that unfolds
		for range 5 {
			d.press("tab")
		}
		d.sees("Variables")
		find := func(label string) {
			for range 40 {
				d.press("tab")
				for _, l := range strings.Split(d.screen(), "\n") {
					if strings.HasPrefix(l, "▌ "+label) {
						return
					}
				}
			}
			t.Fatalf("no field %s:\n%s", label, d.screen())
		}
		find("Memory")
		d.press(":lots")
		d.sees("Write an amount with M or G")
		d.press("ctrl+u", ":4G")
		d.sees("--memory 4G")
		find("Ends after")
		d.press(":2h")
		d.sees("--time 2h")
		find("Who may open it")
		d.press("right")
		d.sees("--guard=off")
		d.press("ctrl+s", ":course", "enter")
		d.sees("Saved as “course”.")
		d.press("ctrl+s", ":own", "enter")
		find("Answers")
		d.press("left", "left")
		d.sees("as the last time")
		d.misses("--memory 4G")
		d.press("right")
		d.sees("--memory 4G")
		d.press("ctrl+x")
		d.sees("Delete the answers “course”?")
		d.press("y")
		d.sees("“course” was deleted.")
	})
}

// A start that fails offers what can be done about it.
func TestFailureIsMended(t *testing.T) {
	drive(t, 100, 30, func(o *Options, e *tuitest.Engine) {
		answering(o, e)
		e.StartErr = fmt.Errorf("write overlay: no space left on device")
	}, func(d *driver) {
		d.press("down", "down", "enter", "enter")
		d.sees("The disk is full.")
		d.sees("Show what can be deleted")
		time.Sleep(time.Hour)
		d.press("f")
		d.sees("IMAGES, THE LARGEST FIRST")
		d.press("d")
		d.sees("cannot be undone")
	})
}

// The browser of folders shows hidden ones, makes new ones, and remembers marked ones and those chosen lately.
func TestFolderBrowser(t *testing.T) {
	home, change := folderOf(t, "site", page)
	mem := &tuitest.Memory{}
	open := toWizard("ctrl+o")
	with := func(o *Options, e *tuitest.Engine) { change(o, e); o.Memory = mem }
	drive(t, 80, 24, with, func(d *driver) {
		d.press(open...)
		d.sees("~/site")
		d.press("left", "n", ":new one", "enter")
		d.sees("~/new one")
		if st, err := os.Stat(filepath.Join(home, "new one")); err != nil || !st.IsDir() {
			t.Errorf("no folder was made: %v", err)
		}
		d.press("m")
		d.press("left", "n", ":new one", "enter") // it exists
		d.sees("exists")
		d.press("p")
		d.sees("marked")
		d.press("esc", "end", "space")
		d.sees("Which folder holds your files?")
		fits(t, "browser", d.m.draw(50, 14), 50, 14)
	})
	drive(t, 80, 24, with, func(d *driver) {
		d.press(open...)
		d.press("p")
		d.sees("~/new one")
		d.sees("lately")
		d.press("enter")
		d.sees("~/new one")
		d.press("m", "p")
		d.misses("marked ")
	})
}
