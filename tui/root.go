package tui

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"carrel/engine"
	"carrel/tui/screen"
	"carrel/tui/screen/build"
	"carrel/tui/screen/catalog"
	"carrel/tui/screen/desk"
	"carrel/tui/screen/doctor"
	"carrel/tui/screen/session"
	"carrel/tui/screen/welcome"
	"carrel/tui/task"
	"carrel/tui/theme"
	"carrel/tui/widget"
)

// The top screens, in the order of their keys 1, 2, 3.
const (
	topDesk = iota
	topCatalog
	topRunning
)

// model is the program's only tea.Model. It is changed by Update alone.
type model struct {
	o Options
	d screen.Deps

	w, h int

	tops    [3]screen.Screen
	top     int
	running *session.Screen    // tops[topRunning]
	stacks  [3][]screen.Screen // above each top screen
	jobs    []*build.Screen    // builds that are not over, or whose end was not seen
	seen    screen.Screen      // was told that it is shown
	ending  []screen.Waiter    // screens that were left, and may still be ending what they did

	apps  []engine.Instance
	lost  error // why some apps could not be listed
	ready readiness
	watch *task.Stream[screen.Instances]

	over      overlay
	freeMouse bool // the terminal has the mouse, to select text with
	flash     flash

	now     time.Time
	frame   int
	tickNo  int           // number of the tick that counts
	tickIn  time.Duration // its pace; 0: none is on its way
	quitMsg string

	pace  pacer
	crash *crash // a panic that was caught
	abort func() // ends the loop from outside of Update
}

type flash struct {
	screen.Flash
	until time.Time
}

// flashTime is how long a remark stays.
const flashTime = 5 * time.Second

// messages of the program to itself
type (
	watchMsg struct{ batch task.Batch[screen.Instances] }
	tickMsg  struct {
		no  int
		now time.Time
	}
	completionMsg struct{ task.Completion }
	foldersMsg    struct {
		dir, shown string
		names      []string
		files      int
		why        string
	}
	insideMsg struct {
		what string
		err  error
	}
	savedMsg struct {
		path string
		err  error
	}
	openedMsg struct {
		url string
		err error
	}
)

func newModel(life context.Context, o Options) *model {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Memory == nil {
		o.Memory = forgetful{}
	}
	m := &model{o: o, now: o.Now(), w: o.Width, h: o.Height}
	m.d = screen.Deps{
		Life: life, Engine: o.Engine, Catalog: o.Catalog, Memory: o.Memory, Theme: theme.New(o.Theme), Now: o.Now,
		Home: o.Home, Self: o.Self, Cwd: o.Cwd, Writable: o.Writable, Remote: o.Remote,
	}
	m.running = session.New(m.d)
	m.tops = [3]screen.Screen{desk.New(m.d), catalog.New(m.d), m.running}
	switch o.Start {
	case StartCatalog:
		m.top = topCatalog
	case StartRunning:
		m.top = topRunning
	case StartWelcome:
		m.stacks[m.top] = append(m.stacks[m.top], welcome.New(m.d))
	case StartDoctor:
		m.stacks[m.top] = append(m.stacks[m.top], doctor.New(m.d))
	}
	m.size()
	return m
}

type forgetful struct{}

func (forgetful) Load(string) map[string]string        { return nil }
func (forgetful) Save(string, map[string]string) error { return nil }

// Init asks the terminal for its background and starts what the screens need to know. The first frame waits for none of it.
func (m *model) Init() tea.Cmd {
	cmds := []tea.Cmd{tea.RequestBackgroundColor, m.observe(), m.checkReady(readyAfter)}
	for _, s := range m.tops {
		cmds = append(cmds, s.Init())
	}
	for _, st := range m.stacks {
		for _, s := range st {
			cmds = append(cmds, s.Init())
		}
	}
	if m.o.Start == StartRunning && m.o.StartName != "" {
		cmds = append(cmds, m.running.Show(m.o.StartName))
	}
	return tea.Batch(append(cmds, m.settle())...)
}

