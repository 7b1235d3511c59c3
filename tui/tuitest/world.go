package tuitest

import (
	"fmt"
	"time"

	"carrel/engine"
	"carrel/engine/progress"
	"carrel/tui/task"
)

// Noon is when everything in the test world happens.
var Noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// Home is the home folder of the test world.
const Home = "/home/ada"

const images = Home + "/.local/share/carrel/images/"

// World fills an engine and a catalog as they are on a desk in use.
func World(clock func() time.Time) (*Engine, *Catalog) {
	e := NewEngine(clock)
	cards := map[string]task.Card{
		"welcome": {Title: "Welcome", Description: "A page that shows, from inside a container, the folder you share with it.", Category: "page",
			Keywords: []string{"introduction"}, Ports: []task.CardPort{{Container: 8080, Proto: "http", Path: "/", Text: "Page"}},
			Binds: []task.CardBind{{Dest: "/data", Mode: "rw", Text: "The folder it may see"}}, Authors: "the Carrel authors"},
		"jupyter": {Title: "Jupyter notebook", Description: "Notebooks with NumPy and pandas, working in a folder of yours.", Category: "notebook",
			Keywords: []string{"python", "numpy", "pandas"}, Ports: []task.CardPort{{Container: 8888, Proto: "http", Path: "/tree", Text: "Notebook"}},
			Binds: []task.CardBind{{Dest: "/opt/notebooks", Mode: "rw", Required: true, Text: "Which folder do you want to work in?"}},
			Env:   []task.CardEnv{{Name: "JUPYTER_TOKEN", Text: "The password of its page; empty makes one"}},
			Cite:  "doi:10.3233/978-1-61499-649-1-87", Example: "carrel run -B ~/papers:/opt/notebooks jupyter"},
		"expfactory": {Title: "Behavioural experiments", Description: "Classic experiments in the browser, with results as files in your folder.", Category: "experiment",
			Keywords: []string{"psychology", "stroop"}, Ports: []task.CardPort{{Container: 80, Proto: "http", Path: "/", Text: "Experiment"}},
			Binds:   []task.CardBind{{Dest: "/scif/data", Mode: "rw", Required: true, Text: "Where should the results go?"}},
			Args:    []task.CardArg{{N: 1, Name: "experiment", Choices: []string{"stroop", "flanker", "n-back", "digit-span", "tower-of-london"}, Text: "Which experiment?"}},
			Choices: map[string]string{"stroop": "Name the colour of words that name another one", "n-back": "Was it the same some steps ago? Working memory"}},
		"nginx-basic": {Title: "A page from a folder", Description: "Serves a folder of yours as a page, with Python's own web server.", Category: "page",
			Keywords: []string{"web", "results"}, Ports: []task.CardPort{{Container: 9999, Proto: "http", Path: "/", Text: "Page"}},
			Binds: []task.CardBind{{Dest: "/data", Mode: "rw", Text: "The folder to show"}}},
		"rstudio": {Title: "RStudio", Description: "R with the tidyverse, in the browser.", Category: "notebook", Keywords: []string{"R", "statistics"},
			Ports: []task.CardPort{{Container: 8787, Proto: "http", Path: "/", Text: "RStudio"}},
			Binds: []task.CardBind{{Dest: "/home/rstudio", Mode: "rw", Required: true, Text: "Which folder do you want to work in?"}}},
		"metafor": {Title: "Meta-analysis report", Description: "Turns a table of effect sizes into a report with forest and funnel plots.", Category: "analysis",
			Keywords: []string{"meta-analysis", "R"}, Binds: []task.CardBind{{Dest: "/in", Mode: "ro", Required: true, Text: "The folder with your table"}}},
	}
	c := &Catalog{}
	for _, n := range []string{"welcome", "jupyter", "expfactory", "nginx-basic", "rstudio", "metafor"} {
		def := fmt.Sprintf("Bootstrap: debootstrap\nOSVersion: bookworm\nMirrorURL: http://ftp.debian.org/debian\n\n# %s\n%%labels\n    org.opencontainers.image.title %s\n    carrel.category %s\n\n%%post\n    apt-get update\n    apt-get install -y python3\n\n%%runscript\n    cd /data\n    exec python3 -m http.server 9999\n", cards[n].Description, cards[n].Title, cards[n].Category)
		c.List = append(c.List, task.Entry{Name: n, Card: cards[n], Raw: def, Source: "built in"})
		e.Cards[n], e.Defs[n] = cards[n], def
		e.Targets[n] = engine.Target{Kind: engine.TargetCatalog, Name: n, Path: images + n + ".sif"}
	}
	add := func(name, entry string, size int64, made, run time.Duration) {
		i := engine.ImageInfo{Name: name, Path: images + name, Kind: "sif", Size: size, ModTime: Noon.Add(-made), Arch: "amd64", InStore: true, Catalog: entry, Title: cards[entry].Title}
		if run > 0 {
			i.LastRun = Noon.Add(-run)
		}
		e.AddImage(i)
		e.Cards[i.Path], e.Defs[i.Path] = cards[entry], e.Defs[entry]
		e.Targets[entry] = engine.Target{Kind: engine.TargetCatalog, Name: entry, Path: i.Path, Built: true}
	}
	add("jupyter.sif", "jupyter", 243_000_000, 26*time.Hour, 2*time.Hour)
	add("nginx-basic.img", "nginx-basic", 38_200_000, 80*time.Hour, 75*time.Hour)
	add("expfactory.sif", "expfactory", 61_000_000, 240*time.Hour, 220*time.Hour)
	e.AddImage(engine.ImageInfo{Name: "from-anna.sif", Path: Home + "/Downloads/from-anna.sif", Kind: "sif", Size: 1_230_000_000, ModTime: Noon.Add(-50 * time.Hour), Arch: "amd64"})
	e.AddImage(engine.ImageInfo{Name: "half-copied.sif", Path: Home + "/Downloads/half-copied.sif", Kind: "sif", Size: 12_000_000, ModTime: Noon.Add(-30 * time.Hour), Problem: "the file ends in the middle; copy it again"})

	e.Put(engine.Instance{
		Name: "jupyter", Image: images + "jupyter.sif", Title: "Jupyter notebook", State: engine.StateReady, PID: 4711,
		Started: Noon.Add(-2*time.Hour - 4*time.Minute), ReadyIn: 1400 * time.Millisecond,
		Addresses: []engine.Address{{URL: "http://127.0.0.1:8888/tree?token=5f3a90c2", Host: 8888, Container: 8888, Proto: "http", Text: "Notebook", Ready: true}},
		Binds:     []engine.Bind{{Source: Home + "/papers/2026/stroop", Dest: "/opt/notebooks"}},
		Command:   "carrel run -B ~/papers/2026/stroop:/opt/notebooks -p 8888 jupyter.sif",
	})
	e.Put(engine.Instance{
		Name: "stroop", Image: images + "expfactory.sif", Title: "Behavioural experiments", State: engine.StateReady, PID: 4712,
		Started: Noon.Add(-12 * time.Minute), ReadyIn: 700 * time.Millisecond,
		Addresses: []engine.Address{{URL: "http://127.0.0.1:9684/", Host: 9684, Container: 80, Proto: "http", Text: "Experiment", Ready: true}},
		Binds:     []engine.Bind{{Source: Home + "/results", Dest: "/scif/data"}},
		Command:   "carrel run -B ~/results:/scif/data -p 9684:80 expfactory.sif stroop",
	})
	for i := range 14 {
		e.logs["jupyter"] = append(e.logs["jupyter"], engine.LogLine{Time: Noon.Add(time.Duration(i-40) * time.Minute), Stream: "err",
			Text: fmt.Sprintf("[I %02d:%02d:07.221 NotebookApp] 200 GET /api/contents/analysis-%d.ipynb (127.0.0.1) %d.20ms", 11+i/40, (20+i)%60, i, 3+i%7)})
	}
	e.logs["jupyter"] = append(e.logs["jupyter"],
		engine.LogLine{Time: Noon.Add(-20 * time.Minute), Stream: "err", Text: "[W 11:40:12.004 NotebookApp] Notebook analysis-3.ipynb is not trusted"},
		engine.LogLine{Time: Noon.Add(-19 * time.Minute), Stream: "err", Text: "[I 11:41:31.870 NotebookApp] Kernel started: 2f0d1bd0-7a2c-4a55-9d3e-1c5f7d0f2b11, name: python3"},
		engine.LogLine{Time: Noon.Add(-18 * time.Minute), Stream: "err", Text: "[I 11:42:00.112 NotebookApp] Saving file at /analysis-3.ipynb"})
	e.logs["stroop"] = []engine.LogLine{{Time: Noon.Add(-12 * time.Minute), Stream: "out", Text: "Booting worker with pid: 9"}}

	e.Checks = []engine.Check{
		{Name: "user-namespaces", Status: engine.StatusOK, Title: "Containers can run without administrator rights", Term: "user namespaces", Detail: "An ordinary user may make user namespaces here."},
		{Name: "subids", Status: engine.StatusNote, Title: "Files of other users inside are kept by trick", Term: "subordinate ids", Detail: "There is no range of ids for you in /etc/subuid.", Advice: "Installing software works all the same; Carrel answers the calls that need them.", Admin: "usermod --add-subuids 100000-165535 --add-subgids 100000-165535 ada"},
		{Name: "fuse", Status: engine.StatusOK, Title: "Images can be opened directly", Term: "FUSE", Detail: "/dev/fuse is there and may be opened."},
		{Name: "seccomp", Status: engine.StatusOK, Title: "System calls can be filtered", Term: "seccomp", Detail: "The kernel offers the filter."},
		{Name: "cgroups", Status: engine.StatusOK, Title: "Use of memory and processor can be measured", Term: "cgroup v2"},
		{Name: "disk", Status: engine.StatusOK, Title: "80 GB free for images in ~/.local/share/carrel", Term: "disk space"},
		{Name: "port", Status: engine.StatusNote, Title: "Port 8888 is in use by another program", Term: "TCP port", Detail: "Something listens there already.", Advice: "Carrel will pick a free one."},
	}
	e.Folders[Home+"/papers/2026/stroop"] = engine.FolderState{Exists: true, IsDir: true, Readable: true, Writable: true, Files: 14, ByExt: map[string]int{".ipynb": 3, ".csv": 8}}
	e.Folders["/tmp"] = engine.FolderState{Exists: true, IsDir: true, Readable: true, Writable: true}
	for _, n := range []string{"welcome", "jupyter", "rstudio"} {
		e.Folders[Home+"/carrel-"+n] = engine.FolderState{Exists: true, IsDir: true, Readable: true, Writable: true}
	}
	e.Events = BuildEvents()
	return e, c
}

