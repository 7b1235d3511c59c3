package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"carrel/engine/sandbox/again"
	"carrel/engine/sandbox/derive"
	"carrel/engine/sandbox/forked"
	"carrel/engine/sandbox/inside" // also so that this binary can be an init
	"carrel/engine/sandbox/plan"
)

// errUnusual: the plan, or the image, asks for something that only an init can do.
var errUnusual = errors.New("unusual")

// canFork tells whether a container may be started without an init of its own program: a folder or an image under a
// throw-away layer, a process without rights, and nobody who will ask for anything but its end.
func canFork(c *Config) bool {
	p, q := &c.Plan, &c.Plan.Process
	switch {
	case !c.Alone, c.Cgroup != nil, c.Network:
		return false
	case p.KeepAlive, p.Net != nil, len(p.Groups) > 0, c.IDs.Namespace && !c.IDs.simple():
		return false
	case len(p.Layers) != 1, p.Layers[0].Folder == "" && !looksInto(c), p.Layers[0].Aside, p.Upper.Kind != plan.UpperMemory, p.Upper.Size != 0:
		return false
	case !p.PIDNS && q.NewSession:
		return false
	case q.KeepCaps, q.FakeRoot, q.NoSync, q.DenyList, q.SealMounts, q.Terminal, len(q.Filter) > 0, q.Groups != nil, len(q.AddCaps)+len(q.DropCaps)+len(q.CPUs) > 0:
		return false
	}
	return p.UID < 0 && p.GID < 0
}

// looksInto tells whether the layer is an image that can be looked into.
func looksInto(c *Config) bool {
	return c.Plan.Layers[0].FUSE && c.Serve != nil && c.Look != nil && c.Look(0) != nil
}

// compiler writes a plan down as the system calls that package inside would make; the comments there explain them.
type compiler struct {
	forked.Program
	c      *Config
	view   view
	fuse   int // the descriptor of the image's mount
	root   forked.Slot
	start  forked.Slot // the starter's file
	files  int
	upper  map[string]bool // folders of the throw-away layer that are made
	mounts []string        // where something is mounted already, without links
}

// compile writes a plan down. The error is errUnusual, or one that init will find again and explain. fuse is the number of a
// descriptor in whose place the child may open another: that of an image's mount, which it passes on.
func compile(c *Config, stdio []*os.File, fuse int) (*forked.Program, error) {
	p := &c.Plan
	var v view
	if p.Layers[0].FUSE {
		v = imageView{c.Look(0)}
	} else {
		f, err := openFolder(p.Layers[0].Folder)
		if err != nil {
			return nil, err
		}
		v = f
	}
	defer v.close()
	b := &compiler{c: c, view: v, fuse: fuse, upper: map[string]bool{}}
	places, err := b.places()
	if err != nil {
		return nil, err
	}
	remarks := 0
	args, env, err := derive.Root{Files: v, Outside: true}.Process(&p.Process, func(string) { remarks++ })
	if err != nil {
		return nil, err
	}
	if len(args) == 0 || remarks > 0 {
		return nil, errUnusual
	}
	b.begin()
	sources := b.sources(places)
	b.stage(places, b.Starter(b.present(candidates(args[0], searched(env)))))
	for i := range p.Ops {
		if err := b.op(&p.Ops[i], places[i], sources[i]); err != nil {
			return nil, err
		}
	}
	b.enter()
	b.weaken()
	b.process(args, env, stdio)
	if f, ok := v.(*folderView); ok && c.Trace != nil {
		c.Trace.Look = b.look(f)
	}
	return &b.Program, nil
}

// look is what the calls depend on beside the plan.
func (b *compiler) look(v *folderView) *again.Look {
	l := &again.Look{Folder: b.c.Plan.Layers[0].Folder, Inside: v.looked}
	for i := range b.c.Plan.Ops {
		if op := &b.c.Plan.Ops[i]; op.Kind == plan.OpBind {
			l.Places = append(l.Places, op.Source)
		}
	}
	return l
}

