package tui

import (
	"context"
	"strings"

	tea "charm.land/bubbletea/v2"

	"carrel/engine"
	"carrel/tui/tuitest"
)

func sizeMsg(w, h int) tea.Msg { return tea.WindowSizeMsg{Width: w, Height: h} }

// visible writes escape sequences so that a person can read them in a golden file.
func visible(s string) string { return strings.ReplaceAll(s, "\x1b", "␛") }

// panicking is an engine that cannot look at folders, resolve or read.
type panicking struct{ *tuitest.Engine }

func (panicking) Resolve(context.Context, string) (engine.Target, error) { panic("no map") }
