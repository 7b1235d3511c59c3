package sandbox

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"carrel/engine/sandbox/plan"
)

// TestLimitsFromTheStart: a process is held to its limits from its first instruction on, not a moment later.
func TestLimitsFromTheStart(t *testing.T) {
	limits := []plan.Limit{{Resource: unix.RLIMIT_DATA, Value: 200 << 20, Name: "memory"}}
	const tries = 20
	for range tries { // as quickly as a shell asks, so that one that is late is seen
		p := newPlan(t, "/bin/sh", "-c", "ulimit -d; ulimit -H -d; exit 5")
		p.Process.Limits = limits
		status, out, err := run(t, Config{Plan: p, IDs: ids()})
		if err != nil || status != 5 || out != "204800\n204800\n" {
			t.Fatalf("status %d, limits %q, %v", status, out, err)
		}
	}
	p := newPlan(t, "/bin/sleep", "1000")
	k, err := Start(context.Background(), Config{Plan: p, IDs: ids()})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Wait()
	defer k.Kill()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	for range tries {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		process := plan.Process{Args: []string{"/bin/sh", "-c", "ulimit -d; kill -TERM $$"}, Env: []string{"PATH=/bin"}, Umask: -1, Limits: limits}
		job, err := k.Exec(context.Background(), process, [3]*os.File{null, w, w}, false)
		w.Close()
		if err != nil {
			t.Fatal(err)
		}
		out, _ := io.ReadAll(r)
		r.Close()
		if status := job.Wait(); status != 128+15 || string(out) != "204800\n" {
			t.Fatalf("status %d, limit %q", status, out)
		}
	}
	process := plan.Process{Args: []string{"/no-such"}, Env: []string{}, Umask: -1, Limits: limits}
	if _, err := k.Exec(context.Background(), process, [3]*os.File{null, null, null}, false); !errors.Is(err, unix.ENOENT) {
		t.Errorf("a program that there is not: %v", err)
	}
	// A file without a first line that names an interpreter.
	p = newPlan(t, "/bin/sh", "-c", "printf 'ulimit -d' > /tmp/script; chmod +x /tmp/script; exec /tmp/script")
	p.Process.Limits = limits
	if status, out, err := run(t, Config{Plan: p, IDs: ids()}); status != 0 || strings.TrimSpace(out) != "204800" || err != nil {
		t.Errorf("a script: status %d, %q, %v", status, out, err)
	}
}
