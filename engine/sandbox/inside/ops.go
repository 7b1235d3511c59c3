package inside

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"carrel/engine/sandbox/derive"
	"carrel/engine/sandbox/plan"
)

// maxMerge bounds the image's own file that OpMerge reads (a passwd file of a large site has a few MB).
const maxMerge = 16 << 20

// apply performs one operation of the plan.
func (r *rootMaker) apply(i int) error {
	op := &r.plan.Ops[i]
	var err error
	switch op.Kind {
	case plan.OpBind:
		err = r.bind(op, r.sources[i])
	case plan.OpTmpfs:
		opts := fmt.Sprintf("mode=%04o", orDefault(op.Mode, 0o755))
		if op.Size > 0 {
			opts += ",size=" + strconv.FormatInt(op.Size, 10)
		}
		err = r.mountNew(op, "tmpfs", opts)
	case plan.OpProc:
		err = r.mountProc(op)
	case plan.OpDevpts:
		// gid=5 (tty) only where such an id is mapped; without it the terminals belong to the opener's group.
		if err = r.mountNew(op, "devpts", "newinstance,ptmxmode=0666,mode=0620,gid=5"); err == unix.EINVAL {
			err = r.mountNew(op, "devpts", "newinstance,ptmxmode=0666,mode=0620")
		}
	case plan.OpMqueue:
		err = r.mountNew(op, "mqueue", "")
	case plan.OpDir:
		var fd int
		if fd, err = r.tree.open(op.Dest, makeDir, orDefault(op.Mode, 0o755)); err == nil {
			unix.Close(fd)
		}
	case plan.OpLink:
		err = r.link(op)
	case plan.OpFile:
		err = r.file(op, op.Content)
	case plan.OpMerge:
		var own []byte
		if own, err = r.tree.read(op.Dest, maxMerge); err == nil || err == unix.ENOENT {
			err = r.file(op, derive.Merge(own, op.Content, op.MergeField))
		}
	default:
		err = fmt.Errorf("unknown operation %q", op.Kind)
	}
	if err != nil {
		return opError{op: string(op.Kind), source: op.Source, target: op.Dest, err: err}
	}
	return nil
}

func orDefault(mode, def uint32) uint32 {
	if mode == 0 {
		return def
	}
	return mode
}

func (r *rootMaker) bind(op *plan.Op, source int) error {
	if source < 0 {
		return unix.ENOENT
	}
	var st unix.Stat_t
	if err := unix.Fstat(source, &st); err != nil {
		return err
	}
	m, mode := makeFile, uint32(0o644)
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		m, mode = makeDir, 0o755
	}
	if op.NoMake {
		m = failMissing
	}
	dest := -1
	var err error
	if op.OnLink {
		dest, err = r.tree.openLink(op.Dest)
	}
	if dest < 0 {
		dest, err = r.tree.open(op.Dest, m, mode)
	}
	if err != nil {
		return err
	}
	defer unix.Close(dest)
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_NOSUID}
	if !op.Dev {
		attr.Attr_set |= unix.MOUNT_ATTR_NODEV
	}
	if op.ReadOnly {
		attr.Attr_set |= unix.MOUNT_ATTR_RDONLY
	}
	if op.NoExec {
		attr.Attr_set |= unix.MOUNT_ATTR_NOEXEC
	}
	if op.NoRecurse {
		return r.attach(source, dest, op.Dest, attr, 0)
	}
	return r.attach(source, dest, op.Dest, attr, unix.AT_RECURSIVE)
}

// attach puts the tree at source, with what is mounted below it when recursive is AT_RECURSIVE rather than 0, on dest: attributes first, so that it is never visible
// without them (open_tree(2), mount_setattr(2), move_mount(2); Linux 5.12), or by mount(2) and a remount before that.
func (r *rootMaker) attach(source, dest int, destPath string, attr unix.MountAttr, recursive uint) error {
	fd, err := unix.OpenTree(source, "", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|recursive|unix.AT_EMPTY_PATH)
	if err == nil {
		defer unix.Close(fd)
		if err = unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH|recursive, &attr); err == nil {
			return unix.MoveMount(fd, "", dest, "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)
		}
	}
	if err != unix.ENOSYS && err != unix.EPERM {
		return err
	}
	flags := uintptr(unix.MS_BIND)
	if recursive != 0 {
		flags |= unix.MS_REC
	}
	if err := unix.Mount(fdPath(source), fdPath(dest), "", flags, ""); err != nil {
		return err
	}
	top, err := r.tree.open(destPath, failMissing, 0) // now the mounted tree
	if err != nil {
		return err
	}
	defer unix.Close(top)
	if err := remount(fdPath(top), attr.Attr_set); err != nil || recursive == 0 {
		return err
	}
	return remountBelow(top, attr.Attr_set)
}

