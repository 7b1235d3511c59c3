package sandbox

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"carrel/engine/sandbox/forked"
	"carrel/engine/sandbox/plan"
	"carrel/internal/openfiles"
	"carrel/internal/spawn"
)

// An init is this program's file, started again. What runs in the container meets it as /proc/1/exe and as the /proc/self/exe
// of whatever init starts, and could write to it through that, however well init hides: "#!/proc/self/exe" in the image is
// enough (CVE-2019-5736 of another runtime). What a process is started from decides about writing (proc_pid_exe(5)), so init
// is started from a read-only mount of the file that nobody else has.

// A way to get at this program's file so that nobody can write to it.
type way int

const (
	byTree way = iota // a detached mount (open_tree(2), mount_setattr(2); Linux 5.12)
	byBind            // a mount over the file itself, taken away again, for kernels before that
	byCopy            // a sealed copy in memory (memfd_create(2)), of some 30 MB: where the file cannot be reached or mounted
)

// firstWay is what is tried first; tests choose another.
var firstWay = byTree

// spawnInit starts an init with the given standard and further files.
func spawnInit(c *Config, flags uintptr, files []*os.File) (*os.Process, error) {
	path, reachable := ownPath()
	for w := firstWay; ; w++ {
		if !reachable {
			w = byCopy
		}
		pid, mounting, err := spawnBy(w, c, flags, files, path)
		if err == nil {
			return os.FindProcess(pid)
		}
		if !mounting || w == byCopy {
			return nil, &Error{Op: "new namespaces", Err: err}
		}
	}
}

// ownPath is where this program's file is, and whether it still is there: it may have been replaced by an update.
func ownPath() (path string, reachable bool) {
	path, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return "", false
	}
	var own, there unix.Stat_t
	if unix.Stat("/proc/self/exe", &own) != nil || unix.Stat(path, &there) != nil {
		return "", false
	}
	return path, own.Dev == there.Dev && own.Ino == there.Ino
}

// spawnBy starts an init by one way. mounting tells that what failed was that way.
func spawnBy(w way, c *Config, flags uintptr, files []*os.File, path string) (pid int, mounting bool, err error) {
	p := &forked.Program{}
	p.Do(unix.SYS_PRCTL, forked.Int(unix.PR_SET_PDEATHSIG), forked.Int(int(unix.SIGKILL)))
	limitFiles(p)
	if m := c.IDs; m.Namespace {
		flags |= syscall.CLONE_NEWUSER
		if m.simple() {
			mapOwn(p, m)
		}
		keepCaps(p)
	}
	slots := make([]forked.Slot, len(files))
	for i, f := range files { // first out of each other's way
		slots[i] = p.Get(unix.SYS_FCNTL, forked.Int(int(f.Fd())), forked.Int(unix.F_DUPFD_CLOEXEC), forked.Int(10))
	}
	for i := range files {
		p.Do(unix.SYS_DUP3, forked.In(slots[i]), forked.Int(i), forked.Int(0))
	}
	from := p.Len()
	var exe forked.Arg
	switch w {
	case byTree:
		tree := p.Get(unix.SYS_OPEN_TREE, forked.Int(unix.AT_FDCWD), p.Text(path), forked.Int(unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC))
		attr := forked.Struct(p, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY})
		p.Do(unix.SYS_MOUNT_SETATTR, forked.In(tree), p.Text(""), forked.Int(unix.AT_EMPTY_PATH), attr, forked.Int(sizeofMountAttr))
		exe = forked.In(tree)
	case byBind:
		locked, err := lockedFlags(path)
		if err != nil {
			return 0, true, err
		}
		mount := func(source, target string, flags int) {
			p.Do(unix.SYS_MOUNT, p.Text(source), p.Text(target), p.Text(""), forked.Int(flags), forked.Int(0))
		}
		mount("", "/", unix.MS_SLAVE|unix.MS_REC) // not for others to see
		mount(path, path, unix.MS_BIND)
		mount("", path, unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY|locked)
		fd := p.Get(unix.SYS_OPENAT, forked.Int(unix.AT_FDCWD), p.Text(path), forked.Int(unix.O_PATH|unix.O_CLOEXEC), forked.Int(0))
		p.Do(unix.SYS_UMOUNT2, p.Text(path), forked.Int(unix.MNT_DETACH))
		exe = forked.In(fd)
	case byCopy:
		f, err := sealedCopy()
		if err != nil {
			return 0, true, err
		}
		defer f.Close()
		exe = forked.Int(int(f.Fd()))
	}
	env := make([]forked.Arg, len(initEnv))
	for i, kv := range initEnv {
		env[i] = p.Text(kv)
	}
	p.Exec(exe, []string{plan.Arg0}, env)
	cgroup := -1
	if c.Cgroup != nil {
		cgroup = int(c.Cgroup.Fd())
	}
	spawn.Do(func() { pid, err = p.Spawn(flags, cgroup) })
	var failed *forked.FailedError
	if errors.As(err, &failed) {
		return 0, failed.Step < 0 || failed.Step >= from, failed.Errno
	}
	return pid, false, err
}

