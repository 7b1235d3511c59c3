package main

import (
	"encoding/json"
	"sync"

	"carrel/engine"
)

// stream is what --json of build, pull and push prints: one JSON document a line, an event (progress.Event) each as it
// happens, and last {"result": …} or {"error": …}. `carrel help json` is its description.
type stream struct {
	a     *app
	mu    sync.Mutex
	ended bool
}

// streamError is how something failed.
type streamError struct {
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
	// Of a build that had begun: the step and section that failed, the section's line in the definition, the last lines of
	// output, where the whole log is, and whether the container is kept for carrel debug.
	Step    string   `json:"step,omitempty"`
	Section string   `json:"section,omitempty"`
	Line    int      `json:"line,omitempty"`
	Lines   []string `json:"lines,omitempty"`
	Log     string   `json:"log,omitempty"`
	Kept    bool     `json:"kept,omitempty"`
}

// line prints a document.
func (s *stream) line(v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return s.a.print(string(data) + "\n")
}

func (s *stream) event(e engine.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ended {
		_ = s.line(e) // who does not read any more gets no result either, and that is told
	}
}

// end prints the last line; only the first call counts.
func (s *stream) end(name string, v any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return nil
	}
	s.ended = true
	return s.line(map[string]any{name: v})
}

// fail prints an error as the last line.
func (s *stream) fail(message, hint string, err error) {
	e := streamError{Message: message, Hint: hint}
	if be, ok := asBuildError(err); ok {
		e.Step, e.Section, e.Line, e.Lines, e.Log, e.Kept = string(be.Step), be.Section, be.Line, be.Lines, be.Log, be.Kept
	}
	_ = s.end("error", e) // the exit status says so as well
}

// shown is where what happens during a verb is shown: the steps on standard error, or the stream on standard output.
type shown struct {
	sink  engine.Sink
	close func()
}

// show begins to show what happens. close must be called before the result is printed.
func (a *app) show() shown {
	if a.json {
		a.stream = &stream{a: a}
		return shown{a.stream.event, func() {}}
	}
	steps := a.newSteps()
	return shown{steps.sink(), steps.close}
}
