// Command testrun is `make test`: it sets up what the tests need, runs them all as the user who calls it and, when that is
// root, those that depend on rights again as ordinary users, and fails when a test was skipped that .ci/skips does not list.
//
// As an ordinary user it installs nothing; it says which programs are missing and runs what can be run. Arguments restrict
// it to some packages, by patterns as go test takes them.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "FAIL:", err)
		stop()
		os.Exit(1)
	}
}

// run makes the whole test.
func run(ctx context.Context, patterns []string) error {
	start := time.Now()
	if _, err := os.Stat("go.mod"); err != nil {
		return errors.New("run this from the top of the checkout")
	}
	// Tests are linked as the program is, which some of them copy into a container.
	if err := os.Setenv("CGO_ENABLED", "0"); err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "carrel-test-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	if err := os.Chmod(work, 0o755); err != nil { // for the ordinary users
		return err
	}
	if err := os.Mkdir(filepath.Join(work, "images"), 0o755); err != nil {
		return err
	}
	missing, err := setup(ctx)
	if err != nil {
		return err
	}
	allowed, err := readSkips(".ci/skips")
	if err != nil {
		return err
	}
	lint := command(ctx, "sh", ".ci/lint", "quick") // told again at the end; the tests say more
	// One static binary, as people get it, for all tests that drive it.
	binary := filepath.Join(work, "carrel")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-o", binary, "./cmd/carrel")
	build.Stdout, build.Stderr = os.Stdout, os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("build: %w", err)
	}
	r := &runner{work: work, binary: binary, patterns: patterns, allowed: allowed}
	if len(patterns) == 0 {
		r.patterns = []string{"./..."}
	}
	me := "user"
	if os.Getuid() == 0 {
		me = "root"
	}
	fmt.Printf("== as %s\n", me)
	if err := r.goTest(ctx, me); err != nil {
		return err
	}
	if me == "root" {
		for _, u := range users {
			if err := r.asUser(ctx, u); err != nil {
				return fmt.Errorf("as %s: %w", u.name, err)
			}
		}
	}
	fmt.Printf("== %d tests passed, %d were skipped, %d failed, in %s\n", r.passed, r.skipped, r.failed, time.Since(start).Round(time.Second))
	for _, s := range r.unknown {
		fmt.Println("   skipped, and not listed in .ci/skips:", s)
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case r.failed > 0:
		return fmt.Errorf("%d failed", r.failed)
	case lint != nil:
		return fmt.Errorf("lint: %w", lint)
	case len(r.unknown) > 0 && len(missing) > 0:
		return fmt.Errorf("tests were skipped; install first: %s", strings.Join(missing, " "))
	case len(r.unknown) > 0:
		return errors.New("tests were skipped that .ci/skips does not list")
	}
	return nil
}

func command(ctx context.Context, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd.Run()
}
