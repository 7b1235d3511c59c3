package forked

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// emulated is set where this binary runs in an emulator of another processor, which may not know execveat(2), and lets a child
// have a copy of the memory instead of the memory itself.
const emulated = "EMULATED"

// TestSpawn: a child comes to life in the middle of its parent's stack, makes its calls and is another program, while the parent
// goes on where it was. The instructions for that are written for each processor.
func TestSpawn(t *testing.T) {
	program, err := exec.LookPath("true")
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		p := &Program{}
		fd := p.Get(syscall.SYS_OPENAT, Int(-100), p.Text(program), Int(0), Int(0))
		text := []byte("ran")
		p.Do(syscall.SYS_WRITE, Int(int(w.Fd())), p.Data(text), Int(len(text)))
		p.Exec(In(fd), []string{"true"}, nil)
		pid, err := p.Spawn(0, -1)
		if err != nil {
			t.Fatal(err)
		}
		w.Close()
		out, err := io.ReadAll(r)
		if err != nil || string(out) != "ran" {
			t.Errorf("got %q, %v", out, err)
		}
		r.Close()
		var ws syscall.WaitStatus
		if _, err := syscall.Wait4(pid, &ws, 0, nil); err != nil || ws.ExitStatus() != 0 && os.Getenv(emulated) == "" {
			t.Errorf("status %d, %v", ws.ExitStatus(), err)
		}
	}
	// One that cannot be: the parent is told which call it was.
	p := &Program{}
	p.Get(syscall.SYS_OPENAT, Int(-100), p.Text("/nowhere"), Int(0), Int(0))
	p.Exec(Int(0), []string{"true"}, nil)
	if pid, err := p.Spawn(0, -1); err == nil && os.Getenv(emulated) == "" {
		t.Errorf("a program that is not there was started: %d", pid)
	}
}

// TestARM64 runs the tests of this package as the other processor would.
func TestARM64(t *testing.T) {
	if testing.Short() {
		t.Skip("missing: qemu-aarch64 (not used by -short)")
	}
	emulator := ""
	for _, name := range []string{"qemu-aarch64-static", "qemu-aarch64"} {
		if path, err := exec.LookPath(name); err == nil {
			emulator = path
		}
	}
	if emulator == "" || runtime.GOARCH == "arm64" {
		t.Skip("missing: qemu-aarch64")
	}
	if out, err := exec.Command("go", "env", "GOCACHE").Output(); err != nil || unix.Access(strings.TrimSpace(string(out)), unix.W_OK) != nil {
		t.Skip("missing: a compiler that keeps what it made")
	}
	binary := filepath.Join(t.TempDir(), "test")
	build := exec.CommandContext(t.Context(), "go", "test", "-c", "-o", binary, ".")
	build.Env = append(os.Environ(), "GOARCH=arm64", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	run := exec.CommandContext(t.Context(), emulator, binary, "-test.v", "-test.run", "^(TestSpawn|TestEncode)")
	run.Env = append(os.Environ(), emulated+"=1")
	out, err := run.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestSpawn") || !strings.Contains(string(out), "--- PASS: TestEncode") {
		t.Errorf("%v\n%s", err, out)
	}
}