// places finds where the operations happen.
func (b *compiler) places() ([]place, error) {
	p := &b.c.Plan
	out := make([]place, len(p.Ops))
	var before []string
	for i := range p.Ops {
		op := &p.Ops[i]
		switch op.Kind {
		case plan.OpBind, plan.OpTmpfs, plan.OpProc, plan.OpFile, plan.OpMerge, plan.OpMqueue:
		default:
			return nil, errUnusual
		}
		pl, err := b.view.place(op.Dest)
		if err != nil {
			return nil, err
		}
		if p.Process.Action != nil && ofImage(pl.path) || pl.path == "/" || op.Layer != 0 {
			return nil, errUnusual // the image's own say is covered, or a layer of it is the source
		}
		for j, m := range before {
			if pl.path == m || strings.HasPrefix(pl.path, m+"/") {
				if op.Kind != plan.OpBind || p.Ops[j].Kind == plan.OpTmpfs {
					return nil, errUnusual
				}
				pl = place{path: pl.path, miss: -1} // what is there is not the image's
			}
		}
		for _, d := range pl.dirs {
			if !p.UserNS && d.uid != os.Geteuid() {
				return nil, errUnusual
			}
		}
		before = append(before, pl.path)
		out[i] = pl
	}
	b.mounts = before
	return out, nil
}

// ofImage tells whether what the image says about processes is at a path, or below or above it.
func ofImage(name string) bool {
	for _, f := range []string{"/.singularity.d", "/environment", "/singularity", "/scif", "/.test"} {
		if name == f || strings.HasPrefix(name, f+"/") {
			return true
		}
	}
	return false
}

// begin makes the child a process with a name, the ids of the plan, and mounts of its own.
func (b *compiler) begin() {
	b.Name(plan.Arg0)
	b.Do(unix.SYS_PRCTL, forked.Int(unix.PR_SET_PDEATHSIG), forked.Int(int(unix.SIGKILL)))
	if b.c.Plan.Process.CloseFDs {
		b.Do(unix.SYS_CLOSE_RANGE, forked.Int(3), forked.Int(1<<31-1), forked.Int(unix.CLOSE_RANGE_CLOEXEC))
	}
	limitFiles(&b.Program)
	if m := b.c.IDs; m.Namespace {
		mapOwn(&b.Program, m)
	}
	if h := b.c.Plan.Hostname; h != "" {
		b.Do(unix.SYS_SETHOSTNAME, b.Text(h), forked.Int(len(h)))
	}
	b.mount("", "/", "", unix.MS_SLAVE|unix.MS_REC, "")
}

func (b *compiler) open(name string, flags int, mode uint32) forked.Slot {
	return b.Get(unix.SYS_OPENAT, forked.Int(unix.AT_FDCWD), b.Text(name), forked.Int(flags|unix.O_CLOEXEC), forked.Int(int(mode)))
}

func (b *compiler) close(fd forked.Slot) { b.Do(unix.SYS_CLOSE, forked.In(fd)) }

func (b *compiler) mount(source, target, fstype string, flags int, data string) {
	b.Do(unix.SYS_MOUNT, b.Text(source), b.Text(target), b.Text(fstype), forked.Int(flags), b.Text(data))
}

func (b *compiler) mkdir(name string, mode uint32) {
	b.Do(unix.SYS_MKDIRAT, forked.Int(unix.AT_FDCWD), b.Text(name), forked.Int(int(mode)))
}

func (b *compiler) chdir(name string) { b.Do(unix.SYS_CHDIR, b.Text(name)) }

// source is what a bind shows.
type source struct {
	fd  forked.Slot
	dir bool
	// There is none: the bind is left out.
	none bool
}

