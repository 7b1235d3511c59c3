package oom

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCounter(t *testing.T) {
	file := filepath.Join(t.TempDir(), "memory.events")
	if err := os.WriteFile(file, []byte("low 0\noom 4\noom_kill 3\noom_kill_group 9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := counter(file, "oom_kill"); got != 3 {
		t.Errorf("got %d", got)
	}
	if got := counter(file+"x", "oom_kill"); got != 0 {
		t.Errorf("missing file: got %d", got)
	}
}

// TestOutOfMemoryOfGroups reads the end of a container out of a tree of control groups that is made up.
func TestOutOfMemoryOfGroups(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{"list": "4:memory:/old\n0::/user/carrel-1-app-1\n", "user/carrel-1-app-1/memory.events": "max 9\noom 2\noom_kill 1\n", "memory/old/memory.oom_control": "under_oom 0\noom_kill 0\n"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	g := oomGroups{files: countFiles(filepath.Join(root, "list"), root), own: true}
	before, now := oomCount{}, g.count()
	if len(g.files) != 2 || now.group != 1 {
		t.Fatalf("%v: %+v", g.files, now)
	}
	before.machine = now.machine
	if problem, hint := outOfMemory(128+9, g, before, now); !strings.Contains(problem, "killed it because the memory") || !strings.Contains(hint, "--memory") {
		t.Errorf("killed: %q, %q", problem, hint)
	}
	if problem, _ := outOfMemory(1, g, before, now); !strings.Contains(problem, "killed a part of it") {
		t.Errorf("a part: %q", problem)
	}
	if problem, _ := outOfMemory(128+9, g, now, now); problem != "" {
		t.Errorf("killed by somebody: %q", problem)
	}
}
