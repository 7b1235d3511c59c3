// Package nstest runs parts of a test in a new user and network namespace, as an ordinary user may: the test binary is
// started again, finds the name of a registered program in its environment, and runs that instead of the tests. The two
// sides talk over a packet socket that also carries descriptors.
package nstest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

const variable = "CARREL_NSTEST_PROGRAM"

// Program runs inside the namespaces. It ends with the process; its error is reported to the test.
type Program func(c *Conn, args []string) error

// Main is to be called by TestMain: it runs a program where this process is to be one, and otherwise the tests.
func Main(m *testing.M, programs map[string]Program) {
	name, ok := os.LookupEnv(variable)
	if !ok {
		os.Exit(m.Run())
	}
	conn, err := connOf(os.NewFile(3, "control"))
	if err == nil {
		err = programs[name](conn, os.Args[1:])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "in the namespace:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// Process is a program running in namespaces of its own. It is ended when its test ends.
type Process struct {
	*Conn
	Cmd *exec.Cmd
}

// Start starts a registered program in a new user namespace, in which it is root, and a new network namespace. The test
// is skipped where such namespaces cannot be made.
func Start(t testing.TB, name string, args ...string) *Process {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	theirs := os.NewFile(uintptr(pair[1]), "control")
	defer theirs.Close()
	ours, err := connOf(os.NewFile(uintptr(pair[0]), "control"))
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, args...)
	cmd.Env = append(os.Environ(), variable+"="+name)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		Pdeathsig:   syscall.SIGKILL,
	}
	if err := cmd.Start(); err != nil {
		ours.Close()
		if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EINVAL) {
			t.Skip("missing: user namespaces")
		}
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ours.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return &Process{Conn: ours, Cmd: cmd}
}

// Conn carries short messages, each with at most one descriptor.
type Conn struct {
	*net.UnixConn
}

func connOf(f *os.File) (*Conn, error) {
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	return &Conn{c.(*net.UnixConn)}, nil
}

// Send sends a message, with a descriptor where fd is not negative.
func (c *Conn) Send(message string, fd int) error {
	var rights []byte
	if fd >= 0 {
		rights = unix.UnixRights(fd)
	}
	_, _, err := c.WriteMsgUnix([]byte(message), rights, nil)
	return err
}

// Receive waits for a message; fd is -1 where it carries none.
func (c *Conn) Receive() (message string, fd int, err error) {
	buf, space := make([]byte, 64<<10), make([]byte, unix.CmsgSpace(4))
	n, oob, _, _, err := c.ReadMsgUnix(buf, space)
	if err != nil {
		return "", -1, err
	}
	fd = -1
	if oob > 0 {
		control, err := unix.ParseSocketControlMessage(space[:oob])
		if err != nil {
			return "", -1, err
		}
		fds, err := unix.ParseUnixRights(&control[0])
		if err != nil {
			return "", -1, err
		}
		fd = fds[0]
	}
	return string(buf[:n]), fd, nil
}

// Call sends a message and waits for the answer; an answer that begins with "error: " is an error.
func (c *Conn) Call(message string) (answer string, fd int, err error) {
	if err := c.Send(message, -1); err != nil {
		return "", -1, err
	}
	answer, fd, err = c.Receive()
	if err != nil {
		return "", -1, err
	}
	if text, bad := strings.CutPrefix(answer, "error: "); bad {
		return "", -1, errors.New(text)
	}
	return answer, fd, nil
}

// Serve answers the messages of the other side with what handle returns, until it hangs up.
func (c *Conn) Serve(handle func(message string) (answer string, fd int, err error)) error {
	for {
		message, _, err := c.Receive()
		if err != nil || message == "" {
			return nil
		}
		answer, fd, err := handle(message)
		if err != nil {
			answer, fd = "error: "+err.Error(), -1
		}
		if err := c.Send(answer, fd); err != nil {
			return err
		}
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
}
