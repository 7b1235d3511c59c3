package main

import (
	"fmt"
	"os"
	"testing"

	"github.com/creack/pty"

	"carrel/internal/testroot"
)

// wantTerminal makes the test binary a program that opens a terminal of its own, as an app does that shows one in the
// browser, and prints what comes through it.
const wantTerminal = "open-terminal"

func openTerminal() int {
	master, slave, err := pty.Open()
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer master.Close()
	defer slave.Close()
	if _, err := slave.WriteString("through it"); err != nil {
		fmt.Println(err)
		return 1
	}
	buf := make([]byte, 64)
	n, err := master.Read(buf)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println(string(buf[:n]))
	return 0
}

// TestTerminalsInside: programs inside can open terminals, whatever of this computer they see.
func TestTerminalsInside(t *testing.T) {
	if f, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0); err != nil {
		t.Skip("missing: pseudo-terminals")
	} else {
		f.Close()
	}
	p := newProgram(t)
	root := testroot.Make(t)
	for _, options := range [][]string{{}, {"--contain"}, {"--safe"}, {"--safe", "--fakeroot"}} {
		args := append(append([]string{"carrel", "exec"}, options...), "-B"+p.self+":/caller", root, "/caller", wantTerminal)
		if out := p.must(args...); out != "through it\n" {
			t.Errorf("%v: %q", options, out)
		}
	}
}
