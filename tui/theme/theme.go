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

// Links say which links the terminal gets (OSC 8).
type Links int

// The links. A terminal on another computer than this one must not take paths for its own.
const (
	AllLinks Links = iota
	NoFileLinks
	NoLinks
)

// Options say what the terminal can show. The zero value is a terminal of full colour on an unknown background.
type Options struct {
	Background Background
	NoColor    bool // bold, underline and reverse only
	Basic      bool // the terminal's own 16 colours only
	ASCII      bool // no character outside ASCII in what Carrel itself draws
	Links      Links
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
	Code     lipgloss.Style // black on white, whatever the terminal's colours: cameras want it so
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

// The palettes. Text colours of dark and light reach a contrast of 4.5:1 on black and on white (4:1 on the selected row), those of the unknown
// background of 3:1 on both; theme_test.go measures it. All are colours of xterm's 256, so that a terminal of 256 colours
// (tmux) shows the same as one of all.
var (
	darkPalette = palette{
		muted: hex("#a8a8a8"), faint: hex("#585858"), accent: hex("#afafff"),
		ok: hex("#87d787"), warn: hex("#ffd787"), bad: hex("#ff8787"),
		selected: hex("#303030"), onAccent: hex("#121212"), match: hex("#ffd787"), onMatch: hex("#121212"),
	}
	lightPalette = palette{
		muted: hex("#626262"), faint: hex("#b2b2b2"), accent: hex("#5f5fd7"),
		ok: hex("#005f00"), warn: hex("#875f00"), bad: hex("#d70000"),
		selected: hex("#e4e4e4"), onAccent: hex("#ffffff"), match: hex("#ffd787"), onMatch: hex("#121212"),
	}
	unknownPalette = palette{
		muted: hex("#808080"), faint: hex("#808080"), accent: hex("#8787ff"),
		ok: hex("#008700"), warn: hex("#af8700"), bad: hex("#d75f5f"),
		onAccent: hex("#121212"), match: hex("#ffd787"), onMatch: hex("#121212"),
	}
	basicDark = palette{
		muted: ansi.White, faint: ansi.BrightBlack, accent: ansi.BrightMagenta,
		ok: ansi.BrightGreen, warn: ansi.BrightYellow, bad: ansi.BrightRed,
		onAccent: ansi.Black, match: ansi.Yellow, onMatch: ansi.Black,
	}
	basicUnknown = palette{ // bright black is unreadable on some terminals: only rules and borders get it
		faint: ansi.BrightBlack, accent: ansi.Magenta, ok: ansi.Green, warn: ansi.Yellow, bad: ansi.Red,
		onAccent: ansi.BrightWhite, match: ansi.Yellow, onMatch: ansi.Black,
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
	case o.Basic && o.Background == Light:
		return basicLight
	case o.Basic:
		return basicUnknown
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
		Code:     lipgloss.NewStyle(),
		Command:  fg(p.muted),
	}
	if !o.NoColor {
		t.Code = t.Code.Foreground(hex("#000000")).Background(hex("#ffffff"))
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