// observe hands on what runs, now and whenever it changes.
func (m *model) observe() tea.Cmd {
	eng := m.d.Engine
	m.watch = task.Run(m.d.Life, func(ctx context.Context, emit func(screen.Instances)) error {
		tell := func() {
			list, err := eng.Instances(ctx)
			emit(screen.Instances{List: list, Err: err})
		}
		changes, err := eng.Watch(ctx)
		tell()
		if err != nil {
			return err
		}
		for range changes {
			tell()
		}
		return ctx.Err()
	})
	return m.nextWatch()
}

func (m *model) nextWatch() tea.Cmd {
	return m.watch.Next(func(b task.Batch[screen.Instances]) tea.Msg { return watchMsg{b} })
}

// current is the screen that is shown.
func (m *model) current() screen.Screen {
	if n := len(m.stacks[m.top]); n > 0 {
		return m.stacks[m.top][n-1]
	}
	return m.tops[m.top]
}

// all are all screens that live, each once.
func (m *model) all() []screen.Screen {
	out := append([]screen.Screen{}, m.tops[:]...)
	for _, st := range m.stacks {
		out = append(out, st...)
	}
	for _, j := range m.jobs {
		if !m.onStack(j) {
			out = append(out, j)
		}
	}
	return out
}

func (m *model) onStack(s screen.Screen) bool {
	return slices.ContainsFunc(m.stacks[:], func(st []screen.Screen) bool { return slices.Contains(st, s) })
}

func (m *model) update(msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.w, m.h = msg.Width, msg.Height
		m.size()
		return nil
	case tea.BackgroundColorMsg:
		o := m.d.Theme.Options
		o.Background = theme.Light
		if msg.IsDark() {
			o.Background = theme.Dark
		}
		*m.d.Theme = *theme.New(o)
		return nil
	case tea.KeyPressMsg:
		return m.key(msg)
	case tea.PasteMsg:
		return m.paste(msg)
	case tea.MouseClickMsg:
		if msg.Button != tea.MouseLeft {
			return nil
		}
		return m.mouse(msg.X, msg.Y, 0)
	case tea.MouseWheelMsg:
		switch msg.Button {
		case tea.MouseWheelUp:
			return m.mouse(msg.X, msg.Y, -1)
		case tea.MouseWheelDown:
			return m.mouse(msg.X, msg.Y, 1)
		}
		return nil
	case tickMsg:
		return m.tick(msg)
	case readyMsg:
		m.checked(msg)
		return nil
	case watchMsg:
		return m.changed(msg.batch)
	case completionMsg:
		m.over.complete(msg.Completion)
		return nil
	case foldersMsg:
		if b := m.over.browser; b != nil {
			b.Fill(msg.dir, msg.shown, msg.names, msg.files, msg.why)
		}
		return nil
	case placesMsg:
		if b := m.over.browser; b != nil {
			b.SetPlaces(msg.places)
		}
		if msg.said != "" {
			return m.say(widget.Good, msg.said)
		}
		return nil
	case madeFolderMsg:
		b := m.over.browser
		switch {
		case msg.err != nil:
			return m.say(widget.Error, widget.Sentence(msg.err.Error()))
		case b != nil:
			b.Enter(msg.path)
			return m.over.readFolder(m)
		}
		return nil
	case insideMsg:
		if msg.err != nil {
			return m.wish(screen.Failed{What: "Opening " + msg.what, Err: msg.err})
		}
		return nil
	case savedMsg:
		if msg.err != nil {
			return m.wish(screen.Failed{What: "Saving", Err: msg.err})
		}
		return m.say(widget.Good, "Saved as "+widget.Tilde(msg.path, m.d.Home))
	case openedMsg:
		if msg.err != nil {
			return m.say(widget.Warning, "No browser could be opened here. c copies the address.")
		}
		return m.say(widget.Good, "Opened in your browser: "+msg.url)
	}
	if cmd, ok := m.wished(msg); ok {
		return cmd
	}
	if cmd, ok := m.owned(msg); ok {
		return cmd
	}
	if cmd := screen.Follow(msg); cmd != nil {
		return cmd
	}
	return m.broadcast(msg)
}

// broadcast hands a message to every screen; each knows its own.
func (m *model) broadcast(msg tea.Msg) tea.Cmd {
	var cmds []tea.Cmd
	for _, s := range m.all() {
		cmds = append(cmds, s.Update(msg))
	}
	return tea.Batch(cmds...)
}

