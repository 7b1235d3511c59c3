// Package launch is the form between an app and its start: which folder, which port, which arguments. It is filled in from
// what the image says of itself and from earlier answers, checks itself while it is typed, and shows the command that does
// the same.
package launch

import (
	"context"
	"errors"
	"time"

	tea "charm.land/bubbletea/v2"

	"carrel/engine"
	"carrel/tui/screen"
	"carrel/tui/task"
	"carrel/tui/widget"
)

// Screen is the form of one app.
type Screen struct {
	screen.Base
	d    screen.Deps
	id   task.ID
	name string            // as it was given: a path, an image's or an entry's name
	give map[string]string // answers that are filled in first

	target engine.Target
	def    string // path of the definition file, when that is what was opened
	card   task.Card
	known  bool
	err    error

	form    widget.Form
	folders map[string]engine.FolderState // by field
	ports   map[string]engine.PortState
	hides   map[string]string // what of the image a folder takes the place of, by the place inside
	pending string            // folder field whose completion tab waits for
	presets map[string]string // named answers, as JSON
	last    map[string]string // the answers of the last time
	guarded bool              // ports are guarded when nothing else is asked for
	others  bool              // other people use this computer
	command string
	sees    string // what of the person's files the app can see

	picking *widget.Field // the argument that is chosen from a list before the form; nil: the form is shown
	picks   widget.List

	touched  bool // something was typed or chosen
	starting bool
	stop     context.CancelFunc // ends starting
	ending   bool               // that was asked for
	from     time.Time
	now      time.Time
	frame    int
	w, h     int
}

type (
	readMsg struct {
		id              task.ID
		target          engine.Target
		card            task.Card
		def             string
		memory          map[string]string
		named           map[string]string // presets
		guarded, others bool
		err             error
	}
	portDue struct {
		id    task.ID
		field string
		text  string
	}
	portMsg struct {
		id    task.ID
		field string
		text  string
		state engine.PortState
	}
	hidesMsg struct {
		id   task.ID
		dest string
		list []engine.ImageFile
	}
	bindsDue struct {
		id   task.ID
		text string
	}
	startedMsg struct {
		id   task.ID
		spec engine.RunSpec
		inst engine.Instance
		err  error
	}
	madeMsg struct {
		id  task.ID
		err error
	}
)

// New makes the form of what name stands for.
func New(d screen.Deps, o screen.OpenLaunch) *Screen {
	return &Screen{
		d: d, id: task.NewID(), name: o.Name, give: o.Answers, now: d.Now(),
		folders: map[string]engine.FolderState{}, ports: map[string]engine.PortState{},
		hides: map[string]string{},
	}
}

// Title is the screen's name in the line at the top.
func (s *Screen) Title() string { return "Start " + s.title() }

// ID is what the form is known by.
func (s *Screen) ID() task.ID { return s.id }

// Keeps tells whether leaving the form would lose what was typed, or end what was begun.
func (s *Screen) Keeps() bool { return s.known && s.err == nil && (s.touched || s.starting) }

// Working is what leaving the program would end.
func (s *Screen) Working() string {
	if s.starting {
		return "The start of " + s.title()
	}
	return ""
}

// Close ends a start that goes on.
func (s *Screen) Close() {
	if s.stop != nil {
		s.stop()
	}
}

func (s *Screen) title() string {
	switch {
	case s.card.Title != "":
		return widget.Clean(s.card.Title)
	case s.target.Name != "":
		return widget.Clean(s.target.Name)
	}
	return widget.Clean(s.name)
}

// Init reads what the app says of itself, and the answers of the last time.
func (s *Screen) Init() tea.Cmd {
	id, name, d := s.id, s.name, s.d
	return task.Call(func() (readMsg, error) { return read(d, name) }, func(m readMsg, err error) tea.Msg {
		m.id, m.err = id, err
		return m
	})
}

