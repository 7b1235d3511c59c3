package fuse

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"carrel/engine/squashfs"
	"carrel/engine/tree"
	"carrel/internal/leaktest"
)

// childEnv marks this test's binary as started again in the namespaces of a container; its value is the mount point.
const childEnv = "CARREL_FUSE_TEST_MOUNT_POINT"

func TestMain(m *testing.M) {
	if at := os.Getenv(childEnv); at != "" {
		if err := child(at); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	leaktest.Main(m)
}

// child mounts, sends the descriptor over descriptor 3, and runs the script in its first argument with the mount point as $1.
func child(at string) error {
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open /dev/fuse: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("test", at, FSType, MountFlags, MountData(fd, 0, 0)); err != nil {
		return fmt.Errorf("mount: %w", err)
	}
	if err := unix.Sendmsg(3, []byte{0}, unix.UnixRights(fd), nil, 0); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	unix.Close(3)
	unix.Close(fd)
	if os.Args[1] == "list" {
		return list(os.Stdout, tree.Dir(at, tree.DirOptions{}))
	}
	cmd := exec.Command("/bin/sh", "-euc", os.Args[1], "sh", at)
	cmd.Env = append(os.Environ(), childEnv+"=")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd.Run()
}

// container is a running child, in a user and mount namespace of its own, whose mount nobody serves yet.
type container struct {
	cmd *exec.Cmd
	out *bytes.Buffer
	fd  int
}

// start runs a script (or "list") in a container. It skips where that is not possible.
func start(t testing.TB, script string) *container {
	t.Helper()
	f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("missing: access to /dev/fuse (%v)", err)
	}
	f.Close()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "ours"), os.NewFile(uintptr(pair[1]), "theirs")
	defer ours.Close()
	c := &container{cmd: exec.Command(exe, script), out: new(bytes.Buffer)}
	c.cmd.Env = append(os.Environ(), childEnv+"="+t.TempDir())
	c.cmd.Stdout, c.cmd.Stderr = c.out, c.out
	c.cmd.ExtraFiles = []*os.File{theirs}
	c.cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}},
		Pdeathsig:   syscall.SIGKILL,
	}
	err = c.cmd.Start()
	theirs.Close()
	if err != nil {
		t.Skipf("missing: user namespaces (%v)", err)
	}
	oob := make([]byte, 64)
	_, n, _, _, err := unix.Recvmsg(pair[0], make([]byte, 1), oob, unix.MSG_CMSG_CLOEXEC)
	var fds []int
	if err == nil {
		var messages []unix.SocketControlMessage
		if messages, err = unix.ParseSocketControlMessage(oob[:n]); err == nil && len(messages) > 0 {
			fds, err = unix.ParseUnixRights(&messages[0])
		}
	}
	if err != nil || len(fds) != 1 {
		_ = c.cmd.Wait()
		t.Fatalf("no descriptor: %v\n%s", err, c.out)
	}
	c.fd = fds[0]
	return c
}

// inContainer runs a script with an image mounted and returns what it printed.
func inContainer(t testing.TB, img *squashfs.Reader, opt Options, script string) string {
	t.Helper()
	c := start(t, script)
	done := make(chan error, 1)
	go func() { done <- Serve(context.Background(), c.fd, img, opt) }()
	err := c.cmd.Wait()
	if serr := <-done; serr != nil {
		t.Errorf("serve: %v", serr)
	}
	if err != nil {
		t.Fatalf("%q: %v\n%s", script, err, c.out)
	}
	return c.out.String()
}

// list writes a tree in a comparable form, a line per entry in the order of names.
func list(w io.Writer, src tree.Source) error {
	return src.WriteTo(context.Background(), &lister{w: w})
}

type lister struct {
	w    io.Writer
	hide func(e *tree.Entry)
}

func (l *lister) Add(e tree.Entry, body io.Reader) error {
	if l.hide != nil {
		l.hide(&e)
	}
	var sum string
	if body != nil {
		h := newHash()
		if _, err := io.Copy(h, body); err != nil {
			return err
		}
		sum = fmt.Sprintf("%x", h.Sum(nil))
	}
	delete(e.Xattrs, "security.selinux")
	_, err := fmt.Fprintf(l.w, "%s %o %d:%d %d %d %q %q %d:%d %v %s\n", e.Path, e.Mode, e.UID, e.GID, e.Size, e.ModTime.Unix(), e.Link, e.HardLink, e.Major, e.Minor, e.Xattrs, sum)
	return err
}

// entries is a tree.Source whose contents are strings.
type entries []entry

type entry struct {
	tree.Entry
	data string
}

func (es entries) WriteTo(_ context.Context, sink tree.Sink) error {
	for _, e := range es {
		var body io.Reader
		if e.IsRegular() {
			e.Size = int64(len(e.data))
			body = strings.NewReader(e.data)
		}
		if err := sink.Add(e.Entry, body); err != nil {
			return err
		}
	}
	return nil
}

func makeImage(t testing.TB, src tree.Source, opt squashfs.Options) *squashfs.Reader {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "image"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	w, err := squashfs.NewWriter(f, opt)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	if err := src.WriteTo(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	stats, err := w.Close()
	if err != nil {
		t.Fatal(err)
	}
	img, err := squashfs.Open(f, stats.PaddedSize, squashfs.ReaderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// goroutines counts those that run this package's server.
func goroutines() int {
	buf := make([]byte, 1<<20)
	return strings.Count(string(buf[:runtime.Stack(buf, true)]), "fuse.(*server)")
}
