package source_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"carrel/engine/source"
)

// TestNoRoot: a root that is not there is said to be so.
func TestNoRoot(t *testing.T) {
	p := &source.Place{Root: filepath.Join(t.TempDir(), "none")}
	for what, err := range map[string]error{"settle": p.SettleRPM(), "link": p.LinkRPM(source.RPMOld, source.RPMNew)} {
		if !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestMust: a program that fails is told with its status, and where to look.
func TestMust(t *testing.T) {
	p := &source.Place{Run: func(_ context.Context, c source.Command) (int, error) {
		if c.Args[0] == "/bin/lost" {
			return 0, os.ErrNotExist
		}
		return len(c.Args) - 1, nil
	}}
	if err := p.Must(t.Context(), source.Command{Args: []string{"/bin/true"}}); err != nil {
		t.Error(err)
	}
	err := p.Must(t.Context(), source.Command{Args: []string{"/usr/bin/dnf", "install", "x"}})
	var exit *source.ExitError
	if !errors.As(err, &exit) || exit.Status != 2 || err.Error() != "/usr/bin/dnf: exit status 2" || !strings.Contains(exit.Hint(), "MirrorURL") {
		t.Errorf("got %v", err)
	}
	if err := p.Must(t.Context(), source.Command{Args: []string{"/bin/lost"}}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}