// remountBelow adds attributes to every mount below an opened one: a remount changes one mount only.
func remountBelow(top int, attr uint64) error {
	at, err := os.Readlink(fdPath(top))
	if err != nil {
		return err
	}
	table, err := os.ReadFile(path.Join(path.Dir(path.Dir(fdDir)), "mountinfo"))
	if err != nil {
		return err
	}
	for line := range bytes.Lines(table) {
		f := bytes.Fields(line) // proc_pid_mountinfo(5): the fifth is the mount point, from this process's root
		if len(f) < 5 {
			continue
		}
		point := mountEscapes.Replace(string(f[4]))
		if !strings.HasPrefix(point, at+"/") {
			continue
		}
		if err := remount(point, attr); err != nil {
			return fmt.Errorf("mount below it, %s: %w", strings.TrimPrefix(point, at), err)
		}
	}
	return nil
}

// mountEscapes are what the kernel writes for characters that would end a field (fs/proc_namespace.c, mangle).
var mountEscapes = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`, `\043`, "#")

func (r *rootMaker) mountNew(op *plan.Op, fstype, opts string) error {
	m := makeDir
	if op.NoMake {
		m = failMissing
	}
	dest, err := r.tree.open(op.Dest, m, 0o755)
	if err != nil {
		return err
	}
	defer unix.Close(dest)
	flags := uintptr(unix.MS_NOSUID)
	if !op.Dev {
		flags |= unix.MS_NODEV
	}
	if op.NoExec {
		flags |= unix.MS_NOEXEC
	}
	if op.ReadOnly {
		flags |= unix.MS_RDONLY
	}
	return unix.Mount(fstype, fdPath(dest), fstype, flags, opts)
}

// mountProc mounts the processes of the container's own PID namespace. Where the host hides parts of its /proc the
// kernel forbids that in a user namespace (mount_too_revealing in fs/namespace.c): then the host's own is bound.
func (r *rootMaker) mountProc(op *plan.Op) error {
	if r.plan.PIDNS {
		err := r.mountNew(&plan.Op{Dest: op.Dest, NoExec: true}, "proc", "")
		if err == nil || err != unix.EPERM {
			return err
		}
	}
	src, err := unix.Open(oldRoot+"/proc", unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(src)
	dest, err := r.tree.open(op.Dest, makeDir, 0o755)
	if err != nil {
		return err
	}
	defer unix.Close(dest)
	return r.attach(src, dest, op.Dest, unix.MountAttr{Attr_set: unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC}, unix.AT_RECURSIVE)
}

func (r *rootMaker) link(op *plan.Op) error {
	dir, name, err := r.tree.parent(op.Dest)
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	if err := unix.Symlinkat(op.Source, dir, name); err != nil && err != unix.EEXIST {
		return err
	}
	return nil
}

// file writes content to a file of its own and binds it, so that nothing of it ends in the container's layers.
func (r *rootMaker) file(op *plan.Op, content []byte) error {
	if op.OnlyIfMissing {
		fd, err := r.tree.open(op.Dest, failMissing, 0)
		if err == nil {
			unix.Close(fd)
			return nil
		}
	}
	r.files++
	p := fmt.Sprintf("/files/%d", r.files)
	f, err := os.OpenFile(p, os.O_CREATE|os.O_EXCL|os.O_WRONLY, os.FileMode(orDefault(op.Mode, 0o644)))
	if err != nil {
		return err
	}
	_, err = io.Copy(f, bytes.NewReader(content))
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	if err := os.Chmod(p, os.FileMode(orDefault(op.Mode, 0o644))); err != nil { // whatever the umask
		return err
	}
	src, err := unix.Open(p, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(src)
	return r.bind(op, src)
}