func read(d screen.Deps, name string) (readMsg, error) {
	var m readMsg
	m.guarded, m.others = d.Engine.Guarded()
	var err error
	if m.target, err = d.Engine.Resolve(d.Life, name); err != nil {
		return m, err
	}
	if m.target.Kind == engine.TargetImage {
		if _, c, err := task.Definition(m.target.Path); err == nil { // not an image: how to build one
			m.card, m.def = c, m.target.Path
			m.target.Built, m.target.Name = false, definitionName(m.target.Path)
			m.memory, m.named = d.Memory.Load(m.target.Name), d.Memory.Load(presetsOf(m.target.Name))
			return m, nil
		} else if !errors.Is(err, task.ErrNoDefinition) {
			return m, err
		}
	}
	if m.card, err = d.Engine.Card(d.Life, name); err != nil && m.target.Kind != engine.TargetRemote {
		return m, err
	}
	m.memory, m.named = d.Memory.Load(m.target.Name), d.Memory.Load(presetsOf(m.target.Name))
	return m, nil
}

// take fills the form in.
func (s *Screen) take(m readMsg) tea.Cmd {
	s.target, s.def, s.card, s.known = m.target, m.def, m.card, true
	s.last, s.presets, s.guarded, s.others = m.memory, m.named, m.guarded, m.others
	return s.fill(m.memory)
}

// Pace is that of a spinner while the app is started.
func (s *Screen) Pace() time.Duration {
	if s.starting {
		return screen.Spin
	}
	return 0
}

// Typing tells whether letters belong to a field.
func (s *Screen) Typing() bool {
	if s.picking != nil || s.starting {
		return false
	}
	f := s.form.Focused()
	return f != nil && f.Typed()
}

// Update takes answers.
func (s *Screen) Update(msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case screen.Tick:
		s.now, s.frame = msg.Now, msg.Frame
	case tea.PasteMsg:
		if f := s.form.Focused(); f != nil && !s.starting {
			if _, changed := f.Update(msg); changed {
				return s.changed(f)
			}
		}
	case readMsg:
		if msg.id != s.id {
			return nil
		}
		if msg.err != nil {
			s.known, s.err = true, msg.err
			return tea.Sequence(screen.Ask(screen.Back{}), screen.Ask(screen.Failed{What: "Opening " + s.name, Err: msg.err}))
		}
		cmd := s.take(msg)
		s.pick()
		return cmd
	case screen.FolderDue:
		if f := s.form.Field(msg.Field); msg.Form == s.id && f != nil && f.Text.Value() == msg.Text {
			return s.d.FolderNow(msg)
		}
	case screen.FolderAnswer:
		if msg.Form == s.id {
			return s.folderAnswer(msg)
		}
	case portDue:
		if f := s.form.Field(msg.field); msg.id == s.id && f != nil && f.Value() == msg.text {
			return s.portNow(msg)
		}
	case portMsg:
		if msg.id == s.id {
			s.portAnswer(msg)
		}
	case hidesMsg:
		if msg.id == s.id && len(msg.list) > 0 {
			s.hides[msg.dest] = hidden(msg.list)
			if f := s.form.Field(idFolder + msg.dest); f != nil {
				s.remark(f)
			}
		}
	case bindsMsg:
		if f := s.form.Field(idBinds); msg.id == s.id && f != nil && f.Value() == msg.text {
			f.Remarks = msg.remarks
		}
	case bindsDue:
		if f := s.form.Field(idBinds); msg.id == s.id && f != nil && f.Value() == msg.text {
			return s.bindsNow(msg.text)
		}
	case keptMsg:
		if msg.id == s.id {
			return s.kept(msg)
		}
	case again:
		if msg.id == s.id && !s.starting {
			return s.launch()
		}
	case madeMsg:
		if msg.id != s.id {
			return nil
		}
		if msg.err != nil {
			s.starting = false
			return screen.Ask(screen.Failed{What: "Making the folder", Err: msg.err})
		}
		return s.run()
	case startedMsg:
		if msg.id != s.id {
			return nil
		}
		was := s.ending
		s.Close()
		s.starting, s.ending, s.stop = false, false, nil
		switch {
		case was && errors.Is(msg.err, context.Canceled):
			return screen.Ask(screen.Flash{Text: "Starting " + s.title() + " was cancelled."})
		case msg.err != nil:
			return s.failed(msg.err, msg.spec)
		}
		return screen.Ask(screen.Started{From: s.id, Instance: msg.inst})
	}
	return nil
}

