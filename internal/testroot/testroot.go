// Package testroot makes small root folders for tests out of programs of the machine that runs them: real programs with
// their real libraries, without a download.
package testroot

import (
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Programs are those that a root has by default.
var Programs = []string{
	"sh", "bash", "ls", "cat", "id", "sleep", "touch", "wc", "grep", "chown", "mknod", "mkfifo", "echo", "true", "false", "env", "mkdir", "rm",
	"hostname", "stat", "stty", "tty", "ps", "mount", "sed", "head", "dd", "chmod", "ln", "readlink", "find", "sort", "pwd", "test", "umask",
}

// Make returns a new root folder with Programs and the given further ones, which must exist on this machine. It is
// readable for every user and removed with the test.
func Make(t testing.TB, more ...string) string {
	t.Helper()
	root := t.TempDir()
	for dir := root; dir != os.TempDir() && dir != "/" && dir != "."; dir = filepath.Dir(dir) {
		_ = os.Chmod(dir, 0o755) // a parent that is not ours stays as it is
	}
	for _, d := range []string{"bin", "dev", "etc", "home", "lib", "lib64", "proc", "root", "sys", "tmp", "usr/bin", "var/tmp"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "etc/passwd"), []byte("root:x:0:0:root:/root:/bin/sh\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "etc/group"), []byte("root:x:0:\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, p := range Programs {
		if path, err := exec.LookPath(p); err == nil {
			if err := add(root, path, "/bin/"+p); err != nil {
				t.Fatalf("copy %s: %v", p, err)
			}
		}
	}
	for _, p := range more {
		path, err := exec.LookPath(p)
		if err != nil {
			t.Skipf("missing: %s", p)
		}
		if err := add(root, path, "/bin/"+filepath.Base(p)); err != nil {
			t.Fatalf("copy %s: %v", p, err)
		}
	}
	return root
}

// add copies a program to dest in the root, and the libraries it needs to where it looks for them.
func add(root, program, dest string) error {
	real, err := filepath.EvalSymlinks(program)
	if err != nil {
		return err
	}
	if err := copyFile(real, filepath.Join(root, dest)); err != nil {
		return err
	}
	return addLibraries(root, real)
}

func addLibraries(root, file string) error {
	f, err := elf.Open(file)
	if err != nil {
		return nil // a script
	}
	defer f.Close()
	var wanted []string
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			b, err := io.ReadAll(p.Open())
			if err != nil {
				return err
			}
			wanted = append(wanted, string(b[:len(b)-1]))
		}
	}
	libs, err := f.ImportedLibraries()
	if err != nil && !errors.Is(err, elf.ErrNoSymbols) {
		return err
	}
	for _, l := range libs {
		path, err := findLibrary(l)
		if err != nil {
			return err
		}
		wanted = append(wanted, path)
	}
	for _, w := range wanted {
		dest := filepath.Join(root, w)
		if _, err := os.Lstat(dest); err == nil {
			continue
		}
		real, err := filepath.EvalSymlinks(w)
		if err != nil {
			return err
		}
		if err := copyFile(real, dest); err != nil {
			return err
		}
		if err := addLibraries(root, real); err != nil {
			return err
		}
	}
	return nil
}

// findLibrary looks where Debian keeps libraries.
func findLibrary(name string) (string, error) {
	for _, pattern := range []string{"/lib/*-linux-gnu", "/usr/lib/*-linux-gnu", "/lib64", "/lib", "/usr/lib"} {
		found, _ := filepath.Glob(filepath.Join(pattern, name))
		if len(found) > 0 {
			return found[0], nil
		}
	}
	return "", fmt.Errorf("library %s: not found", name)
}

func copyFile(from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
