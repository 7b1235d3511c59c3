package engine

import (
	"errors"
	"strings"
	"testing"

	"carrel/engine/instance"
)

// TestAppNames: who writes the name of an app nearly right is told the right one.
func TestAppNames(t *testing.T) {
	dir := t.TempDir()
	e, err := New(Config{DataDir: dir, CacheDir: dir, StateDir: dir, User: User{Home: dir, Cwd: dir}})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"jupyter", "webpage"} {
		if _, _, err := instance.Reserve(e.instanceDir(), name, true); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{"jupiter": "did you mean jupyter?", "webpag": "did you mean webpage?", "nothing-like-it": "`carrel ps -a` lists"} {
		_, err := e.Instance(t.Context(), name)
		if !errors.Is(err, ErrNotFound) || !strings.HasPrefix(Hint(err), want) {
			t.Errorf("%s: %v, hint %q, want %q", name, err, Hint(err), want)
		}
	}
}
