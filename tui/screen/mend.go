package screen

import (
	"os"

	tea "charm.land/bubbletea/v2"

	"carrel/engine"
	"carrel/internal/amount"
	"carrel/tui/task"
	"carrel/tui/widget"
)

// Mend is what a key does about a cause, and its words; do is nil when there is nothing that a key could do. spec is what
// was to be started, nil for something else; start starts it as it is given.
func (d Deps) Mend(c engine.Cause, spec *engine.RunSpec, start func(engine.RunSpec) tea.Cmd) (label string, do func() tea.Cmd) {
	switch c.Fix {
	case engine.FixDoctor:
		return "Check this computer", func() tea.Cmd { return Ask(OpenDoctor{}) }
	case engine.FixSpace:
		return "Show what can be deleted", func() tea.Cmd { return Ask(OpenSpace{}) }
	}
	if spec == nil || start == nil {
		return "", nil
	}
	if c.Fix == engine.FixFolder && c.Path != "" {
		return "Create the folder", func() tea.Cmd {
			return task.Do(func() error { return os.MkdirAll(c.Path, 0o755) }, func(err error) tea.Msg {
				if err != nil {
					return Failed{What: "Making the folder", Err: err}
				}
				return mended{start(*spec)}
			})
		}
	}
	next, ok := engine.Amend(*spec, c)
	if !ok {
		return "", nil
	}
	return MendWords(c, next), func() tea.Cmd { return start(next) }
}

// MendWords say what is done about a cause by starting next in place of what failed.
func MendWords(c engine.Cause, next engine.RunSpec) string {
	switch c.Fix {
	case engine.FixPort:
		return "Use the next free port"
	case engine.FixNetwork:
		return "Give it a network of its own"
	case engine.FixMemory:
		return "Allow it " + amount.FormatBytes(next.Details.Limits.Memory)
	case engine.FixTime:
		return "Give it " + amount.FormatSpan(next.TimeLimit)
	case engine.FixWritable:
		return "Let it change the folder"
	case engine.FixEnv:
		return "Start it with another private folder"
	case engine.FixArgs:
		return "Start it with " + widget.Clean(c.Args[0])
	}
	return "Try again"
}

// mended brings a command that a command made.
type mended struct{ cmd tea.Cmd }

// Follow is the command that a message brings, nil for other messages.
func Follow(msg tea.Msg) tea.Cmd {
	if m, ok := msg.(mended); ok {
		return m.cmd
	}
	return nil
}

// Why are the paragraphs that explain a failure: what happened, the line that says so, what to do.
func Why(c engine.Cause, said string) []string {
	var out []string
	if c.Why != "" {
		out = append(out, widget.Clean(c.Why))
	}
	if e := widget.Clean(c.Evidence); e != "" && e != said {
		out = append(out, e)
	}
	if c.Hint != "" {
		out = append(out, widget.Sentence(c.Hint))
	}
	return out
}
