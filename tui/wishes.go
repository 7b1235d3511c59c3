package tui

import (
	"errors"
	"io/fs"
	"strconv"
	"strings"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"carrel/engine"
	"carrel/tui/screen"
	"carrel/tui/screen/build"
	"carrel/tui/screen/doctor"
	"carrel/tui/screen/inspect"
	"carrel/tui/screen/launch"
	"carrel/tui/screen/share"
	"carrel/tui/screen/sources"
	"carrel/tui/screen/space"
	"carrel/tui/screen/welcome"
	"carrel/tui/screen/wizard"
	"carrel/tui/task"
	"carrel/tui/widget"
)

// wish is wished for the program itself.
func (m *model) wish(w any) tea.Cmd {
	cmd, _ := m.wished(w)
	return cmd
}

// wished does what a screen asks for, and tells whether the message was such a wish.
func (m *model) wished(msg tea.Msg) (tea.Cmd, bool) {
	switch w := msg.(type) {
	case screen.GoDesk:
		return m.goTop(topDesk), true
	case screen.GoCatalog:
		return m.goTop(topCatalog), true
	case screen.GoRunning:
		return tea.Batch(m.goTop(topRunning), m.running.Show(w.Name)), true
	case screen.OpenLaunch:
		return m.push(launch.New(m.d, w)), true
	case screen.OpenInspect:
		return m.push(inspect.New(m.d, w)), true
	case screen.OpenShare:
		return m.push(share.New(m.d, w)), true
	case screen.OpenDoctor:
		return m.push(doctor.New(m.d)), true
	case screen.OpenSources:
		return m.push(sources.New(m.d)), true
	case screen.Choose:
		return m.chooseOne(w), true
	case screen.OpenSpace:
		return m.push(space.New(m.d)), true
	case screen.OpenWelcome:
		return m.push(welcome.New(m.d)), true
	case screen.OpenWizard:
		return m.push(wizard.New(m.d, m.d.Cwd)), true
	case screen.MakeOwn:
		return m.makeOwn(w), true
	case screen.EditFile:
		return m.edit(w), true
	case screen.OpenJob:
		return m.openJob(w.Job), true
	case screen.StartBuild:
		return m.startBuild(w), true
	case screen.JobDone:
		return m.jobDone(w), true
	case screen.Started:
		return m.startedBy(w), true
	case screen.Back:
		return m.pop(), true
	case screen.Flash:
		return m.say(w.Tone, w.Text), true
	case screen.Copy:
		return m.copy(w), true
	case screen.Browse:
		return m.browse(w.URL), true
	case screen.ShowCode:
		m.over = overlay{code: widget.NewCode(w.Title, w.Text, w.Note)}
		return nil, true
	case screen.Confirm:
		m.over.ask(w)
		return nil, true
	case screen.AskText:
		return m.over.askText(m, w), true
	case screen.PickFolder:
		return m.over.pickFolder(m, w), true
	case screen.RunInside:
		return m.inside(w), true
	case screen.SaveText:
		return m.save(w), true
	case screen.Failed:
		m.over.ask(m.failure(w))
		return nil, true
	}
	return nil, false
}

// startBuild begins a build in place of the form that asked for it; one that works on the same already is shown instead.
func (m *model) startBuild(w screen.StartBuild) tea.Cmd {
	left, _ := m.drop(w.From)
	for _, j := range m.jobs {
		if j.Builds(w.Spec.Definition) {
			return tea.Batch(left, m.openJob(j.Job()), m.say(widget.Plain, j.Name()+" is being built already."))
		}
	}
	j := build.New(m.d, w)
	m.jobs = append(m.jobs, j)
	return tea.Batch(left, m.push(j))
}

// startedBy shows an app in place of the screen that started it; when the person has gone elsewhere meanwhile, it is only told of.
func (m *model) startedBy(w screen.Started) tea.Cmd {
	left, shown := m.drop(w.From)
	if !shown {
		in := w.Instance
		return tea.Batch(left, m.know(in), m.running.Show(in.Name), m.say(widget.Good, screen.AppTitle(&in)+" is starting; 3 shows it."))
	}
	return tea.Batch(left, m.started(w.Instance))
}

// started shows an app that was just started.
func (m *model) started(in engine.Instance) tea.Cmd {
	return tea.Batch(m.goTop(topRunning), m.know(in), m.running.Show(in.Name))
}

// know tells the screens of an app before the engine's watch does.
func (m *model) know(in engine.Instance) tea.Cmd {
	list := []engine.Instance{in}
	for _, a := range m.apps {
		if a.Name == in.Name && a.Started.Equal(in.Started) {
			return nil
		}
		if a.Name != in.Name {
			list = append(list, a)
		}
	}
	m.apps = list
	return m.broadcast(screen.Instances{List: list, Err: m.lost})
}

// jobDone shows what a build led to: the app, when the person looks at the build; a remark, when they do something else.
func (m *model) jobDone(w screen.JobDone) tea.Cmd {
	var job *build.Screen
	for _, j := range m.jobs {
		if j.Job() == w.Job {
			job = j
		}
	}
	if job == nil {
		return nil
	}
	looking := m.current() == screen.Screen(job)
	switch {
	case w.Instance != nil && looking:
		return m.started(*w.Instance)
	case looking:
		return nil
	case w.Err != nil:
		text := w.Title + " could not be built; E shows why."
		if log := job.Log(); log != "" {
			text += " Its log: " + widget.Tilde(log, m.d.Home)
		}
		return m.say(widget.Error, text)
	}
	if !m.onStack(job) {
		m.dropJob(job)
		job.Close()
	}
	if w.Instance != nil {
		return tea.Batch(m.know(*w.Instance), m.running.Show(w.Instance.Name), m.say(widget.Good, w.Title+" is built and starting; 3 shows it."))
	}
	return m.say(widget.Good, w.Title+" is built.")
}

