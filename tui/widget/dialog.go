package widget

import (
	"strings"
	"time"

	"carrel/tui/theme"
)

// quiet is how long no key must have come before a dialog that opened by itself takes one: a person who is typing does not
// answer a question they have not seen.
const quiet = 425 * time.Millisecond

// Button is one answer of a dialog.
type Button struct {
	ID    string
	Label string
	Key   string // pressing it is the same as going there and Enter
}

// Dialog asks one question. Esc always means: none of the answers.
type Dialog struct {
	Title   string
	Body    []string // paragraphs
	Buttons []Button
	Focus   int
	Danger  bool // something is lost by saying yes

	self bool // opened without a key press
	last time.Time
}

// Confirm asks whether to do something that cannot be undone; the harmless answer has the focus.
func Confirm(title string, body []string, yes, no string) *Dialog {
	return &Dialog{
		Title: title, Body: body, Danger: true, Focus: 1,
		Buttons: []Button{{ID: "yes", Label: yes, Key: "y"}, {ID: "no", Label: no, Key: "n"}},
	}
}

// OpenedItself says that no key of the person opened the dialog: it takes none until they pause.
func (d *Dialog) OpenedItself(now time.Time) { d.self, d.last = true, now }

// Key takes a key. When done, answer is the ID of a button, or empty after Esc.
func (d *Dialog) Key(k string, now time.Time) (answer string, done bool) {
	if d.early(now) {
		d.last = now
		return "", false
	}
	switch k {
	case "esc", "ctrl+c":
		return "", true
	case "left", "shift+tab", "h", "up":
		d.Focus = (d.Focus + len(d.Buttons) - 1) % max(1, len(d.Buttons))
	case "right", "tab", "l", "down":
		d.Focus = (d.Focus + 1) % max(1, len(d.Buttons))
	case "enter":
		if d.Focus < len(d.Buttons) {
			return d.Buttons[d.Focus].ID, true
		}
		return "", true
	}
	for _, b := range d.Buttons {
		if b.Key != "" && b.Key == strings.ToLower(k) {
			return b.ID, true
		}
	}
	return "", false
}

// early tells whether the dialog opened by itself just now, before the person can have read it.
func (d *Dialog) early(now time.Time) bool {
	d.self = d.self && now.Sub(d.last) < quiet
	return d.self
}

// View draws the dialog, no larger than w by h cells.
func (d *Dialog) View(t *theme.Theme, w, h int) string {
	inner := dialogInner(w)
	buttons := d.buttons(t, inner)
	lines := append(append(d.body(inner, max(0, h-3-len(buttons))), buttons...), "")
	title := t.Title.Render(d.Title)
	if d.Danger {
		title = t.Bad.Bold(true).Render(d.Title)
	}
	return Panel(t, min(w, inner+6), min(h, len(lines)+2), title, "", strings.Join(Indent(lines, 1), "\n"), true)
}

// body is the text in at most h lines: without blank lines, then cut, where there are too few; the buttons must stay in sight.
func (d *Dialog) body(w, h int) []string {
	airy, tight := []string{""}, []string(nil)
	for _, p := range d.Body {
		lines := Wrap(p, w)
		airy, tight = append(append(airy, lines...), ""), append(tight, lines...)
	}
	switch {
	case len(airy) <= h:
		return airy
	case len(tight) > h && h > 0:
		tight = append(tight[:h-1:h-1], Cut(tight[h-1]+" "+theme.Ellipsis, w))
	case h <= 0:
		return nil
	}
	return tight
}

// buttons are the answers: beside each other where w cells are enough, else one per line.
func (d *Dialog) buttons(t *theme.Theme, w int) []string {
	parts := make([]string, len(d.Buttons))
	for i, b := range d.Buttons {
		label := b.words()
		if i == d.Focus {
			parts[i] = t.Button.Render(" " + theme.Folded + " " + label + " ")
		} else {
			parts[i] = t.Plain.Render("   " + label + " ")
		}
	}
	if line := strings.Join(parts, buttonGap); Width(line) <= w {
		return []string{line}
	}
	return parts
}

const buttonGap = "  "

func (b Button) words() string {
	if b.Key == "" {
		return b.Label
	}
	return b.Label + " (" + b.Key + ")"
}

// width is the number of cells a button takes.
func (b Button) width() int { return Width(b.words()) + 4 }

// Click takes a click at (x, y) of a view of w by h cells.
func (d *Dialog) Click(t *theme.Theme, x, y, w, h int, now time.Time) (answer string, done bool) {
	lines := strings.Split(d.View(t, w, h), "\n")
	rows := len(d.buttons(t, dialogInner(w)))
	at := y - (len(lines) - 2 - rows)
	if d.early(now) || at < 0 || at >= rows {
		return "", false
	}
	if rows == len(d.Buttons) && rows > 1 {
		if x < 3 || x >= 3+d.Buttons[at].width() {
			return "", false
		}
		return d.Buttons[at].ID, true
	}
	left := 3
	for _, b := range d.Buttons {
		if x >= left && x < left+b.width() {
			return b.ID, true
		}
		left += b.width() + len(buttonGap)
	}
	return "", false
}

// dialogInner is the width of a dialog's text in w cells.
func dialogInner(w int) int { return min(max(0, w-8), 60) }
