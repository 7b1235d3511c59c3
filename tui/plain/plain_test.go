package plain

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"carrel/engine"
	"carrel/tui/tuitest"
)

// ask runs the program with lines as answers, and returns what it says.
func ask(t *testing.T, change func(*Options, *tuitest.Engine), answers ...string) (string, *tuitest.Engine) {
	t.Helper()
	clock := func() time.Time { return tuitest.Noon }
	e, c := tuitest.World(clock)
	e.Answers = true
	var out bytes.Buffer
	o := Options{Engine: e, Catalog: c, Memory: &tuitest.Memory{}, Home: tuitest.Home, Cwd: tuitest.Home, Now: clock, Out: &out}
	if change != nil {
		change(&o, e)
	}
	if o.In == nil {
		o.In = strings.NewReader(strings.Join(answers, "\n") + "\n")
	}
	if err := Run(t.Context(), o); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	e.Wait()
	for i, l := range strings.Split(out.String(), "\n") {
		if strings.ContainsAny(l, "\x1b\r\t│╭▌●✓") {
			t.Errorf("line %d is nothing to be read out: %q", i+1, l)
		}
	}
	return out.String(), e
}

// says fails unless all texts are in the transcript, in this order.
func says(t *testing.T, transcript string, texts ...string) {
	t.Helper()
	rest := transcript
	for _, want := range texts {
		i := strings.Index(rest, want)
		if i < 0 {
			t.Fatalf("%q is not said, or not there:\n%s", want, transcript)
		}
		rest = rest[i+len(want):]
	}
}

