package tui

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	tea "charm.land/bubbletea/v2"

	"carrel/tui/widget"
)

// CrashError is a panic of the screens themselves. The terminal is as before; apps that run are not concerned.
type CrashError struct {
	Report string // path of the file that tells what happened; empty when it could not be written
	Cause  string // the panic's own words
}

func (e *CrashError) Error() string {
	if e.Report == "" {
		return "carrel had to stop because of a mistake of its own: " + e.Cause
	}
	return "carrel had to stop because of a mistake of its own; what happened is written in " + e.Report
}

// Hint says what goes on.
func (e *CrashError) Hint() string {
	return "apps that were running keep running; start carrel again, and please report what is in that file"
}

// crash is what is known of a panic.
type crash struct{ cause, text string }

// caught keeps a panic of the loop, the first one, and ends the program. It must be deferred directly.
func (m *model) caught(r any, doing string) {
	if r == nil || m.crash != nil {
		return
	}
	var b strings.Builder
	fmt.Fprintf(&b, "carrel: %v\n\ntime: %s\nwhile: %s\nterminal: %d×%d\ngo: %s %s/%s\n\n%s", r, m.d.Now().Format("2006-01-02 15:04:05"), doing, m.w, m.h,
		runtime.Version(), runtime.GOOS, runtime.GOARCH, debug.Stack())
	m.crash = &crash{cause: widget.Clean(fmt.Sprint(r)), text: b.String()}
	if m.abort != nil {
		m.abort()
	}
}

// crashed writes the report of a panic and returns it as an error; nil when there was none.
func (m *model) crashed() error {
	if m.crash == nil {
		return nil
	}
	e := &CrashError{Cause: m.crash.cause}
	if m.o.Report != nil {
		if path, err := m.o.Report(m.crash.text); err == nil {
			e.Report = path
		}
	}
	return e
}

// Update takes every message.
func (m *model) Update(msg tea.Msg) (self tea.Model, cmd tea.Cmd) {
	if m.crash != nil {
		return m, tea.Quit
	}
	defer func() {
		if r := recover(); r != nil {
			m.caught(r, fmt.Sprintf("taking %T", msg))
			self, cmd = m, tea.Quit // without a model the library would panic itself, all over the screen
		}
	}()
	cmd = m.update(msg)
	return m, tea.Batch(cmd, m.settle())
}

// View draws the program. It changes nothing.
func (m *model) View() (v tea.View) {
	defer func() {
		if r := recover(); r != nil {
			m.caught(r, "drawing "+fmt.Sprintf("%T", m.current()))
			v = tea.NewView("")
			v.AltScreen = true
		}
	}()
	m.pace.woken()
	return m.view()
}
