package torture

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"carrel/internal/e2e"
)

// definition is a small one, of the lab's base.
func (l *lab) definition() string {
	return l.Write("small.def", "Bootstrap: localimage\nFrom: "+l.base()+"\n%post\n  dd if=/dev/urandom of=/data bs=65536 count=256\n  echo done > /made\n%runscript\n  cat /made\n")
}

// sound is an error of the test when something is left, or does not work.
func (l *lab) sound() {
	l.t.Helper()
	for _, p := range l.problems(false) {
		l.t.Error(p)
	}
	if !e2e.Until(10*time.Second, func() bool { return len(l.remains()) == 0 }) {
		l.t.Error(l.remains())
	}
}

// useful does a little of everything, by calls that prepare changes; nil for usual ones.
func (l *lab) useful(prepare func(*exec.Cmd)) {
	l.t.Helper()
	image := filepath.Join(l.target, "useful.sif")
	l.allowed["useful.sif"] = true
	for _, args := range [][]string{
		{"build", "--force", image, l.definition()},
		{"run", image},
		{"exec", "--writable", image, "sh", "-c", "echo new > /new"},
		{"exec", image, "cat", "/new"},
		{"verify", image},
		{"pull", "--force", "--no-https", image, "docker://" + l.reg + "/lab/useful:1"},
		{"run", "-d", "--no-wait", "--name", "useful", image, "-c", "sleep 100"},
		{"exec", "useful", "true"},
		{"logs", "useful"},
		{"stop", "--time", "1s", "useful"},
		{"rm", "useful"},
		{"doctor"},
		{"catalog"},
		{"cache", "prune"},
	} {
		r := l.with(prepare, args...)
		if r.status != 0 || strings.Contains(r.text, "panic:") {
			l.t.Errorf("carrel %q: status %d\n%s", args, r.status, r.text)
		}
	}
	l.call("stop", "--all", "--time", "1s")
}

// furnish fills the registry.
func (l *lab) furnish() {
	l.t.Helper()
	l.expect("push", "--no-https", l.base(), "docker://"+l.reg+"/lab/useful:1")
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("missing: root")
	}
}

