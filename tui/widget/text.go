package widget

import (
	"strings"
	"unicode"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
	"github.com/rivo/uniseg"

	"carrel/tui/theme"
)

// Text is one line of text that is being typed, with the keys of a shell's line editor. It is our own because the one of
// bubbles brings a clipboard package that searches PATH in its init, which every re-executed container init would pay for.
type Text struct {
	before, after string // what is left and right of the cursor
}

// NewText makes a text field that holds s, with the cursor at its end.
func NewText(s string) Text { return Text{before: typable(s)} }

// Value is what has been typed.
func (t *Text) Value() string { return t.before + t.after }

// Set replaces the text and puts the cursor at its end.
func (t *Text) Set(s string) { t.before, t.after = typable(s), "" }

// AtEnd tells whether the cursor is behind the last character.
func (t *Text) AtEnd() bool { return t.after == "" }

// typable drops what cannot be part of a line.
func typable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, s)
}

// Update takes a key or pasted text and tells whether the text or the cursor changed.
func (t *Text) Update(msg tea.Msg) bool {
	was := *t
	switch msg := msg.(type) {
	case tea.PasteMsg:
		t.before += typable(strings.ReplaceAll(msg.Content, "\n", " "))
	case tea.KeyPressMsg:
		t.key(msg)
	}
	return *t != was
}

func (t *Text) key(k tea.KeyPressMsg) {
	all := t.before + t.after
	switch k.String() {
	case "left", "ctrl+b":
		t.move(-len(lastGrapheme(t.before)))
	case "right", "ctrl+f":
		t.move(len(firstGrapheme(t.after)))
	case "home", "ctrl+a":
		t.before, t.after = "", all
	case "end", "ctrl+e":
		t.before, t.after = all, ""
	case "backspace", "ctrl+h":
		t.before = strings.TrimSuffix(t.before, lastGrapheme(t.before))
	case "delete", "ctrl+d":
		t.after = strings.TrimPrefix(t.after, firstGrapheme(t.after))
	case "ctrl+u":
		t.before = ""
	case "ctrl+k":
		t.after = ""
	case "ctrl+w", "alt+backspace":
		t.before = t.before[:wordStart(t.before)]
	case "alt+left", "ctrl+left", "alt+b":
		i := wordStart(t.before)
		t.before, t.after = t.before[:i], t.before[i:]+t.after
	case "alt+right", "ctrl+right", "alt+f":
		i := wordEnd(t.after)
		t.before, t.after = t.before+t.after[:i], t.after[i:]
	default:
		t.before += typable(k.Text)
	}
}

// move moves the cursor by n bytes, which must end between two graphemes.
func (t *Text) move(n int) {
	all, at := t.before+t.after, len(t.before)+n
	t.before, t.after = all[:at], all[at:]
}

func firstGrapheme(s string) string {
	if s == "" {
		return ""
	}
	g, _, _, _ := uniseg.FirstGraphemeClusterInString(s, -1)
	return g
}

func lastGrapheme(s string) string {
	g := ""
	for s != "" {
		g = firstGrapheme(s)
		s = s[len(g):]
	}
	return g
}

// parts end words: a path is edited name by name.
func isPart(r rune) bool { return r == '/' || r == ' ' || r == ',' || r == ':' || r == '=' }

func wordStart(s string) int {
	i := len(strings.TrimRightFunc(s, isPart))
	return strings.LastIndexFunc(s[:i], isPart) + 1
}

func wordEnd(s string) int {
	i := len(s) - len(strings.TrimLeftFunc(s, isPart))
	if j := strings.IndexFunc(s[i:], isPart); j >= 0 {
		return i + j
	}
	return len(s)
}

// View draws the text in exactly w cells. Focused shows the cursor; ghost is what could be typed next, shown dim.
func (t *Text) View(th *theme.Theme, w int, focused bool, ghost string) string {
	if w <= 0 {
		return ""
	}
	if !focused {
		s := t.Value()
		if s == "" {
			return Line(th.Muted.Render(Cut(ghost, w)), w)
		}
		return Line(CutMiddle(s, w), w)
	}
	before, under, after := t.before, " ", ""
	if t.after != "" {
		under = firstGrapheme(t.after)
		after = t.after[len(under):]
		ghost = ""
	} else if ghost != "" {
		under = firstGrapheme(ghost)
		ghost = ghost[len(under):]
	}
	if room := w - Width(under); Width(before) > room { // keep the cursor in sight
		before = theme.Ellipsis + ansi.TruncateLeft(before, Width(before)-max(0, room-1), "")
	}
	s := before + th.Cursor.Render(under) + after
	if ghost != "" {
		s += th.Muted.Render(ghost)
	}
	return Line(s, w)
}
