package widget

import (
	"strings"
	"testing"

	"github.com/charmbracelet/x/ansi"

	"carrel/tui/theme"
)

// Counting quickly gives what counting slowly gives, also beside characters that combine.
func TestWidth(t *testing.T) {
	signs := []string{theme.Brand, theme.Bar, theme.Check, theme.Cross, theme.Dot, theme.Ring, theme.Crumb, theme.Arrow, theme.Folded, theme.Unfolded,
		theme.Ellipsis, theme.Sep, theme.Rule, theme.Wall, theme.Thumb, theme.Full, theme.CornerTL, theme.CornerBR, "◐", "◓", "◑", "◒", "├", "┤", "▄", "▀", "↑", "↓", "←", "’", "“", "”"}
	for _, r := range theme.Sparks {
		signs = append(signs, string(r))
	}
	for _, s := range append(signs, "abc", "\x1b[1;38;5;141mx\x1b[m", "\x1b[4:3mwavy\x1b[0m", strings.Repeat(theme.Rule, 80)) {
		n, ok := plainWidth(s)
		if !ok || n != ansi.StringWidth(s) {
			t.Errorf("%q: %d cells, %v, want %d", s, n, ok, ansi.StringWidth(s))
		}
	}
	for _, s := range []string{"a\u0301", theme.Dot + "\ufe0f", theme.Check + "\u20e3", "◾", "▶", "宽", "\x1b]8;;http://x/\x1b\\x\x1b]8;;\x1b\\", "\x1b[2Jx", "\x1b[1", "\x1b", "\xe2\x94", "\xc2", "tab\t", "e\u0301…"} {
		if _, ok := plainWidth(s); ok {
			t.Errorf("%q is counted as if it were plain", s)
		}
		if Width(s) != ansi.StringWidth(s) {
			t.Errorf("%q: %d cells, want %d", s, Width(s), ansi.StringWidth(s))
		}
	}
}

func FuzzWidth(f *testing.F) {
	for _, s := range []string{"abc", "\x1b[1mx\x1b[m", "─│…●", "宽e\u0301", "✓\ufe0f", "◾", "\x1b]8;;x\x1b\\", "·\u200d·"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if got, want := Width(s), ansi.StringWidth(s); got != want {
			t.Errorf("%q: %d cells, want %d", s, got, want)
		}
	})
}
