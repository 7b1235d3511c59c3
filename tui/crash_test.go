package tui

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"

	"carrel/engine"
	"carrel/tui/screen"
	"carrel/tui/tuitest"
)

// brittle is an engine that panics where the loop itself asks it.
type brittle struct{ *tuitest.Engine }

func (brittle) CommandLine(engine.RunSpec) string { panic("no words\x1b[31m") }

// fragile is a screen that cannot be drawn.
type fragile struct{ screen.Base }

func (fragile) Title() string        { return "Fragile" }
func (fragile) View(int, int) string { panic("no colours") }

// A panic ends the program in good order: a report is written, one sentence names it.
func TestCrashIsReported(t *testing.T) {
	for _, test := range []struct {
		name, cause string
		keys        []string
		screen      screen.Screen
	}{
		{"update", "no words", []string{"2", "\r"}, nil},
		{"view", "no colours", nil, fragile{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			clock := func() time.Time { return tuitest.Noon }
			e, c := tuitest.World(clock)
			term := tuitest.NewTerminal(t, 80, 24)
			report := ""
			o := Options{Engine: brittle{e}, Catalog: c, Home: tuitest.Home, Now: clock, Input: term.Input, Output: term, Environ: []string{"TERM=xterm-256color"},
				Width: 80, Height: 24, Report: func(text string) (string, error) { report = text; return "/state/crash.txt", nil }}
			ended := make(chan error, 1)
			go func() {
				_, err := runModel(context.Background(), o, func(m *model) {
					if test.screen != nil {
						m.stacks[m.top] = append(m.stacks[m.top], test.screen)
					}
				})
				ended <- err
			}()
			for i, k := range test.keys {
				term.Until([]string{"Desk", "RESULT PAGES"}[i]) // what has to be there for the key
				term.Type(k)
			}
			select {
			case err := <-ended:
				var crash *CrashError
				if !errors.As(err, &crash) || crash.Report != "/state/crash.txt" || !strings.Contains(err.Error(), "/state/crash.txt") {
					t.Errorf("ended with %v", err)
				}
			case <-time.After(30 * time.Second):
				t.Fatal("it does not end")
			}
			if !strings.Contains(report, test.cause) || !strings.Contains(report, "crash_test.go") {
				t.Errorf("the report does not tell what happened:\n%s", report)
			}
			e.Wait()
		})
	}
}

// After a panic there is still a model, or the library panics in its turn and writes that over the screen.
func TestModelSurvivesPanic(t *testing.T) {
	clock := func() time.Time { return tuitest.Noon }
	e, c := tuitest.World(clock)
	m := newModel(t.Context(), Options{Engine: e, Catalog: c, Now: clock})
	m.stacks[m.top] = append(m.stacks[m.top], stumbling{})
	after, cmd := m.Update(struct{}{})
	if after != tea.Model(m) || cmd == nil || m.crash == nil {
		t.Errorf("after a panic: model %v, command %v, crash %v", after, cmd != nil, m.crash)
	}
}

// stumbling is a screen that no message can be given to.
type stumbling struct{ screen.Base }

func (stumbling) Title() string          { return "Stumbling" }
func (stumbling) View(int, int) string   { return "" }
func (stumbling) Update(tea.Msg) tea.Cmd { panic("no words") }
