package tui

import (
	"fmt"
	"slices"
	"strings"

	"charm.land/bubbles/v2/key"
	tea "charm.land/bubbletea/v2"

	"carrel/tui/screen"
	"carrel/tui/widget"
)

// key takes a key: what stands over the screen first, then the screen, then its actions, then the program's.
func (m *model) key(k tea.KeyPressMsg) tea.Cmd {
	if layout(m.w, m.h).tier == screen.TooSmall && k.String() != "q" && k.String() != "ctrl+c" {
		return nil // nothing is done that cannot be seen
	}
	if m.over.open() {
		return m.over.take(m, k)
	}
	cur := m.current()
	typing := cur.Typing()
	if cmd, used := cur.Key(k); used || typing && k.Text != "" {
		return cmd // while something is typed, a letter never does anything else
	}
	for _, a := range append(cur.Actions(), m.actions()...) {
		if key.Matches(k, a.Binding) {
			return m.act(a)
		}
	}
	if k.String() == "q" {
		return m.say(widget.Plain, "esc goes back; q leaves from the desk, the catalog and the running apps.")
	}
	return nil
}

// act does an action, or says why it cannot be done.
func (m *model) act(a screen.Action) tea.Cmd {
	if a.Off != "" {
		return m.say(widget.Warning, "Not now: "+a.Off+".")
	}
	if a.Do == nil {
		return nil
	}
	return a.Do()
}

func (m *model) paste(msg tea.PasteMsg) tea.Cmd {
	if m.over.open() {
		return m.over.take(m, msg)
	}
	return m.current().Update(msg)
}

// actions are what can be done on every screen.
func (m *model) actions() []screen.Action {
	running := "Running"
	if n := m.live(); n > 0 {
		running = fmt.Sprintf("Running (%d)", n)
	}
	mouse := "Release the mouse, to select text with it"
	if m.freeMouse {
		mouse = "Use the mouse in Carrel again"
	}
	var acts []screen.Action
	if len(m.stacks[m.top]) > 0 {
		acts = append(acts, screen.Do(screen.On("esc"), "back", "", m.pop))
	} else if m.top != topDesk {
		acts = append(acts, screen.Do(screen.On("esc"), "desk", "", func() tea.Cmd { return m.goTop(topDesk) }).Quietly())
	}
	if len(m.stacks[m.top]) == 0 {
		acts = append(acts, screen.Do(screen.On("q"), "leave Carrel", "Leave Carrel (apps keep running)", m.quit).Quietly())
	}
	for _, j := range m.jobs {
		if id, name := j.Job(), "Show why "+j.Name()+" could not be built"; j.Failed() && !m.onStack(j) {
			acts = append(acts, screen.Do(screen.On("E"), "what failed", name, func() tea.Cmd { return m.openJob(id) }).Quietly())
			break
		}
	}
	acts = append(acts,
		screen.Do(screen.On("1"), "desk", "Go to the desk", func() tea.Cmd { return m.goTop(topDesk) }).Quietly(),
		screen.Do(screen.On("2"), "catalog", "Go to the catalog", func() tea.Cmd { return m.goTop(topCatalog) }).Quietly(),
		screen.Do(screen.On("3"), "running apps", "Go to "+running, func() tea.Cmd { return m.goTop(topRunning) }).Quietly(),
		screen.Do(screen.On("ctrl+p"), "all actions", "", m.openPalette).Quietly(),
		screen.Do(screen.On("?", "f1"), "all keys of this screen", "", m.openHelp).Quietly(),
		screen.Do(screen.On("Y"), "copy a link", "Copy an address or a path of this screen", m.copyLink).Quietly(),
		screen.Do(screen.On("M"), "release the mouse", mouse, m.toggleMouse).Quietly(),
		screen.Do(screen.On("ctrl+z"), "suspend", "Suspend Carrel (fg in the shell comes back)", func() tea.Cmd { return tea.Suspend }).Quietly(),
		screen.Do(screen.On("ctrl+c"), "leave Carrel", "", m.quit).Quietly(),
	)
	return acts
}

