package tui

import (
	"regexp"
	"strings"
	"testing"

	"charm.land/lipgloss/v2"

	"carrel/tui/theme"
	"carrel/tui/tuitest"
)

// look is how a character is drawn: its colours as the terminal is told them, and what else.
type look struct {
	fg, bg                    string
	bold, underline, reversed bool
}

var rendition = regexp.MustCompile(`\x1b\[([0-9;:]*)m`)

// looks tells of each character of a frame how it is drawn (ECMA-48, 8.3.117).
func looks(frame string) (chars []rune, out []look) {
	frame = ownLinks.ReplaceAllString(frame, "")
	var now look
	add := func(text string) {
		for _, r := range text {
			chars, out = append(chars, r), append(out, now)
		}
	}
	at := 0
	for _, m := range rendition.FindAllStringSubmatchIndex(frame, -1) {
		add(frame[at:m[0]])
		at = m[1]
		params := strings.Split(frame[m[2]:m[3]], ";")
		for i := 0; i < len(params); i++ {
			switch p := params[i]; p {
			case "", "0":
				now = look{}
			case "1":
				now.bold = true
			case "4":
				now.underline = true
			case "7":
				now.reversed = true
			case "38", "48":
				n := 2
				if i+1 < len(params) && params[i+1] == "2" {
					n = 4
				}
				color := strings.Join(params[i:min(len(params), i+n+1)], ";")
				i += n
				if p == "38" {
					now.fg = color
				} else {
					now.bg = color
				}
			default:
				switch {
				case len(p) == 2 && (p[0] == '3' || p[0] == '9'):
					now.fg = p
				case len(p) == 2 && p[0] == '4' || len(p) == 3 && p[0] == '1':
					now.bg = p
				}
			}
		}
	}
	add(frame[at:])
	return chars, out
}

// tokens are the letters of the tokens of a theme that have a colour.
func tokens(t *theme.Theme) map[string]string {
	out := map[string]string{}
	for letter, s := range map[string]lipgloss.Style{"m": t.Muted, "f": t.Faint, "a": t.Accent, "o": t.OK, "w": t.Warn, "b": t.Bad} {
		_, l := looks(s.Render("x"))
		out[l[0].fg] += letter
	}
	return out
}

// TestGoldenStyles holds which token each word of each screen is drawn with, in the theme for dark terminals, and that the
// other themes draw it with the same: a letter for the token before the words, * for bold, _ for underlined, ~ for reversed, = for
// a background of its own.
func TestGoldenStyles(t *testing.T) {
	dark := theme.Options{Background: theme.Dark}
	others := []theme.Options{{}, {Background: theme.Light}, {Basic: true}, {Basic: true, Background: theme.Dark}, {Basic: true, Background: theme.Light}}
	names := tokens(theme.New(dark))
	for _, v := range every() {
		if v.name == "inspect-picture" || v.name == "code" || strings.HasPrefix(v.name, "hostile") {
			continue // their own colours, or none of ours
		}
		t.Run(v.name, func(t *testing.T) {
			drive(t, 80, 24, func(o *Options, e *tuitest.Engine) {
				if v.change != nil {
					v.change(o, e)
				}
				o.Theme = dark
			}, func(d *driver) {
				v.show(d)
				chars, want := looks(d.drawnIn(dark))
				tuitest.Golden(t, "style-"+v.name, marked(chars, want, names))
				for _, o := range others {
					_, got := looks(d.drawnIn(o))
					its := tokens(theme.New(o))
					for i := range want {
						w, g := want[i], got[i]
						if letter := names[w.fg]; chars[i] > ' ' && letter != "" && w.fg != "" && !strings.Contains(its[g.fg], letter) || w.underline != g.underline || w.bold != g.bold {
							t.Fatalf("%+v: %q in %q is %+v, in the dark theme %+v", o, chars[i], string(chars[max(0, i-20):min(len(chars), i+20)]), g, w)
						}
					}
				}
			})
		})
	}
}

// marked writes looks into a text.
func marked(chars []rune, l []look, names map[string]string) string {
	var b strings.Builder
	was := ""
	for i, r := range chars {
		mark := ""
		switch name := names[l[i].fg]; {
		case l[i].fg != "" && name == "":
			mark = "?"
		case l[i].fg != "":
			mark = name
		}
		if l[i].bold {
			mark += "*"
		}
		if l[i].underline {
			mark += "_"
		}
		if l[i].reversed {
			mark += "~"
		}
		if l[i].bg != "" {
			mark += "="
		}
		if r == ' ' && !l[i].underline && !l[i].reversed && l[i].bg == "" {
			mark = was // it looks the same
		}
		if r == '\n' {
			if was != "" {
				b.WriteString("‹›")
			}
			was, mark = "", ""
		}
		if mark != was {
			b.WriteString("‹" + mark + "›")
			was = mark
		}
		b.WriteRune(r)
	}
	// spaces at the end of a line have no look
	lines := strings.Split(b.String(), "\n")
	for i, s := range lines {
		if t, ok := strings.CutSuffix(s, "‹›"); ok {
			lines[i] = strings.TrimRight(t, " ")
		}
	}
	return strings.Join(lines, "\n")
}
