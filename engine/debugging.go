package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"carrel/engine/build"
	"carrel/engine/sandbox"
)

// DebugSpec asks for a shell in the container of a build that failed.
type DebugSpec struct {
	// Target is the image that was to be built: its path, its name in the store, or the catalog entry's name
	// (BuildError.Target).
	Target string
	Args   []string // what to run; empty: a shell
	Term   string   // kind of terminal (TERM), when there is one
}

// exitDebug is the status by which a worker says that it could not start what it was asked for.
const exitDebug = 255

// Debug runs a shell, or a command, in the container of a failed build, exactly as it was when the step failed: its tree,
// its environment, its caches. What is changed there stays, and BuildSpec.Resume goes on with it. When the standard input
// is a terminal, the shell has it as its own until it ends. It returns the exit status of the shell.
func (e *Engine) Debug(ctx context.Context, s DebugSpec, std Stdio) (int, error) {
	d := build.DebugSpec{Cache: e.c.CacheDir, Work: e.workDir(), Target: e.debugTarget(s.Target), Args: s.Args, Term: s.Term, Proxies: proxies(e.c.User.Env)}
	order, err := json.Marshal(d)
	if err != nil {
		return 0, err
	}
	ids, _ := e.buildIDs()
	// What the shell writes goes to the caller's files; how it went comes in a file.
	dir, release, err := e.scratch("debug-")
	if err != nil {
		return 0, err
	}
	defer release()
	answer, err := os.Create(filepath.Join(dir, "answer"))
	if err != nil {
		return 0, err
	}
	defer answer.Close()
	// The arguments of a process are for everybody to read: its order, which may hold the password of a proxy, is in a file.
	orders := filepath.Join(dir, "order")
	if err := os.WriteFile(orders, order, 0o600); err != nil {
		return 0, err
	}
	k, err := sandbox.StartWorker(ctx, ids, []string{workDebug, orders, answer.Name()}, std.In, std.Out, std.Err)
	if err != nil {
		return 0, err
	}
	status, err := k.Wait()
	text, rerr := io.ReadAll(answer)
	if err = errors.Join(err, rerr); err != nil {
		return status, err
	}
	if ctx.Err() != nil {
		return status, ctx.Err()
	}
	var a debugAnswer
	if len(text) > 0 && json.Unmarshal(text, &a) == nil && a.Text != "" {
		return status, &BuildError{Text: a.Text, HintText: a.Hint, Target: d.Target}
	}
	return status, nil
}

// debugAnswer is what a worker says that could not do it.
type debugAnswer struct{ Text, Hint string }

// debugTarget finds the path under which a build is known.
func (e *Engine) debugTarget(name string) string {
	path := e.expand(name)
	if strings.Contains(name, "/") || exists(path) || build.Kept(e.c.CacheDir, path) {
		return path
	}
	for _, ext := range []string{"", ".sif"} {
		if p := e.imageDir() + "/" + name + ext; build.Kept(e.c.CacheDir, p) {
			return p
		}
	}
	return path
}

// debugWorker is the worker's side.
func debugWorker(ctx context.Context, args []string, trouble io.Writer) int {
	var d build.DebugSpec
	if len(args) != 2 {
		fmt.Fprintln(trouble, "the order is missing")
		return exitDebug
	}
	order, err := os.ReadFile(args[0])
	if err == nil {
		err = json.Unmarshal(order, &d)
	}
	if err != nil {
		fmt.Fprintln(trouble, "the order cannot be read:", err)
		return exitDebug
	}
	answer, err := os.OpenFile(args[1], os.O_WRONLY, 0)
	if err != nil {
		fmt.Fprintln(trouble, err)
		return exitDebug
	}
	defer answer.Close()
	defer takeTerminal(os.Stdin)()
	status, err := build.Debug(ctx, d, os.Stdin, os.Stdout, os.Stderr, func(text string) { fmt.Fprintln(trouble, text) })
	if err != nil {
		_ = json.NewEncoder(answer).Encode(debugAnswer{err.Error(), Hint(err)}) // the status tells too
		return exitDebug
	}
	return status
}

// takeTerminal makes this process's group the one that a terminal belongs to: workers have a group of their own, and one
// in the background may not read (setpgid(2), tcsetpgrp(3)). The result gives it back.
func takeTerminal(f *os.File) (giveBack func()) {
	before, err := unix.IoctlGetInt(int(f.Fd()), unix.TIOCGPGRP)
	if err != nil {
		return func() {}
	}
	set := func(group int) {
		signal.Ignore(unix.SIGTTOU)                                     // which would stop a process in the background that does this
		_ = unix.IoctlSetPointerInt(int(f.Fd()), unix.TIOCSPGRP, group) // the terminal is gone: so is its reader
	}
	set(unix.Getpgrp())
	return func() { set(before) }
}

// Provenance tells how an image was made, as JSON; nil when it does not say.
func (e *Engine) Provenance(ctx context.Context, name string) (json.RawMessage, error) {
	t, err := e.Resolve(ctx, name)
	if err != nil {
		return nil, err
	}
	if !t.Built && t.Kind != TargetRemote {
		return nil, fmt.Errorf("provenance of %s: %w", name, ErrNotFound)
	}
	img, _, done, err := e.openOutline(ctx, "inspect", name)
	if err != nil {
		return nil, err
	}
	defer done()
	if img.SIF() == nil {
		return nil, nil
	}
	return img.SIF().JSON(build.ProvenanceName)
}
