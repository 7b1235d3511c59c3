// Package build is the screen of an image being built: its steps, its log, how long it takes. The build goes on when the
// screen is left; the screen is kept by the program and shown again when asked for.
package build

import (
	"cmp"
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"carrel/engine"
	"carrel/engine/progress"
	"carrel/tui/screen"
	"carrel/tui/task"
	"carrel/tui/widget"
)

// state is where the job is.
type state int

const (
	building state = iota
	starting
	finished
	failed
	cancelled
)

// stepState is where one step is.
type stepState int

const (
	waiting stepState = iota
	active
	done
	broken
)

type step struct {
	step        progress.Step
	stage       string
	title       string
	state       stepState
	text        string // what it does now, or what it has done
	done, total int64
	unit        string
	rate        int64         // units in a second; 0: not known
	left        time.Duration // how long it still takes, when it goes on like that; 0: not known
	from, to    time.Time
}

// trusted is how long a step has to go on before it is said how long it still takes.
const trusted = 3 * time.Second

// stepStart is the step that starts the app after the build; it is ours, not the engine's.
const stepStart progress.Step = "start"

// Screen is one build.
type Screen struct {
	screen.Base
	d     screen.Deps
	id    task.ID
	title string
	spec  engine.BuildSpec
	then  *engine.RunSpec

	state state
	steps []step
	err   error
	hint  string
	// logFile holds the whole log of a build that failed; empty when it is not known.
	logFile string
	cause   engine.Cause // of a failure, when known
	known   bool
	image   engine.ImageInfo
	from    time.Time
	to      time.Time
	now     time.Time
	frame   int

	log    widget.LogPane
	stop   context.CancelFunc // ends starting the app
	run    int                // counts tries
	stream *task.Stream[any]
	w, h   int
}

type (
	batchMsg struct {
		id    task.ID
		run   int
		batch task.Batch[any]
	}
	startedMsg struct {
		id   task.ID
		run  int
		inst engine.Instance
		err  error
	}
)

// New makes the screen of a build; Init begins it.
func New(d screen.Deps, b screen.StartBuild) *Screen {
	return &Screen{d: d, id: task.NewID(), title: b.Title, spec: b.Spec, then: b.Then}
}

// Job is the ID under which the build is known.
func (s *Screen) Job() task.ID { return s.id }

// Running tells whether the build still works.
func (s *Screen) Running() bool { return s.state == building || s.state == starting }

// Builds tells whether the build still works on a definition.
func (s *Screen) Builds(definition string) bool {
	return s.Running() && s.spec.Definition == definition
}

// Name is what is built.
func (s *Screen) Name() string { return widget.Clean(s.title) }

// Doing says in two or three words what happens, for the line at the top.
func (s *Screen) Doing() string {
	if s.state == starting {
		return "starting " + s.Name()
	}
	return "building " + s.Name()
}

// Title is the screen's name in the line at the top.
func (s *Screen) Title() string { return "Building " + s.Name() }

// Init begins the build.
func (s *Screen) Init() tea.Cmd { return s.begin() }

func (s *Screen) begin() tea.Cmd {
	s.run++
	s.state, s.err, s.hint, s.logFile, s.steps, s.image = building, nil, "", "", nil, engine.ImageInfo{}
	s.from, s.now, s.to = s.d.Now(), s.d.Now(), time.Time{}
	s.log.Log.Clear()
	eng, spec := s.d.Engine, s.spec
	s.stream = task.Run(s.d.Life, func(ctx context.Context, emit func(any)) error {
		img, err := eng.Build(ctx, spec, func(e engine.Event) { emit(e) })
		if err == nil {
			emit(img)
		}
		return err
	})
	return s.next()
}

func (s *Screen) next() tea.Cmd {
	id, run := s.id, s.run
	return s.stream.Next(func(b task.Batch[any]) tea.Msg { return batchMsg{id, run, b} })
}

// Pace is that of a spinner while it works.
func (s *Screen) Pace() time.Duration {
	if s.Running() {
		return screen.Spin
	}
	return 0
}

// Typing tells whether the search line is open.
func (s *Screen) Typing() bool { return s.log.Typing() }

// Update takes what the build tells.
func (s *Screen) Update(msg tea.Msg) tea.Cmd {
	defer func() { s.log.Over = !s.Running() }()
	switch msg := msg.(type) {
	case screen.Tick:
		s.now, s.frame = msg.Now, msg.Frame
	case screen.Shown:
		s.now = s.d.Now()
	case tea.PasteMsg:
		s.log.Update(msg)
	case batchMsg:
		if msg.id == s.id && msg.run == s.run {
			return s.take(msg.batch)
		}
	case startedMsg:
		if msg.id == s.id && msg.run == s.run {
			return s.started(msg)
		}
	}
	return nil
}

