package main

import (
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	// The block of the first line is run by the second test program only.
	c, err := parse(strings.NewReader(`mode: set
carrel/engine/a/x.go:1.1,2.2 3 0
carrel/engine/a/x.go:3.1,4.2 1 0
carrel/engine/b/y.go:1.1,2.2 4 1
mode: set
carrel/engine/a/x.go:1.1,2.2 3 1
carrel/engine/b/y.go:1.1,2.2 4 0
`))
	if err != nil || len(c) != 2 || *c["carrel/engine/a"] != struct{ all, run int }{4, 3} || *c["carrel/engine/b"] != struct{ all, run int }{4, 4} {
		t.Errorf("got %v, %v", c, err)
	}
	for _, bad := range []string{"x", "a.go:1.1 many 1"} {
		if _, err := parse(strings.NewReader(bad)); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestTable(t *testing.T) {
	n := func(all, run int) *struct{ all, run int } { return &struct{ all, run int }{all, run} }
	text, below := table(covered{"carrel/engine/a": n(100, 79), "carrel/engine/b": n(100, 80), "carrel/engine/sandbox/inside": n(100, 4)})
	if lines := strings.Split(text, "\n"); below != 1 || !strings.Contains(lines[0], "init of containers") || !strings.Contains(lines[1], "BELOW 80") ||
		strings.Contains(lines[2], "BELOW") || !strings.Contains(lines[3], "1 below") {
		t.Errorf("%d below:\n%s", below, text)
	}
	if _, below := table(covered{"carrel/engine/sandbox/inside": n(100, 2)}); below != 1 {
		t.Error("a floor of its own is none")
	}
}
