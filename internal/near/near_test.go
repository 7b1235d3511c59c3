package near

import (
	"slices"
	"testing"
)

func TestDistance(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"a", "", 1}, {"post", "psot", 1}, {"post", "posts", 1}, {"post", "test", 2}, {"abc", "xyz", 3}, {"ab", "abcdef", 4},
	} {
		if got := Distance(tt.a, tt.b, 9); got != tt.want {
			t.Errorf("%q to %q: %d, want %d", tt.a, tt.b, got, tt.want)
		}
		if got := Distance(tt.b, tt.a, 2); got != min(2, tt.want) {
			t.Errorf("%q to %q, up to 2: %d", tt.b, tt.a, got)
		}
	}
}

func TestNames(t *testing.T) {
	all := []string{"nginx-basic", "nginx-jupyter", "nginx-pages", "r-shiny", "report", "viewer", "viewer", "p", "x"}
	for _, tt := range []struct {
		name string
		want []string
	}{
		{"nginx-basci", []string{"nginx-basic"}},
		{"Viewre", []string{"viewer"}},
		{"nginx", []string{"nginx-basic", "nginx-jupyter", "nginx-pages"}},
		{"report-2", []string{"report"}},
		{"r", []string{"p", "x"}[:0]},
		{"quite-another", nil},
		{"", nil},
	} {
		if got := Names(tt.name, all); !slices.Equal(got, tt.want) {
			t.Errorf("%q: %q, want %q", tt.name, got, tt.want)
		}
	}
}