func (s *Screen) take(b task.Batch[any]) tea.Cmd {
	s.now = s.d.Now()
	if b.Dropped > 0 {
		s.log.Log.Append(widget.LogLine{Text: widget.Thousands(b.Dropped) + " lines are not shown here; the log file has them.", Own: true})
	}
	for _, it := range b.Items {
		switch it := it.(type) {
		case engine.Event:
			s.event(it)
		case engine.ImageInfo:
			s.image = it
		}
	}
	defer s.Resize(s.w, s.h)
	switch {
	case !b.Done:
		return s.next()
	case b.Err == nil && s.then != nil:
		return s.start()
	case b.Err == nil:
		s.state, s.to = finished, s.now
	case errors.Is(b.Err, context.Canceled):
		s.state, s.to = cancelled, s.now
		s.fail("")
	default:
		s.failed(b.Err)
	}
	return tea.Batch(screen.Ask(screen.JobDone{Job: s.id, Title: s.Name(), Image: s.image, Err: b.Err}), screen.Ask(screen.ImagesChanged{}))
}

func (s *Screen) failed(err error) {
	s.state, s.to, s.err = failed, s.now, err
	if h := engine.Hint(err); h != "" {
		s.hint = h
	}
	if be, ok := errors.AsType[*engine.BuildError](err); ok && be.Log != "" { // its place is a line of its own
		s.logFile = be.Log
		if be.HintText != "" {
			s.hint = be.HintText
		} else if s.hint == be.Hint() {
			s.hint = ""
		}
	}
	s.cause, s.known = engine.Explain(err)
	s.fail(err.Error())
}

// mend is what a key does about a failure; do is nil for nothing.
func (s *Screen) mend() (label string, do func() tea.Cmd) {
	if s.state != failed {
		return "", nil
	}
	if errors.Is(s.err, engine.ErrExists) && !s.spec.Force {
		return "Replace the image", s.replace
	}
	if !s.known {
		return "", nil
	}
	return s.d.Mend(s.cause, s.then, func(spec engine.RunSpec) tea.Cmd {
		s.then = &spec
		if s.image.Path == "" {
			return s.begin()
		}
		return s.start()
	})
}

// replace asks whether the image that has the name already may be replaced.
func (s *Screen) replace() tea.Cmd {
	d := widget.Confirm("Replace the image?", []string{widget.Sentence(s.err.Error()), "It was made of something else, or changed since, and is lost when this one is built in its place."}, "Replace it", "Keep it")
	return screen.Ask(screen.Confirm{Dialog: d, Answer: func(answer string) tea.Cmd {
		if answer != "yes" {
			return nil
		}
		s.spec.Force = true
		return s.begin()
	}})
}

// fail marks the step that was active.
func (s *Screen) fail(text string) {
	for i := range s.steps {
		st := &s.steps[i]
		if st.state == active {
			st.state, st.to = broken, s.now
			if text == "" {
				st.text = ""
			}
			return
		}
	}
}

// start starts the app that was asked for, from the image that is now there.
func (s *Screen) start() tea.Cmd {
	s.state, s.to, s.err, s.hint = starting, time.Time{}, nil, ""
	s.at(stepStart, "").state = active
	s.at(stepStart, "").from = s.now
	spec, eng, id, run := *s.then, s.d.Engine, s.id, s.run
	if s.stop != nil {
		s.stop()
	}
	var life context.Context
	life, s.stop = context.WithCancel(s.d.Life)
	if s.image.Path != "" {
		spec.Image = s.image.Path
	}
	return tea.Batch(screen.Ask(screen.ImagesChanged{}), task.Call(
		func() (engine.Instance, error) { return eng.Start(life, spec) },
		func(in engine.Instance, err error) tea.Msg { return startedMsg{id, run, in, err} }))
}

func (s *Screen) started(m startedMsg) tea.Cmd {
	s.now = s.d.Now()
	s.stop()
	s.stop = nil
	switch {
	case errors.Is(m.err, context.Canceled):
		s.state, s.to = cancelled, s.now
		s.fail("")
	case m.err != nil:
		s.failed(m.err)
	}
	if m.err != nil {
		return tea.Batch(screen.Ask(screen.JobDone{Job: s.id, Title: s.Name(), Image: s.image, Err: m.err}), screen.Ask(screen.ImagesChanged{}))
	}
	s.state, s.to = finished, s.now
	st := s.at(stepStart, "")
	st.state, st.to = done, s.now
	return screen.Ask(screen.JobDone{Job: s.id, Title: s.Name(), Image: s.image, Instance: &m.inst})
}

