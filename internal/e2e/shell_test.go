package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { Main(m) }

// TestWelcomeWithoutTerminal is what `make run` does in a pipe.
func TestWelcomeWithoutTerminal(t *testing.T) {
	h := NewHome(t)
	start := time.Now()
	j := h.Start()
	url := j.WaitFor("address", func(text string) (string, bool) {
		_, after, ok := strings.Cut(text, "answers at ")
		if !ok || !strings.Contains(after, "\n") {
			return "", false
		}
		return FindAddress(after)
	})
	t.Logf("from nothing to the first answer: %v", time.Since(start).Round(time.Millisecond))
	if page := Get(t, url); !strings.Contains(page, "<html") {
		t.Errorf("the page is %q", page)
	}
	folder := h.Path("carrel-welcome")
	if err := os.WriteFile(filepath.Join(folder, "dropped.txt"), []byte("hello"), 0o644); err != nil {
		t.Fatal(err)
	}
	if state := Get(t, url+"state"); !strings.Contains(state, "dropped.txt") {
		t.Errorf("the file that was dropped is not seen inside: %s", state)
	}
	if text := Get(t, url+"files/dropped.txt"); text != "hello" {
		t.Errorf("the file inside is %q", text)
	}
	j.Signal(syscall.SIGINT)
	if status := j.Status(); status != 0 {
		t.Errorf("after Ctrl+C the status is %d, want 0\n%s", status, j.Text())
	}
	if Answers(url) {
		t.Errorf("%s still answers", url)
	}
	h.NothingLeft()
}

// recipe is the catalog's definition of the essay's first example.
func recipe(h *Home) string { return h.Must("catalog", "show", "--deffile", "nginx-basic").Out }