func TestJourneys(t *testing.T) {
	tests := []struct {
		name    string
		change  func(*Options, *tuitest.Engine)
		answers []string
		want    []string
		calls   []string
	}{
		{name: "the end of the input leaves", want: []string{"Jupyter notebook, called jupyter, is serving, up for 2 hours. Address: http://127.0.0.1:8888/tree?token=5f3a90c2\n", "What would you like to do?", "1. Start an app from the catalog", "jupyter keeps running. Stop it with: carrel stop jupyter"}},
		{name: "leave", answers: []string{"what", "99", "back", "leave", "1"}, want: []string{"Answer with a number from 1 to 9", "Answer with a number from 1 to 9", "This is the beginning", "keeps running"}},
		{name: "introduction", change: func(o *Options, _ *tuitest.Engine) { o.New = true }, answers: []string{"go to", "leave"},
			want: []string{"sealed boxes", "Note: Port 8888 is in use by another program", "What brings you here?", "1. Just looking", "What would you like to do?"}},
		{name: "start what is there", answers: []string{"catalog", "back", "1", "nothing of that", "pandas", "1", "/tmp", "", "", "", "", "back", "leave"},
			want: []string{"Nothing in the catalog fits.", "1 app fits.", "1. Jupyter notebook: Notebooks with NumPy", "Which folder do you want to work in?", "Port on this computer?", "[8888]", "Changes inside the container", "1. start fresh each time", "The same as a command: carrel run -B /tmp:/opt/notebooks -p 8888 jupyter",
				"is starting", "Jupyter notebook, called jupyter, is serving", "Address: http://127.0.0.1:8888/"}, calls: []string{"start jupyter"}},
		{name: "build first", change: func(_ *Options, e *tuitest.Engine) { e.Taken[8787] = "python3 (pid 4711)" },
			answers: []string{"1", "rstudio", "1", "~/carrel-rstudio", "8787", "8788", "", "", "yes", "", "back", "leave"},
			want:    []string{"Port 8787 is taken by python3 (pid 4711).", "[8788]", "Port 8787 is taken", "Building it takes a moment", "Building RStudio.", "Step 1 of 4: Read definition.", "Step 2 of 4: Fetch base. Debian bookworm.", "Note: 61 packages", "Fetch base is done after", "RStudio is built, 38 MB.", "RStudio is starting.", "RStudio, called rstudio, is serving", "Address: http://127.0.0.1:8788/"},
			calls:   []string{"build rstudio", "start /home/ada/.local/share/carrel/images/rstudio.sif"}},
		{name: "a build that fails", change: func(_ *Options, e *tuitest.Engine) {
			e.BuildErr = &tuitest.ErrBuild{Text: "run %post: line 14: apt-get ended with code 100", What: "correct the name"}
		}, answers: []string{"1", "rstudio", "1", "~/carrel-rstudio", "", "", "", "", "try again", "give up", "leave"},
			want: []string{"Building RStudio did not work: Run %post: line 14", "What to do: Correct the name.", "What now?", "1. Try again from the beginning", "Building RStudio did not work", "What now?", "What would you like to do?"}},
		{name: "an argument with choices, a folder that is not there", answers: []string{"1", "stroop", "1", "relative/nothing", "back", "leave"},
			want: []string{"Where should the results go?", "relative/nothing is not there yet. Make it?"}},
		{name: "log, stop", answers: []string{"running apps", "jupyter", "2", "stop", "maybe", "", "stop", "y", "back", "leave"},
			want: []string{"Which app?", "What about jupyter?", "Kernel started", "Stop it? Yes or no? [no]", "Answer yes or no.", "jupyter, is serving", "Stop it?", "jupyter has stopped.", "Jupyter notebook, called jupyter, has ended"}, calls: []string{"stop jupyter"}},
		{name: "look inside", answers: []string{"my images", "1", "look", "definition", "files", "data", "trials.csv", "read", "up", "nowhere", "back", "find", "csv", "software", "numpy", "size", "usr", "", "back", "back", "back", "back", "leave"},
			want: []string{"Which image?", "243 MB", "What would you like to know?", "Bootstrap: debootstrap", "/ has", "data, a folder", "/data has", "subject,condition", "Opening /nowhere did not work", "/data/semicolons.csv, ", "python3-numpy 5.12-1+deb12u1, dpkg", "usr, 2 MB, a folder", "/usr takes"}},
		{name: "doctor", answers: []string{"check", "leave"}, want: []string{"Good: Containers can run without administrator rights.", "An administrator would run: usermod"}},
		{name: "delete", answers: []string{"my images", "3", "delete", "no", "3", "delete", "yes", "back", "leave"}, want: []string{"is deleted for good", "It was deleted."}, calls: []string{"remove /home/ada/.local/share/carrel/images/expfactory.sif"}},
		{name: "what cannot be found", answers: []string{"2", "", "/no/such.sif", "leave"}, want: []string{"Write the path of the file", "Opening /no/such.sif did not work"}},
		{name: "a guarded link", change: func(_ *Options, e *tuitest.Engine) {
			e.Change("jupyter", func(in *engine.Instance) { in.Addresses[0].Guarded = true })
		}, want: []string{"The link is yours alone and good once."}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out, e := ask(t, tt.change, tt.answers...)
			says(t, out, tt.want...)
			tuitest.Golden(t, strings.ReplaceAll(strings.ReplaceAll(tt.name, ",", ""), " ", "-"), out)
			for _, c := range tt.calls {
				if !e.Called(c) {
					t.Errorf("%q was not asked for; asked for was %q", c, e.Calls)
				}
			}
		})
	}
}

// What is typed while a build goes on is for the build.
func TestCancelBuild(t *testing.T) {
	r, w := io.Pipe()
	said := make(chan string, 1000)
	change := func(o *Options, e *tuitest.Engine) {
		e.Pause = 20 * time.Millisecond
		o.In, o.Person, o.Out = r, true, lineWriter(func(l string) { said <- l })
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		ask(t, change)
	}()
	until := func(text string) {
		for {
			select {
			case l := <-said:
				if strings.Contains(l, text) {
					return
				}
			case <-time.After(30 * time.Second):
				t.Errorf("%q is not said", text)
				_ = w.Close()
				return
			}
		}
	}
	send := func(lines ...string) {
		for _, l := range lines {
			if _, err := io.WriteString(w, l+"\n"); err != nil {
				t.Error(err)
			}
		}
	}
	send("1", "rstudio", "1", "~/carrel-rstudio", "", "", "", "")
	until("Step 2 of 4")
	send("hm")
	until("Answer log or cancel")
	send("cancel")
	until("The build was cancelled")
	send("leave")
	<-done
}