// at finds a step, or adds it before the one that starts the app.
func (s *Screen) at(name progress.Step, stage string) *step {
	for i := range s.steps {
		if s.steps[i].step == name && (s.steps[i].stage == stage || stage == "" || s.steps[i].stage == "") {
			return &s.steps[i]
		}
	}
	at := len(s.steps)
	if at > 0 && s.steps[at-1].step == stepStart {
		at--
	}
	s.steps = append(s.steps, step{})
	copy(s.steps[at+1:], s.steps[at:])
	s.steps[at] = step{step: name, stage: stage, title: titleOf(name)}
	return &s.steps[at]
}

// titles are the words for steps a build did not name in its plan.
var titles = map[progress.Step]string{
	progress.StepRead: "Read definition", progress.StepFetch: "Fetch base", progress.StepSetup: "Prepare (%setup)",
	progress.StepFiles: "Copy files (%files)", progress.StepInstall: "Install software (%post)",
	progress.StepApps: "Install apps (%appinstall)", progress.StepPack: "Pack image", progress.StepTest: "Check it (%test)",
	stepStart: "Start it",
}

func titleOf(n progress.Step) string {
	if t := titles[n]; t != "" {
		return t
	}
	return string(n)
}

func (s *Screen) event(e engine.Event) {
	switch e.Kind {
	case progress.Plan:
		old := s.steps
		s.steps = nil
		for _, p := range e.Plan {
			st := step{step: p.Step, title: p.Title}
			for _, o := range old {
				if o.step == p.Step {
					st, st.title = o, p.Title
				}
			}
			if st.title == "" {
				st.title = titleOf(p.Step)
			}
			s.steps = append(s.steps, st)
		}
		if s.then != nil {
			s.steps = append(s.steps, step{step: stepStart, title: titles[stepStart]})
		}
	case progress.Start:
		st := s.at(e.Step, e.Stage)
		st.state, st.stage, st.text, st.from = active, e.Stage, e.Text, e.Time
		st.done, st.total, st.rate, st.left = 0, 0, 0, 0
	case progress.Amount:
		st := s.at(e.Step, e.Stage)
		st.done, st.total, st.unit, st.rate, st.left = e.Done, e.Total, e.Unit, e.Rate, 0
		if left, ok := e.Left(); ok && e.Time.Sub(st.from) >= trusted {
			st.left = left
		}
		if e.Text != "" {
			st.text = e.Text
		}
	case progress.Line:
		s.log.Log.Append(widget.LogLine{Time: e.Time, Text: e.Text})
	case progress.Notice:
		s.log.Log.Append(widget.LogLine{Time: e.Time, Text: e.Text, Own: true})
	case progress.Done:
		st := s.at(e.Step, e.Stage)
		st.state, st.text, st.to = done, e.Text, e.Time
		if st.from.IsZero() {
			st.from = e.Time
		}
	case progress.Failed:
		st := s.at(e.Step, e.Stage)
		st.state, st.text, st.to = broken, "", e.Time
		if e.Hint != "" {
			s.hint = e.Hint
		}
	}
}

// Cancel ends the build, or starting the app; the engine leaves nothing behind.
func (s *Screen) Cancel() {
	s.stream.Stop()
	if s.stop != nil {
		s.stop()
	}
}

// Close ends the build and waits for it.
func (s *Screen) Close() {
	s.Cancel()
	s.stream.Wait()
}

// Log is the file with the whole log of a build that failed; empty when it is not known.
func (s *Screen) Log() string { return s.logFile }

// Failed tells whether the build has failed.
func (s *Screen) Failed() bool { return s.state == failed }

// openLog shows the whole log in the person's pager.
func (s *Screen) openLog() screen.Action {
	path, none := s.logFile, ""
	if path == "" {
		none = "there is no file of it; w saves one"
	}
	return screen.Do(screen.On("l"), "whole log", "Open the whole log of the build", func() tea.Cmd {
		return screen.Ask(screen.EditFile{Path: path, Read: true, Done: func(err error) tea.Msg {
			if err != nil {
				return screen.Failed{What: "Opening the log", Err: err}
			}
			return nil
		}})
	}).Unless(none)
}

