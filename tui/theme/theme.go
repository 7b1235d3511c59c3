package theme

import (
	"image/color"

	"charm.land/lipgloss/v2"
	"github.com/charmbracelet/x/ansi"
)

// Background is what is known about the terminal's own background.
type Background int

// The backgrounds. Unknown is what holds until the terminal has answered, and for ever where it never answers (tmux).
const (
	Unknown Background = iota
	Dark
	Light
)

// Options say what the terminal can show. The zero value is a terminal of full colour on an unknown background.
type Options struct {
	Background Background
	NoColor    bool // bold, underline and reverse only
	Basic      bool // the terminal's own 16 colours only
	ASCII      bool // no character outside ASCII in what Carrel itself draws
}

// Theme is the set of styles the screens draw with. It is made by New and not changed afterwards, except as a whole.
type Theme struct {
	Options Options

	Text   lipgloss.Style // ordinary text, in the terminal's own colour
	Strong lipgloss.Style // titles, names, what matters on a line
	Muted  lipgloss.Style // what explains: units, ages, expert's words
	Faint  lipgloss.Style // rules, borders, what cannot be used now

	Accent lipgloss.Style // the one accent: keys, the focused thing
	Title  lipgloss.Style // accent and bold: headings of sections
	Link   lipgloss.Style // an address

	OK   lipgloss.Style
	Warn lipgloss.Style
	Bad  lipgloss.Style

	Selected lipgloss.Style // background of the row the cursor is on
	Button   lipgloss.Style // the button that Enter presses
	Plain    lipgloss.Style // a button that Enter does not press
	Match    lipgloss.Style // what a search found
	Cursor   lipgloss.Style // the cell of a text field where typing goes
	Command  lipgloss.Style // a command line to be copied
}

// palette is one set of colours; nil means the terminal's own.
type palette struct {
	muted, faint, accent, ok, warn, bad color.Color
	selected                            color.Color // background
	onAccent                            color.Color // text on accent
	match                               color.Color // background of a search hit
	onMatch                             color.Color
}

// hex makes a colour of full depth.
func hex(s string) color.Color { return lipgloss.Color(s) }

// The palettes. Text colours of dark and light reach a contrast of 4.5:1 on black and on white, those of the unknown
// background of 3:1 on both; theme_test.go measures it.
var (
	darkPalette = palette{
		muted: hex("#9aa0ab"), faint: hex("#565c69"), accent: hex("#aab4ff"),
		ok: hex("#86d993"), warn: hex("#f0c36a"), bad: hex("#ff8f85"),
		selected: hex("#262a3b"), onAccent: hex("#14162b"), match: hex("#f0c36a"), onMatch: hex("#1c1604"),
	}
	lightPalette = palette{
		muted: hex("#5c626d"), faint: hex("#b4b9c2"), accent: hex("#3f47c9"),
		ok: hex("#1b7a3a"), warn: hex("#8a5a00"), bad: hex("#c02622"),
		selected: hex("#e7e9fb"), onAccent: hex("#ffffff"), match: hex("#ffe08a"), onMatch: hex("#2b2100"),
	}
	unknownPalette = palette{
		muted: hex("#80868f"), faint: hex("#80868f"), accent: hex("#7079e6"),
		ok: hex("#2f9a52"), warn: hex("#b17c14"), bad: hex("#dd544e"),
		onAccent: hex("#ffffff"), match: hex("#f0c36a"), onMatch: hex("#1c1604"),
	}
	basicDark = palette{
		muted: ansi.White, faint: ansi.BrightBlack, accent: ansi.BrightMagenta,
		ok: ansi.BrightGreen, warn: ansi.BrightYellow, bad: ansi.BrightRed,
		onAccent: ansi.Black, match: ansi.Yellow, onMatch: ansi.Black,
	}
	basicLight = palette{
		muted: ansi.BrightBlack, faint: ansi.BrightBlack, accent: ansi.Magenta,
		ok: ansi.Green, warn: ansi.Yellow, bad: ansi.Red,
		onAccent: ansi.BrightWhite, match: ansi.Yellow, onMatch: ansi.Black,
	}
)

func (o Options) palette() palette {
	switch {
	case o.NoColor:
		return palette{}
	case o.Basic && o.Background == Dark:
		return basicDark
	case o.Basic:
		return basicLight
	case o.Background == Dark:
		return darkPalette
	case o.Background == Light:
		return lightPalette
	}
	return unknownPalette
}

// New makes the styles for a terminal.
func New(o Options) *Theme {
	p := o.palette()
	fg := func(c color.Color) lipgloss.Style {
		s := lipgloss.NewStyle()
		if c != nil {
			s = s.Foreground(c)
		}
		return s
	}
	t := &Theme{
		Options: o,
		Text:    lipgloss.NewStyle(),
		Strong:  lipgloss.NewStyle().Bold(true),
		Muted:   fg(p.muted),
		Faint:   fg(p.faint),
		Accent:  fg(p.accent),
		Title:   fg(p.accent).Bold(true),
		Link:    fg(p.accent).Underline(true),
		OK:      fg(p.ok),
		Warn:    fg(p.warn),
		Bad:     fg(p.bad),

		Selected: lipgloss.NewStyle(),
		Button:   lipgloss.NewStyle().Bold(true).Reverse(true),
		Plain:    fg(p.muted),
		Match:    lipgloss.NewStyle().Reverse(true),
		Cursor:   lipgloss.NewStyle().Reverse(true),
		Command:  fg(p.muted),
	}
	if p.selected != nil {
		t.Selected = t.Selected.Background(p.selected)
	}
	if p.accent != nil && p.onAccent != nil {
		t.Button = lipgloss.NewStyle().Bold(true).Foreground(p.onAccent).Background(p.accent)
	}
	if p.match != nil {
		t.Match = lipgloss.NewStyle().Foreground(p.onMatch).Background(p.match)
	}
	return t
}
