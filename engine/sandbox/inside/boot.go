package inside

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"carrel/engine/network/netns"
	"carrel/engine/sandbox/plan"
)

// exitOwn is the exit status of an init that failed itself.
const exitOwn = 255

func init() {
	if len(os.Args) == 0 || os.Args[0] != plan.Arg0 {
		return
	}
	// Credentials, namespaces and seccomp filters belong to threads: the process is started from this one.
	runtime.LockOSThread()
	os.Exit(boot())
}

// boot carries out the plan and returns init's exit status.
func boot() int {
	ctl := newControl(plan.FDControl)
	p, err := readPlan()
	if err == nil {
		var status int
		if status, err = run(p, ctl); err == nil {
			return status
		}
	}
	ctl.send(plan.Message{Kind: plan.MsgError, Error: failure(err)})
	return exitOwn
}

func readPlan() (*plan.Plan, error) {
	unix.CloseOnExec(plan.FDPlan)
	f := os.NewFile(plan.FDPlan, "plan")
	data, err := io.ReadAll(io.LimitReader(f, 64<<20))
	f.Close()
	if err != nil {
		return nil, opError{op: "read plan", err: err}
	}
	p, err := plan.Decode(data)
	if err != nil {
		return nil, opError{op: "read plan", err: err}
	}
	return p, nil
}

var initName = []byte(plan.Arg0 + "\x00")

func run(p *plan.Plan, ctl *control) (int, error) {
	// What ps(1) shows of it: the kernel would call it exe, after the link it was started by. A name is worth no error.
	_ = unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(&initName[0])), 0, 0, 0)
	// When the supervisor is killed in any way, so is everything here (prctl(2)).
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(syscall.SIGKILL), 0, 0, 0); err != nil {
		return 0, opError{op: "set parent death signal", err: err}
	}
	if p.Process.CloseFDs {
		closeOnExec()
	}
	if p.WaitMapped {
		m, _, err := ctl.receive()
		if err != nil || m.Kind != plan.MsgMapped {
			return 0, opError{op: "wait for id mapping", err: errors.Join(err, fmt.Errorf("message %q", m.Kind))}
		}
	}
	for _, procs := range p.Groups {
		if err := os.WriteFile(procs, []byte("0"), 0); err != nil {
			return 0, opError{op: "enter control group", target: procs, err: err}
		}
	}
	if p.Process.Groups != nil {
		if err := syscall.Setgroups(p.Process.Groups); err != nil {
			return 0, opError{op: "set groups", target: fmt.Sprint(p.Process.Groups), err: err}
		}
	}
	if p.UID > 0 && !p.UserNS {
		giveFiles(p.UID)
	}
	if err := becomeUser(p.UID, p.GID); err != nil {
		return 0, err
	}
	if p.Hostname != "" {
		if err := unix.Sethostname([]byte(p.Hostname)); err != nil {
			return 0, opError{op: "set host name", target: p.Hostname, err: err}
		}
	}
	if p.Net != nil {
		// Port 80 inside is nobody else's business. The host's /proc shows the settings of the network that one is in, and is
		// there only until the root is made. Where /proc/sys is read-only it stays as it is.
		if err := netns.OpenToUsers(uint32(unix.Getegid())); err != nil {
			ctl.note("low ports stay closed inside: " + err.Error())
		}
	}
	r := &rootMaker{plan: p, ctl: ctl}
	if err := r.make(); err != nil {
		return 0, err
	}
	if p.Net != nil {
		if err := setUpNetwork(p.Net, ctl, r.tun); err != nil {
			return 0, err
		}
	}
	if err := r.enter(); err != nil {
		return 0, err
	}
	if p.PIDNS {
		return reap(p, ctl)
	}
	return 0, become(p, ctl)
}

// closeOnExec marks all descriptors but the standard three as not to be passed on (close_range(2), Linux 5.11).
func closeOnExec() {
	if unix.CloseRange(3, ^uint(0)>>33, unix.CLOSE_RANGE_CLOEXEC) == nil {
		return
	}
	names, _ := os.ReadDir("/proc/self/fd")
	for _, n := range names {
		if fd, err := strconv.Atoi(n.Name()); err == nil && fd > 2 {
			unix.CloseOnExec(fd)
		}
	}
}

// giveFiles gives the pipes among the standard files to whom the process will be: servers open /dev/stdout anew, for which
// the kernel asks who owns it (runc does the same). What cannot be given is used as it is.
func giveFiles(uid int) {
	for fd := range 3 {
		var st unix.Stat_t
		if unix.Fstat(fd, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFIFO {
			_ = unix.Fchown(fd, uid, -1)
		}
	}
}

// becomeUser takes the ids that the plan gives to init; -1 keeps.
func becomeUser(uid, gid int) error {
	if gid >= 0 && gid != unix.Getegid() {
		if err := syscall.Setresgid(gid, gid, gid); err != nil {
			return opError{op: "set group id", target: fmt.Sprint(gid), err: err}
		}
	}
	if uid >= 0 && uid != unix.Geteuid() {
		// Becoming another user than root would lose the capabilities that making the root needs (capabilities(7)).
		if err := unix.Prctl(unix.PR_SET_KEEPCAPS, 1, 0, 0, 0); err != nil {
			return opError{op: "keep capabilities", err: err}
		}
		if err := syscall.Setresuid(uid, uid, uid); err != nil {
			return opError{op: "set user id", target: fmt.Sprint(uid), err: err}
		}
		if err := raiseCaps(); err != nil {
			return err
		}
	}
	return nil
}

// opError is one step that failed, with what it was about.
type opError struct {
	op, source, target string
	err                error
}

func (e opError) Error() string {
	s := e.op
	if e.source != "" {
		s += " " + e.source
	}
	if e.target != "" {
		s += " on " + e.target
	}
	return s + ": " + e.err.Error()
}

func (e opError) Unwrap() error { return e.err }

// failure turns an error into what can be sent.
func failure(err error) *plan.Failure {
	f := &plan.Failure{Op: "start", Text: err.Error()}
	var oe opError
	if errors.As(err, &oe) {
		f.Op, f.Source, f.Target, f.Text = oe.op, oe.source, oe.target, oe.err.Error()
	}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		f.Errno = int(errno)
	}
	return f
}