// The input may end where something could be begun; within it, it is an error that names the question, and nothing is left.
func TestInputEnds(t *testing.T) {
	tests := []struct{ input, question string }{
		{"", ""},
		{"check\n", ""},
		{"1\njup", "Which one?"},
		{"1\n", "What are you looking for?"},
		{"1\nrstudio\n1\n", "Which folder do you want to work in?"},
		{"1\nrstudio\n1\n~/carrel-rstudio\n", "Port on this computer?"},
		{"2\n", "path"},
		{"running\njupyter\nstop\n", "Stop it?"},
		{"my images\n1\n", "What"},
	}
	for _, tt := range tests {
		e, c := tuitest.World(func() time.Time { return tuitest.Noon })
		var out bytes.Buffer
		err := Run(t.Context(), Options{Engine: e, Catalog: c, Memory: &tuitest.Memory{}, Home: tuitest.Home, Cwd: tuitest.Home, In: strings.NewReader(tt.input), Out: &out})
		var open *UnansweredError
		switch {
		case tt.question == "" && err != nil:
			t.Errorf("%q: %v", tt.input, err)
		case tt.question != "" && (!errors.As(err, &open) || !strings.Contains(open.Question, tt.question) || open.Hint() == ""):
			t.Errorf("%q: got %v, want the question %q", tt.input, err, tt.question)
		}
		for _, call := range e.Calls {
			if strings.HasPrefix(call, "start") || strings.HasPrefix(call, "build") || strings.HasPrefix(call, "stop") {
				t.Errorf("%q: %s was done without an answer", tt.input, call)
			}
		}
		if !strings.Contains(out.String(), "jupyter keeps running.") {
			t.Errorf("%q: it is not said what goes on:\n%s", tt.input, out.String())
		}
	}
}

func TestMain(m *testing.M) { os.Exit(tuitest.Main(m)) }

type lineWriter func(string)

func (f lineWriter) Write(p []byte) (int, error) {
	f(string(p))
	return len(p), nil
}

// An app is made of a folder of files.
func TestOwn(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "index.html"), []byte("<h1>Results</h1>"), 0o600); err != nil {
		t.Fatal(err)
	}
	change := func(_ *Options, e *tuitest.Engine) {
		e.Folders[dir] = engine.FolderState{Exists: true, IsDir: true, Readable: true, Writable: true}
		e.Targets[filepath.Join(dir, "Singularity")] = engine.Target{Kind: engine.TargetImage, Name: "Singularity", Path: filepath.Join(dir, "Singularity"), Built: true}
	}
	out, _ := ask(t, change, "make an app", "/nowhere", dir, "1", "Our results", "", "", "no", "back", "leave")
	says(t, out, "There is no such folder.", "What is it?", "What is it called?", "Wrote ", "Our results.")
	text, err := os.ReadFile(filepath.Join(dir, "Singularity"))
	if err != nil || !strings.Contains(string(text), "Our results") {
		t.Errorf("wrote %q, %v", text, err)
	}
}

