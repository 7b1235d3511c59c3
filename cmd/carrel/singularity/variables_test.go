package singularity

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestEnvFileIsHarmless: an environment file of somebody else starts no program, opens no file, and ends.
func TestEnvFileIsHarmless(t *testing.T) {
	dir := t.TempDir()
	made := filepath.Join(dir, "made")
	for text, want := range map[string]error{
		"echo x > " + made:              errFiles,
		"A=$(cat < /etc/passwd)":        nil,
		"touch " + made:                 errPrograms,
		"A=1 2> /dev/null":              nil,
		"while :; do A=1; done":         nil,
		"B=1; while :; do B=$B$B; done": errLarge,
		"B=" + strings.Repeat("b", 100_000) + "\nC=" + strings.Repeat("$B", 50_000): errLarge,
		strings.Repeat("#", envFileSize+1):                                          errLarge,
	} {
		name := filepath.Join(dir, "env")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		vars, err := readEnvFile(t.Context(), name, nil)
		// Where the computer is busy, the time is over before the values are too large.
		if want != nil && err == nil || want == errLarge && !strings.Contains(err.Error(), "larg") && !strings.Contains(err.Error(), "come to an end") {
			t.Errorf("%.40q: %v, %v", text, vars, err)
		}
		if strings.HasPrefix(text, "while") && err == nil {
			t.Errorf("%q came to an end: %v", text, vars)
		}
		if len(vars["A"]) > 1 {
			t.Errorf("%q: read %q", text, vars["A"])
		}
		if _, err := os.Lstat(made); !os.IsNotExist(err) {
			t.Errorf("%q made a file", text)
			os.Remove(made)
		}
	}
}

// A command that fails in the middle is no failure of the file, as in a shell.
func TestEnvFileStatus(t *testing.T) {
	name := filepath.Join(t.TempDir(), "env")
	for text, want := range map[string]string{
		"A=1\n[ x = y ]\nB=\"$A$A\"\n":    "11",
		"B=2\n[ x = y ] && B=3\n:\n":      "2",
		"f() { B=$1; }\nf 4\nexit 0\nB=5": "4",
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if vars, err := readEnvFile(t.Context(), name, nil); err != nil || vars["B"] != want {
			t.Errorf("%q: %v, %v", text, vars, err)
		}
	}
}

// FuzzEnvFile evaluates environment files.
func FuzzEnvFile(f *testing.F) {
	for _, s := range []string{"A=1\nB=\"$A 2\"\n", "export A='b c'", "A=${HOME:-x}\n: > /x", "A=(1 2)", "if true; then A=1; fi"} {
		f.Add(s)
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text string) {
		name := filepath.Join(dir, "env")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		vars, err := readEnvFile(t.Context(), name, []string{"HOME=/home/grace"})
		if err != nil {
			return
		}
		for k := range vars {
			if k == "" || shellOwn[k] {
				t.Errorf("variable %q", k)
			}
		}
	})
}

// TestEnvFileSameAsCaller: what a file assigns counts also where the caller has the same, which a clean environment leaves out.
func TestEnvFileSameAsCaller(t *testing.T) {
	name := filepath.Join(t.TempDir(), "env")
	if err := os.WriteFile(name, []byte("FOO=bar\nexport BAZ=qux\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	vars, err := readEnvFile(t.Context(), name, []string{"FOO=bar", "BAZ=qux", "OTHER=kept"})
	if err != nil || vars["FOO"] != "bar" || vars["BAZ"] != "qux" || len(vars) != 2 {
		t.Errorf("%v, %v", vars, err)
	}
}
