package widget

import (
	"strings"

	tea "charm.land/bubbletea/v2"

	"carrel/tui/theme"
)

// Prompt asks for one line of text, over a screen.
type Prompt struct {
	Title string
	Help  string
	Hint  string
	Ghost string   // completion, taken with tab
	More  []string // other ways to go on
	Files bool     // what is typed is a path, which tab completes
	text  Text
}

// NewPrompt makes a prompt that holds a text.
func NewPrompt(title, help, hint, value string) *Prompt {
	return &Prompt{Title: title, Help: help, Hint: hint, text: NewText(value)}
}

// Value is what was typed.
func (p *Prompt) Value() string { return p.text.Value() }

// Update takes a key or pasted text. changed tells that the text is another; done that it is finished, ok that it counts.
func (p *Prompt) Update(msg tea.Msg) (changed, done, ok bool) {
	was := p.text.Value()
	if k, isKey := msg.(tea.KeyPressMsg); isKey {
		switch k.String() {
		case "esc", "ctrl+c":
			return false, true, false
		case "enter":
			if strings.TrimSpace(was) == "" {
				return false, false, false
			}
			return false, true, true
		case "tab":
			if p.Ghost != "" {
				p.text.Set(was + p.Ghost)
				p.Ghost = ""
			}
			return p.text.Value() != was, false, false
		case "right":
			if p.Ghost != "" && p.text.AtEnd() {
				p.text.Set(was + p.Ghost)
				p.Ghost = ""
				return true, false, false
			}
		}
	}
	p.text.Update(msg)
	if p.text.Value() != was {
		p.Ghost = ""
		return true, false, false
	}
	return false, false, false
}

// View draws the prompt, no larger than w by h cells.
func (p *Prompt) View(t *theme.Theme, w, h int) string {
	inner := min(max(0, w-8), 72)
	ghost := p.Ghost
	if p.text.Value() == "" {
		ghost = p.Hint
	}
	lines := []string{""}
	for _, l := range Wrap(p.Help, inner) {
		lines = append(lines, t.Muted.Render(l))
	}
	lines = append(lines, "", t.Accent.Render(theme.Crumb)+" "+p.text.View(t, max(0, inner-2), true, ghost), "")
	keys := "esc cancels"
	if p.Files {
		lines = append(lines, t.Muted.Render(Cut(strings.Join(p.More, "  "), inner)))
		if long := "tab completes " + theme.Sep + " " + keys; Width(p.Title)+Width(long) <= inner-8 {
			keys = long
		}
	}
	return Panel(t, min(w, inner+6), min(h, len(lines)+2), t.Title.Render(p.Title), t.Muted.Render(keys),
		strings.Join(Indent(lines, 1), "\n"), true)
}