// TestNginxBasic is the second step of the first hour, as it is written there.
func TestNginxBasic(t *testing.T) {
	Mirror(t)
	h := NewHome(t)
	h.Write("Singularity", recipe(h))
	r := h.Must("build", "nginx-basic.img", "Singularity")
	t.Logf("built in %v", r.Took.Round(time.Millisecond))
	for _, want := range []string{"Fetch base", "Install software (%post)", "Pack image", "built ~/nginx-basic.img"} {
		if !strings.Contains(r.Err, want) {
			t.Errorf("the build did not say %q:\n%s", want, r.Err)
		}
	}
	if r.Out != "" {
		t.Errorf("progress on standard output: %q", r.Out)
	}

	t.Run("again", func(t *testing.T) {
		if r := h.Run("build", "nginx-basic.img", "Singularity"); r.Status != 0 || !strings.Contains(r.Err, "up to date") {
			t.Errorf("an image of the same definition: status %d\n%s", r.Status, r.Err)
		}
		if err := os.WriteFile(filepath.Join(h.Dir, "other.img"), []byte("not an image"), 0o644); err != nil {
			t.Fatal(err)
		}
		if r := h.Run("build", "other.img", "Singularity"); r.Status != 255 || !strings.Contains(r.Err, "exists") || !strings.Contains(r.Err, "--force") {
			t.Errorf("a file of somebody else's: status %d\n%s", r.Status, r.Err)
		}
	})
	t.Run("exec", func(t *testing.T) {
		if r := h.Must("exec", "nginx-basic.img", "ls", "/data"); r.Out != "index.html\n" {
			t.Errorf("ls /data: %q", r.Out)
		}
		if r := h.Run("exec", "nginx-basic.img", "sh", "-c", "exit 7"); r.Status != 7 {
			t.Errorf("status %d, want 7", r.Status)
		}
		if r := h.Must("exec", "nginx-basic.img", "id", "-u"); strings.TrimSpace(r.Out) != strconv.Itoa(os.Getuid()) {
			t.Errorf("inside I am %q", r.Out)
		}
		if r := h.Run("exec", "nginx-basic.img", "touch", "/data/index.html"); os.Getuid() == 0 && r.Status != 0 {
			t.Errorf("root cannot write to the throw-away layer: %s", r.Err)
		}
		if r := h.Run("exec", "nginx-basic.img", "no-such-program"); r.Status != 255 && r.Status != 127 || !strings.Contains(r.Err, "no-such-program") {
			t.Errorf("a program that is not there: status %d\n%s", r.Status, r.Err)
		}
	})
	t.Run("shell", func(t *testing.T) {
		r := h.RunInput("echo in $(pwd); cat /data/index.html | wc -c; exit 3\n", "shell", "nginx-basic.img")
		if r.Status != 3 || !strings.Contains(r.Out, "in "+h.Dir) {
			t.Errorf("status %d, %q, %q", r.Status, r.Out, r.Err)
		}
	})
	t.Run("inspect", func(t *testing.T) {
		var in struct { // Apptainer's document
			Data struct {
				Attributes struct {
					Labels  map[string]string `json:"labels"`
					Deffile string            `json:"deffile"`
				} `json:"attributes"`
			} `json:"data"`
		}
		if err := json.Unmarshal([]byte(h.Must("inspect", "--all", "--json", "nginx-basic.img").Out), &in); err != nil {
			t.Fatal(err)
		}
		if a := in.Data.Attributes; a.Labels["carrel.port.9999"] == "" || !strings.Contains(a.Deffile, "Bootstrap: debootstrap") {
			t.Errorf("inspect: %+v", in)
		}
		if r := h.Must("inspect", "nginx-basic.img"); !strings.Contains(r.Out, "Static pages") {
			t.Errorf("inspect: %s", r.Out)
		}
	})
	t.Run("run", func(t *testing.T) {
		j := h.Start("run", "-p", "9999", "nginx-basic.img")
		url := j.WaitFor("address", served)
		if page := Get(t, url); !strings.Contains(page, "Hello World!") {
			t.Errorf("the page is %q", page)
		}
		j.Signal(syscall.SIGTERM)
		j.Status()
		if Answers(url) {
			t.Error("it still answers")
		}
	})
	t.Run("run with a folder", func(t *testing.T) {
		h.Write("index.html", "<p>my own page</p>")
		j := h.Start("run", "-p", "9999", "-B", ".:/data", "nginx-basic.img")
		if page := Get(t, j.WaitFor("address", served)); page != "<p>my own page</p>" {
			t.Errorf("the page is %q", page)
		}
		j.Signal(syscall.SIGTERM)
		j.Status()
	})
	t.Run("a taken port", func(t *testing.T) {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		taken := l.Addr().(*net.TCPAddr).Port
		r := h.Run("run", "-p", fmt.Sprintf("%d:9999", taken), "nginx-basic.img")
		if r.Status != 255 || !strings.Contains(r.Err, "taken") || !strings.Contains(r.Err, "is free") {
			t.Errorf("a port that must be this one: status %d\n%s", r.Status, r.Err)
		}
		hold, err := net.Listen("tcp4", "127.0.0.1:9999")
		if err == nil {
			defer hold.Close()
		}
		j := h.Start("run", "-p", "9999", "nginx-basic.img")
		url := j.WaitFor("address", served)
		if strings.Contains(url, ":9999/") || !strings.Contains(j.Text(), "taken") {
			t.Errorf("address %s, and it said\n%s", url, j.Text())
		}
		if page := Get(t, url); !strings.Contains(page, "Hello World!") {
			t.Errorf("the page is %q", page)
		}
		j.Signal(syscall.SIGTERM)
		j.Status()
	})
	h.NothingLeft()
}

// served finds the address that carrel run tells once it answers.
func served(text string) (string, bool) {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "● ") && strings.HasSuffix(line, "\n") {
			return FindAddress(line)
		}
	}
	return "", false
}