// mount puts an empty file system over a folder until the test ends.
func mount(t *testing.T, dir, options string, flags uintptr) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("torture", dir, "tmpfs", flags, options); err != nil {
		t.Fatalf("mount a tmpfs: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

// nobody is an ordinary user whom every computer has.
const nobody = 65534

// TestFullDisk has everything that writes run against the end of a disk, which then is given room.
func TestFullDisk(t *testing.T) {
	needRoot(t)
	for _, where := range []string{"home", "cache", "target", "tmp", "home of an ordinary user", "target of an ordinary user"} {
		t.Run(where, func(t *testing.T) {
			l := newLab(t)
			l.definition() // and its base
			l.furnish()
			l.expect("cache", "prune")
			owner := ""
			where, ordinary := strings.CutSuffix(where, " of an ordinary user")
			if ordinary {
				l.become(nobody)
				owner = fmt.Sprintf(",uid=%d,gid=%d", nobody, nobody)
			}
			dir := map[string]string{"home": l.home, "cache": filepath.Join(l.home, "cache"), "target": l.target, "tmp": l.tmp}[where]
			// The smallest first: where nothing fits, up to where much does.
			for i, size := range []string{"16k", "1m", "6m", "18m"} {
				if i == 0 {
					mount(t, dir, "size="+size+owner, 0)
				} else if err := unix.Mount("torture", dir, "tmpfs", unix.MS_REMOUNT, "size="+size); err != nil {
					t.Fatal(err)
				}
				for _, args := range [][]string{
					{"build", "--force", filepath.Join(l.target, "full.sif"), l.Path("small.def")},
					{"pull", "--force", "--no-https", filepath.Join(l.target, "full.sif"), "docker://" + l.reg + "/lab/useful:1"},
					{"build", "--sandbox", "--force", filepath.Join(l.target, "box"), l.base()},
					{"build", "--force", "--format", "oci-archive", filepath.Join(l.target, "full.tar"), l.base()},
					{"push", "--no-https", l.base(), "docker://" + l.reg + "/lab/full:1"},
					{"run", "-d", "--no-wait", "--name", "full", l.base(), "-c", "cat /bin/* > /much; sleep 100"},
					{"cp", l.base() + ":/bin", filepath.Join(l.target, "bin")},
				} {
					r := l.call(args...)
					switch {
					case strings.Contains(r.text, "panic:") || r.status != 0 && r.status != 255:
						t.Errorf("%s, carrel %q: status %d\n%s", size, args, r.status, r.text)
					case r.status == 255 && (!strings.Contains(r.text, "no space left on device") || strings.Contains(r.text, "not reachable")):
						t.Errorf("%s, carrel %q does not say what is wrong:\n%s", size, args, r.text)
					}
					if r.status == 0 && args[0] == "build" && strings.HasSuffix(args[2], ".sif") {
						l.expect("verify", args[2])
					}
					if r.status != 0 {
						for _, e := range entries(l.target) {
							if part.MatchString(e) {
								t.Errorf("%s, carrel %q leaves target/%s", size, args, e)
							}
						}
					}
				}
				l.call("stop", "--all", "--time", "1s")
				l.call("rm", "full") // it may not have come so far
				for _, e := range entries(l.target) {
					if err := os.RemoveAll(filepath.Join(l.target, e)); err != nil {
						t.Error(err)
					}
				}
			}
			if err := unix.Mount("torture", dir, "tmpfs", unix.MS_REMOUNT, "size=512m"); err != nil {
				t.Fatal(err)
			}
			l.useful(nil)
			for _, p := range l.problems(false) {
				t.Error(p)
			}
		})
	}
}

// TestReadOnlyHome is a home folder in which nothing can be written.
func TestReadOnlyHome(t *testing.T) {
	l := newLab(t)
	l.base()
	if os.Getuid() == 0 {
		mount(t, l.Path("fixed"), "size=1m", 0)
		if err := unix.Mount("torture", l.Path("fixed"), "tmpfs", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
			t.Fatal(err)
		}
	} else if err := os.Mkdir(l.Path("fixed"), 0o555); err != nil {
		t.Fatal(err)
	}
	fixed := func(cmd *exec.Cmd) { cmd.Env = append(cmd.Env, "CARREL_HOME="+l.Path("fixed", "carrel")) }
	for _, args := range [][]string{{"run", l.base(), "-c", "true"}, {"ls"}, {"build", l.Path("x.sif"), l.base()}, {"doctor"}, {"catalog"}} {
		r := l.with(fixed, args...)
		if r.status != 0 && !strings.Contains(r.text, "CARREL_HOME") || strings.Contains(r.text, "panic:") {
			t.Errorf("carrel %q does not say what to do: status %d\n%s", args, r.status, r.text)
		}
	}
}

// TestDenied takes system calls away, as file systems and kernels do.
func TestDenied(t *testing.T) {
	const tmpfile = unix.O_TMPFILE &^ unix.O_DIRECTORY
	unnamed := denial{unix.SYS_OPENAT, unix.EOPNOTSUPP, 2, tmpfile}
	for name, deny := range map[string][]denial{
		"no locks":             {{Call: unix.SYS_FLOCK, Error: unix.ENOLCK}},
		"no system call flock": {{Call: unix.SYS_FLOCK, Error: unix.ENOSYS}},
		"no extended attributes": {
			{Call: unix.SYS_SETXATTR, Error: unix.EOPNOTSUPP}, {Call: unix.SYS_LSETXATTR, Error: unix.EOPNOTSUPP}, {Call: unix.SYS_FSETXATTR, Error: unix.EOPNOTSUPP},
		},
		"as NFS": {
			unnamed, {Call: unix.SYS_FLOCK, Error: unix.ENOLCK}, {Call: unix.SYS_RENAMEAT2, Error: unix.EINVAL},
			{Call: unix.SYS_SETXATTR, Error: unix.EOPNOTSUPP}, {Call: unix.SYS_LSETXATTR, Error: unix.EOPNOTSUPP}, {Call: unix.SYS_FSETXATTR, Error: unix.EOPNOTSUPP},
		},
		"an old kernel": {
			{Call: unix.SYS_OPENAT2, Error: unix.ENOSYS}, {Call: unix.SYS_PIDFD_OPEN, Error: unix.ENOSYS}, {Call: unix.SYS_CLOSE_RANGE, Error: unix.ENOSYS},
			{Call: unix.SYS_MOUNT_SETATTR, Error: unix.ENOSYS}, {Call: unix.SYS_CLONE3, Error: unix.ENOSYS}, {Call: unix.SYS_COPY_FILE_RANGE, Error: unix.ENOSYS},
			{Call: unix.SYS_FACCESSAT2, Error: unix.ENOSYS}, {Call: unix.SYS_STATX, Error: unix.ENOSYS}, {Call: 452, Error: unix.ENOSYS}, // fchmodat2
		},
		"no reserving of space": {{Call: unix.SYS_FALLOCATE, Error: unix.EOPNOTSUPP}},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			l.furnish()
			l.useful(stage{Deny: deny, Umask: -1}.on(t))
			l.sound()
		})
	}
}

