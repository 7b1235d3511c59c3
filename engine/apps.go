package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"carrel/engine/instance"
	"carrel/engine/instance/terminal"
)

// DefaultHistory is how many apps that have ended are remembered unless the configuration says otherwise.
const DefaultHistory = 100

// DefaultHistorySize is how much apps that have ended may keep, in bytes, unless the configuration says otherwise.
const DefaultHistorySize = 1e9

// pruneHistory forgets apps that ended long ago. What cannot be removed is tried again at the next start.
func (e *Engine) pruneHistory() {
	keep := instance.Keep{Number: cmp.Or(e.c.HistoryNumber, DefaultHistory), Age: e.c.HistoryAge, Size: max(0, cmp.Or(e.c.HistorySize, DefaultHistorySize))}
	_, _ = instance.Prune(e.instanceDir(), keep, e.c.Now())
}

// History lists the apps that have ended and whose names were taken again, newest first. Their names are NAME@TIME.
func (e *Engine) History(context.Context) ([]Instance, error) {
	list, err := instance.History(e.instanceDir())
	out := make([]Instance, 0, len(list))
	for _, in := range slices.Backward(list) {
		out = append(out, e.fromInstance(in))
	}
	return out, err
}

// Wait waits until an app has ended, and returns it. The end of ctx ends the waiting.
func (e *Engine) Wait(ctx context.Context, name string) (Instance, error) {
	in, err := e.find(name)
	if err != nil {
		return Instance{}, err
	}
	ended, err := instance.Wait(ctx, in.Dir)
	if err != nil {
		return Instance{}, told(err)
	}
	return e.fromInstance(ended), nil
}

// Rename gives an app another name, also while it runs.
func (e *Engine) Rename(ctx context.Context, from, to string) error {
	in, err := e.find(from)
	if err != nil {
		return err
	}
	spec := e.fromInstance(in).Spec
	return told(instance.Rename(ctx, e.instanceDir(), from, to, e.backgroundLine(spec, to)))
}

// Usages measures what apps use, by name; those that do not run here are missing.
func (e *Engine) Usages(_ context.Context, names ...string) (map[string]Usage, error) {
	var list []instance.Instance
	for _, name := range names {
		in, err := e.find(name)
		if err != nil {
			return nil, err
		}
		list = append(list, in)
	}
	return instance.UsageOf(list...)
}

// Processes lists what runs in an app.
func (e *Engine) Processes(_ context.Context, name string) ([]Process, error) {
	in, err := e.find(name)
	if err != nil {
		return nil, err
	}
	if !in.State.Live() {
		return nil, fmt.Errorf("look into %s: %w", name, ErrNotRunning)
	}
	if in.Elsewhere != "" {
		return nil, &instance.ElsewhereError{Name: name, Machine: in.Elsewhere}
	}
	return instance.Processes(in)
}

// DetachKeys are what leaves an attached app unless the person chooses others: Ctrl+P, Ctrl+Q.
var DetachKeys = []byte{16, 17}

// Attach connects the caller's terminal, or files, with an app's own terminal or its standard input, until the app has
// ended, detach is typed, or ctx ends. Of an app without a terminal nothing is shown: Logs does that. It returns the app's
// status; detached tells that the app goes on. An error with Hint tells of an app that has neither.
func (e *Engine) Attach(ctx context.Context, name string, std Stdio, detach []byte) (status int, detached bool, err error) {
	in, err := e.find(name)
	if err != nil {
		return 0, false, err
	}
	if !in.State.Live() {
		return 0, false, fmt.Errorf("attach to %s: %w", name, ErrNotRunning)
	}
	at, err := instance.Attach(ctx, in.Dir)
	if err != nil {
		return 0, false, told(err)
	}
	defer at.Close()
	c := terminal.Console{Input: at.Input, Output: at.Output, TTY: at.TTY, Ended: at.Ended(), EOF: at.EOF}
	detached, err = terminal.Attach(ctx, std.In, std.Out, c, detach)
	if err != nil || detached {
		return 0, detached, err
	}
	status, known := at.Status()
	if !known {
		return 128 + int(syscall.SIGKILL), false, fmt.Errorf("attach to %s: %w", name, ErrNotRunning)
	}
	return status, false, nil
}

// SignalNameError is a signal that does not exist.
type SignalNameError struct{ Name string }

func (e *SignalNameError) Error() string {
	return fmt.Sprintf("stop signal %q: there is no such signal", e.Name)
}

// Hint says how signals are written.
func (e *SignalNameError) Hint() string {
	return "write its name, such as SIGINT, or its number; `kill -l` lists them"
}

// realtimeMin is the first signal that programs are free to use, as the C library counts them (signal(7)).
const realtimeMin = 34

// stopSignal reads the name or number of a signal; 0 for "".
func stopSignal(text string) (syscall.Signal, error) {
	if text == "" {
		return 0, nil
	}
	if n, err := strconv.Atoi(text); err == nil {
		if n < 1 || n > 64 {
			return 0, &SignalNameError{text}
		}
		return syscall.Signal(n), nil
	}
	name := "SIG" + strings.TrimPrefix(strings.ToUpper(text), "SIG")
	if rest, ok := strings.CutPrefix(name, "SIGRTMIN"); ok {
		n := 0
		if rest != "" {
			var err error
			if n, err = strconv.Atoi(rest); err != nil || n < 0 || n > 30 {
				return 0, &SignalNameError{text}
			}
		}
		return syscall.Signal(realtimeMin + n), nil
	}
	if s := unix.SignalNum(name); s != 0 {
		return s, nil
	}
	return 0, &SignalNameError{text}
}

// limitTime ends a container of the foreground when its time is over: the stop signal, then, after the usual grace time, the
// end of all. The returned function must be called when it has ended.
func limitTime(limit time.Duration, stop func(), kill func(), note func(string)) (done func()) {
	if limit <= 0 {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if wait(ctx, limit) != nil {
			return
		}
		note(fmt.Sprintf("its time of %s is over; it is asked to end", limit))
		stop()
		if wait(ctx, instance.DefaultGrace) == nil {
			note(fmt.Sprintf("it did not end within %s, and is killed", instance.DefaultGrace))
			kill()
		}
	}()
	return func() {
		cancel()
		<-ended
	}
}

// wait waits, unless ctx ends before.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// Interrupted tells whether an error of Attach is that of a signal, and which.
func Interrupted(err error) (os.Signal, bool) {
	s, ok := errors.AsType[*terminal.SignalError](err)
	if !ok {
		return nil, false
	}
	return s.Signal, true
}
