package widget

import (
	"strings"

	"github.com/charmbracelet/x/ansi"
)

// Width is the number of cells a line takes. Nearly all that is drawn is ASCII, colours, and the signs of the theme, which are
// counted byte by byte; a frame is measured several times over, so that counting decides what a key costs.
func Width(s string) int {
	if n, ok := plainWidth(s); ok {
		return n
	}
	return ansi.StringWidth(s)
}

// plainWidth counts the cells of a text that holds nothing but printable ASCII, sequences that set colours (ECMA-48, 8.3.117), links,
// and signs of one cell that combine with nothing; false for any other text.
func plainWidth(s string) (n int, ok bool) {
	for i := 0; i < len(s); {
		switch c := s[i]; {
		case c >= 0x20 && c < 0x7f:
			n++
			i++
		case c == 0x1b && strings.HasPrefix(s[i:], linkStart):
			end := strings.IndexAny(s[i+1:], "\x07\x1b")
			if end < 0 || s[i+1+end] != 7 {
				return 0, false
			}
			i += end + 2
		case c == 0x1b:
			if i+1 >= len(s) || s[i+1] != '[' {
				return 0, false
			}
			for i += 2; i < len(s) && (s[i] >= '0' && s[i] <= '9' || s[i] == ';' || s[i] == ':'); i++ {
			}
			if i >= len(s) || s[i] != 'm' {
				return 0, false
			}
			i++
		case c == 0xc2 && i+1 < len(s) && s[i+1] == 0xb7: // ·
			n++
			i += 2
		case c == 0xe2 && i+2 < len(s) && oneCell(s[i+1], s[i+2]):
			n++
			i += 3
		default:
			return 0, false
		}
	}
	return n, true
}

// oneCell tells whether the character of UTF-8 bytes E2 b c is one of those drawn with most: box drawing and blocks (U+2500 to
// U+259F), the ellipsis, the tick, circles, triangles and arrows of the theme.
func oneCell(b, c byte) bool {
	if c < 0x80 || c > 0xbf { // broken
		return false
	}
	switch b {
	case 0x94, 0x95: // U+2500 to U+257F
		return true
	case 0x96: // U+2580 to U+259F, U+25B8, U+25BE
		return c < 0xa0 || c == 0xb8 || c == 0xbe
	case 0x97: // U+25CB, U+25CF to U+25D3, U+25D7
		return c == 0x8b || c >= 0x8f && c <= 0x93 || c == 0x97
	case 0x80: // U+2026 …, U+203A ›, U+2019 ’, U+201C “, U+201D ”
		return c == 0xa6 || c == 0xba || c == 0x99 || c == 0x9c || c == 0x9d
	case 0x86: // U+2190 to U+2193
		return c >= 0x90 && c <= 0x93
	case 0x9c: // U+2713, U+2717
		return c == 0x93 || c == 0x97
	}
	return false
}
