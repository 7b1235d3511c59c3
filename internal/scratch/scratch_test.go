package scratch

import (
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"testing"
)

// TestMain also is the process that holds a folder and is killed.
func TestMain(m *testing.M) {
	if in := os.Getenv("SCRATCH_TEST_IN"); in != "" {
		dir, release, err := Folder(in, Beside)
		if err != nil {
			os.Exit(1)
		}
		if err := os.WriteFile(filepath.Join(dir, "half"), []byte("made"), 0o600); err != nil {
			os.Exit(1)
		}
		os.Stdout.WriteString(dir + "\n")
		// Not select{}: without a signal to come, Go ends a process in which everything waits.
		hangup := make(chan os.Signal, 1)
		signal.Notify(hangup, os.Interrupt)
		<-hangup
		release()
	}
	os.Exit(m.Run())
}

func TestFolder(t *testing.T) {
	in := filepath.Join(t.TempDir(), "with [a] * in it")
	if err := os.Mkdir(in, 0o755); err != nil {
		t.Fatal(err)
	}
	foreign := filepath.Join(in, Beside+"00000000-1")
	if err := os.Mkdir(foreign, 0o755); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), "SCRATCH_TEST_IN="+in)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 4096)
	n, err := out.Read(line)
	if err != nil {
		t.Fatal(err)
	}
	theirs := string(line[:n-1])
	dir, release, err := Folder(in, Beside)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(theirs); err != nil {
		t.Errorf("a folder in use was taken away: %v", err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	second, release2, err := Folder(in, Beside)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(theirs); !os.IsNotExist(err) {
		t.Errorf("the folder of a killed process is there still: %v", err)
	}
	if _, err := os.Stat(dir); err != nil {
		t.Errorf("a folder of this process was taken away: %v", err)
	}
	release()
	if err := os.Rename(second, filepath.Join(in, "became")); err != nil {
		t.Fatal(err)
	}
	release2()
	if _, err := os.Stat(filepath.Join(in, "became")); err != nil {
		t.Errorf("what got its name was removed: %v", err)
	}
	left, err := os.ReadDir(in)
	if err != nil || len(left) != 2 {
		t.Errorf("left: %v, %v", left, err)
	}
	if _, err := os.Stat(foreign); err != nil {
		t.Errorf("a folder of another computer: %v", err)
	}
}

func TestFolderFails(t *testing.T) {
	if _, _, err := Folder(filepath.Join(t.TempDir(), "missing"), Beside); !os.IsNotExist(err) {
		t.Errorf("in a folder that is not there: %v", err)
	}
}
