package probe

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// arg0 is the name under which the binary is started to try things. The argument makes a binary that does not know the
// name, for whatever reason, stop at an unknown flag.
const (
	arg0 = "carrel-probe"
	arg1 = "-carrel-probe"
)

// Outcome is how one trial went: nil where it was not made, 0 where the kernel agreed.
type Outcome = *syscall.Errno

// Result is what a process in new namespaces may do.
type Result struct {
	// Namespaces is the outcome of clone(2) with the new namespaces.
	Namespaces Outcome
	// Private is the first thing that needs a capability there: making the mounts private. AppArmor's restriction of user
	// namespaces lets them be made and refuses this (Ubuntu 24.04).
	Private Outcome
	// FUSE is opening /dev/fuse there, FUSEMount mounting it.
	FUSE, FUSEMount Outcome
	// Overlay is mounting an overlay with its upper layer in memory.
	Overlay Outcome
	// Tap is opening and attaching a TAP device, Veth making a veth pair.
	Tap, Veth Outcome
}

// OK tells whether a trial was made and went well.
func OK(o Outcome) bool { return o != nil && *o == 0 }

// Refused tells whether a trial was made and failed.
func Refused(o Outcome) bool { return o != nil && *o != 0 }

// Run makes the trials, with a user namespace of its own or, for root, without one. The error tells of trials that could
// not be made for a reason of our own or because ctx ended; what was found until then is in the result.
func Run(ctx context.Context, userNamespace bool) (Result, error) {
	var r Result
	sys := &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWPID,
		Pdeathsig:  syscall.SIGKILL,
	}
	if userNamespace {
		sys.Cloneflags |= syscall.CLONE_NEWUSER
		sys.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		sys.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	// Pdeathsig is sent when the thread ends that started the process (prctl(2)).
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, "/proc/self/exe", arg1)
	cmd.Args[0] = arg0
	cmd.Env = []string{"GOMAXPROCS=1"}
	cmd.Stdout = &out
	cmd.SysProcAttr = sys
	if err := cmd.Start(); err != nil {
		if errno, ok := errors.AsType[syscall.Errno](err); ok {
			r.Namespaces = &errno
			return r, nil
		}
		return r, fmt.Errorf("try namespaces: %w", err)
	}
	r.Namespaces = outcome(nil)
	if err := cmd.Wait(); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return r, fmt.Errorf("try namespaces: %w", err)
	}
	made := r.Namespaces
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		return r, fmt.Errorf("try namespaces: read answer: %w", err)
	}
	r.Namespaces = made
	return r, nil
}

func outcome(err error) Outcome {
	var errno syscall.Errno
	if err != nil && !errors.As(err, &errno) {
		errno = unix.EIO // not the kernel's own word; still a refusal
	}
	return &errno
}