func (m *model) changed(b task.Batch[screen.Instances]) tea.Cmd {
	var cmd tea.Cmd
	if n := len(b.Items); n > 0 {
		last := b.Items[n-1]
		if last.Err != nil && (m.lost == nil || m.lost.Error() != last.Err.Error()) {
			m.say(widget.Warning, "Not every app can be listed: "+last.Err.Error())
		}
		m.apps, m.lost = last.List, last.Err
		cmd = m.broadcast(last)
	}
	if b.Done {
		return cmd
	}
	return tea.Batch(cmd, m.nextWatch())
}

// settle tells screens that they came into sight or went, and keeps the clock going while something moves.
func (m *model) settle() tea.Cmd {
	var cmds []tea.Cmd
	if cur := m.current(); cur != m.seen {
		if m.seen != nil {
			cmds = append(cmds, m.seen.Update(screen.Hidden{}))
		}
		m.seen = cur
		m.size()
		cmds = append(cmds, cur.Update(screen.Shown{}))
	}
	pace := m.current().Pace()
	for _, j := range m.jobs {
		if j.Running() && (pace == 0 || pace > screen.Spin) {
			pace = screen.Spin
		}
	}
	if m.flash.Text != "" && (pace == 0 || pace > screen.Second) {
		pace = screen.Second
	}
	if pace > 0 && (m.tickIn == 0 || m.tickIn > pace) {
		m.tickIn = pace
		m.tickNo++
		no, now := m.tickNo, m.d.Now
		cmds = append(cmds, tea.Tick(pace, func(time.Time) tea.Msg { return tickMsg{no, now()} }))
	}
	return tea.Batch(cmds...)
}

func (m *model) tick(msg tickMsg) tea.Cmd {
	if msg.no != m.tickNo {
		return nil
	}
	m.tickIn = 0
	m.now = msg.now
	m.frame++
	if m.flash.Text != "" && !m.now.Before(m.flash.until) {
		m.flash = flash{}
	}
	return m.current().Update(screen.Tick{Now: msg.now, Frame: m.frame})
}

func (m *model) say(tone widget.Tone, text string) tea.Cmd {
	m.flash = flash{screen.Flash{Tone: tone, Text: widget.Clean(text)}, m.d.Now().Add(flashTime)}
	return nil
}

// push shows a screen above the current one.
func (m *model) push(s screen.Screen) tea.Cmd {
	m.stacks[m.top] = append(m.stacks[m.top], s)
	m.size()
	var first tea.Cmd
	if m.apps != nil {
		first = s.Update(screen.Instances{List: m.apps, Err: m.lost})
	}
	return tea.Batch(s.Init(), first)
}

// pop leaves the current screen. A build that works goes on.
func (m *model) pop() tea.Cmd {
	n := len(m.stacks[m.top])
	if n == 0 {
		return nil
	}
	s := m.stacks[m.top][n-1]
	m.stacks[m.top] = m.stacks[m.top][:n-1]
	m.flash = flash{} // what was said of the screen that is left
	return m.leave(s)
}

func (m *model) leave(s screen.Screen) tea.Cmd {
	if s == m.seen {
		m.seen = nil
	}
	if j, ok := s.(*build.Screen); ok {
		if j.Running() {
			return m.say(widget.Plain, j.Name()+" is still being built; ctrl+p shows it.")
		}
		m.dropJob(j)
	}
	if _, ok := s.(*welcome.Screen); ok && m.o.Welcomed != nil {
		f := m.o.Welcomed
		m.closeOne(s)
		return task.Do(func() error { f(); return nil }, func(error) tea.Msg { return nil })
	}
	m.closeOne(s)
	if _, ok := s.(*doctor.Screen); ok { // what was in the way may have been put right
		return m.checkReady(0)
	}
	return nil
}

// closeOne ends what a screen started; what takes longer is waited for when the program ends.
func (m *model) closeOne(s screen.Screen) {
	s.Close()
	if w, ok := s.(screen.Waiter); ok {
		m.ending = append(m.ending, w)
	}
}

func (m *model) dropJob(j *build.Screen) {
	for i, x := range m.jobs {
		if x == j {
			m.jobs = append(m.jobs[:i:i], m.jobs[i+1:]...)
			return
		}
	}
}