// TestWritingFails: the writing of an image fails in the middle, as over a quota or on a disk that breaks.
func TestWritingFails(t *testing.T) {
	l := newLab(t)
	l.definition()
	l.furnish()
	image := filepath.Join(l.target, "quota.sif")
	l.allowed["quota.sif"] = true
	l.expect("build", image, l.Path("small.def"))
	l.expect("cache", "prune")
	was := digest(image)
	for _, d := range []denial{
		{Call: unix.SYS_PWRITE64, Error: unix.EDQUOT}, {Call: unix.SYS_FSYNC, Error: unix.EIO}, {Call: unix.SYS_FTRUNCATE, Error: unix.EDQUOT},
		{Call: unix.SYS_LINKAT, Error: unix.EDQUOT}, {Call: unix.SYS_MKDIRAT, Error: unix.EDQUOT}, {Call: unix.SYS_RENAMEAT, Error: unix.EDQUOT},
	} {
		for _, args := range [][]string{
			{"build", "--force", image, l.Path("small.def")},
			{"pull", "--force", "--no-https", image, "docker://" + l.reg + "/lab/useful:1"},
			{"exec", "--writable", image, "sh", "-c", "echo new > /new"},
		} {
			r := l.with(stage{Deny: []denial{d}, Umask: -1}.on(t), args...)
			if strings.Contains(r.text, "panic:") || r.status != 0 && r.status != 255 {
				t.Errorf("call %d fails with %v, carrel %q: status %d\n%s", d.Call, d.Error, args, r.status, r.text)
			}
			if r.status == 255 && !strings.Contains(r.text, d.Error.Error()) {
				t.Errorf("call %d fails with %v, carrel %q does not say so:\n%s", d.Call, d.Error, args, r.text)
			}
			l.expect("verify", image)
			if r.status != 0 && args[0] != "exec" && digest(image) != was {
				t.Errorf("call %d fails with %v, carrel %q failed and changed the image", d.Call, d.Error, args)
			}
			if r.status == 0 {
				l.expect("build", "--force", image, l.Path("small.def"))
				was = digest(image)
			}
			if args[0] == "exec" {
				l.expect("exec", "--writable", "--leftovers", "discard", image, "true")
				was = digest(image)
			}
			l.expect("cache", "prune")
		}
	}
	l.sound()
}

// TestSurroundings are computers that are set up in unusual ways.
func TestSurroundings(t *testing.T) {
	for name, s := range map[string]stage{
		"64 descriptors":        {Files: 64, Umask: -1},
		"1000 descriptors":      {Files: 1000, Umask: -1},
		"umask 077":             {Umask: 0o077},
		"umask 0":               {Umask: 0},
		"no current folder":     {Gone: true, Umask: -1},
		"no standard input":     {Close: []int{0}, Umask: -1},
		"no standard files":     {Close: []int{0, 1, 2}, Umask: -1},
		"no /dev/shm":           {Hide: []string{"/dev/shm"}, Umask: -1},
		"no files in /proc/sys": {Hide: []string{"/proc/sys"}, Umask: -1},
		"no /sys":               {Hide: []string{"/sys"}, Umask: -1},
	} {
		t.Run(name, func(t *testing.T) {
			if len(s.Hide) > 0 {
				needRoot(t)
			}
			l := newLab(t)
			l.furnish()
			if s.Gone { // where paths mean nothing, it says so
				r := l.with(s.on(t), "run", l.base(), "-c", "true")
				if r.status != 255 || !strings.Contains(r.text, "current folder") {
					t.Errorf("status %d\n%s", r.status, r.text)
				}
			} else {
				l.useful(s.on(t))
			}
			l.sound()
		})
	}
}

