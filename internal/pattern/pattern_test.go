package pattern

import "testing"

func TestPattern(t *testing.T) {
	p := New(`^a(b+)$`)
	if p.re != nil {
		t.Error("it is compiled before it is used")
	}
	if got := p.FindStringSubmatch("abb"); len(got) != 2 || got[1] != "bb" {
		t.Errorf("got %q", got)
	}
	if p.MatchString("a") || p.re == nil {
		t.Error("it matched, or is compiled anew each time")
	}
}
