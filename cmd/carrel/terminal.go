package main

import (
	"os"
	"strings"

	"github.com/charmbracelet/x/ansi"
	"golang.org/x/term"
)

// terminal says what can be shown on a file.
type terminal struct {
	is     bool // a terminal at all, and one that can move its cursor
	color  bool
	ascii  bool
	basic  bool // not more than 16 colours
	file   *os.File
	locale string
}

func findTerminal(f *os.File, getenv func(string) string) terminal {
	t := terminal{file: f}
	name := getenv("TERM")
	t.is = term.IsTerminal(int(f.Fd())) && name != "dumb" && name != ""
	// no-color.org: any value but the empty one.
	t.color = t.is && getenv("NO_COLOR") == ""
	t.basic = !strings.Contains(name, "256color") && getenv("COLORTERM") == ""
	for _, v := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if t.locale = getenv(v); t.locale != "" {
			break
		}
	}
	t.ascii = getenv("CARREL_ASCII") != "" || !unicodeLocale(t.locale) && t.is
	return t
}

// unicodeLocale tells whether a locale's encoding is UTF-8. "C" and "POSIX" leave it open; terminals of today show it even
// then, except the console of the kernel, which sets TERM to linux and a locale of its own.
func unicodeLocale(name string) bool {
	if name == "" || name == "C" || name == "POSIX" {
		return true
	}
	_, charset, ok := strings.Cut(name, ".")
	charset, _, _ = strings.Cut(charset, "@")
	return !ok || strings.EqualFold(strings.ReplaceAll(charset, "-", ""), "utf8")
}

// width is how many cells a line has; 80 where that cannot be known.
func (t terminal) width() int {
	if w, _, err := term.GetSize(int(t.file.Fd())); err == nil && w > 0 {
		return w
	}
	return 80
}

// height is how many lines there are; 24 where that cannot be known.
func (t terminal) height() int {
	if _, h, err := term.GetSize(int(t.file.Fd())); err == nil && h > 0 {
		return h
	}
	return 24
}

// The styles of the command line, as numbers of "select graphic rendition" (ECMA-48, 8.3.117).
const (
	strong = "1"
	muted  = "2"
	accent = "36"
	good   = "32"
	warn   = "33"
	bad    = "31"
)

// paint gives text a style.
func (t terminal) paint(style, text string) string {
	if !t.color || text == "" {
		return text
	}
	return "\x1b[" + style + "m" + text + "\x1b[0m"
}

var asciiSigns = strings.NewReplacer("✓", "+", "✗", "x", "●", "*", "○", "o", "→", "->", "…", "...", "·", "-", "◗", "(", "─", "-", "›", ">", "━", "#", "╌", ".")

// text is a text of ours on this terminal: with signs it can show.
func (t terminal) text(s string) string {
	if t.ascii {
		return asciiSigns.Replace(s)
	}
	return s
}

// fit cuts a text that is too wide, by cells.
func (t terminal) fit(s string, width int) string {
	if width < 1 {
		return ""
	}
	tail := "…"
	if t.ascii {
		tail = "."
	}
	return ansi.Truncate(s, width, tail)
}

// clean makes a text from outside harmless: no control characters, no escape sequences.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' {
			return ' '
		}
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u2029' {
			return -1
		}
		return r
	}, ansi.Strip(s))
}

// columns lays rows out in columns as wide as their widest cell; the last is cut where the terminal ends.
func (t terminal) columns(rows [][]string, right map[int]bool) string {
	var widths []int
	for _, row := range rows {
		for i, c := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], ansi.StringWidth(c))
		}
	}
	var b strings.Builder
	for _, row := range rows {
		var line strings.Builder
		for i, c := range row {
			pad := strings.Repeat(" ", widths[i]-ansi.StringWidth(c))
			switch {
			case right[i]:
				line.WriteString(pad + c)
			case i == len(row)-1:
				line.WriteString(c)
			default:
				line.WriteString(c + pad)
			}
			if i < len(row)-1 {
				line.WriteString("  ")
			}
		}
		text := strings.TrimRight(line.String(), " ")
		if t.is {
			text = t.fit(text, t.width())
		}
		b.WriteString(text + "\n")
	}
	return b.String()
}
