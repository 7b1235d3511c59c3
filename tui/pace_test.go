package tui

import "testing"

// The renderer's pace can be set in the version of Bubble Tea this program is built with.
func TestPace(t *testing.T) {
	if !canPace() {
		t.Error("Bubble Tea keeps its ticker elsewhere now: an idle program costs more, and keys are slower")
	}
}
