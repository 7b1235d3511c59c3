package debian

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"carrel/internal/leaktest"
)

// selfPath is this test binary, also for users who cannot enter the folder it is in.
const selfPath = "/proc/self/exe"

// runnerVariable makes this test binary the first process of a container: it names the root folder.
const runnerVariable = "DEBIAN_TEST_ROOT"

func TestMain(m *testing.M) {
	if root := os.Getenv(runnerVariable); root != "" {
		fmt.Fprintln(os.Stderr, enterRoot(root, os.Args[1:]))
		os.Exit(127)
	}
	leaktest.Main(m)
}

// enterRoot runs in a new mount and process namespace; it returns only when it fails.
func enterRoot(root string, args []string) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("proc", filepath.Join(root, "proc"), "proc", 0, ""); err != nil {
		return fmt.Errorf("mount proc: %w", err)
	}
	if err := unix.Mount("/dev", filepath.Join(root, "dev"), "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("bind /dev: %w", err)
	}
	if err := unix.Mount("none", filepath.Join(root, "var/lib/dpkg/updates"), "tmpfs", 0, ""); err != nil {
		return fmt.Errorf("mount tmpfs: %w", err)
	}
	if err := unix.Chroot(root); err != nil {
		return fmt.Errorf("chroot: %w", err)
	}
	if err := unix.Chdir("/"); err != nil {
		return err
	}
	if err := os.Unsetenv(runnerVariable); err != nil {
		return err
	}
	return unix.Exec(args[0], args, os.Environ())
}

// chrootRunner runs commands in a root as real root.
type chrootRunner struct {
	root string
	log  bytes.Buffer
}

func (r *chrootRunner) Run(ctx context.Context, c Command) error {
	cmd := exec.CommandContext(ctx, selfPath, c.Args...)
	cmd.Env = append(c.Env, runnerVariable+"="+r.root)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.Stdin, &r.log, &r.log
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWIPC, Pdeathsig: syscall.SIGKILL,
	}
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", c.Args[0], err)
	}
	return nil
}
