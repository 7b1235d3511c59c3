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

func TestFixed(t *testing.T) {
	for line, want := range map[string]int{
		"carrel exec a.sif true x":       4,
		"carrel exec a.sif":              0,
		"carrel exec -B /x a.sif true":   0,
		"carrel exec a.sif --version":    0,
		"carrel run a.sif -x":            3,
		"carrel shell a.sif":             3,
		"carrel build a.sif b":           0,
		"/x/singularity exec a.sif true": 4,
		"singularity -q exec a.sif true": 0,
		"apptainer test a.sif":           3,
		"run-singularity ./a.sif x":      2,
		"carrel":                         0,
	} {
		if got := Fixed(strings.Fields(line)); got != want {
			t.Errorf("%q: %d, want %d", line, got, want)
		}
	}
	if Fixed([]string{"carrel", "run", ""}) != 0 {
		t.Error("an empty word")
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