// A reader that has gone away ends it.
func TestGone(t *testing.T) {
	e, c := tuitest.World(time.Now)
	gone := errors.New("gone")
	if err := Run(context.Background(), Options{Engine: e, Catalog: c, In: strings.NewReader("1\n"), Out: failing{gone}}); !errors.Is(err, gone) {
		t.Errorf("got %v, want %v", err, gone)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

// What an app changes inside is kept when it says that it works there, and asked for always: notebooks are not lost.
func TestKeep(t *testing.T) {
	tests := []struct {
		writable string
		answer   string
		want     string // in brackets, then in the command
		kept     bool
	}{
		{"", "", "[1]", false},
		{"", "keep", "[1]", true},
		{"keep", "", "[2]", true},
		{"keep", "start fresh", "[2]", false},
	}
	for _, tt := range tests {
		var o Options
		change := func(opts *Options, e *tuitest.Engine) {
			o = *opts
			c := e.Cards["nginx-basic"]
			c.Writable = tt.writable
			e.Cards["nginx-basic"] = c
		}
		out, e := ask(t, change, "1", "nginx-basic", "1", "none", "", tt.answer, "", "back", "leave")
		says(t, out, "Changes inside the container", "keep them", tt.want)
		in, err := e.Instance(t.Context(), "nginx-basic")
		if err != nil || in.Spec.Writable != tt.kept {
			t.Errorf("%q, answered with %q: kept is %v, %v\n%s", tt.writable, tt.answer, in.Spec.Writable, err, out)
		}
		// The screens' form remembers it too.
		if got := o.Memory.Load("nginx-basic")["keep"]; got != map[bool]string{true: "yes", false: "no"}[tt.kept] {
			t.Errorf("%q is remembered of %q", got, tt.answer)
		}
	}
}

// An argument that may be left out can be, with an empty line too.
func TestNoArgument(t *testing.T) {
	for answer, want := range map[string][]string{"": nil, "a list": nil, "n-back": {"n-back"}} {
		change := func(_ *Options, e *tuitest.Engine) {
			c := e.Cards["expfactory"]
			c.Args[0].Text = "Which experiment? (none: a list to pick from)"
			e.Cards["expfactory"] = c
		}
		out, e := ask(t, change, "1", "stroop", "1", "/tmp", "yes", answer, "", "", "", "back", "leave")
		says(t, out, "1. a list to pick from", "2. stroop: Name the colour", "[1]")
		in, err := e.Instance(t.Context(), "expfactory")
		if err != nil || strings.Join(in.Spec.Args, " ") != strings.Join(want, " ") {
			t.Errorf("answered with %q it runs %q, %v\n%s", answer, in.Spec.Args, err, out)
		}
	}
}

// Settings that are asked for seldom: the same as the screens', under the same names.
func TestMoreSettings(t *testing.T) {
	m := &tuitest.Memory{All: map[string]map[string]string{"nginx-basic": {"folder:/data": "/tmp", "mode:/data": "ro", "args": "--old"}}}
	out, e := ask(t, func(o *Options, _ *tuitest.Engine) { o.Memory = m }, "1", "nginx-basic", "1", "", "yes", "", "",
		"more", "memory", "nonsense", "2G", "name", "lab", "arguments", "none", "variables", "A=1 B=2", "without the internet", "yes", "graphics", "nvidia", "changes in that", "read and change", "changes in that", "only", "back", "", "leave")
	says(t, out, "The app can only read it", "[/tmp]", "Write an amount with M or G", "carrel run -B /tmp:/data:ro", "--memory 2G")
	in, err := e.Instance(t.Context(), "lab")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	s := in.Spec
	if s.Details.Limits.Memory != 2<<30 || len(s.Args) != 0 || s.Env["B"] != "2" || !s.NoNetwork || !s.Details.Nvidia || len(s.Binds) != 1 || !s.Binds[0].ReadOnly {
		t.Errorf("it was started with %+v", s)
	}
	if got := m.Load("nginx-basic"); got["memory"] != "2G" || got["name"] != "lab" || got["offline"] != "yes" {
		t.Errorf("remembered is %v", got)
	}
}

// Why something failed is said in words, and what does away with it is asked for.
func TestCauses(t *testing.T) {
	t.Run("a start", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "results")
		first := true
		change := func(o *Options, e *tuitest.Engine) {
			e.StartErr = errors.New("bind " + dir + ": no such file or directory")
			o.Out = lineWriter(func(l string) {
				if first && strings.Contains(l, "Create the folder") {
					first, e.StartErr = false, nil
				}
			})
		}
		_, e := ask(t, change, "1", "nginx-basic", "1", "none", "", "", "", "yes", "leave")
		if _, err := os.Stat(dir); err != nil {
			t.Errorf("the folder was not made: %v", err)
		}
		if _, err := e.Instance(t.Context(), "nginx-basic"); err != nil {
			t.Errorf("it was not started again: %v", err)
		}
	})
	t.Run("an app", func(t *testing.T) {
		change := func(_ *Options, e *tuitest.Engine) {
			e.Put(engine.Instance{Name: "lab", Title: "Lab", Image: "/x/lab.sif", State: engine.StateExited, ExitCode: 1, Started: tuitest.Noon,
				LastLines: []string{"nginx: [emerg] bind() to 0.0.0.0:80 failed (13: Permission denied)"}, Spec: engine.RunSpec{Image: "/x/lab.sif"}})
		}
		out, e := ask(t, change, "running apps", "lab", "give it a network", "back", "leave")
		says(t, out, "The reason: ", "What to do: ", "Give it a network of its own: and start it again", "Lab is starting")
		in, err := e.Instance(t.Context(), "lab")
		if err != nil || len(in.Spec.Ports) != 1 || in.Spec.Ports[0].Container != 80 {
			t.Errorf("it was started with %+v, %v", in.Spec, err)
		}
	})
	t.Run("a build", func(t *testing.T) {
		change := func(o *Options, e *tuitest.Engine) {
			e.BuildErr = &engine.BuildError{Target: "/x/rstudio.sif", Kept: true, Lines: []string{"/bin/sh: 3: nosuchprogram: not found"}}
			o.SaveFile = func(name, text string) (string, error) { return "/home/ada/" + name, nil }
		}
		out, e := ask(t, change, "1", "rstudio", "1", "~/carrel-rstudio", "", "", "", "yes", "save", "try again from the step", "give up", "leave")
		says(t, out, "The reason: ", "nosuchprogram", "carrel debug /x/rstudio.sif", "What now?", "1. Try again from the step that failed", "2. Try again from the beginning", "Saved as ~/RStudio-build.log", "The reason: ")
		n := 0
		for _, c := range e.Calls {
			if c == "build rstudio" {
				n++
			}
		}
		if n != 2 {
			t.Errorf("it was built %d times, want 2", n)
		}
	})
}

