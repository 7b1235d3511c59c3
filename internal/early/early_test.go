package early

import (
	"os"
	"strings"
	"syscall"
	"testing"
)

func TestStarts(t *testing.T) {
	for line, want := range map[string]bool{
		"carrel":                         false,
		"carrel exec a.sif true":         true,
		"/usr/bin/carrel run a.sif":      true,
		"carrel shell a.sif":             true,
		"carrel build a.sif run":         false,
		"apptainer -d exec a.sif true":   true,
		"/x/singularity --quiet run a":   true,
		"singularity instance run a b":   false,
		"singularity test a.sif":         true,
		"run-singularity ./a.sif":        true,
		"/usr/bin/run-singularity ./a b": true,
		"carrel-init":                    false,
		"carrel supervise-app":           false,
		"x.test -test.run=Some":          false,
	} {
		if got := starts(strings.Fields(line)); got != want {
			t.Errorf("%q: %v, want %v", line, got, want)
		}
	}
}

func TestTake(t *testing.T) {
	if Signals() != nil {
		t.Error("signals of a test are held")
	}
	held = make(chan os.Signal, buffered)
	take(first)
	Rest()
	for _, s := range []syscall.Signal{syscall.SIGUSR1, syscall.SIGTERM, syscall.SIGXCPU} {
		if err := syscall.Kill(syscall.Getpid(), s); err != nil {
			t.Fatal(err)
		}
		if got := <-Signals(); got != s {
			t.Errorf("got %v, want %v", got, s)
		}
	}
	Default(syscall.SIGWINCH) // does nothing, to this process as well
}
