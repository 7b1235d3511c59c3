package tui

import (
	"strings"

	tea "charm.land/bubbletea/v2"
)

func sizeMsg(w, h int) tea.Msg { return tea.WindowSizeMsg{Width: w, Height: h} }

// visible writes escape sequences so that a person can read them in a golden file.
func visible(s string) string { return strings.ReplaceAll(s, "\x1b", "␛") }