// goTop leaves the screens above a top one and shows it. A screen that would lose something stays where it is: coming back
// shows it again.
func (m *model) goTop(top int) tea.Cmd {
	var cmds []tea.Cmd
	for n := len(m.stacks[m.top]); n > 0; n = len(m.stacks[m.top]) {
		s := m.stacks[m.top][n-1]
		if k, ok := s.(screen.Keeper); ok && k.Keeps() {
			if top == m.top {
				cmds = append(cmds, m.say(widget.Plain, widget.Clean(s.Title())+" is not finished; esc leaves it."))
			} else {
				cmds = append(cmds, m.say(widget.Plain, fmt.Sprintf("%s stays as it is; %d comes back to it.", widget.Clean(s.Title()), m.top+1)))
			}
			break
		}
		cmds = append(cmds, m.pop())
	}
	m.top = top
	return tea.Batch(cmds...)
}

// drop leaves the screen that asked for something, and those above it, wherever it is. It tells whether that was the one
// that is shown, and does nothing for 0.
func (m *model) drop(id task.ID) (cmd tea.Cmd, shown bool) {
	for top, st := range m.stacks {
		at := slices.IndexFunc(st, func(s screen.Screen) bool {
			w, ok := s.(interface{ ID() task.ID })
			return ok && id != 0 && w.ID() == id
		})
		if at < 0 {
			continue
		}
		shown = top == m.top && at == len(st)-1
		m.stacks[top] = st[:at]
		var cmds []tea.Cmd
		for _, s := range slices.Backward(st[at:]) {
			cmds = append(cmds, m.leave(s))
		}
		return tea.Batch(cmds...), shown
	}
	return nil, false
}

// work is what would be ended by leaving the program; empty for nothing.
func (m *model) work() string {
	for _, j := range m.jobs {
		if j.Running() {
			return "The build of " + j.Name()
		}
	}
	for _, s := range m.all() {
		if w, ok := s.(screen.Worker); ok && w.Working() != "" {
			return w.Working()
		}
	}
	return ""
}

// inside hands the terminal to a command of this program.
func (m *model) inside(w screen.RunInside) tea.Cmd {
	if m.o.Self == "" {
		return m.say(widget.Warning, "This program does not know where it lies, so it cannot open "+w.What+".")
	}
	return tea.ExecProcess(exec.Command(m.o.Self, w.Args...), func(err error) tea.Msg {
		if _, exited := err.(*exec.ExitError); exited {
			err = nil // the shell's last command failed; that is the person's business
		}
		return insideMsg{w.What, err}
	})
}

// edit hands the terminal to the person's editor.
func (m *model) edit(w screen.EditFile) tea.Cmd {
	program := m.o.Editor
	if w.Read && len(m.o.Pager) > 0 {
		program = m.o.Pager
	}
	if len(program) == 0 && w.Read {
		return m.copy(screen.Copy{Text: w.Path, What: "the path, as nothing was found here to show it with"})
	}
	if len(program) == 0 {
		return m.say(widget.Warning, "No editor was found here. Set EDITOR to the one you use, and start Carrel again.")
	}
	return tea.ExecProcess(exec.Command(program[0], append(append([]string{}, program[1:]...), w.Path)...), w.Done)
}

// goodbye says what goes on when the program has ended.
func (m *model) goodbye() string {
	var names []string
	for _, a := range m.apps {
		if a.State.Live() {
			names = append(names, widget.Clean(a.Name))
		}
	}
	switch len(names) {
	case 0:
		return m.quitMsg
	case 1:
		return strings.TrimSpace(fmt.Sprintf("%s keeps running. Come back with: carrel   Stop it with: carrel stop %s\n%s", names[0], names[0], m.quitMsg))
	}
	last := len(names) - 1
	return strings.TrimSpace(fmt.Sprintf("%s and %s keep running. Come back with: carrel   Stop one with: carrel stop NAME\n%s",
		strings.Join(names[:last], ", "), names[last], m.quitMsg))
}

// close ends all screens; called when the loop has ended.
func (m *model) close() {
	for _, s := range m.all() {
		m.closeOne(s)
	}
	for _, w := range m.ending {
		w.Wait()
	}
	m.watch.Stop()
	m.watch.Wait()
}
