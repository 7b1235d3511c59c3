package build

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"carrel/engine/definition"
	"carrel/engine/progress"
	"carrel/internal/pattern"
)

// Sections run with "sh -ex", which writes each command before it is run. That goes with the line's number here, by which
// the command that failed is found again in the definition. (Debian's dash knows no LINENO: there the text is looked for.)
const (
	tracePrompt = `+[$LINENO] `
	traceSetUp  = `PS4='` + tracePrompt + `'; `
)

var (
	traceLine = pattern.New(`^(\++)\[(\d*)\] (.*)$`)
	// dash says of a command that it does not find where that is.
	shellError = pattern.New(`^[^ ]*: (\d+): (.*: not found)$`)
)

// traced is a section's text that tells its lines. It has as many lines as before.
func traced(body string) string { return traceSetUp + body }

// trace is the command that a section was at.
type trace struct {
	line int // of the section's body, from 1
	text string
}

// note takes a line of output and returns it as a person should see it, or false when it is ours.
func (t *trace) note(text string) (string, bool) {
	m := traceLine.FindStringSubmatch(text)
	if m == nil {
		if e := shellError.FindStringSubmatch(text); e != nil && strings.HasPrefix(e[2], firstWord(t.text)+":") {
			t.line, _ = strconv.Atoi(e[1]) // digits
		}
		return text, !strings.HasPrefix(text, "+ PS4=")
	}
	if strings.HasPrefix(m[3], "PS4=") { // busybox has it in force at once
		return text, false
	}
	if len(m[1]) == 1 { // more: a shell within
		t.line, _ = strconv.Atoi(m[2])
		t.text = m[3]
	}
	return m[1] + " " + m[3], true
}

func firstWord(s string) string {
	word, _, _ := strings.Cut(s, " ")
	return word
}

// find is the line of a body that the trace is at, from 1; 0 when that is not sure.
func (t trace) find(body string) int {
	if t.line > 0 || t.text == "" {
		return t.line
	}
	for _, matches := range []func(line string) bool{
		func(line string) bool { return line == t.text },
		func(line string) bool { return strings.Contains(line, t.text) },
		func(line string) bool { return slices.Contains(strings.Fields(line), firstWord(t.text)) },
	} {
		found, n, last := 0, 0, 0
		for line := range strings.Lines(body) {
			n++
			if matches(strings.TrimSpace(line)) {
				found++
				last = n
			}
		}
		if found == 1 {
			return last
		}
		if found > 1 {
			break
		}
	}
	return 0
}

// sectionError is the failure of a section's script, with the line it was at.
func (b *builder) sectionError(step progress.Step, name string, sec *definition.Section, status int) error {
	e := &StepError{Step: step, Section: name, Line: sec.Line, Status: status, Err: fmt.Errorf("exit status %d", status)}
	if strings.Contains(sec.Args, "-c") || b.at.text == "" { // behind -c another shell runs it, and traces nothing
		return e
	}
	e.Command = b.at.text
	if n := b.at.find(sec.Body); n > 0 {
		e.Line = sec.SourceLine(n)
	}
	return e
}