// TestEnvironment are people whose variables are unusual. A name without a value is a variable that is not there.
func TestEnvironment(t *testing.T) {
	for name, env := range map[string][]string{
		"no newuidmap":          {"PATH=/nonexistent", "XDG_RUNTIME_DIR=/nonexistent"},
		"no variables":          {"HOME", "PATH", "USER", "LOGNAME", "SHELL", "LANG", "TERM", "TMPDIR"},
		"empty variables":       {"HOME=", "PATH=", "XDG_RUNTIME_DIR=/dev/null"},
		"relative folders":      {"HOME=home", "XDG_RUNTIME_DIR=run", "TMPDIR=tmp"},
		"odd, and other people": {"HOME=/nonexistent", "USER=../..", "LANG=tlh_KL", "LC_ALL=\xff\xfe", "TERM=", "TMPDIR=/nonexistent", "XDG_RUNTIME_DIR=/proc/1"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			l.furnish()
			l.useful(surround(env))
			l.sound()
		})
	}
}

// surround changes variables of a call.
func surround(env []string) func(*exec.Cmd) {
	return func(cmd *exec.Cmd) {
		for _, kv := range env {
			name, _, set := strings.Cut(kv, "=")
			cmd.Env = slices.DeleteFunc(cmd.Env, func(old string) bool { return strings.HasPrefix(old, name+"=") })
			if set {
				cmd.Env = append(cmd.Env, kv)
			}
		}
	}
}

// TestNoAccount is somebody with a number, and no name in /etc/passwd, as in many containers and on some clusters.
func TestNoAccount(t *testing.T) {
	needRoot(t)
	for name, env := range map[string][]string{"usual": nil, "no variables": {"HOME", "USER", "LOGNAME", "SHELL"}} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			l.furnish()
			l.become(3999999)
			l.useful(surround(env))
			l.sound()
		})
	}
}

// TestNothingExecutable has a home folder and a folder for temporary files from which no program can be started.
func TestNothingExecutable(t *testing.T) {
	needRoot(t)
	l := newLab(t)
	l.furnish()
	mount(t, l.home, "size=512m", unix.MS_NOEXEC)
	mount(t, l.tmp, "size=512m", unix.MS_NOEXEC)
	l.useful(nil)
}

// TestClock has files of the future, and of long ago.
func TestClock(t *testing.T) {
	for name, at := range map[string]time.Time{"future": time.Now().AddDate(20, 0, 0), "past": time.Unix(0, 0)} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			l.furnish()
			l.useful(nil)
			l.expect("run", "-d", "--no-wait", "--name", "timeless", l.base(), "-c", "sleep 100")
			image := filepath.Join(l.target, "useful.sif")
			l.expect("build", "--force", image, l.definition())
			for _, dir := range []string{l.home, l.target} {
				err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
					if err != nil {
						return nil // gone, or not ours
					}
					ts := []unix.Timespec{unix.NsecToTimespec(at.UnixNano()), unix.NsecToTimespec(at.UnixNano())}
					_ = unix.UtimesNanoAt(unix.AT_FDCWD, path, ts, unix.AT_SYMLINK_NOFOLLOW) // the same
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
			}
			l.expect("exec", "timeless", "true")
			l.expect("stop", "--time", "1s", "timeless")
			l.useful(nil)
			l.sound()
		})
	}
}

// TestManyAtOnce starts the same image many times at once.
func TestManyAtOnce(t *testing.T) {
	const many = 50
	l := newLab(t)
	base := l.base()
	var all sync.WaitGroup
	for i := range many {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
			defer cancel()
			cmd := l.command(ctx, "run", base, "-c", fmt.Sprintf("cat /bin/sh > /dev/null; echo %d", i))
			out, err := cmd.Output()
			if got := strings.TrimSpace(string(out)); err != nil || got != fmt.Sprint(i) {
				t.Errorf("call %d: %q, %v", i, got, err)
			}
		})
	}
	all.Wait()
	for i := range 8 {
		all.Go(func() {
			image := filepath.Join(l.target, "one.sif")
			cmd := l.command(context.Background(), "build", "--force", image, l.Path("base.sif"))
			if i%2 == 1 {
				cmd = l.command(context.Background(), "run", "-d", "--no-wait", base, "-c", "sleep 100")
			}
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("at once: %v\n%s", err, out)
			}
		})
	}
	all.Wait()
	l.allowed["one.sif"] = true
	l.expect("stop", "--all", "--time", "1s")
	l.sound()
}

