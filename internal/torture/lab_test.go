package torture

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
	"golang.org/x/sys/unix"

	"carrel/internal/e2e"
	"carrel/internal/testroot"
)

// TestMain makes this process the one to which everything returns that lost its parent, so that nothing can hide.
func TestMain(m *testing.M) {
	enter()
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		fmt.Fprintln(os.Stderr, "become a subreaper:", err)
		os.Exit(1)
	}
	e2e.Main(m)
}

// lab is a person's computer with a registry, a web server, and a folder for images.
type lab struct {
	*e2e.Home
	t       *testing.T
	target  string // where images are asked for
	tmp     string // what TMPDIR says
	home    string // what CARREL_HOME says
	served  string // what the web server serves
	reg     string // HOST:PORT of the registry
	web     string // address of the web server
	allowed map[string]bool
	who     *syscall.Credential // who calls the program; nil: who runs the test
	before  map[int]bool        // processes that are not the lab's
}

func newLab(t *testing.T) *lab {
	t.Helper()
	l := &lab{Home: e2e.NewHome(t), t: t, allowed: map[string]bool{}, before: map[int]bool{}}
	l.target, l.tmp, l.home, l.served = l.Path("target"), l.Path("tmp"), l.Path("carrel"), l.Path("served")
	for _, dir := range []string{l.target, l.tmp, l.served} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	l.Setenv("CARREL_HOME", l.home)
	l.Setenv("TMPDIR", l.tmp)
	reg := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(reg.Close)
	l.reg = strings.TrimPrefix(reg.URL, "http://")
	web := httptest.NewServer(http.FileServer(http.Dir(l.served)))
	t.Cleanup(web.Close)
	l.web = web.URL
	if err := os.Symlink("carrel", filepath.Join(filepath.Dir(l.Carrel), "apptainer")); err != nil {
		t.Fatal(err)
	}
	return l
}

// base makes base.sif of programs of this machine.
func (l *lab) base() string {
	l.t.Helper()
	path := l.Path("base.sif")
	if _, err := os.Stat(path); err != nil {
		l.Must("build", path, testroot.Make(l.t))
	}
	return path
}

// command is a call of the program, or of it under another name, in a process group of its own as a shell makes one.
func (l *lab) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := l.Command(ctx, args...)
	if len(args) > 0 && args[0] == "apptainer" {
		cmd.Path, cmd.Args = filepath.Join(filepath.Dir(l.Carrel), "apptainer"), args
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: l.who}
	return cmd
}

// become has an ordinary user call the program from now on, to whom all that is there is given. Only root can.
func (l *lab) become(id uint32) {
	l.t.Helper()
	l.who = &syscall.Credential{Uid: id, Gid: id}
	err := filepath.WalkDir(l.Dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, int(id), int(id))
	})
	if err != nil {
		l.t.Fatal(err)
	}
}

// result is how a call ended.
type result struct {
	status int // -1 when a signal ended it
	text   string
	out    string
}

// call runs a command to its end.
func (l *lab) call(args ...string) result {
	l.t.Helper()
	return l.with(nil, args...)
}

// with is call after prepare changed the command.
func (l *lab) with(prepare func(*exec.Cmd), args ...string) result {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := l.command(ctx, args...)
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	if prepare != nil {
		prepare(cmd)
	}
	var text, out bytes.Buffer
	if cmd.Stdout == nil {
		cmd.Stdout = &out
	}
	if cmd.Stderr == nil {
		cmd.Stderr = &text
	}
	cmd.WaitDelay = 5 * time.Second
	err := cmd.Run()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited && !errors.Is(err, exec.ErrWaitDelay) {
		l.t.Errorf("carrel %q: %v", args, err)
		return result{status: -2, text: err.Error()}
	}
	if ctx.Err() != nil {
		l.t.Errorf("carrel %q did not end within two minutes\n%s%s", args, out.String(), text.String())
	}
	return result{cmd.ProcessState.ExitCode(), text.String() + out.String(), out.String()}
}

// descendants are all processes that come of this one, without those that have ended, which it buries. Those of running
// are not to be buried: somebody else waits for them.
func descendants(running int) []int {
	parents := map[int]int{}
	ended := map[int]bool{}
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		stat, err := os.ReadFile("/proc/" + e.Name() + "/stat")
		if err != nil {
			continue
		}
		rest := string(stat[bytes.LastIndexByte(stat, ')')+1:])
		f := strings.Fields(rest)
		if len(f) < 2 {
			continue
		}
		parents[pid], _ = strconv.Atoi(f[1])
		ended[pid] = f[0] == "Z" || f[0] == "X"
	}
	me := os.Getpid()
	var out []int
	for pid := range parents {
		for p := pid; p > 1; p = parents[p] {
			if p != me || pid == me {
				continue
			}
			if !ended[pid] {
				out = append(out, pid)
			} else if parents[pid] == me && pid != running {
				_, _ = syscall.Wait4(pid, nil, syscall.WNOHANG, nil) // it may be gone
			}
			break
		}
	}
	return out
}

