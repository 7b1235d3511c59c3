package singularity

import (
	"errors"
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
		"echo x > " + made:       errFiles,
		"A=$(cat < /etc/passwd)": nil,
		"touch " + made:          errPrograms,
		"A=1 2> /dev/null":       nil,
		"while :; do A=1; done":  nil,
	} {
		name := filepath.Join(dir, "env")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		vars, err := readEnvFile(name, nil)
		if want != nil && !errors.Is(err, want) && err == nil {
			t.Errorf("%q: %v, %v", text, vars, err)
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
		vars, err := readEnvFile(name, []string{"HOME=/home/grace"})
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
