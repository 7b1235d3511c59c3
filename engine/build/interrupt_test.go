package build_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"carrel/engine"
)

// long has something to interrupt in every step.
const long = header + `
%setup
    for i in 1 2 3; do echo setup $i; done
%files
    many
%post
    for i in 1 2 3 4 5 6; do echo post $i; mkdir /p$i; done
    (sleep 1000 &)
    echo in the background
%appinstall a
    echo installing
%test
    for i in 1 2 3; do echo test $i; done
`

func manyFiles(k *kit) {
	for i := range 30 {
		k.write(fmt.Sprintf("many/%d", i), strings.Repeat("x", 10000))
	}
}

// TestCancel ends a build's context at ten random moments. Moments are counted in events, so that they spread over all steps.
func TestCancel(t *testing.T) {
	k := newKit(t)
	manyFiles(k)
	definition := k.write("Singularity", strings.ReplaceAll(long, "BASE", baseFolder(t)))
	total := 0
	if _, err := k.Build(t.Context(), engine.BuildSpec{Definition: definition, Target: "whole.sif"}, func(engine.Event) { total++ }); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		at := rand.IntN(total)
		ctx, cancel := context.WithCancel(t.Context())
		n := 0
		_, err := k.Build(ctx, engine.BuildSpec{Definition: definition, Target: "image.sif", NoCache: true}, func(engine.Event) {
			if n++; n > at {
				cancel()
			}
		})
		cancel()
		if !errors.Is(err, context.Canceled) {
			// the worker may have been through before it was told
			if _, serr := os.Stat(filepath.Join(k.cwd, "image.sif")); err != nil || serr != nil {
				t.Errorf("cancelled at event %d of %d: %v, %v", at, total, err, serr)
			}
			os.Remove(filepath.Join(k.cwd, "image.sif"))
		} else if _, err := os.Stat(filepath.Join(k.cwd, "image.sif")); err == nil {
			t.Errorf("cancelled at event %d of %d: there is an image", at, total)
		}
		k.workEmpty()
		gone(t, k.dir)
	}
	if failed, _ := filepath.Glob(filepath.Join(k.config.CacheDir, "failed", "*")); len(failed) > 0 {
		t.Errorf("a build that was cancelled is kept: %q", failed)
	}
}

// TestSignals interrupts the real process at ten random moments, as Ctrl+C does, and kills it at two.
func TestSignals(t *testing.T) {
	dir, err := os.MkdirTemp("", "carrel-build-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { removeAll(t, dir) })
	k := newKitIn(t, dir)
	manyFiles(k)
	k.write("Singularity", strings.ReplaceAll(long, "BASE", baseFolder(t)))
	run := func(at int, sig syscall.Signal) (lines int) {
		t.Helper()
		cmd := exec.Command("/proc/self/exe", "build-for-signals")
		cmd.Env = append(os.Environ(), "BUILD_FOR_SIGNALS="+dir)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		in := bufio.NewScanner(out)
		for in.Scan() {
			if lines++; lines == at {
				if err := cmd.Process.Signal(sig); err != nil {
					t.Error(err)
				}
			}
		}
		_ = cmd.Wait() // by a signal, or 1
		return lines
	}
	total := run(0, 0)
	os.Remove(filepath.Join(k.cwd, "image.sif"))
	for i := range 12 {
		sig := syscall.SIGINT
		if i >= 10 {
			sig = syscall.SIGKILL
		}
		at := 1 + rand.IntN(total-1)
		run(at, sig)
		gone(t, dir)
		// A worker whose caller was killed tidies up on its own: it is gone now, and so is its folder.
		k.workEmpty()
		if st, err := os.Stat(filepath.Join(k.cwd, "image.sif")); err == nil {
			img := k.open(filepath.Join(k.cwd, "image.sif")) // complete, or not there
			if _, err := img.FS(); err != nil {
				t.Errorf("%v at line %d of %d: %d bytes: %v", sig, at, total, st.Size(), err)
			}
			os.Remove(filepath.Join(k.cwd, "image.sif"))
		}
	}
}

// buildForSignals is the process that TestSignals interrupts: it builds as the command line does.
func buildForSignals() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT)
	defer stop()
	e, err := engineFor(os.Getenv("BUILD_FOR_SIGNALS"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 255
	}
	_, err = e.Build(ctx, engine.BuildSpec{Definition: "Singularity", Target: "image.sif", NoCache: true, Force: true}, func(ev engine.Event) {
		fmt.Println(ev.Kind, ev.Step, ev.Text)
	})
	if err != nil {
		return 1
	}
	return 0
}

// engineFor is an engine on the folders of a kit in another process.
func engineFor(dir string) (*engine.Engine, error) {
	return engine.New(engine.Config{
		DataDir: filepath.Join(dir, "data"), CacheDir: filepath.Join(dir, "cache"), StateDir: filepath.Join(dir, "state"),
		User: engine.User{UID: os.Getuid(), GID: os.Getgid(), Home: dir, Cwd: filepath.Join(dir, "cwd")}, Self: "/bin/true", Version: "test",
	})
}

// gone waits until no process has the needle any more: ends of processes that are not ours can only be looked for.
func gone(t testing.TB, needle string) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		left := processesOf(t, needle)
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("still running: %q", left)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
