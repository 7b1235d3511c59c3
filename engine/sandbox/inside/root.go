package inside

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"carrel/engine/sandbox/plan"
)

// While the root is made, the file system of init looks like this, in a tmpfs that only its mount namespace has:
//
//	/old            what the host shows
//	/layerN         a mounted image, lowest first
//	/upper /work*   of an overlay that is thrown away (in a tmpfs of their own when a size is asked for)
//	/files/N        contents of OpFile and OpMerge
//	/root           the overlay: what becomes /
//
// Sources on the host are opened before that, so that their paths mean what the caller meant. The tmpfs must not stay on a
// folder of the host: a bind of that folder would show it.
const (
	oldRoot = "/old"
	newRoot = "/root"
)

// fdDir is where the descriptors of this process appear as paths; it moves with the root.
var fdDir = "/proc/self/fd/"

func fdPath(fd int) string { return fdDir + strconv.Itoa(fd) }

// stages are folders on which the tmpfs may be mounted: any that exists will do, nothing is written to the folder itself.
var stages = []string{"/tmp", "/run", "/var/tmp", "/dev/shm", "/mnt", "/var"}

type rootMaker struct {
	plan  *plan.Plan
	ctl   *control
	tree  tree
	files int
	// sources holds the opened source of each bind, by index in plan.Ops; -1 where an optional one is missing.
	sources []int
	// layers holds an opened folder or device for each layer, a mounted FUSE descriptor's number is not kept.
	layers []int
	upper  int
	fuse   []int // opened /dev/fuse per layer, -1 otherwise
	tun    int   // opened /dev/net/tun, -1 where there is none
}

func (r *rootMaker) make() error {
	// What is mounted here stays here; what the host mounts below a bind later is seen (mount_namespaces(7)).
	if err := unix.Mount("", "/", "", unix.MS_SLAVE|unix.MS_REC, ""); err != nil {
		return opError{op: "make mounts private", err: err}
	}
	if err := r.openSources(); err != nil {
		return err
	}
	if err := r.stage(); err != nil {
		return err
	}
	lowers, err := r.mountLayers()
	if err != nil {
		return err
	}
	notes, err := r.populate(lowers)
	if r.tree.denied != nil && *r.tree.denied && r.canPrepare() {
		// Places are missing in folders of an owner whom this user namespace does not know, where it may make nothing.
		if err := r.preparePlaces(); err != nil {
			return err
		}
		notes, err = r.populate(lowers)
	}
	if err != nil {
		return err
	}
	for _, n := range notes {
		r.ctl.note(n)
	}
	if r.plan.Upper.Seal {
		return r.seal()
	}
	return nil
}

// populate stacks the layers and performs every operation on them. It returns what is to be remarked.
func (r *rootMaker) populate(lowers []string) (notes []string, err error) {
	if err := r.mountRoot(lowers); err != nil {
		return nil, err
	}
	fd, err := unix.Open(newRoot, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, opError{op: "open root", err: err}
	}
	r.tree = tree{root: fd, denied: new(bool)}
	for i := range r.plan.Ops {
		if err := r.apply(i); err != nil {
			op := &r.plan.Ops[i]
			if !op.Optional {
				return notes, err
			}
			if !op.Quiet {
				notes = append(notes, err.Error())
			}
		}
	}
	return notes, nil
}

// canPrepare tells whether places can be made below the layers: an overlay shows what its upper folder holds beside what
// the layers have in the same folders.
func (r *rootMaker) canPrepare() bool {
	if !r.plan.UserNS || r.plan.Upper.Kind != plan.UpperMemory {
		return false
	}
	for _, l := range r.plan.Layers {
		if l.Folder != "" {
			return true
		}
	}
	return false
}

