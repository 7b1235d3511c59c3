package cattest

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestServers runs the tests of the apps' Python code that needs only Python; the rest is tested in their images.
func TestServers(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil || exec.CommandContext(t.Context(), python, "-c", "import sqlite3; sqlite3.Connection.setlimit").Run() != nil {
		t.Skip("missing: Python 3.11")
	}
	for test, entry := range map[string]string{"test_tables.py": "data-browser", "test_models.py": "model-explorer", "test_expfactory.py": "expfactory"} {
		t.Run(entry, func(t *testing.T) {
			t.Parallel()
			server, err := filepath.Abs(filepath.Join("../../assets/catalog", entry, "server"))
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), python, filepath.Join("testdata", test))
			// Nothing may be written beside the code: what is there is part of the program.
			cmd.Env = append(os.Environ(), "PYTHONPATH="+server, "PYTHONDONTWRITEBYTECODE=1")
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}