// sources opens what binds show, before the host's tree moves.
func (b *compiler) sources(places []place) []source {
	out := make([]source, len(places))
	for i := range b.c.Plan.Ops {
		op := &b.c.Plan.Ops[i]
		if op.Kind == plan.OpProc && !b.c.Plan.PIDNS {
			out[i] = source{fd: b.open("/proc", unix.O_PATH|unix.O_DIRECTORY, 0), dir: true}
		}
		if op.Kind != plan.OpBind {
			continue
		}
		var st unix.Stat_t
		if err := unix.Stat(op.Source, &st); err != nil && op.Optional {
			out[i].none = true
			continue
		}
		out[i].dir = st.Mode&unix.S_IFMT == unix.S_IFDIR
		out[i].fd = b.open(op.Source, unix.O_PATH, 0)
	}
	return out
}

// stage makes the root: the folder or image under a layer in memory, in which the places for mounts are.
func (b *compiler) stage(places []place, starter []byte) {
	var layer forked.Slot
	image := b.c.Plan.Layers[0].FUSE
	if image {
		// The kernel wants the opener's user namespace to be the mount's (fs/fuse/inode.c, fuse_fill_super).
		fd := b.open("/dev/fuse", unix.O_RDWR, 0)
		b.Do(unix.SYS_DUP3, forked.In(fd), forked.Int(b.fuse), forked.Int(unix.O_CLOEXEC))
		b.close(fd)
	} else {
		layer = b.open(b.c.Plan.Layers[0].Folder, unix.O_PATH|unix.O_DIRECTORY, 0)
	}
	b.mount("carrel", "/tmp", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0755")
	b.chdir("/tmp")
	mask := b.Get(unix.SYS_UMASK, forked.Int(0))
	for _, d := range []string{"old", "root", "upper", "work", "files"} {
		b.mkdir(d, 0o755)
	}
	b.Do(unix.SYS_PIVOT_ROOT, b.Text("."), b.Text("old"))
	b.chdir("/")
	fd := b.open("/files/start", unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY, 0o755)
	b.Do(unix.SYS_WRITE, forked.In(fd), b.Data(starter), forked.Int(len(starter)))
	b.close(fd) // nobody writes to a program that is executed
	b.start = b.open("/files/start", unix.O_PATH, 0)
	lower := "."
	if image {
		lower = "/layer0"
		b.mkdir(lower, 0o755)
		b.mount("carrel", lower, "fuse.carrel", unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV, b.fuseOptions())
		// The copy here is closed at once: when the other is closed the mount answers ENOTCONN instead of hanging.
		b.Pass(b.fuse)
		b.Do(unix.SYS_CLOSE, forked.Int(b.fuse))
	}
	for i, pl := range places {
		b.makePlace(&b.c.Plan.Ops[i], pl)
	}
	if !image {
		b.Do(unix.SYS_FCHDIR, forked.In(layer))
	}
	opts := "lowerdir=" + lower + ",upperdir=/upper,workdir=/work,volatile"
	if b.c.Plan.UserNS {
		opts += ",userxattr"
	} else {
		opts += ",redirect_dir=off,metacopy=off"
	}
	b.mount("carrel", "/root", "overlay", unix.MS_NOSUID|unix.MS_NODEV, opts)
	b.chdir("/")
	b.Do(unix.SYS_UMASK, forked.In(mask))
	b.root = b.open("/root", unix.O_PATH|unix.O_DIRECTORY, 0)
}

// fuseOptions are those of the mount of an image, for the ids that the child has in its namespace.
func (b *compiler) fuseOptions() string {
	uid, gid := os.Geteuid(), os.Getegid()
	if m := b.c.IDs; m.Namespace {
		uid, gid = m.UID[0].ContainerID, m.GID[0].ContainerID
	}
	return fmt.Sprintf("fd=%d,rootmode=40000,user_id=%d,group_id=%d,allow_other,default_permissions,max_read=1048576", b.fuse, uid, gid)
}

// makePlace makes in the throw-away layer what is missing on the way to a place, and the place.
func (b *compiler) makePlace(op *plan.Op, pl place) {
	if pl.miss <= 0 || op.NoMake {
		return
	}
	if op.Kind == plan.OpBind && op.Optional {
		if _, err := os.Stat(op.Source); err != nil {
			return
		}
	}
	make := func(name string, mode uint32) {
		if !b.upper[name] {
			b.upper[name] = true
			b.mkdir("/upper"+name, mode)
		}
	}
	for _, d := range pl.dirs {
		make(d.path, d.mode|0o700)
	}
	names := strings.Split(strings.TrimPrefix(pl.path, "/"), "/")
	for i := len(names) - pl.miss + 1; i < len(names); i++ {
		make("/"+path.Join(names[:i]...), 0o755)
	}
	if b.wantsDir(op) {
		make(pl.path, 0o755)
		return
	}
	if !b.upper[pl.path] {
		b.upper[pl.path] = true
		b.Do(unix.SYS_MKNODAT, forked.Int(unix.AT_FDCWD), b.Text("/upper"+pl.path), forked.Int(unix.S_IFREG|0o644), forked.Int(0))
	}
}

func (b *compiler) wantsDir(op *plan.Op) bool {
	switch op.Kind {
	case plan.OpFile, plan.OpMerge:
		return false
	case plan.OpBind:
		st, err := os.Stat(op.Source)
		return err == nil && st.IsDir()
	}
	return true
}

// op performs one operation.
func (b *compiler) op(op *plan.Op, pl place, src source) error {
	from := b.Len()
	switch op.Kind {
	case plan.OpBind:
		if src.none {
			if !op.Quiet {
				return errUnusual // init remarks on it
			}
			return nil
		}
		b.bind(op, src.fd)
	case plan.OpTmpfs:
		mode := op.Mode
		if mode == 0 {
			mode = 0o755
		}
		opts := [][2]string{{"mode", fmt.Sprintf("%04o", mode)}}
		if op.Size > 0 {
			opts = append(opts, [2]string{"size", strconv.FormatInt(op.Size, 10)})
		}
		b.newFS(op, "tmpfs", opts)
	case plan.OpProc:
		if !b.c.Plan.PIDNS {
			b.bind(&plan.Op{Dest: op.Dest, NoExec: true}, src.fd)
			return nil
		}
		b.newFS(&plan.Op{Dest: op.Dest, NoExec: true}, "proc", nil)
	case plan.OpMqueue:
		b.newFS(op, "mqueue", nil)
	case plan.OpFile, plan.OpMerge:
		content := op.Content
		if op.Kind == plan.OpMerge {
			own, err := b.view.read(op.Dest)
			if err != nil {
				return err
			}
			content = derive.Merge(own, content, op.MergeField)
		}
		if op.OnlyIfMissing && pl.miss == 0 {
			return nil
		}
		b.file(op, content)
	}
	if op.NoMake && op.Optional && op.Quiet && pl.miss != 0 {
		b.Optional(from)
	}
	return nil
}

// attributes are those of what an operation mounts (mount_setattr(2)).
func attributes(op *plan.Op) uint64 {
	attr := uint64(unix.MOUNT_ATTR_NOSUID)
	if !op.Dev {
		attr |= unix.MOUNT_ATTR_NODEV
	}
	if op.ReadOnly {
		attr |= unix.MOUNT_ATTR_RDONLY
	}
	if op.NoExec {
		attr |= unix.MOUNT_ATTR_NOEXEC
	}
	return attr
}

// sizeofMountAttr is the size of struct mount_attr (mount_setattr(2), MOUNT_ATTR_SIZE_VER0).
const sizeofMountAttr = 32

// sizeofOpenHow is the size of struct open_how (openat2(2)).
const sizeofOpenHow = 24

// dest opens the place of an operation inside the root.
func (b *compiler) dest(name string, flags uint64) forked.Slot {
	how := &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC | flags, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	return b.Get(unix.SYS_OPENAT2, forked.In(b.root), b.Text(name), forked.Struct(&b.Program, how), forked.Int(sizeofOpenHow))
}

func (b *compiler) bind(op *plan.Op, fd forked.Slot) {
	flags := uint64(0)
	if op.OnLink {
		flags = unix.O_NOFOLLOW
	}
	dest := b.dest(op.Dest, flags)
	recurse := unix.AT_RECURSIVE
	if op.NoRecurse {
		recurse = 0
	}
	tree := b.Get(unix.SYS_OPEN_TREE, forked.In(fd), b.Text(""), forked.Int(unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH|recurse))
	attr := forked.Struct(&b.Program, &unix.MountAttr{Attr_set: attributes(op)})
	b.Do(unix.SYS_MOUNT_SETATTR, forked.In(tree), b.Text(""), forked.Int(unix.AT_EMPTY_PATH|recurse), attr, forked.Int(sizeofMountAttr))
	b.move(tree, dest)
	b.close(fd)
}

func (b *compiler) move(tree, dest forked.Slot) {
	b.Do(unix.SYS_MOVE_MOUNT, forked.In(tree), b.Text(""), forked.In(dest), b.Text(""), forked.Int(unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH))
	b.close(tree)
	b.close(dest)
}

// newFS mounts a new file system (fsopen(2)).
func (b *compiler) newFS(op *plan.Op, fstype string, opts [][2]string) {
	dest := b.dest(op.Dest, 0)
	fs := b.Get(unix.SYS_FSOPEN, b.Text(fstype), forked.Int(unix.FSOPEN_CLOEXEC))
	for _, o := range opts {
		b.Do(unix.SYS_FSCONFIG, forked.In(fs), forked.Int(unix.FSCONFIG_SET_STRING), b.Text(o[0]), b.Text(o[1]), forked.Int(0))
	}
	b.Do(unix.SYS_FSCONFIG, forked.In(fs), forked.Int(unix.FSCONFIG_CMD_CREATE), forked.Int(0), forked.Int(0), forked.Int(0))
	tree := b.Get(unix.SYS_FSMOUNT, forked.In(fs), forked.Int(unix.FSMOUNT_CLOEXEC), forked.Int(int(attributes(op))))
	b.close(fs)
	b.move(tree, dest)
}

// file puts a file of its own on a place.
func (b *compiler) file(op *plan.Op, content []byte) {
	b.files++
	name := "/files/" + strconv.Itoa(b.files)
	mode := op.Mode
	if mode == 0 {
		mode = 0o644
	}
	fd := b.open(name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY, mode)
	if len(content) > 0 {
		b.Do(unix.SYS_WRITE, forked.In(fd), b.Data(content), forked.Int(len(content)))
	}
	b.Do(unix.SYS_FCHMOD, forked.In(fd), forked.Int(int(mode))) // whatever the umask
	b.bind(op, fd)
}

// enter makes what was made the root and lets go of everything else.
func (b *compiler) enter() {
	if b.c.Plan.Upper.Seal {
		attr := forked.Struct(&b.Program, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY})
		b.Do(unix.SYS_MOUNT_SETATTR, forked.Int(unix.AT_FDCWD), b.Text("/root"), forked.Int(0), attr, forked.Int(sizeofMountAttr))
	}
	b.chdir("/root")
	b.Do(unix.SYS_PIVOT_ROOT, b.Text("."), b.Text("."))
	b.Do(unix.SYS_UMOUNT2, b.Text("."), forked.Int(unix.MNT_DETACH))
	b.chdir("/")
}

