package sandbox

import (
	"bufio"
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"carrel/engine/sandbox/plan"
)

// TestOrphans: a process whose parent has ended, and with it everybody who would wait for it, is no zombie when it has ended.
func TestOrphans(t *testing.T) {
	if hostPIDs {
		return // it becomes a child of the computer's own process 1
	}
	const script = `pid=$(sh -c 'sleep 0.01 >/dev/null & echo $!'); test -d /proc/$pid || echo gone early
		tries=0; while test -d /proc/$pid && test $tries -lt 3000; do tries=$((tries+1)); sleep 0.01; done
		test -d /proc/$pid && grep State /proc/$pid/status || echo reaped`
	status, out, err := run(t, Config{Plan: newPlan(t, "/bin/sh", "-c", script), IDs: ids()})
	if status != 0 || err != nil || out != "reaped\n" && out != "gone early\nreaped\n" {
		t.Errorf("got %d %q, %v", status, out, err)
	}
}

// TestPropagation: what is mounted below a bound folder after the start is seen inside, and nothing that is mounted inside is
// seen outside (mount_namespaces(7), MS_SLAVE).
func TestPropagation(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("missing: root")
	}
	for _, fork := range []bool{true, false} {
		dir := t.TempDir()
		if err := unix.Mount("carrel-test", dir, "tmpfs", 0, ""); err != nil {
			t.Skipf("missing: root (%v)", err)
		}
		t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
		if err := unix.Mount("", dir, "", unix.MS_SHARED, ""); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"later", "own"} {
			if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		p := newPlan(t, "/bin/sh", "-c", "echo ready; read x; cat /bound/later/file; mount -t tmpfs none /bound/own 2>/dev/null && touch /bound/own/inner && echo mounted; echo done; read x")
		p.Ops = append(p.Ops, plan.Op{Kind: plan.OpBind, Source: dir, Dest: "/bound"})
		p.Process.KeepCaps = !fork
		in, keys, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		screen, out, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		k, err := Start(context.Background(), Config{Plan: p, IDs: ids(), Alone: fork, Stdin: in, Stdout: out, Stderr: out})
		in.Close()
		out.Close()
		if err != nil {
			t.Fatal(err)
		}
		if _, forked := k.process.(*forkedChild); forked != fork {
			t.Errorf("forked: %v", forked)
		}
		lines := bufio.NewReader(screen)
		see := func(want string) {
			t.Helper()
			if got, err := lines.ReadString('\n'); got != want {
				t.Errorf("forked %v: got %q, %v; want %q", fork, got, err, want)
			}
		}
		see("ready\n")
		later := filepath.Join(dir, "later")
		if err := unix.Mount("carrel-test", later, "tmpfs", 0, ""); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Unmount(later, unix.MNT_DETACH) })
		if err := os.WriteFile(filepath.Join(later, "file"), []byte("seen\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(keys, "\n"); err != nil {
			t.Fatal(err)
		}
		see("seen\n")
		if !fork {
			see("mounted\n")
		}
		see("done\n")
		if _, err := os.Stat(filepath.Join(dir, "own/inner")); err == nil {
			t.Error("what was mounted inside is seen outside")
		}
		keys.Close()
		if _, err := k.Wait(); err != nil {
			t.Error(err)
		}
		screen.Close()
	}
}
