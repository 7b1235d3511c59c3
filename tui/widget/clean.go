package widget

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/charmbracelet/x/ansi"
)

// tabStop is where a tab in foreign text goes.
const tabStop = 8

// Clean makes foreign text safe to draw on one line: no escape sequence, no control byte, no direction override and no
// broken UTF-8 is left, a tab becomes spaces, and of text that a carriage return overwrites only the last state stays.
func Clean(s string) string {
	if isPlain(s) {
		return s
	}
	return clean(s, false)
}

// CleanKeepColor is Clean, except that colours and text attributes (the SGR sequence, ECMA-48 8.3.117) stay; they are reset
// at the end of the text.
func CleanKeepColor(s string) string {
	if isPlain(s) {
		return s
	}
	return clean(s, true)
}

func isPlain(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

func clean(s string, keepColor bool) string {
	s = strings.TrimRight(s, "\r\n")
	if i := strings.LastIndexByte(s, '\r'); i >= 0 {
		s = s[i+1:]
	}
	var b strings.Builder
	b.Grow(len(s))
	var state byte
	col, colored := 0, false
	for len(s) > 0 {
		seq, width, n, next := ansi.DecodeSequence(s, state, nil)
		if n <= 0 {
			break
		}
		state = next
		s = s[n:]
		switch {
		case width > 0:
			if !utf8.ValidString(seq) {
				b.WriteRune(utf8.RuneError)
				col++
				continue
			}
			seq = strings.Map(dropFormat, seq)
			b.WriteString(seq)
			col += width
		case seq == "\t":
			k := tabStop - col%tabStop
			b.WriteString(strings.Repeat(" ", k))
			col += k
		case seq == "\n":
			b.WriteByte(' ')
			col++
		case isMark(seq): // combines with what is before it
			b.WriteString(strings.Map(dropFormat, seq))
		case keepColor && isSGR(seq):
			b.WriteString(seq)
			colored = true
		}
	}
	if colored {
		b.WriteString("\x1b[m")
	}
	return b.String()
}

// dropFormat removes what changes the direction of the text around it (Unicode's bidirectional controls), what joins with what
// comes after it, which here may be a border, and what is no character.
func dropFormat(r rune) rune {
	switch {
	case r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069, r == 0x200e, r == 0x200f, r == 0xfeff:
		return -1
	case unicode.Is(unicode.Cc, r), unicode.Is(unicode.Prepended_Concatenation_Mark, r):
		return -1
	}
	return r
}

// isMark tells whether a sequence of no width is text all the same: an accent on the character before it, a joiner.
func isMark(seq string) bool {
	r, n := utf8.DecodeRuneInString(seq)
	return n > 1 && r != utf8.RuneError && r >= 0x300
}

// isSGR tells whether an escape sequence only sets colours and attributes: CSI, digits and separators, m.
func isSGR(seq string) bool {
	if len(seq) < 3 || len(seq) > 48 || !strings.HasPrefix(seq, "\x1b[") || seq[len(seq)-1] != 'm' {
		return false
	}
	for _, c := range seq[2 : len(seq)-1] {
		if (c < '0' || c > '9') && c != ';' && c != ':' {
			return false
		}
	}
	return true
}