// TestSeveralUsers use one image at once.
func TestSeveralUsers(t *testing.T) {
	needRoot(t)
	l := newLab(t)
	base := l.base()
	for dir := l.Dir; dir != "/" && dir != os.TempDir(); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	var all sync.WaitGroup
	for i := range 6 {
		id := uint32(0)
		if i%3 > 0 {
			id = uint32(64000 + i%3)
		}
		home := l.Path(fmt.Sprint("home-", id))
		if err := os.MkdirAll(home, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(home, int(id), int(id)); err != nil {
			t.Fatal(err)
		}
		all.Go(func() {
			cmd := l.command(context.Background(), "run", base, "-c", "cat /bin/sh > /dev/null; id -u")
			cmd.Env = append(cmd.Env, "HOME="+home, "CARREL_HOME="+filepath.Join(home, "carrel"))
			cmd.Dir = home
			cmd.SysProcAttr.Credential = &syscall.Credential{Uid: id, Gid: id}
			var remarks strings.Builder
			cmd.Stderr = &remarks
			out, err := cmd.Output()
			if got := strings.TrimSpace(string(out)); err != nil || got != fmt.Sprint(id) {
				t.Errorf("user %d: %q, %v\n%s", id, got, err, remarks.String())
			}
		})
	}
	all.Wait()
	l.sound()
}

// TestNewProgram puts another file in the place of the program while apps run that it started.
func TestNewProgram(t *testing.T) {
	l := newLab(t)
	base := l.base()
	l.expect("run", "-d", "--no-wait", "--name", "old", "--writable", func() string {
		l.allowed["kept.sif"] = true
		l.copy(base, filepath.Join(l.target, "kept.sif"))
		return filepath.Join(l.target, "kept.sif")
	}(), "-c", "echo kept > /kept; echo here; sleep 100")
	l.copy(l.Carrel, l.Carrel+".new")
	if err := os.Chmod(l.Carrel+".new", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(l.Carrel+".new", l.Carrel); err != nil {
		t.Fatal(err)
	}
	l.expect("exec", "old", "true")
	l.logged("old", "here")
	l.expect("stop", "--time", "1s", "old")
	if got := l.expect("exec", filepath.Join(l.target, "kept.sif"), "cat", "/kept"); got != "kept" {
		t.Errorf("kept: %q", got)
	}
	l.expect("run", "-d", "--no-wait", "--name", "new", base, "-c", "sleep 100")
	l.expect("stop", "--time", "1s", "new")
	l.sound()
}

// TestFlood has an app write as fast as it can: 1 GB where torture is asked for. It is not held up, its log stays within
// its bound, and ends with exactly what was written last.
func TestFlood(t *testing.T) {
	much := 64 << 20
	if os.Getenv(killsVariable) != "" {
		much = 1 << 30
	}
	l := newLab(t)
	base := l.base()
	// The line grows until a few calls of cat write all.
	script := fmt.Sprintf("i=0; while [ $i -lt 16384 ]; do echo line $i of a log, as programs write them; i=$((i+1)); done > /tmp/piece; "+
		"left=%d; while [ $left -gt 0 ]; do cat /tmp/piece; left=$((left-700000)); done; echo the end; exit 7", much)
	l.expect("run", "-d", "--no-wait", "--name", "flood", base, "-c", script)
	if r := l.call("wait", "flood"); r.status != 7 {
		t.Errorf("it ended with status %d: %s", r.status, r.text)
	}
	last := strings.Split(l.expect("logs", "-n", "16385", "flood"), "\n")
	for i, line := range last[:len(last)-1] {
		if want := fmt.Sprintf("line %d of a log, as programs write them", i); line != want {
			t.Fatalf("line %d of the end is %q, want %q", i, line, want)
		}
	}
	if len(last) != 16385 || last[16384] != "the end" {
		t.Errorf("%d lines, the last one %q", len(last), last[len(last)-1])
	}
	var size int64
	for _, name := range []string{"log", "log.1"} {
		if st, err := os.Stat(filepath.Join(l.home, "state", "instances", "flood", name)); err == nil {
			size += st.Size()
		}
	}
	if size == 0 || size > 64<<20 {
		t.Errorf("the log takes %d bytes", size)
	}
	l.sound()
}