// BuildEvents are what the build of a small Debian image tells.
func BuildEvents() []engine.Event {
	ev := []engine.Event{
		{Kind: progress.Plan, Plan: []progress.Planned{
			{Step: progress.StepRead, Title: "Read definition"}, {Step: progress.StepFetch, Title: "Fetch base"},
			{Step: progress.StepInstall, Title: "Install software (%post)"}, {Step: progress.StepPack, Title: "Pack image"}}},
		{Kind: progress.Start, Step: progress.StepRead}, {Kind: progress.Done, Step: progress.StepRead},
		{Kind: progress.Start, Step: progress.StepFetch, Text: "debian bookworm"},
		{Kind: progress.Amount, Step: progress.StepFetch, Done: 20_000_000, Total: 48_000_000, Unit: "bytes", Text: "debian bookworm"},
		{Kind: progress.Notice, Step: progress.StepFetch, Text: "61 packages come from ftp.debian.org."},
		{Kind: progress.Done, Step: progress.StepFetch, Text: "debian bookworm, 61 packages, 48 MB"},
		{Kind: progress.Start, Step: progress.StepInstall},
	}
	for i := range 24 {
		ev = append(ev, engine.Event{Kind: progress.Line, Step: progress.StepInstall, Text: fmt.Sprintf("Setting up python3-part%d (1.%d-1+deb12u1) ...", i, i)})
	}
	return append(ev,
		engine.Event{Kind: progress.Amount, Step: progress.StepInstall, Text: "Setting up python3-numpy"},
		engine.Event{Kind: progress.Done, Step: progress.StepInstall},
		engine.Event{Kind: progress.Start, Step: progress.StepPack},
		engine.Event{Kind: progress.Amount, Step: progress.StepPack, Done: 900, Total: 1200, Unit: "files"},
		engine.Event{Kind: progress.Done, Step: progress.StepPack, Text: "38 MB"},
	)
}