// TestBackground starts, lists, looks into, stops and forgets an app.
func TestBackground(t *testing.T) {
	h := NewHome(t)
	shared := h.Path("shared")
	if err := os.Mkdir(shared, 0o755); err != nil {
		t.Fatal(err)
	}
	r := h.Must("run", "-d", "--safe", "-p", "7070", "--name", "hello", "-B", "shared:/data", "welcome")
	if name, _, _ := strings.Cut(r.Out, "\n"); name != "hello" {
		t.Errorf("it printed %q", r.Out)
	}
	url, ok := FindAddress(r.Out)
	if !ok {
		t.Fatalf("no address:\n%s%s", r.Out, r.Err)
	}
	Get(t, url)

	var list []struct {
		Name, State string
		Addresses   []struct{ URL string }
	}
	if err := json.Unmarshal([]byte(h.Must("ps", "--json").Out), &list); err != nil {
		t.Fatal(err)
	}
	if len(list) != 1 || list[0].Name != "hello" || list[0].State != "ready" || len(list[0].Addresses) != 1 || list[0].Addresses[0].URL != url {
		t.Errorf("ps: %+v", list)
	}
	if r := h.Must("ps"); !strings.Contains(r.Out, "hello") || !strings.Contains(r.Out, url) {
		t.Errorf("ps:\n%s", r.Out)
	}
	if r := h.Must("logs", "hello"); !strings.Contains(r.Out, "welcome page is served") {
		t.Errorf("logs:\n%s", r.Out)
	}
	if r := h.Must("exec", "hello", "/usr/bin/carrel", "version"); !strings.HasPrefix(r.Out, "carrel ") {
		t.Errorf("exec in the running app: %q, %q", r.Out, r.Err)
	}
	if r := h.Run("run", "-d", "--name", "hello", "welcome"); r.Status != 255 || !strings.Contains(r.Err, "hello") {
		t.Errorf("a name that is taken: status %d\n%s", r.Status, r.Err)
	}
	if r := h.Run("rm", "hello"); r.Status != 255 || !strings.Contains(r.Err, "carrel stop hello") {
		t.Errorf("rm of what runs: status %d\n%s", r.Status, r.Err)
	}
	follow := h.Start("logs", "-f", "hello")
	follow.WaitFor("log", func(text string) (string, bool) { return "", strings.Contains(text, "is served") })

	h.Must("stop", "hello")
	if status := follow.Status(); status != 0 {
		t.Errorf("logs -f ended with %d", status)
	}
	if Answers(url) {
		t.Error("it still answers")
	}
	h.NothingLeft()
	if r := h.Must("ps"); strings.Contains(r.Out, "hello") {
		t.Errorf("ps after stop:\n%s", r.Out)
	}
	if r := h.Must("ps", "--all"); !strings.Contains(r.Out, "stopped") {
		t.Errorf("ps --all after stop:\n%s", r.Out)
	}
	r = h.Must("restart", "hello")
	if url, ok = FindAddress(r.Out); !ok {
		t.Fatalf("no address after restart: %q %q", r.Out, r.Err)
	}
	if err := os.WriteFile(filepath.Join(shared, "later.txt"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if state := Get(t, url+"state"); !strings.Contains(state, "later.txt") {
		t.Errorf("after the restart the folder is not there: %s", state)
	}
	h.Must("stop", "--all")
	h.Must("rm", "hello")
	h.Must("rm", "--ended") // the run before the restart is in the history, too
	if r := h.Must("ps", "--all"); strings.Contains(r.Out, "hello") {
		t.Errorf("ps --all after rm:\n%s", r.Out)
	}
	if r := h.Must("ls"); !strings.Contains(r.Out, "welcome") {
		t.Errorf("ls:\n%s", r.Out)
	}
	h.Must("rm", "welcome")
	if r := h.Must("ls"); strings.Contains(r.Out, "welcome") {
		t.Errorf("ls after rm:\n%s", r.Out)
	}
}

func TestBadInput(t *testing.T) {
	h := NewHome(t)
	h.Write("wrong", "Bootstrap: scratch\n%help\n  x\n%psot\n  true\n")
	r := h.Run("build", "wrong.img", "wrong")
	if r.Status != 255 || !strings.Contains(r.Err, "%psot") || !strings.Contains(r.Err, "4") || !strings.Contains(r.Err, "%post") {
		t.Errorf("a misspelt section: status %d\n%s", r.Status, r.Err)
	}
	r = h.Run("run", "-B", "no such folder:/data", "welcome")
	if r.Status != 255 || !strings.Contains(r.Err, "mkdir -p '"+h.Path("no such folder")+"'") {
		t.Errorf("a missing bind source: status %d\n%s", r.Status, r.Err)
	}
	r = h.Run("run", "welcom")
	if r.Status != 255 || len(strings.Split(strings.TrimSpace(r.Err), "\n")) != 2 {
		t.Errorf("a wrong name: status %d\n%s", r.Status, r.Err)
	}
	h.Write("not-an-image.sif", "this is text with a\x00 in it")
	r = h.Run("run", "not-an-image.sif")
	if r.Status != 255 || !strings.HasPrefix(r.Err, "carrel: ") || strings.Contains(r.Err, "panic") {
		t.Errorf("no image: status %d\n%s", r.Status, r.Err)
	}
	for _, name := range []string{"wrong.img", "no such folder"} {
		if _, err := os.Lstat(h.Path(name)); err == nil {
			t.Errorf("%s was made", name)
		}
	}
}

// TestFailingPost keeps the log and leaves no image.
func TestFailingPost(t *testing.T) {
	Mirror(t)
	h := NewHome(t)
	h.Write("Singularity", "Bootstrap: debootstrap\nOSVersion: bookworm\n%post\n  echo before the failure\n  false\n  echo after the failure\n")
	r := h.Run("build", "--log", "build.log", "failing.img", "Singularity")
	if r.Status != 255 || !strings.Contains(r.Err, "before the failure") || !strings.Contains(r.Err, "✗ Install software (%post)") {
		t.Errorf("status %d\n%s", r.Status, r.Err)
	}
	log, err := os.ReadFile(h.Path("build.log"))
	if err != nil || !strings.Contains(string(log), "before the failure") || strings.Contains(string(log), "echo after") {
		t.Errorf("the log: %v\n%s", err, log)
	}
	h.clean("failing.img")
}

// inUse tells whether somebody holds a folder of package scratch.
func inUse(dir string) bool {
	f, err := os.Open(dir)
	if err != nil {
		return errors.Is(err, fs.ErrNotExist) // it has gone meanwhile
	}
	defer f.Close()
	return errors.Is(unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB), unix.EWOULDBLOCK)
}

// clean is an error of the test when something of a build is left: an image, a part of one, a process, a mount.
func (h *Home) clean(target string) {
	h.t.Helper()
	h.NothingLeft()
	entries, err := os.ReadDir(h.Dir)
	if err != nil {
		h.t.Fatal(err)
	}
	for _, e := range entries {
		if strings.Contains(e.Name(), strings.TrimSuffix(target, filepath.Ext(target))) {
			h.t.Errorf("%s is left", e.Name())
		}
	}
	dirs := []string{h.Path(".cache", "carrel", "work")}
	if cache := os.Getenv(cacheVariable); cache != "" {
		dirs = append(dirs, filepath.Join(cache, "carrel", "work"))
	}
	for _, dir := range dirs {
		left, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, e := range left {
			if inUse(filepath.Join(dir, e.Name())) {
				continue // a build of another test, in the cache that all share
			}
			h.t.Errorf("%s is left in %s", e.Name(), dir)
		}
	}
}

// TestInterruptedBuilds stops builds at ten moments, two of them while everything has to be fetched.
func TestInterruptedBuilds(t *testing.T) {
	Mirror(t)
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 0))
	h, cold := NewHome(t), NewHome(t)
	cold.Setenv("XDG_CACHE_HOME", cold.Path(".cache"))
	base := "Bootstrap: debootstrap\nOSVersion: bookworm\n"
	cold.Write("stopped.def", base)
	h.Write("base.def", base)
	h.Must("build", "base.img", "base.def")
	// The number keeps the result of %post from being taken from an earlier build.
	number := 0
	more := func() {
		number++
		h.Write("stopped.def", fmt.Sprintf("Bootstrap: localimage\nFrom: base.img\n%%post\n  echo %d.%d\n  for i in 1 2 3 4 5 6 7 8; do sleep 0.2; done\n  cp -r /usr/share/doc /opt/doc\n", seed, number))
	}
	more()
	whole := h.Must("build", "whole.img", "stopped.def").Took
	t.Logf("seed %d; %v without interruption", seed, whole.Round(time.Millisecond))
	limits := map[*Home]time.Duration{h: whole, cold: 15 * time.Second}
	stopped := 0
	for i := 0; stopped < 10; i++ {
		if i == 30 {
			t.Fatalf("only %d of %d builds could be stopped before they ended", stopped, i)
		}
		at := h
		if i%5 == 0 {
			at = cold
		}
		more()
		after := time.Duration(random.Int64N(int64(limits[at])))
		start := time.Now()
		sig := []syscall.Signal{syscall.SIGINT, syscall.SIGTERM}[i%2]
		j := at.Start("build", "stopped.img", "stopped.def")
		select {
		case <-j.Done(): // it was quicker than last time
		case <-time.After(after):
		}
		j.Signal(sig)
		status := j.Status()
		if status == 0 {
			if err := os.Remove(at.Path("stopped.img")); err != nil {
				t.Fatal(err)
			}
			limits[at] = min(limits[at], time.Since(start))
			continue
		}
		stopped++
		if status != 128+int(sig) && status != -1 { // -1: the signal came before the program's first line
			t.Errorf("stopped by %v after %v: status %d\n%s", sig, after, status, j.Text())
		}
		t.Logf("stopped by %v after %v", sig, after.Round(time.Millisecond))
		if err := os.Remove(at.Path("stopped.def")); err != nil {
			t.Fatal(err)
		}
		at.clean("stopped.img")
		at.Write("stopped.def", base)
	}
}