// folderAnswer takes what was found out about a folder, unless the person has typed on.
func (s *Screen) folderAnswer(a screen.FolderAnswer) tea.Cmd {
	f := s.form.Field(a.Field)
	if f == nil || f.Text.Value() != a.Text {
		return nil
	}
	f.Ghost = widget.Clean(a.Next.Rest)
	s.folders[f.ID] = a.State
	s.remark(f)
	if s.pending == f.ID {
		s.pending = ""
		return s.tab(f)
	}
	return nil
}

// tab completes a folder where it can, and goes to the next field where it cannot.
func (s *Screen) tab(f *widget.Field) tea.Cmd {
	if f.Ghost != "" {
		f.Text.Set(f.Text.Value() + f.Ghost)
		f.Ghost = ""
		return s.changed(f)
	}
	s.form.Move(1)
	return nil
}

// Key types, moves between fields, and starts the app.
func (s *Screen) Key(k tea.KeyPressMsg) (tea.Cmd, bool) {
	if !s.known || s.err != nil {
		return nil, false
	}
	if s.starting {
		return nil, !leads[k.String()]
	}
	if s.picking != nil {
		return nil, s.picks.Key(k.String())
	}
	f := s.form.Focused()
	switch name := k.String(); {
	case name == "enter" && s.form.OnFold(), name == "space" && s.form.OnFold():
		s.form.ToggleFold()
		return nil, true
	case name == "tab" && f != nil && f.Kind == widget.FolderKind && f.Text.Value() != "":
		if _, checked := s.folders[f.ID]; !checked {
			s.pending = f.ID // the answer is on its way
			return nil, true
		}
		return s.tab(f), true
	case name == "right" && f != nil && f.Kind == widget.FolderKind && f.Ghost != "" && f.Text.AtEnd():
		return s.tab(f), true
	case name == "tab" || name == "down":
		s.form.Move(1)
		return nil, true
	case name == "shift+tab" || name == "up":
		s.form.Move(-1)
		return nil, true
	}
	if f == nil {
		return nil, false
	}
	used, changed := f.Update(k)
	if changed {
		return s.changed(f), true
	}
	return nil, used
}

// leads are the keys that mean what they always do while the app is started.
var leads = map[string]bool{"esc": true, "ctrl+c": true, "1": true, "2": true, "3": true, "?": true, "f1": true, "ctrl+p": true, "ctrl+z": true}

// changed follows up on another answer.
func (s *Screen) changed(f *widget.Field) tea.Cmd {
	defer s.compose()
	s.touched = true
	switch {
	case f.Kind == widget.FolderKind:
		f.Ghost, s.pending = "", ""
		delete(s.folders, f.ID)
		if f.Text.Value() == "" {
			s.remark(f)
		}
		return screen.FolderSoon(s.id, f.ID, f.Text.Value())
	case f.Kind == widget.NumberKind:
		f.Remarks = nil
		delete(s.ports, f.ID)
		id, field, text := s.id, f.ID, f.Value()
		return tea.Tick(screen.Debounce, func(time.Time) tea.Msg { return portDue{id, field, text} })
	case f.ID == idKeep:
		f.Remarks = nil
	case f.ID == idPreset:
		return s.preset(f.Value())
	case f.ID == idBinds:
		f.Remarks = nil
		id, text := s.id, f.Value()
		return tea.Tick(screen.Debounce, func(time.Time) tea.Msg { return bindsDue{id, text} })
	case f.Kind == widget.TextKind:
		f.Remarks = nil
		if why := s.wrong(f); why != "" {
			f.Remarks = []widget.Remark{{Tone: widget.Error, Text: why}}
		}
	case f.Kind == widget.RadioKind:
		for _, other := range s.form.Fields {
			if other.Kind == widget.FolderKind {
				s.remark(other)
			}
		}
	}
	return nil
}

// Mouse goes to a field.
func (s *Screen) Mouse(m screen.Mouse) tea.Cmd {
	if !s.known || s.starting {
		return nil
	}
	if s.picking != nil {
		return s.pickMouse(m)
	}
	p := s.layout(m.W, m.H)
	if m.Wheel != 0 {
		s.form.Move(m.Wheel)
		return nil
	}
	if m.Y < p.formY || m.Y >= p.formY+p.formH {
		return nil
	}
	_, changed := s.form.Click(s.d.Theme, m.X, m.Y-p.formY, m.W, p.formH)
	if f := s.form.Focused(); changed && f != nil {
		return s.changed(f)
	}
	return nil
}