func (m *model) openJob(id task.ID) tea.Cmd {
	for _, j := range m.jobs {
		if j.Job() == id && !m.onStack(j) {
			m.stacks[m.top] = append(m.stacks[m.top], j)
			m.size()
		}
	}
	return nil
}

// copyLimit is how much terminals take at once (OSC 52); xterm's own limit is 100,000 bytes in base64.
const copyLimit = 74_000

// copy puts a text into the clipboard of the person's terminal, also over SSH. Terminals do not answer, so that short texts
// are shown too.
func (m *model) copy(w screen.Copy) tea.Cmd {
	say, tone := "Copied "+w.What, widget.Good
	switch {
	case len(w.Text) > copyLimit:
		say, tone = say+", "+widget.Bytes(int64(len(w.Text)))+"; if your terminal takes no more than a part, save it with w", widget.Warning
	case !strings.Contains(strings.TrimSpace(w.Text), "\n"):
		say += ": " + w.Text
	}
	return tea.Batch(m.clip(w.Text), m.say(tone, say))
}

// screenLimit is how long a sequence may be that GNU screen lets through.
const screenLimit = 768

// clip puts a text into the clipboard: as a sequence for the terminal (OSC 52), once more in the wrapping that a multiplexer
// takes away where it is set to let such through (allow-passthrough of tmux), and by what else takes it. None of them answers.
func (m *model) clip(text string) tea.Cmd {
	cmds := []tea.Cmd{tea.SetClipboard(text)}
	switch seq := ansi.SetSystemClipboard(text); m.o.Inside {
	case Tmux:
		cmds = append(cmds, tea.Raw(ansi.TmuxPassthrough(seq)))
	case GNUScreen:
		cmds = append(cmds, tea.Raw(ansi.ScreenPassthrough(seq, screenLimit)))
	}
	if f := m.o.Clipboard; f != nil {
		cmds = append(cmds, task.Do(func() error { return f(text) }, func(error) tea.Msg { return nil }))
	}
	return tea.Batch(cmds...)
}

func (m *model) browse(url string) tea.Cmd {
	if m.o.Opener == nil {
		return tea.Batch(m.clip(url), m.say(widget.Plain, "There is no browser on this computer. The address was copied: "+url))
	}
	open := m.o.Opener
	return task.Do(func() error { return open(url) }, func(err error) tea.Msg { return openedMsg{url, err} })
}

func (m *model) save(w screen.SaveText) tea.Cmd {
	if m.o.SaveFile == nil {
		return m.say(widget.Warning, "Files cannot be saved from here.")
	}
	f := m.o.SaveFile
	return task.Call(func() (string, error) { return f(w.Name, w.Text) }, func(p string, err error) tea.Msg { return savedMsg{p, err} })
}

// failure is the dialog of an error: what happened, why, and what to do.
func (m *model) failure(f screen.Failed) screen.Confirm {
	why := widget.Clean(f.Err.Error())
	hint := widget.Sentence(engine.Hint(f.Err))
	switch {
	case hint != "":
	case errors.Is(f.Err, engine.ErrNotFound), errors.Is(f.Err, fs.ErrNotExist):
		hint = "Check the name: the catalog and the desk list all that is there."
	case errors.Is(f.Err, engine.ErrNotRunning):
		hint = "It has ended meanwhile."
	case errors.Is(f.Err, fs.ErrPermission):
		hint = "You may not open this. Check who owns it."
	}
	body := []string{why}
	if hint != "" {
		body = append(body, hint)
	}
	d := &widget.Dialog{Title: widget.Clean(f.What) + " did not work", Danger: true}
	var mend func() tea.Cmd
	if c, ok := engine.Explain(f.Err); ok {
		if c.Why != "" {
			body = append([]string{why}, screen.Why(c, why)...)
		}
		var label string
		if label, mend = m.d.Mend(c, f.Spec, f.Start); mend != nil {
			d.Buttons = append(d.Buttons, widget.Button{ID: "mend", Label: label, Key: "f"})
		}
	}
	d.Body = body
	d.Buttons = append(d.Buttons, widget.Button{ID: "ok", Label: "Close"}, widget.Button{ID: "copy", Label: "Copy the message", Key: "c"})
	text := f.What + ": " + f.Err.Error()
	return screen.Confirm{
		Dialog: m.itself(d),
		Answer: func(id string) tea.Cmd {
			switch id {
			case "mend":
				return mend()
			case "copy":
				return screen.Ask(screen.Copy{Text: text, What: "the message"})
			}
			return nil
		},
	}
}

// chooseOne lets the person choose in the palette.
func (m *model) chooseOne(w screen.Choose) tea.Cmd {
	cmds := make([]widget.Command, len(w.Options))
	for i, o := range w.Options {
		cmds[i] = widget.Command{ID: strconv.Itoa(i), Name: o}
	}
	p := widget.NewPalette(cmds)
	p.Title = w.Title
	m.over = overlay{palette: p, choose: func(id string) tea.Cmd {
		i, err := strconv.Atoi(id)
		if err != nil || w.Answer == nil {
			return nil
		}
		return w.Answer(i)
	}}
	return nil
}

// itself marks a dialog that no key opened.
func (m *model) itself(d *widget.Dialog) *widget.Dialog {
	d.OpenedItself(m.d.Now())
	return d
}