// TestNoHome runs for somebody whose home folder is not there, as service accounts' are not.
func TestNoHome(t *testing.T) {
	h := NewHome(t)
	h.Setenv("HOME", "/nonexistent")
	h.Setenv("XDG_CACHE_HOME", h.Path("cache"))
	h.Setenv("XDG_DATA_HOME", h.Path("data"))
	h.Setenv("XDG_STATE_HOME", h.Path("state"))
	r := h.Must("run", "-d", "-p", "0:7070", "welcome")
	url, ok := FindAddress(r.Out)
	if !ok {
		t.Fatalf("no address: %q %q", r.Out, r.Err)
	}
	Get(t, url)
	h.Must("stop", "welcome")
}

// TestPipes: a reader that goes away ends the program, and output goes where it is sent.
func TestPipes(t *testing.T) {
	h := NewHome(t)
	r := h.Must("catalog")
	if !strings.Contains(r.Out, "welcome") || strings.Contains(r.Out, "\x1b") {
		t.Errorf("catalog in a pipe: %q", r.Out)
	}
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("missing: /dev/full")
	}
	defer full.Close()
	h.Write("app/Singularity", "Bootstrap: scratch\n")
	h.Must("build", "none.sif", "app/Singularity")
	old := filepath.Join(filepath.Dir(h.Carrel), "apptainer")
	if err := os.Symlink("carrel", old); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"--help", "run --help", "help", "help files", "version", "version --json", "ls", "ls --json", "ps --json", "doctor", "doctor --json", "catalog", "catalog --json",
		"catalog show welcome", "catalog show --deffile welcome", "catalog sources", "catalog index app", "cache", "cache --json", "inspect none.sif", "inspect --json none.sif",
		"inspect --files none.sif /", "inspect --deffile none.sif", "lint app/Singularity", "completion bash", "completion zsh", "completion fish",
		"apptainer --help", "apptainer help run", "apptainer --version", "apptainer inspect none.sif", "apptainer inspect --json none.sif", "apptainer cache list", "apptainer instance list",
		"apptainer sif list none.sif", "apptainer registry list",
	} {
		start := func() *exec.Cmd {
			words := strings.Fields(line)
			if words[0] != "apptainer" {
				return h.Command(t.Context(), words...)
			}
			cmd := h.Command(t.Context(), words[1:]...)
			cmd.Path, cmd.Args[0] = old, old
			return cmd
		}
		var remark, read strings.Builder
		cmd := start()
		cmd.Stdout, cmd.Stderr = full, &remark
		if _ = cmd.Run(); cmd.ProcessState.ExitCode() != 255 || !strings.Contains(remark.String(), "no space left on device") {
			t.Errorf("%s, to a disk that is full: status %d, %q", line, cmd.ProcessState.ExitCode(), remark.String())
		}
		// Nobody reads: there is no one to tell.
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		cmd = start()
		cmd.Stdout, cmd.Stderr = w, &read
		_ = cmd.Run() // its end is asked for
		w.Close()
		if strings.Contains(read.String(), "pipe") || strings.Contains(read.String(), "goroutine") {
			t.Errorf("%s, to a pipe that nobody reads: %q", line, read.String())
		}
	}
}