// weaken gives up all rights for good.
func (b *compiler) weaken() {
	b.Do(unix.SYS_PRCTL, forked.Int(unix.PR_SET_NO_NEW_PRIVS), forked.Int(1))
	b.Do(unix.SYS_PRCTL, forked.Int(unix.PR_CAP_AMBIENT), forked.Int(unix.PR_CAP_AMBIENT_CLEAR_ALL))
	b.Allow(unix.EINVAL)
	for c := range maxCap() + 1 {
		b.Do(unix.SYS_PRCTL, forked.Int(unix.PR_CAPBSET_DROP), forked.Int(c))
		b.Allow(unix.EPERM, unix.EINVAL)
	}
	hdr := forked.Struct(&b.Program, &unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3})
	b.Do(unix.SYS_CAPSET, hdr, forked.Struct(&b.Program, &[2]unix.CapUserData{}))
	b.Do(unix.SYS_PRCTL, forked.Int(unix.PR_SET_DUMPABLE), forked.Int(0))
	if b.c.Plan.Process.OwnInput {
		filter := inside.InputFilter()
		rules := forked.Slice(&b.Program, filter)
		prog := forked.Struct(&b.Program, &unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]})
		b.Points(prog, unsafe.Offsetof(unix.SockFprog{}.Filter), rules)
		b.Do(unix.SYS_SECCOMP, forked.Int(unix.SECCOMP_SET_MODE_FILTER), forked.Int(0), prog)
	}
}

