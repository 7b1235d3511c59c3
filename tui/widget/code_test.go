package widget

import (
	"strings"
	"testing"

	"github.com/charmbracelet/x/ansi"

	"carrel/tui/theme"
)

// The corners of a code are its finder patterns, with a quiet zone around them, however it is drawn.
func TestCode(t *testing.T) {
	for _, o := range []theme.Options{{}, {Background: theme.Light, NoColor: true}, {NoColor: true}, {ASCII: true, NoColor: true, Background: theme.Light}} {
		c := NewCode("Code", "http://127.0.0.1:8888/", "")
		rows := c.rows(theme.New(o), 4)
		for i, r := range rows {
			rows[i] = ansi.Strip(r)
			if Width(r) != Width(rows[0]) {
				t.Fatalf("%v: row %d takes %d cells, the first %d", o, i, Width(r), Width(rows[0]))
			}
		}
		quiet, corner := rows[0], rows[2]
		switch {
		case o.ASCII:
			if strings.Trim(quiet, " ") != "" || !strings.HasPrefix(rows[4], "        ##############  ") {
				t.Errorf("%v:\n%s", o, strings.Join(rows, "\n"))
			}
		case o.NoColor && o.Background != theme.Light:
			if strings.Trim(quiet, "█") != "" || !strings.HasPrefix(corner, "████ ▄▄▄▄▄ █") {
				t.Errorf("%v:\n%s", o, strings.Join(rows, "\n"))
			}
		default:
			if strings.Trim(quiet, " ") != "" || !strings.HasPrefix(corner, "    █▀▀▀▀▀█ ") {
				t.Errorf("%v:\n%s", o, strings.Join(rows, "\n"))
			}
		}
	}
	long := NewCode("Code", strings.Repeat("x", 5000), "")
	if got := long.View(theme.New(theme.Options{}), 80, 24); !strings.Contains(got, "too long") {
		t.Errorf("got %s", got)
	}
	for w := range 60 {
		for h := range 30 {
			got := NewCode("Code", "http://127.0.0.1:8888/", "a note").View(theme.New(theme.Options{}), w, h)
			for i, l := range strings.Split(got, "\n") {
				if Width(l) > w || i >= max(1, h) {
					t.Fatalf("%d×%d: line %d: %q", w, h, i, l)
				}
			}
		}
	}
}