// told names processes.
func told(pids []int) string {
	var b strings.Builder
	for _, pid := range pids {
		line, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline") // it may have ended
		fmt.Fprintf(&b, "%d %.200s\n", pid, strings.ReplaceAll(string(line), "\x00", " "))
	}
	return b.String()
}

// problems are the things that are not as they have to be when nothing runs: processes, mounts, loop devices, temporary
// files, files that nobody asked for, and images that are damaged. What was killed may leave hidden parts beside the target,
// which the next command removes.
func (l *lab) problems(killed bool) []string {
	l.t.Helper()
	var out []string
	var left []int
	if !e2e.Until(15*time.Second, func() bool { left = l.others(); return len(left) == 0 }) {
		out = append(out, "processes are left:\n"+told(left))
		for _, pid := range left {
			_ = syscall.Kill(pid, syscall.SIGKILL) // told
		}
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		l.t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, l.Dir) && !strings.HasPrefix(line, "torture ") { // those are the test's own
			out = append(out, "a mount is left: "+line)
		}
	}
	var loops []string
	e2e.Until(10*time.Second, func() bool { // the kernel takes them down by and by
		loops = nil
		all, _ := filepath.Glob("/sys/block/loop*/loop/backing_file")
		for _, loop := range all {
			if file, err := os.ReadFile(loop); err == nil && strings.HasPrefix(string(file), l.Dir) {
				loops = append(loops, "a loop device is left: "+loop)
			}
		}
		return len(loops) == 0
	})
	out = append(out, loops...)
	for _, e := range entries(l.tmp) {
		out = append(out, "left in the folder for temporary files: "+e)
	}
	for _, e := range entries(l.target) {
		if !l.allowed[e] && !(killed && part.MatchString(e)) {
			out = append(out, "nobody asked for target/"+e)
		}
	}
	images, _ := filepath.Glob(filepath.Join(l.target, "*.sif"))
	more, _ := filepath.Glob(filepath.Join(l.home, "images", "*.sif"))
	for _, image := range append(images, more...) {
		if r := l.call("verify", image); r.status != 0 {
			out = append(out, "not valid: "+image+"\n"+r.text)
		}
	}
	for _, args := range [][]string{{"ls", "--json"}, {"ps", "--json"}, {"cache", "--json"}, {"catalog", "sources", "--json"}} {
		if r := l.call(args...); r.status != 0 {
			out = append(out, fmt.Sprintf("carrel %v: status %d\n%s", args, r.status, r.text))
		}
	}
	return out
}

// remains are what commands keep for themselves while they work; after one that was not disturbed there is nothing.
func (l *lab) remains() []string {
	var out []string
	for _, dir := range []string{"cache/work", "state/changes", "cache/hot"} {
		for _, e := range entries(filepath.Join(l.home, dir)) {
			if dir != "cache/hot" || strings.HasPrefix(e, ".part-") {
				out = append(out, "left in "+dir+": "+e)
			}
		}
	}
	return out
}

// part is the name of something that was begun.
var part = regexp.MustCompile(`^\.(carrel-.*|.*\.partial)$`)

func (l *lab) others() []int {
	var out []int
	for _, pid := range descendants(0) {
		if !l.before[pid] {
			out = append(out, pid)
		}
	}
	return out
}

func entries(dir string) []string {
	var out []string
	list, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return []string{err.Error()}
	}
	for _, e := range list {
		out = append(out, e.Name())
	}
	return out
}

// expect is an error of the test unless a call ends with success.
func (l *lab) expect(args ...string) string {
	l.t.Helper()
	r := l.call(args...)
	if r.status != 0 {
		l.t.Errorf("carrel %q: status %d\n%s", args, r.status, r.text)
	}
	return strings.TrimSpace(r.out)
}

// logged is an error of the test unless an app comes to write something.
func (l *lab) logged(app, text string) {
	l.t.Helper()
	got := ""
	if !e2e.Until(30*time.Second, func() bool {
		got = l.expect("logs", app)
		return strings.Contains(got, text)
	}) {
		l.t.Errorf("the log: %q", got)
	}
}

func digest(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