// process is what is started: its folder, environment, files and program.
func (b *compiler) process(args, env []string, stdio []*os.File) {
	p := &b.c.Plan.Process
	if p.Dir != "" {
		b.chdir(p.Dir)
	}
	var vars []forked.Arg
	for _, kv := range env {
		if !strings.HasPrefix(kv, "PWD=") {
			vars = append(vars, b.Text(kv))
		}
	}
	pwd := b.Data(append([]byte("PWD="), make([]byte, unix.PathMax)...))
	b.Do(unix.SYS_GETCWD, pwd.Plus(4), forked.Int(unix.PathMax))
	vars = append(vars, pwd)
	if p.Umask >= 0 {
		b.Do(unix.SYS_UMASK, forked.Int(p.Umask))
	}
	for _, l := range p.Limits {
		b.Limit(l.Resource, l.Value)
	}
	if b.c.Plan.PIDNS {
		b.Main()
	}
	if p.NewSession {
		b.Do(unix.SYS_SETSID)
	}
	var fds [3]forked.Slot
	for i, f := range stdio { // first out of each other's way
		fds[i] = b.Get(unix.SYS_FCNTL, forked.Int(int(f.Fd())), forked.Int(unix.F_DUPFD_CLOEXEC), forked.Int(10))
	}
	for i := range stdio {
		b.Do(unix.SYS_DUP3, forked.In(fds[i]), forked.Int(i), forked.Int(0))
	}
	b.Exec(forked.In(b.start), args, vars)
}

