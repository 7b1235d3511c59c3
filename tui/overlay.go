package tui

import (
	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"carrel/tui/screen"
	"carrel/tui/task"
	"carrel/tui/theme"
	"carrel/tui/widget"
)

// overlay is what stands over the screen and takes the keys: one thing at a time, in this order.
type overlay struct {
	dialog *widget.Dialog
	answer func(string) tea.Cmd

	prompt *widget.Prompt
	text   screen.AskText

	browser *widget.Browser
	pick    func(path string) tea.Cmd

	palette *widget.Palette
	choose  func(id string) tea.Cmd

	help *widget.Help
	code *widget.Code
}

func (o *overlay) open() bool {
	return o.dialog != nil || o.prompt != nil || o.browser != nil || o.palette != nil || o.help != nil || o.code != nil
}

func (o *overlay) ask(c screen.Confirm) {
	*o = overlay{dialog: c.Dialog, answer: c.Answer}
}

func (o *overlay) askText(m *model, a screen.AskText) tea.Cmd {
	*o = overlay{prompt: widget.NewPrompt(a.Title, a.Help, a.Hint, a.Value), text: a}
	o.prompt.Files = a.Files
	return o.lookUp(m)
}

// lookUp asks how the typed path may go on.
func (o *overlay) lookUp(m *model) tea.Cmd {
	if !o.text.Files || o.prompt.Value() == "" {
		return nil
	}
	text, home := o.prompt.Value(), m.d.Home
	return task.Call(func() (task.Completion, error) { return task.Complete(text, home, false), nil },
		func(c task.Completion, _ error) tea.Msg { return completionMsg{c} })
}

func (o *overlay) complete(c task.Completion) {
	if o.prompt == nil || o.prompt.Value() != c.Text {
		return
	}
	o.prompt.Ghost = widget.Clean(c.Rest)
	o.prompt.More = nil
	for _, n := range c.Options {
		o.prompt.More = append(o.prompt.More, widget.Clean(n))
	}
}

func (o *overlay) pickFolder(m *model, p screen.PickFolder) tea.Cmd {
	*o = overlay{browser: widget.NewBrowser(p.Title, p.From), pick: p.Answer}
	return tea.Batch(o.readFolder(m), m.readPlaces(func(placesKept) {}))
}

// readFolder reads the folder the browser wants to show; one that is not there leads to the one above it.
func (o *overlay) readFolder(m *model) tea.Cmd {
	dir, hidden, home := o.browser.Dir(), o.browser.Hidden(), m.d.Home
	return task.Call(func() (foldersMsg, error) {
		f := foldersMsg{dir: dir, shown: widget.Tilde(dir, home)}
		var err error
		f.names, f.files, err = task.Folders(dir, hidden)
		return f, err
	}, func(f foldersMsg, err error) tea.Msg {
		f.dir, f.shown = dir, widget.Tilde(dir, home)
		if err != nil {
			f.why = err.Error()
		}
		return f
	})
}

// walked follows up on a key or click in the browser.
func (o *overlay) walked(m *model, moved, done bool, chosen string) tea.Cmd {
	switch {
	case done:
		f := o.pick
		*o = overlay{}
		if chosen != "" && f != nil {
			return tea.Batch(f(chosen), m.readPlaces(func(k placesKept) { k.lately(chosen) }))
		}
	case moved:
		return o.readFolder(m)
	}
	return nil
}

// take hands a key or pasted text to what is open.
func (o *overlay) take(m *model, msg tea.Msg) tea.Cmd {
	k, isKey := msg.(tea.KeyPressMsg)
	switch {
	case o.dialog != nil:
		if !isKey {
			return nil
		}
		id, done := o.dialog.Key(k.String(), m.d.Now())
		return o.answered(id, done)
	case o.prompt != nil:
		changed, done, ok := o.prompt.Update(msg)
		if done {
			f, v := o.text.Answer, task.Expand(o.prompt.Value(), m.d.Home)
			*o = overlay{}
			if ok && f != nil {
				return f(v)
			}
			return nil
		}
		if changed {
			return o.lookUp(m)
		}
	case o.browser != nil:
		if o.browser.Naming() {
			if path := o.browser.Type(msg); path != "" {
				return m.makeFolder(path)
			}
			return nil
		}
		if isKey && k.String() == "m" {
			dir := o.browser.Marked()
			return m.readPlaces(func(k placesKept) { k.mark(dir) })
		}
		if isKey {
			moved, done, chosen := o.browser.Key(k.String())
			return o.walked(m, moved, done, chosen)
		}
	case o.palette != nil:
		if id, done := o.palette.Update(msg); done {
			f := o.choose
			*o = overlay{}
			if id != "" && f != nil {
				return f(id)
			}
		}
	case o.help != nil:
		if isKey && o.help.Key(k.String()) {
			*o = overlay{}
		}
	case o.code != nil:
		if isKey {
			*o = overlay{}
		}
	}
	return nil
}

