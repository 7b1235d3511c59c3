package definition

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// ErrEmpty is a definition file with neither header nor section.
var ErrEmpty = errors.New("no stages found in definition file")

// ErrTooLarge is a definition file over Options.MaxSize.
var ErrTooLarge = errors.New("definition file too large")

// Severity says what a finding means.
type Severity int

const (
	// Note is a remark; the file means what it seems to.
	Note Severity = iota
	// Warning is something other programs refuse, or that does something else than it seems to.
	Warning
	// Failure makes the file invalid.
	Failure
)

// String is "note", "warning" or "error".
func (s Severity) String() string {
	switch s {
	case Note:
		return "note"
	case Warning:
		return "warning"
	default:
		return "error"
	}
}

// Finding is something to say about a place in a definition file.
type Finding struct {
	// Rule is the stable name of what was found, such as "section-tab".
	Rule     string   `json:"rule"`
	Severity Severity `json:"-"`
	Line     int      `json:"line"`
	Column   int      `json:"-"`
	// Section is the section's name without %, "header" above the sections, or empty for the file as a whole.
	Section string `json:"section"`
	Message string `json:"message"`
	// Fix is what to do, in words or as the text to write; empty when there is nothing to be done.
	Fix string `json:"fix"`
	// Edits do it to the text, all or none; none when a person has to decide.
	Edits []Edit `json:"edit,omitempty"`
}

// Error is a place in a definition file that cannot be read.
type Error struct {
	// File is the name the file was parsed under; it may be empty.
	File string
	// Line and Column count from 1; Line is 0 when the file as a whole is meant.
	Line, Column int
	// Section is the section's name without %, or "header".
	Section string
	// Rule is the stable name of the kind of error, as in a Finding.
	Rule string
	// Msg says what is wrong.
	Msg string
	// Suggestion is the text that was probably meant, such as "%post"; it may be empty.
	Suggestion string

	hint string
	err  error
}

// Error says where and what, with the likely word.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("parse ")
	if e.File == "" {
		b.WriteString("definition")
	} else {
		b.WriteString(e.File)
	}
	if e.Line > 0 {
		b.WriteString(", line ")
		b.WriteString(strconv.Itoa(e.Line))
	}
	b.WriteString(": ")
	b.WriteString(e.Msg)
	if e.Suggestion != "" {
		b.WriteString(", did you mean ")
		b.WriteString(e.Suggestion)
		b.WriteString("?")
	}
	return b.String()
}

// Hint says what to do about it; it may be empty.
func (e *Error) Hint() string {
	switch {
	case e.hint != "":
		return e.hint
	case e.Suggestion != "" && e.Line > 0:
		return fmt.Sprintf("write %s in line %d", e.Suggestion, e.Line)
	default:
		return ""
	}
}

// Unwrap is ErrEmpty where that is the matter.
func (e *Error) Unwrap() error { return e.err }

// Finding is the error as a finding of Lint.
func (e *Error) Finding() Finding {
	f := Finding{Rule: e.Rule, Severity: Failure, Line: e.Line, Column: e.Column, Section: e.Section, Message: e.Msg, Fix: e.Hint()}
	if e.Suggestion != "" {
		f.Message += ", did you mean " + e.Suggestion + "?"
	}
	return f
}

// Errors are several errors of one file, by line; there are at least two.
type Errors []*Error

// Error is one line for each.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, one := range e {
		lines[i] = one.Error()
	}
	return strings.Join(lines, "\n")
}

// Hint is the first one's.
func (e Errors) Hint() string { return e[0].Hint() }

// Unwrap lets errors.As and errors.Is reach each.
func (e Errors) Unwrap() []error {
	all := make([]error, len(e))
	for i, one := range e {
		all[i] = one
	}
	return all
}

// Undefined is a template name without a value.
type Undefined struct {
	Name         string
	Stage        string // the stage's name, or empty
	Line, Column int    // of its first use
}

// UndefinedError lists every template of a file that neither a build argument nor the stage's %arguments gives a value.
type UndefinedError struct {
	File  string
	Names []Undefined
}

// Error names them all.
func (e *UndefinedError) Error() string {
	var b strings.Builder
	b.WriteString("parse ")
	if e.File == "" {
		b.WriteString("definition")
	} else {
		b.WriteString(e.File)
	}
	if len(e.Names) == 1 {
		b.WriteString(": build argument ")
	} else {
		b.WriteString(": build arguments ")
	}
	for i, n := range e.Names {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s (line %d)", n.Name, n.Line)
	}
	if len(e.Names) == 1 {
		b.WriteString(" has no value")
	} else {
		b.WriteString(" have no values")
	}
	return b.String()
}

// Hint says how to give them.
func (e *UndefinedError) Hint() string {
	var args []string
	seen := map[string]bool{}
	for _, n := range e.Names {
		if !seen[n.Name] {
			seen[n.Name] = true
			args = append(args, "--build-arg "+n.Name+"=…")
		}
	}
	return "give " + strings.Join(args, " ") + ", or a default in the stage's %arguments section"
}