// toggleMouse gives the mouse to the terminal, for selecting and copying text, or takes it back.
func (m *model) toggleMouse() tea.Cmd {
	m.freeMouse = !m.freeMouse
	if m.freeMouse {
		return m.say(widget.Plain, "The mouse selects text now; M gives it back to Carrel.")
	}
	return m.say(widget.Plain, "The mouse clicks in Carrel again.")
}

// further are actions that have no key, for the palette.
func (m *model) further() []screen.Action {
	acts := []screen.Action{
		screen.Do(screen.On(""), "", "Make an app of a folder of mine", func() tea.Cmd { return m.wish(screen.OpenWizard{}) }),
		screen.Do(screen.On(""), "", "Free disk space", func() tea.Cmd { return m.wish(screen.OpenSpace{}) }),
		screen.Do(screen.On(""), "", "Check this computer", func() tea.Cmd { return m.wish(screen.OpenDoctor{}) }),
		screen.Do(screen.On(""), "", "Show the introduction again", func() tea.Cmd { return m.wish(screen.OpenWelcome{}) }),
	}
	for _, j := range m.jobs {
		id, name := j.Job(), "Show the build of "+j.Name()
		acts = append(acts, screen.Do(screen.On(""), "", name, func() tea.Cmd { return m.openJob(id) }))
	}
	for i := range m.apps {
		name := m.apps[i].Name
		acts = append(acts, screen.Do(screen.On(""), "", "Show "+widget.Clean(name), func() tea.Cmd { return m.wish(screen.GoRunning{Name: name}) }))
	}
	return acts
}

func (m *model) openPalette() tea.Cmd {
	acts := append(append(m.current().Actions(), m.actions()...), m.further()...)
	var cmds []widget.Command
	seen := map[string]bool{}
	for i, a := range acts {
		if a.Name == "" || seen[a.Name] {
			continue
		}
		seen[a.Name] = true
		cmds = append(cmds, widget.Command{ID: fmt.Sprint(i), Name: a.Name, Key: a.Help().Key, Off: a.Off})
	}
	m.over = overlay{palette: widget.NewPalette(cmds), choose: func(id string) tea.Cmd {
		for i, a := range acts {
			if fmt.Sprint(i) == id {
				return m.act(a)
			}
		}
		return nil
	}}
	return nil
}

func (m *model) openHelp() tea.Cmd {
	here, everywhere := hints(m.current().Actions(), true), hints(m.actions(), true)
	everywhere = slices.DeleteFunc(everywhere, func(e widget.Hint) bool { // what the screen takes for itself
		return slices.ContainsFunc(here, func(h widget.Hint) bool { return h.Key == e.Key })
	})
	m.over = overlay{help: &widget.Help{Title: "Keys: " + m.current().Title(), Groups: []widget.HintGroup{
		{Title: "Here", Hints: here}, {Title: "Everywhere", Hints: everywhere},
	}}}
	return nil
}

// hints turns actions into what the footer and the help show.
func hints(acts []screen.Action, all bool) []widget.Hint {
	var out []widget.Hint
	for _, a := range acts {
		if a.Hidden && !all {
			continue
		}
		h := a.Help()
		text := h.Desc
		if all && a.Name != "" {
			text = a.Name
		}
		if all {
			text = widget.Capital(text)
		}
		out = append(out, widget.Hint{Key: h.Key, Text: text, Off: a.Off})
	}
	return out
}

func (m *model) live() int {
	n := 0
	for _, a := range m.apps {
		if a.State.Live() {
			n++
		}
	}
	return n
}

// quit leaves the program. Apps go on; builds and what is being sent would not, so it asks.
func (m *model) quit() tea.Cmd {
	work := m.work()
	if work == "" {
		return tea.Quit
	}
	text := "Leaving now cancels it."
	if strings.HasPrefix(work, "The build") {
		text = "Leaving now cancels it; what it has fetched is kept for the next time."
	}
	m.over.ask(screen.Confirm{
		Dialog: widget.Confirm(work+" is not finished", []string{text + " Apps that run keep running."}, "Leave and cancel it", "Stay"),
		Answer: func(id string) tea.Cmd {
			if id != "yes" {
				return nil
			}
			m.quitMsg = work + " was cancelled."
			return tea.Quit
		},
	})
	return nil
}