func (o *overlay) answered(id string, done bool) tea.Cmd {
	if !done {
		return nil
	}
	f := o.answer
	*o = overlay{}
	if id != "" && f != nil {
		return f(id)
	}
	return nil
}

// view draws what is open over a frame of w by h cells.
func (o *overlay) view(t *theme.Theme, base string, w, h int) string {
	box, x, y := o.box(t, w, h)
	if box == "" {
		return base
	}
	return widget.Overlay(dim(t, base), box, x, y)
}

// box is what is open and where it stands.
func (o *overlay) box(t *theme.Theme, w, h int) (box string, x, y int) {
	aw, ah := max(0, w-2), max(0, h-2)
	switch {
	case o.dialog != nil:
		box = o.dialog.View(t, aw, ah)
	case o.prompt != nil:
		box = o.prompt.View(t, aw, ah)
	case o.browser != nil:
		box = o.browser.View(t, aw, ah)
	case o.palette != nil:
		box = o.palette.View(t, aw, ah)
	case o.help != nil:
		box = o.help.View(t, aw, ah)
	case o.code != nil:
		box = o.code.View(t, aw, ah)
	default:
		return "", 0, 0
	}
	bw, bh := size(box)
	x, y = widget.Centered(w, h, bw, bh)
	if o.palette != nil {
		y = min(y, max(1, h/6))
	}
	return box, x, y
}

func size(block string) (w, h int) {
	h = 1
	line := block
	for i := range len(block) {
		if block[i] == '\n' {
			if h == 1 {
				line = block[:i]
			}
			h++
		}
	}
	return widget.Width(line), h
}

// dim takes the colours out of what lies under an overlay.
func dim(t *theme.Theme, base string) string {
	lines := splitLines(ansi.Strip(base))
	for i, l := range lines {
		lines[i] = t.Faint.Render(l)
	}
	return joinLines(lines)
}

// click hands a click or a turn of the wheel to what is open; outside of it a click closes what needs no answer.
func (o *overlay) click(m *model, x, y, wheel int) tea.Cmd {
	box, bx, by := o.box(m.d.Theme, m.w, m.h)
	bw, bh := size(box)
	outside := x < bx || y < by || x >= bx+bw || y >= by+bh
	switch {
	case o.dialog != nil:
		if wheel == 0 && !outside {
			id, done := o.dialog.Click(m.d.Theme, x-bx, y-by, max(0, m.w-2), max(0, m.h-2), m.d.Now())
			return o.answered(id, done)
		}
	case o.browser != nil:
		switch {
		case wheel != 0:
			o.browser.Scroll(wheel)
		case !outside:
			moved, done, chosen := o.browser.Click(y-by, max(0, m.h-2))
			return o.walked(m, moved, done, chosen)
		}
	case o.palette != nil:
		switch {
		case wheel != 0:
			o.palette.Scroll(wheel)
		case outside:
			*o = overlay{}
		default:
			if id, done := o.palette.Click(x-bx, y-by, max(0, m.w-2), max(0, m.h-2)); done {
				f := o.choose
				*o = overlay{}
				return f(id)
			}
		}
	case o.code != nil:
		if wheel == 0 {
			*o = overlay{}
		}
	case o.help != nil:
		switch {
		case wheel < 0:
			o.help.Key("up")
		case wheel > 0:
			o.help.Key("down")
		case outside:
			*o = overlay{}
		}
	}
	return nil
}
