package tui

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/colorprofile"

	"carrel/tui/screen"
	"carrel/tui/task"
	"carrel/tui/theme"
)

// Start says which screen the program begins with.
type Start int

// The screens a program can begin with.
const (
	StartDesk    Start = iota
	StartWelcome       // the three screens for newcomers
	StartCatalog
	StartRunning
	StartDoctor
)

// Multiplexer is a program between this one and the terminal, which lets through only what is marked for it.
type Multiplexer int

// The programs that are known.
const (
	NoMultiplexer Multiplexer = iota
	Tmux
	GNUScreen
)

// Options are all the program needs. Engine and Catalog must be there; everything else has a working zero value.
type Options struct {
	Engine  task.Engine
	Catalog task.Catalog
	Memory  task.Memory // nil: answers are not remembered
	Theme   theme.Options

	Start     Start
	StartName string // with StartRunning: the app

	Home        string                  // the person's home folder
	Self        string                  // path of this program, for terminals inside containers
	Cwd         string                  // the folder it was started in
	Editor      []string                // the person's editor and its arguments; nil: there is none
	Pager       []string                // what the person reads files with; nil: the editor
	Opener      func(url string) error  // opens a browser; nil: there is none here
	Clipboard   func(text string) error // what takes a copied text besides the terminal; nil: nothing. It is called off the loop
	Definitions Definitions             // nil: apps cannot be copied
	Inside      Multiplexer
	SaveFile    func(name, text string) (string, error)  // writes a text to a new file for the person and returns its path; nil: cannot
	Welcomed    func()                                   // called when the screens for newcomers were seen or skipped; may be nil
	Writable    bool                                     // the engine can keep what changes inside a container
	Remote      *screen.Remote                           // the person came over SSH
	Report      func(text string) (path string, _ error) // keeps what is known of a panic; nil: it is only named

	Now func() time.Time // nil: time.Now

	// For tests, and for programs that are not on the process's own terminal.
	Input         io.Reader
	Output        io.Writer
	Environ       []string
	Width, Height int
}

// Result is what is left to say when the program has ended and the shell is back.
type Result struct {
	Goodbye string // one or two lines; empty when there is nothing to say
}

// Run shows the program until the person leaves it or ctx ends. The terminal is as before when it returns, also after a
// panic, which it returns as a *CrashError.
func Run(ctx context.Context, o Options) (Result, error) { return runModel(ctx, o, nil) }

// runModel is Run; prepare may change the model before it starts.
func runModel(ctx context.Context, o Options, prepare func(*model)) (Result, error) {
	life, cancel := context.WithCancel(ctx)
	defer cancel()
	m := newModel(life, o)
	if prepare != nil {
		prepare(m)
	}
	opts := []tea.ProgramOption{tea.WithContext(ctx), tea.WithFPS(fixedFPS)}
	if canPace() {
		opts[1] = tea.WithFPS(fastFPS)
	}
	switch {
	case o.Theme.NoColor:
		opts = append(opts, tea.WithColorProfile(colorprofile.ASCII))
	case o.Theme.Basic:
		opts = append(opts, tea.WithColorProfile(colorprofile.ANSI))
	}
	if o.Input != nil {
		opts = append(opts, tea.WithInput(o.Input))
	}
	if o.Output != nil {
		opts = append(opts, tea.WithOutput(o.Output))
	}
	if o.Environ != nil {
		opts = append(opts, tea.WithEnvironment(o.Environ))
	}
	if o.Width > 0 {
		opts = append(opts, tea.WithWindowSize(o.Width, o.Height))
	}
	p := tea.NewProgram(m, opts...)
	if canPace() {
		m.pace.program = p
	}
	m.abort = func() { go p.Quit() } // it waits for the loop, which is waiting for us
	_, err := p.Run()
	m.pace.end()
	cancel()
	m.close()
	if crash := m.crashed(); crash != nil {
		return Result{}, crash
	}
	if errors.Is(err, tea.ErrInterrupted) || errors.Is(err, tea.ErrProgramKilled) && ctx.Err() != nil {
		err = nil
	}
	if err != nil {
		return Result{}, fmt.Errorf("run screens: %w", err)
	}
	return Result{Goodbye: m.goodbye()}, nil
}