// preparePlaces takes the root apart again and makes the folders that hold missing places in the upper folder, with the
// modes that they have in the layers, but owned by this user, who may then make the places themselves.
func (r *rootMaker) preparePlaces() error {
	type folder struct {
		names []string
		modes []uint32
	}
	var folders []folder
	for i := range r.plan.Ops {
		op := &r.plan.Ops[i]
		if op.NoMake {
			continue
		}
		names, modes, missing := r.tree.route(op.Dest)
		if len(missing) == 0 {
			continue
		}
		for _, m := range missing[:len(missing)-1] {
			names, modes = append(names, m), append(modes, 0o755)
		}
		folders = append(folders, folder{names, modes})
	}
	unix.Close(r.tree.root)
	if err := unix.Unmount(newRoot, unix.MNT_DETACH); err != nil {
		return opError{op: "take root apart", err: err}
	}
	upper := "/upper"
	if r.plan.Upper.Size > 0 {
		upper = "/throw" + "/upper"
	}
	old := unix.Umask(0)
	defer unix.Umask(old)
	for _, f := range folders {
		dir := upper
		for i, name := range f.names {
			dir += "/" + name
			if err := unix.Mkdir(dir, f.modes[i]|0o700); err != nil && err != unix.EEXIST {
				return opError{op: "make folder", target: strings.TrimPrefix(dir, upper), err: err}
			}
		}
	}
	return nil
}

// seal makes the root, but nothing that is mounted on it, read-only.
func (r *rootMaker) seal() error {
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
	err := unix.MountSetattr(unix.AT_FDCWD, newRoot, 0, &attr)
	if err == unix.ENOSYS {
		err = remount(newRoot, attr.Attr_set)
	}
	if err != nil {
		return opError{op: "make the root read-only", err: err}
	}
	return nil
}

func (r *rootMaker) openSources() error {
	open := func(p string) (int, error) { return unix.Open(p, unix.O_PATH|unix.O_CLOEXEC, 0) }
	r.tun = -1
	if n := r.plan.Net; n != nil && n.Outgoing {
		if fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0); err == nil {
			r.tun = fd
		}
	}
	for _, l := range r.plan.Layers {
		fd, fuse := -1, -1
		var err error
		switch {
		case l.Folder != "":
			if fd, err = open(l.Folder); err != nil {
				return opError{op: "open root folder", source: l.Folder, err: err}
			}
		case l.Device != "":
			if fd, err = open(l.Device); err != nil {
				return opError{op: "open device", source: l.Device, err: err}
			}
		case l.FUSE:
			// The kernel wants the opener's user namespace to be the mount's (fs/fuse/inode.c, fuse_get_tree).
			if fuse, err = unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0); err != nil {
				return opError{op: "open /dev/fuse", err: err}
			}
		default:
			return opError{op: "open root", err: errors.New("a layer without content")}
		}
		r.layers, r.fuse = append(r.layers, fd), append(r.fuse, fuse)
	}
	if r.plan.Upper.Kind == plan.UpperDir {
		var err error
		if r.upper, err = open(r.plan.Upper.Dir); err != nil {
			return opError{op: "open writable layer", source: r.plan.Upper.Dir, err: err}
		}
	}
	r.sources = make([]int, len(r.plan.Ops))
	for i := range r.plan.Ops {
		op := &r.plan.Ops[i]
		r.sources[i] = -1
		if op.Kind != plan.OpBind || op.Layer > 0 {
			continue
		}
		fd, err := open(op.Source)
		if err != nil && !op.Optional {
			return opError{op: "bind", source: op.Source, target: op.Dest, err: err}
		}
		if err != nil {
			fd = -1
		}
		r.sources[i] = fd
	}
	return nil
}

// stage mounts the tmpfs in which the root is made and turns the host's tree into /old.
func (r *rootMaker) stage() error {
	var base string
	var err error = unix.ENOENT
	for _, base = range stages {
		// A small file system for mount points; what containers write goes to mounts of their own.
		if err = unix.Mount("carrel", base, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0755"); err == nil {
			break
		}
	}
	if err != nil {
		return opError{op: "mount tmpfs", target: base, err: err}
	}
	if err := unix.Chdir(base); err != nil {
		return opError{op: "enter tmpfs", err: err}
	}
	old := unix.Umask(0)
	defer unix.Umask(old)
	for _, d := range []string{"old", "root", "upper", "work", "work2", "files"} {
		if err := unix.Mkdir(d, 0o755); err != nil {
			return opError{op: "make folder", target: d, err: err}
		}
	}
	if err := unix.PivotRoot(".", "old"); err != nil {
		return opError{op: "change root", err: err}
	}
	if err := unix.Chdir("/"); err != nil {
		return opError{op: "change root", err: err}
	}
	fdDir = oldRoot + "/proc/self/fd/"
	return nil
}

