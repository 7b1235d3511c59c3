package widget

import (
	"slices"
	"strings"
	"testing"

	"charm.land/lipgloss/v2"
	"github.com/charmbracelet/x/ansi"

	"carrel/tui/theme"
)

// An address in a text that has to be broken stays one link to all of it, whatever it is broken at.
func TestWrapLinks(t *testing.T) {
	const page = "http://192.168.1.20:40111/a-rather-long/path-with-hyphens/jupyter.sif"
	tests := []struct {
		text  string
		links []string
	}{
		{"Open " + page + " in the browser.", []string{page}},
		{"See https://example.org/a, or (https://example.org/b).", []string{"https://example.org/a", "https://example.org/b"}},
		{"cite doi:10.3233/978-1-61499-649-1-87", []string{"https://doi.org/10.3233/978-1-61499-649-1-87"}},
		{"the files of ~/a-folder-with-hyphens/x, no address", nil},
		{"\x1b[1mhttps://example.org/styled\x1b[m", nil},
	}
	for _, tt := range tests {
		for w := 1; w < 90; w++ {
			rows := Wrap(tt.text, w)
			if got := Links(strings.Join(rows, "\n")); !slices.Equal(got, tt.links) {
				t.Fatalf("%q in %d cells: links %q, want %q", tt.text, w, got, tt.links)
			}
			for _, r := range rows {
				if Width(r) > w {
					t.Errorf("%q takes more than %d cells", r, w)
				}
			}
			squeezed := strings.ReplaceAll(ansi.Strip(strings.Join(rows, "")), " ", "")
			if squeezed != strings.ReplaceAll(ansi.Strip(tt.text), " ", "") {
				t.Fatalf("in %d cells %q became %q", w, tt.text, squeezed)
			}
		}
	}
	for _, r := range Wrap("Open "+page, len(page)) {
		if strings.Contains(ansi.Strip(r), "http") && ansi.Strip(r) != page {
			t.Errorf("the address is broken where it need not be: %q", r)
		}
	}
}

// A link is known by each of its cells, and to no terminal that does not know links.
func TestLinkAt(t *testing.T) {
	line := "  " + Link(lipgloss.NewStyle().Underline(true), "http://127.0.0.1:8888/", "one two") + " x " + PathLink(lipgloss.NewStyle(), "/home/ada/a b%/ü.sif", "/home/ada", 20)
	for x, want := range map[int]string{1: "", 2: "http://127.0.0.1:8888/", 8: "http://127.0.0.1:8888/", 9: "", 12: "file:///home/ada/a%20b%25/%C3%BC.sif", 80: ""} {
		if got := LinkAt(line, x); got != want {
			t.Errorf("cell %d leads to %q, want %q", x, got, want)
		}
	}
	if path, ok := PathOf(LinkAt(line, 12)); !ok || path != "/home/ada/a b%/ü.sif" {
		t.Errorf("path %q, %v", path, ok)
	}
	for _, bad := range []string{"", "http://x/\x1b]0;owned\x07", "http://x/ y", "http://ü/"} {
		if got := Link(lipgloss.NewStyle(), bad, "text"); got != "text" {
			t.Errorf("%q makes the link %q", bad, got)
		}
	}
	for links, want := range map[theme.Links]int{theme.AllLinks: 2, theme.NoFileLinks: 1, theme.NoLinks: 0} {
		th := theme.New(theme.Options{Links: links})
		got := th.Finish(line)
		if n := len(Links(got)); n != want || strings.Count(got, "\x1b]8;") != 2*want || ansi.Strip(got) != ansi.Strip(line) {
			t.Errorf("%v: %d links, want %d: %q", links, n, want, got)
		}
	}
}

// Lines of a log lead to what they name, also when they are broken.
func TestLogLinks(t *testing.T) {
	var v LogView
	v.Append(LogLine{Text: "Serving on http://127.0.0.1:8888/tree?token=5f3a90c2d41188aa now"})
	for _, w := range []int{80, 20, 7} {
		if got := Links(v.View(theme.New(theme.Options{}), w, 20)); !slices.Equal(got, []string{"http://127.0.0.1:8888/tree?token=5f3a90c2d41188aa"}) {
			t.Errorf("in %d cells: %q", w, got)
		}
	}
}
