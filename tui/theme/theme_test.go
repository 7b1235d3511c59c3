package theme

import (
	"image/color"
	"math"
	"strings"
	"testing"
	"unicode"

	"charm.land/lipgloss/v2"
	"github.com/charmbracelet/x/ansi"
)

// luminance is the relative luminance of WCAG 2.
func luminance(c color.Color) float64 {
	r, g, b, _ := c.RGBA()
	lin := func(v uint32) float64 {
		f := float64(v) / 65535
		if f <= 0.03928 {
			return f / 12.92
		}
		return math.Pow((f+0.055)/1.055, 2.4)
	}
	return 0.2126*lin(r) + 0.7152*lin(g) + 0.0722*lin(b)
}

func contrast(a, b color.Color) float64 {
	x, y := luminance(a), luminance(b)
	if x < y {
		x, y = y, x
	}
	return (x + 0.05) / (y + 0.05)
}

// Text can be read on every background the palette is for.
func TestContrast(t *testing.T) {
	black, white := color.Black, color.White
	for _, tt := range []struct {
		name  string
		p     palette
		on    []color.Color
		least float64
	}{
		{"dark", darkPalette, []color.Color{black, lipgloss.Color("#1e1e2e"), darkPalette.selected}, 4.5},
		{"light", lightPalette, []color.Color{white, lipgloss.Color("#fafafa"), lightPalette.selected}, 4},
		{"unknown", unknownPalette, []color.Color{black, white}, 3},
	} {
		for token, c := range map[string]color.Color{"muted": tt.p.muted, "accent": tt.p.accent, "ok": tt.p.ok, "warn": tt.p.warn, "bad": tt.p.bad} {
			for _, bg := range tt.on {
				if got := contrast(c, bg); got < tt.least {
					t.Errorf("%s: %s on %v: contrast %.2f, want %.1f", tt.name, token, bg, got, tt.least)
				}
			}
		}
		if got := contrast(tt.p.onAccent, tt.p.accent); got < 4 {
			t.Errorf("%s: a button's text has a contrast of %.2f", tt.name, got)
		}
		if got := contrast(tt.p.onMatch, tt.p.match); got < 4.5 {
			t.Errorf("%s: a search hit has a contrast of %.2f", tt.name, got)
		}
	}
}

func (t *Theme) all() []lipgloss.Style {
	return []lipgloss.Style{t.Text, t.Strong, t.Muted, t.Faint, t.Accent, t.Title, t.Link, t.OK, t.Warn, t.Bad, t.Selected, t.Button, t.Plain, t.Match, t.Cursor, t.Command}
}

func TestNoColor(t *testing.T) {
	for _, bg := range []Background{Unknown, Dark, Light} {
		th := New(Options{NoColor: true, Background: bg})
		for i, s := range th.all() {
			got := s.Render("x")
			for _, p := range []string{"[3", "[4", "[9", ";3", ";4", ";9"} {
				if strings.Contains(got, p) && got != "\x1b[4mx\x1b[m" && got != "\x1b[4;4mx\x1b[m" {
					t.Errorf("style %d has a colour: %q", i, got)
				}
			}
		}
	}
}

// On a terminal of 16 colours only those are asked for.
func TestBasic(t *testing.T) {
	for _, bg := range []Background{Unknown, Dark, Light} {
		for i, s := range New(Options{Basic: true, Background: bg}).all() {
			if got := s.Render("x"); strings.Contains(got, "38;") || strings.Contains(got, "48;") {
				t.Errorf("style %d asks for more than 16 colours: %q", i, got)
			}
		}
	}
}

// Every sign has an ASCII one of the same width.
func TestASCII(t *testing.T) {
	th := New(Options{ASCII: true})
	signs := []string{Brand, Bar, Check, Cross, Note, Dot, Ring, Crumb, Arrow, Folded, Unfolded, Ellipsis, Sep, Rule, Wall, Track, Thumb,
		Full, Rest, CornerTL, CornerTR, CornerBL, CornerBR, string(Sparks), "↑↓←→", "“”’–×"}
	for f := range 9 {
		signs = append(signs, th.Spinner(f), New(Options{}).Spinner(-f))
	}
	for _, s := range signs {
		got := th.Finish(s)
		if th.Options.ASCII && strings.ContainsFunc(got, func(r rune) bool { return r > unicode.MaxASCII }) {
			t.Errorf("%q becomes %q", s, got)
		}
		if ansi.StringWidth(got) != ansi.StringWidth(s) {
			t.Errorf("%q becomes %q, which has another width", s, got)
		}
	}
	if got := New(Options{}).Finish(Check); got != Check {
		t.Errorf("a terminal with Unicode gets %q", got)
	}
}