func TestShare(t *testing.T) {
	saved := ""
	change := func(o *Options, e *tuitest.Engine) {
		o.SaveFile = func(name, text string) (string, error) { saved = text; return "/home/ada/" + name, nil }
	}
	out, e := ask(t, change, "my images", "jupyter", "share", "definition", "push", "oras://ghcr.io/ada/jupyter:1", "image file", "back", "back", "leave")
	says(t, out, "How do you want to share jupyter.sif?", "Hand over the image file", "Saved as ~/jupyter.def", "oras://ghcr.io/ada/jupyter:1 is there", "sha256:", "They run it with: carrel run jupyter.sif")
	if !strings.Contains(saved, "Bootstrap:") || !e.Called("Push /home/ada/.local/share/carrel/images/jupyter.sif oras://ghcr.io/ada/jupyter:1") {
		t.Errorf("saved %q, asked for %q", saved, e.Calls)
	}
}

func TestSources(t *testing.T) {
	out, _ := ask(t, nil, "where apps", "add", "https://example.org/none.git", "add", "https://example.org/apps.git", "apps.git", "up to date", "apps.git", "remove", "no", "apps.git", "remove", "yes", "back", "leave")
	says(t, out, "built-in: built-in, 6 apps", "did not work", "apps.git was added, with 3 apps", "1. apps.git: git, 3 apps, from https://example.org/apps.git", "apps.git has nothing new.", "It was removed.", "1. Add a source")
}

func TestChangesAndTrust(t *testing.T) {
	out, _ := ask(t, nil, "my images", "jupyter", "look", "changes", "/home/ada/Downloads/from-anna.sif", "trust", "yes", "back", "back", "leave")
	says(t, out, "Compare with which image?", "of software and", "signed it", "Every byte was read")
}