// Actions are what can be done with the form.
func (s *Screen) Actions() []screen.Action {
	wait := ""
	if !s.known {
		wait = "the app is being read"
	}
	if s.picking != nil {
		return s.pickActions()
	}
	if s.starting {
		off := ""
		if s.ending {
			off = "it is being cancelled"
		}
		return []screen.Action{screen.Do(screen.On("esc", "ctrl+c"), "cancel", "Cancel starting "+s.title(), s.cancel).Unless(off)}
	}
	next := "next field"
	if f := s.form.Focused(); f != nil && f.Ghost != "" {
		next = "complete"
	}
	copyIt := func() tea.Cmd { return screen.Ask(screen.Copy{Text: s.command, What: "the command"}) }
	acts := []screen.Action{
		screen.Do(screen.On("enter"), "start", "Start "+s.title(), s.launch).Unless(wait),
		screen.Tell("tab", next),
	}
	if f := s.form.Focused(); f != nil && f.Kind == widget.FolderKind {
		acts = append(acts, screen.Do(screen.On("ctrl+o"), "browse", "Browse for a folder", func() tea.Cmd { return s.browse(f) }).Unless(wait))
	}
	if f := s.form.Focused(); f != nil && f.ID == idBinds {
		acts = append(acts, screen.Do(screen.On("ctrl+o"), "add a folder", "Browse for another folder", func() tea.Cmd { return s.addFolder(f) }).Unless(wait))
	}
	if f := s.form.Focused(); f != nil && f.ID == idPreset && f.Value() != "" {
		acts = append(acts, screen.Do(screen.On("ctrl+x"), "delete these", "Delete the answers "+widget.Clean(f.Value()), func() tea.Cmd { return s.deletePreset(f.Value()) }))
	}
	if f := s.form.Focused(); f != nil && (f.Kind == widget.RadioKind || f.Kind == widget.ChoiceKind) {
		acts = append(acts, screen.Tell("←→", "choose"))
	}
	if p, n := s.taken(); p != "" {
		acts = append(acts, screen.Do(screen.On("ctrl+n"), "use "+n, "Use port "+n+", which is free", func() tea.Cmd {
			f := s.form.Field(p)
			f.SetValue(n)
			return s.changed(f)
		}))
	}
	acts = append(acts, screen.Do(screen.On("y", "ctrl+y"), "copy command", "Copy the command", copyIt).Unless(wait))
	if s.Typing() {
		acts[len(acts)-1] = acts[len(acts)-1].Shown("ctrl+y")
	}
	return append(acts,
		screen.Do(screen.On("ctrl+s"), "save answers", "Save these answers under a name", s.savePreset).Unless(wait).Quietly(),
		screen.Do(screen.On("i", "ctrl+l"), "look inside", "Look inside "+s.title(), func() tea.Cmd {
			return screen.Ask(screen.OpenInspect{Name: s.name, Title: s.title()})
		}).Shown("ctrl+l").Unless(wait).Quietly(),
		screen.Tell("↑ ↓ shift+tab", "move between fields").Quietly(),
		screen.Tell("← → space", "choose an answer").Quietly(),
	)
}

// browse lets the person walk to a folder, from the one in the field when it is there.
func (s *Screen) browse(f *widget.Field) tea.Cmd {
	from := s.d.Home
	if st, ok := s.folders[f.ID]; ok && st.IsDir {
		from = st.Path
	}
	return screen.Ask(screen.PickFolder{Title: "Choose a folder", From: from, Answer: func(path string) tea.Cmd {
		f.Text.Set(widget.Tilde(path, s.d.Home))
		return s.changed(f)
	}})
}

// taken is a port field whose number is in use, and the free one next to it.
func (s *Screen) taken() (field, free string) {
	for _, f := range s.form.Fields {
		if st, ok := s.ports[f.ID]; ok && !st.Free && st.NextOne > 0 {
			return f.ID, itoa(st.NextOne)
		}
	}
	return "", ""
}
