package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"carrel/engine"
)

// statusError ends the program with a status and without a word: the container said what there was to say.
type statusError int

func (e statusError) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// quietExit is nil for success.
func quietExit(status int) error {
	if status == 0 {
		return nil
	}
	return statusError(status)
}

// usageError is a command line that cannot be understood.
type usageError struct {
	err  error
	hint string
}

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }
func (e *usageError) Hint() string  { return e.hint }

func usage(hint, format string, args ...any) error {
	return &usageError{fmt.Errorf(format, args...), hint}
}

// hintError adds what to do about an error.
type hintError struct {
	err  error
	hint string
}

func (e *hintError) Error() string { return e.err.Error() }
func (e *hintError) Unwrap() error { return e.err }
func (e *hintError) Hint() string  { return e.hint }

func hinted(err error, hint string) error { return &hintError{err, hint} }

// finish prints an error in two lines, the cause and what to do about it, and returns the exit status.
func (a *app) finish(err error) int {
	if err == nil {
		return 0
	}
	if s, ok := errors.AsType[statusError](err); ok {
		return int(s)
	}
	if sig := a.interrupt.signal(); sig != 0 && errors.Is(err, context.Canceled) {
		if a.stream != nil {
			a.stream.fail("stopped", "", err)
		}
		a.say("stopped")
		return 128 + int(sig)
	}
	text := a.screen.paint(bad, "carrel:") + " " + lines(err.Error())
	hint := engine.Hint(err)
	if c, ok := engine.Explain(err); ok && c.Why != "" {
		text += "\n  " + a.cause(c, err.Error())
		if hint = c.Hint; hint != "" {
			// The error's own hint then only says that the log tells, and what else there is.
			if be, ok := errors.AsType[*engine.BuildError](err); ok {
				_, more, _ := strings.Cut(be.Hint(), "; ")
				hint = strings.TrimSpace(hint + "\n" + more)
			}
		}
	}
	if pe, ok := errors.AsType[*fs.PathError](err); ok && hint == "" && errors.Is(pe, fs.ErrNotExist) {
		hint = "there is nothing of this name on this computer: check how it is written, and the folder you are in"
	}
	if a.stream != nil {
		a.stream.fail(err.Error(), hint, err)
	}
	if hint != "" {
		text += "\n" + a.screen.paint(muted, a.screen.text("  → ")) + lines(hint)
	}
	fmt.Fprintln(a.err, text)
	if _, ok := errors.AsType[*usageError](err); ok {
		return exitUsage
	}
	return exitFailure
}

func asBuildError(err error) (*engine.BuildError, bool) {
	return errors.AsType[*engine.BuildError](err)
}

// cause says why something failed, and by which line that is known, unless the person has just read that.
func (a *app) cause(c engine.Cause, known string) string {
	text := lines(c.Why)
	if c.Evidence != "" && !strings.Contains(known, c.Evidence) {
		text += "\n  " + a.screen.paint(muted, a.screen.text("│ ")+lines(c.Evidence))
	}
	return text
}

// lines keeps the lines of an error's text and nothing else that could steer the terminal.
func lines(text string) string {
	all := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for i, l := range all {
		all[i] = clean(l)
	}
	return strings.Join(all, "\n  ")
}
