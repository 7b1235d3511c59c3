package widget

import (
	"math"
	"strings"
	"testing"

	"github.com/charmbracelet/x/ansi"
)

// A graph is as wide as it was told, shows no more than there is, and never falls over a value.
func TestSpark(t *testing.T) {
	inf, nan := math.Inf(1), math.NaN()
	tests := []struct {
		name   string
		w      int
		top    float64
		values []float64
		want   string
	}{
		{"no data", 5, 1, nil, "·····"},
		{"no data, no top", 5, 0, nil, "·····"},
		{"one point", 5, 1, []float64{0.5}, "····▄"},
		{"one point, no top", 5, 0, []float64{7}, "····▄"},
		{"nothing used", 4, 0, []float64{0, 0, 0, 0}, "▁▁▁▁"},
		{"to the top", 8, 7, []float64{0, 1, 2, 3, 4, 5, 6, 7}, "▁▂▃▄▅▆▇█"},
		{"what does not change stands in the middle", 4, 0, []float64{212e6, 212e6, 212e6, 212e6}, "▄▄▄▄"},
		{"of more than fits the last", 3, 1, []float64{1, 1, 1, 0, 0.5, 1}, "▁▄█"},
		{"more than the top", 3, 1, []float64{4, 0, 4}, "█▁█"},
		{"less than nothing", 2, 1, []float64{-3, 1}, "▁█"},
		{"a gap", 4, 1, []float64{1, nan, nan, 1}, "█  █"},
		{"a gap, no top", 4, 0, []float64{nan, 1, nan, 2}, " ▂ ▄"},
		{"endless", 3, 1, []float64{inf, 0, math.Inf(-1)}, "█▁▁"},
		{"endless, no top", 2, 0, []float64{inf, 1}, "█▄"},
		{"no room", 0, 1, []float64{1}, ""},
		{"less than no room", -3, 1, []float64{1}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := ansi.Strip(Spark(th, tt.w, tt.values, tt.top))
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if n := ansi.StringWidth(got); n != max(0, tt.w) {
				t.Errorf("%d cells, want %d", n, tt.w)
			}
		})
	}
}

func TestBar(t *testing.T) {
	tests := []struct {
		w           int
		done, total int64
		want        string
	}{
		{4, 0, 0, "────"}, {4, 7, 0, "────"}, {4, 1, 2, "━━──"}, {4, 2, 2, "━━━━"}, {4, 9, 2, "━━━━"}, {4, -1, 2, "────"},
		{3, math.MaxInt64, math.MaxInt64, "━━━"}, {0, 1, 2, ""}, {-1, 1, 2, ""},
	}
	for _, tt := range tests {
		if got := ansi.Strip(Bar(th, tt.w, tt.done, tt.total)); got != tt.want {
			t.Errorf("Bar(%d, %d of %d) = %q, want %q", tt.w, tt.done, tt.total, got, tt.want)
		}
	}
}

// A text that scrolls has a bar beside it, which is where the text is; one that fits has none.
func TestPage(t *testing.T) {
	lines := []string{"one", "two", "three", "four", "宽宽宽宽宽宽宽宽"}
	for w := range 24 {
		for h := range 8 {
			for _, off := range []int{-3, 0, 2, 99} {
				exact(t, "page", Page(th, lines, off, w, h), w, h)
			}
		}
	}
	if got := ansi.Strip(Page(th, lines, 99, 10, 3)); got != "three    │\nfour     │\n宽宽宽…  ┃" {
		t.Errorf("got %q", got)
	}
	if got := ansi.Strip(Page(th, lines[:2], 99, 6, 2)); got != "one   \ntwo   " {
		t.Errorf("got %q", got)
	}
}

// A search that finds nothing holds no log still, one that is given up leaves it as it was, and when nothing is written any
// more nothing is said of following.
func TestSearchAndFollow(t *testing.T) {
	var p LogPane
	p.Resize(60, 12)
	for range 40 {
		p.Log.Append(LogLine{Text: "a line"})
	}
	for _, tt := range []struct {
		keys   []string
		follow bool
	}{
		{[]string{"/", "z"}, true},
		{[]string{"enter", "esc"}, true},
		{[]string{"/", "l"}, false},
		{[]string{"esc"}, true},
		{[]string{"up", "/", "l", "esc"}, false},
		{[]string{"f"}, true},
	} {
		for _, k := range tt.keys {
			p.Update(press(k))
		}
		if got := p.Log.Following(); got != tt.follow {
			t.Errorf("after %v it follows: %v, want %v", tt.keys, got, tt.follow)
		}
	}
	p.Update(press("&"))
	p.Update(press("z"))
	seen := func(want string, there bool) {
		t.Helper()
		if got := ansi.Strip(p.View(th, 60, 12, "Log", "")); there != strings.Contains(got, want) {
			t.Errorf("%q is there: %v\n%s", want, !there, got)
		}
	}
	seen("No line has these words.", true)
	p.Update(press("esc"))
	seen("No line has", false)
	seen("following", true)
	p.Over = true
	seen("following", false)
	seen("40 lines", true)
}