// Key moves in the log.
func (s *Screen) Key(k tea.KeyPressMsg) (tea.Cmd, bool) {
	if cmd, used := screen.LogKey(&s.log, k); used {
		s.Resize(s.w, s.h)
		return cmd, true
	}
	return nil, false
}

// Mouse scrolls the log.
func (s *Screen) Mouse(m screen.Mouse) tea.Cmd {
	if m.Wheel != 0 {
		s.log.Log.ScrollBy(m.Wheel * 3)
	}
	return nil
}

// Actions are what can be done with the build.
func (s *Screen) Actions() []screen.Action {
	logActs, only := screen.LogActions(&s.log)
	if only {
		return logActs
	}
	save := screen.Do(screen.On("w"), "save log", "Save the build's log to a file", func() tea.Cmd {
		return screen.Ask(screen.SaveText{Name: s.Name() + "-build.log", Text: s.log.Log.Text()})
	})
	find := screen.Do(screen.On("/"), "search log", "Search the log", func() tea.Cmd { s.log.Search(); return nil })
	copyCmd := screen.Do(screen.On("y"), "copy command", "Copy the command that builds this", func() tea.Cmd {
		return screen.Ask(screen.Copy{Text: s.d.Engine.BuildCommandLine(s.spec), What: "the command"})
	}).Quietly()
	var acts []screen.Action
	switch s.state {
	case building:
		acts = []screen.Action{
			screen.Do(screen.On("esc"), "keep building in background", "Leave the build running in the background", func() tea.Cmd { return screen.Ask(screen.Back{}) }),
			screen.Do(screen.On("ctrl+c"), "cancel", "Cancel the build", func() tea.Cmd { s.Cancel(); return nil }),
			find, save,
		}
	case starting:
		acts = []screen.Action{
			screen.Do(screen.On("esc"), "keep starting in background", "Leave the app starting in the background", func() tea.Cmd { return screen.Ask(screen.Back{}) }),
			screen.Do(screen.On("ctrl+c"), "cancel", "Cancel starting it", func() tea.Cmd { s.Cancel(); return nil }),
			find, save,
		}
	case finished:
		launch := screen.Do(screen.On("enter"), "start it", "Start "+s.Name(), func() tea.Cmd { return screen.Ask(screen.OpenLaunch{Name: s.image.Path}) })
		acts = []screen.Action{launch, find, save}
	default:
		if label, do := s.mend(); do != nil {
			acts = append(acts, screen.Do(screen.On("F"), strings.ToLower(label[:1])+label[1:], label, do))
		}
		again, word, name := s.begin, "try again", "Build it again"
		kept, notKept := "", "the container was not kept: only a failed section keeps it"
		if be, ok := errors.AsType[*engine.BuildError](s.err); ok && be.Kept {
			kept, notKept = be.Target, ""
			again, word, name = func() tea.Cmd { s.spec.Resume = true; return s.begin() }, "try again from here", "Go on from the step that failed"
		}
		if s.image.Path != "" && s.then != nil { // it is built; only the start did not work
			again, name = s.start, "Start it again"
		}
		file, noFile := s.spec.Definition, ""
		if !filepath.IsAbs(file) {
			noFile = "it comes from the catalog; e there makes it yours"
		}
		acts = append(acts,
			screen.Do(screen.On("r", "enter"), word, name, again),
			screen.Do(screen.On("t"), "terminal", "Open a terminal where the build failed", func() tea.Cmd {
				return screen.Ask(screen.RunInside{Args: []string{"debug", kept}, What: "the terminal in the container that failed"})
			}).Unless(notKept),
			screen.Do(screen.On("e"), "edit definition", "Edit the definition", func() tea.Cmd {
				return screen.Ask(screen.EditFile{Path: file, Done: func(err error) tea.Msg {
					if err != nil {
						return screen.Failed{What: "Editing the definition", Err: err}
					}
					return screen.Flash{Text: "r builds it as it is now."}
				}})
			}).Unless(noFile),
			s.openLog(),
			save, find,
		)
		slices.SortStableFunc(acts, func(a, b screen.Action) int { return cmp.Compare(min(1, len(a.Off)), min(1, len(b.Off))) }) // what can be done first
		acts = append(acts,
			screen.Do(screen.On("R"), "from the beginning", "Build it again from the beginning", func() tea.Cmd { s.spec.Resume = false; return s.begin() }).Quietly(),
		)
	}
	return append(append(acts, copyCmd), logActs...)
}
