package build

import (
	"slices"
	"testing"

	"carrel/engine/definition"
)

// TestAgents: what lint says can be built from is what build has bases for.
func TestAgents(t *testing.T) {
	known := definition.Agents()
	for _, a := range known {
		if fetchers[a] == nil {
			t.Errorf("nothing fetches the bases of %s", a)
		}
	}
	for a := range fetchers {
		if !slices.Contains(known, a) {
			t.Errorf("package definition does not know %s", a)
		}
	}
}