// limitFiles gives a child the limit of open files that this process was started with.
func limitFiles(p *forked.Program) {
	if openfiles.Limit.Max > 0 {
		p.Do(unix.SYS_PRLIMIT64, forked.Int(0), forked.Int(unix.RLIMIT_NOFILE), forked.Struct(p, &openfiles.Limit), forked.Int(0))
		p.Allow(unix.EPERM) // somebody has lowered it meanwhile
	}
}

// mapOwn makes a child in a new user namespace map its own ids (user_namespaces(7)); setgroups(2) has to be given up before.
func mapOwn(p *forked.Program, m IDMap) {
	for _, f := range [][2]string{
		{"/proc/self/setgroups", "deny"},
		{"/proc/self/gid_map", fmt.Sprintf("%d %d 1\n", m.GID[0].ContainerID, m.GID[0].HostID)},
		{"/proc/self/uid_map", fmt.Sprintf("%d %d 1\n", m.UID[0].ContainerID, m.UID[0].HostID)},
	} {
		fd := p.Get(unix.SYS_OPENAT, forked.Int(unix.AT_FDCWD), p.Text(f[0]), forked.Int(unix.O_WRONLY|unix.O_CLOEXEC), forked.Int(0))
		p.Do(unix.SYS_WRITE, forked.In(fd), p.Text(f[1]), forked.Int(len(f[1])))
		p.Do(unix.SYS_CLOSE, forked.In(fd))
	}
}

// keepCaps makes all capabilities of a child in a new user namespace last beyond execve(2), which takes them from every
// process but one with the id 0 unless they are ambient (capabilities(7)).
func keepCaps(p *forked.Program) {
	last := maxCap()
	all := uint64(1)<<(last+1) - 1
	low, high := uint32(all), uint32(all>>32)
	hdr := forked.Struct(p, &unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3})
	p.Do(unix.SYS_CAPSET, hdr, forked.Struct(p, &[2]unix.CapUserData{
		{Effective: low, Permitted: low, Inheritable: low}, {Effective: high, Permitted: high, Inheritable: high},
	}))
	for c := range last + 1 {
		p.Do(unix.SYS_PRCTL, forked.Int(unix.PR_CAP_AMBIENT), forked.Int(unix.PR_CAP_AMBIENT_RAISE), forked.Int(c), forked.Int(0), forked.Int(0))
	}
}

// lockedFlags are those of the mount that a file is on, which a remount in another user namespace has to keep
// (mount_namespaces(7)); statfs(2) has the values of mount(2) for them, but for one.
func lockedFlags(path string) (int, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return 0, err
	}
	flags := int(st.Flags) & (unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC | unix.MS_NOATIME | unix.MS_NODIRATIME)
	const stRelatime = 0x1000
	if st.Flags&stRelatime != 0 {
		flags |= unix.MS_RELATIME
	}
	return flags, nil
}

// sealedCopy is this program in memory, which nobody can write to any more. The caller closes it.
func sealedCopy() (*os.File, error) {
	own, err := os.Open("/proc/self/exe")
	if err != nil {
		return nil, err
	}
	defer own.Close()
	const flags = unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	fd, err := unix.MemfdCreate(plan.Arg0, flags|unix.MFD_EXEC)
	if err == unix.EINVAL { // before Linux 6.3 every such file may be executed, and nobody has to say so
		fd, err = unix.MemfdCreate(plan.Arg0, flags)
	}
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), plan.Arg0)
	if _, err := io.Copy(f, own); err != nil {
		f.Close()
		return nil, err
	}
	if _, err := unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_SEAL|unix.F_SEAL_WRITE|unix.F_SEAL_SHRINK|unix.F_SEAL_GROW); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
