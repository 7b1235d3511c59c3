package leaktest

import (
	"os"
	"strings"
	"testing"
)

func TestGoroutines(t *testing.T) {
	quit, begun := make(chan struct{}), make(chan struct{})
	before := len(goroutines())
	go forgotten(quit, begun)
	<-begun
	found := goroutines()
	close(quit)
	if len(found) != before+1 || !strings.Contains(strings.Join(found, "\n"), "forgotten") {
		t.Errorf("found %q", found)
	}
}

func forgotten(quit, begun chan struct{}) {
	begun <- struct{}{} // it has begun
	<-quit
}

func TestDescriptors(t *testing.T) {
	before := descriptors()
	if len(before) == 0 {
		t.Skip("missing: /proc")
	}
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	if got := opened(before, descriptors()); len(got) != 1 || !strings.HasSuffix(got[0], os.DevNull) {
		t.Errorf("found %q", got)
	}
	f.Close()
	if got := opened(before, descriptors()); len(got) != 0 {
		t.Errorf("closed: found %q", got)
	}
}

func TestRun(t *testing.T) {
	if got := Run(func() int { return 3 }); got != 3 {
		t.Errorf("tests that failed give %d", got)
	}
}