// mountLayers makes every layer reachable by a path and returns the paths, lowest first.
func (r *rootMaker) mountLayers() ([]string, error) {
	var out []string
	for i, l := range r.plan.Layers {
		if l.Folder != "" {
			out = append(out, fdPath(r.layers[i]))
			continue
		}
		at := fmt.Sprintf("/layer%d", i)
		if err := unix.Mkdir(at, 0o755); err != nil {
			return nil, opError{op: "make folder", target: at, err: err}
		}
		if l.FUSE {
			if err := r.mountFUSE(i, at); err != nil {
				return nil, err
			}
		} else {
			err := unix.Mount(fdPath(r.layers[i]), at, l.FSType, unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV, "")
			if err != nil {
				return nil, opError{op: "mount " + l.FSType, source: l.Device, err: err}
			}
		}
		if !l.Aside {
			out = append(out, at)
			continue
		}
		if err := r.openAside(i, at); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// openAside opens the sources of the binds that are from a layer, mounted at a path. Links are followed within the layer
// (openat2(2), RESOLVE_IN_ROOT).
func (r *rootMaker) openAside(layer int, at string) error {
	root, err := unix.Open(at, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return opError{op: "open image", target: at, err: err}
	}
	defer unix.Close(root)
	for i := range r.plan.Ops {
		op := &r.plan.Ops[i]
		if op.Kind != plan.OpBind || op.Layer != layer+1 {
			continue
		}
		how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
		if r.sources[i], err = unix.Openat2(root, op.Source, &how); err != nil {
			return opError{op: "bind from image", source: op.Source, target: op.Dest, err: err}
		}
	}
	return nil
}

// mountFUSE mounts a file system that the supervisor serves. fuse(4) and Documentation/filesystems/fuse/fuse.rst tell the
// options, which are those package fuse serves (fuse.MountData; not imported here, where every package costs); user_id and group_id have to be those of the caller.
func (r *rootMaker) mountFUSE(layer int, at string) error {
	fd := r.fuse[layer]
	opts := fmt.Sprintf("fd=%d,rootmode=40000,user_id=%d,group_id=%d,allow_other,default_permissions,max_read=1048576", fd, unix.Geteuid(), unix.Getegid())
	err := unix.Mount("carrel", at, "fuse.carrel", unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV, opts)
	if err != nil {
		return opError{op: "mount image", source: "/dev/fuse", err: err}
	}
	// The copy here is closed at once: when the supervisor's is closed the mount answers ENOTCONN instead of hanging.
	err = r.ctl.send(plan.Message{Kind: plan.MsgFUSE, Layer: layer}, fd)
	unix.Close(fd)
	if err != nil {
		return opError{op: "hand over image mount", err: err}
	}
	return nil
}

// mountRoot stacks the layers.
func (r *rootMaker) mountRoot(lowers []string) error {
	if len(lowers) == 0 {
		return opError{op: "mount root", err: errors.New("the plan has no layer")}
	}
	up := r.plan.Upper
	if len(lowers) == 1 && (up.Kind == plan.UpperNone || up.Kind == plan.UpperDirect) {
		if err := unix.Mount(lowers[0], newRoot, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
			return opError{op: "bind root", err: err}
		}
		attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOSUID}
		if up.Kind == plan.UpperNone {
			attr.Attr_set |= unix.MOUNT_ATTR_RDONLY
		}
		return setAttrAt(newRoot, attr)
	}
	if up.Kind == plan.UpperDirect {
		return opError{op: "mount root", err: errors.New("only a single folder can be written to directly")}
	}
	// overlayfs wants the topmost layer first (Documentation/filesystems/overlayfs.rst, "Multiple lower layers").
	var b strings.Builder
	for i := len(lowers) - 1; i >= 0; i-- {
		if b.Len() > 0 {
			b.WriteByte(':')
		}
		b.WriteString(lowers[i])
	}
	opts := "lowerdir=" + b.String()
	var tries []string
	switch up.Kind {
	case plan.UpperDir:
		tries = []string{opts + ",upperdir=" + fdPath(r.upper) + "/upper,workdir=" + fdPath(r.upper) + "/work"}
	case plan.UpperMemory:
		dir, err := r.memory(up.Size)
		if err != nil {
			return err
		}
		// volatile (5.10) leaves out every sync to an upper that is thrown away. A work folder is spoilt by a volatile try.
		tries = []string{
			opts + ",upperdir=" + dir + "/upper,workdir=" + dir + "/work,volatile",
			opts + ",upperdir=" + dir + "/upper,workdir=" + dir + "/work2",
		}
	default:
		tries = []string{opts}
	}
	var err error
	for _, o := range tries {
		if r.plan.UserNS {
			o += ",userxattr" // which leaves out what the other two do
		} else {
			// A folder that is renamed is copied, not marked with where it was: whoever saves changes, or lays them over an image
			// without such marks being followed, would lose what is in it.
			o += ",redirect_dir=off,metacopy=off"
		}
		if err = unix.Mount("carrel", newRoot, "overlay", unix.MS_NOSUID|unix.MS_NODEV, o); err == nil {
			return nil
		}
	}
	return opError{op: "mount overlay", err: err}
}

// memory makes the folders upper, work and work2 in memory and returns where: in the tmpfs that is there, or in one of
// their own with a size in bytes.
func (r *rootMaker) memory(size int64) (string, error) {
	if size <= 0 {
		return "", nil
	}
	dir := "/throw"
	if err := unix.Mkdir(dir, 0o755); err == unix.EEXIST {
		return dir, nil // a second try
	} else if err != nil {
		return "", opError{op: "make folder", target: dir, err: err}
	}
	if err := unix.Mount("carrel", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0755,size="+strconv.FormatInt(size, 10)); err != nil {
		return "", opError{op: "mount writable layer", err: err}
	}
	for _, d := range []string{"upper", "work", "work2"} {
		if err := unix.Mkdir(dir+"/"+d, 0o755); err != nil {
			return "", opError{op: "make folder", target: d, err: err}
		}
	}
	return dir, nil
}

// enter makes what was made the root and lets go of everything else.
func (r *rootMaker) enter() error {
	if err := unix.Chdir(newRoot); err != nil {
		return opError{op: "enter root", err: err}
	}
	// pivot_root(2), "pivot_root(".", ".")": the old root is stacked over the new one and then taken away.
	if err := unix.PivotRoot(".", "."); err != nil {
		return opError{op: "change root", err: err}
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return opError{op: "leave old root", err: err}
	}
	if err := unix.Chdir("/"); err != nil {
		return opError{op: "enter root", err: err}
	}
	fdDir = "/proc/self/fd/"
	for _, fds := range [][]int{r.sources, r.layers, {r.tree.root}} {
		for _, fd := range fds {
			if fd >= 0 {
				unix.Close(fd)
			}
		}
	}
	if r.plan.Upper.Kind == plan.UpperDir {
		unix.Close(r.upper)
	}
	return nil
}

// setAttrAt sets attributes of the mount at a path and all below it, on kernels before 5.12 by remounting.
func setAttrAt(at string, attr unix.MountAttr) error {
	err := unix.MountSetattr(unix.AT_FDCWD, at, unix.AT_RECURSIVE, &attr)
	if err == unix.ENOSYS || errors.Is(err, os.ErrInvalid) {
		err = remount(at, attr.Attr_set)
	}
	if err != nil {
		return opError{op: "set mount attributes", target: at, err: err}
	}
	return nil
}

// remount adds attributes to one mount, keeping those it has: in a user namespace they are locked (mount_namespaces(7)).
func remount(at string, attr uint64) error {
	var st unix.Statfs_t
	if err := unix.Statfs(at, &st); err != nil {
		return err
	}
	// The ST_ flags of statfs(2) have the values of the MS_ flags for these five, and so have the attributes but for theirs.
	flags := uintptr(st.Flags) & (unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC)
	const stNoatime, stNodiratime, stRelatime = 0x400, 0x800, 0x1000
	if st.Flags&stNoatime != 0 {
		flags |= unix.MS_NOATIME
	}
	if st.Flags&stNodiratime != 0 {
		flags |= unix.MS_NODIRATIME
	}
	if st.Flags&stRelatime != 0 {
		flags |= unix.MS_RELATIME
	}
	if attr&unix.MOUNT_ATTR_RDONLY != 0 {
		flags |= unix.MS_RDONLY
	}
	if attr&unix.MOUNT_ATTR_NOSUID != 0 {
		flags |= unix.MS_NOSUID
	}
	if attr&unix.MOUNT_ATTR_NODEV != 0 {
		flags |= unix.MS_NODEV
	}
	if attr&unix.MOUNT_ATTR_NOEXEC != 0 {
		flags |= unix.MS_NOEXEC
	}
	return unix.Mount("", at, "", unix.MS_BIND|unix.MS_REMOUNT|flags, "")
}