// searched are the folders in which a program is looked for (execvp(3)).
func searched(env []string) string {
	for _, kv := range slices.Backward(env) {
		if v, ok := strings.CutPrefix(kv, "PATH="); ok {
			return v
		}
	}
	return derive.DefaultPath
}

// present leaves out candidates that are not there, which would cost an image a question or two each. What is mounted is not
// looked into; without any left, all are, so that execve(2) says what is wrong.
func (b *compiler) present(candidates []string) []string {
	if len(candidates) == 1 {
		return candidates
	}
	left := slices.DeleteFunc(slices.Clone(candidates), func(name string) bool {
		if !path.IsAbs(name) {
			return false
		}
		pl, err := b.view.place(name)
		return err == nil && pl.miss > 0 && !slices.ContainsFunc(b.mounts, func(m string) bool { return pl.path == m || strings.HasPrefix(pl.path, m+"/") })
	})
	if len(left) == 0 {
		return candidates
	}
	return left
}

// candidates are the paths at which execvp(3) looks for a program.
func candidates(name, search string) []string {
	if strings.Contains(name, "/") {
		return []string{name}
	}
	var out []string
	for dir := range strings.SplitSeq(search, ":") {
		if dir == "" {
			dir = "."
		}
		out = append(out, dir+"/"+name)
	}
	return out
}

// cloneFlags are the namespaces of a forked container.
func cloneFlags(c *Config) uintptr {
	flags := uintptr(syscall.CLONE_NEWNS)
	if c.Plan.PIDNS {
		flags |= syscall.CLONE_NEWPID
	}
	if c.IDs.Namespace {
		flags |= syscall.CLONE_NEWUSER
	}
	if c.IPC {
		flags |= syscall.CLONE_NEWIPC
	}
	if c.UTS || c.Plan.Hostname != "" {
		flags |= syscall.CLONE_NEWUTS
	}
	return flags
}
