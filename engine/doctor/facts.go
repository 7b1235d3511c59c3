package doctor

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"carrel/engine/network"
)

// person is who asks, and in what surroundings.
type person struct {
	uid        int
	name       string // login name, or the uid as text
	self       string
	noNewPrivs bool   // set-uid programs have no effect (PR_SET_NO_NEW_PRIVS)
	seccomp    bool   // a filter is in force: this is a container or a sandbox
	family     string // of the distribution: "debian", "fedora", "arch", "suse", ""
}

func (p person) root() bool { return p.uid == 0 }

// install is the line that installs a package, by its names in Debian, Fedora, Arch and SUSE.
func (p person) install(debian, fedora, arch, suse string) string {
	switch p.family {
	case "fedora":
		return "dnf install -y " + fedora
	case "arch":
		return "pacman -S --noconfirm " + arch
	case "suse":
		return "zypper install -y " + suse
	}
	return "apt-get install -y " + debian
}

func findPerson(self string) person {
	p := person{uid: os.Geteuid(), self: self, family: family("/etc/os-release")}
	p.name = strconv.Itoa(p.uid)
	if u, err := user.LookupId(p.name); err == nil {
		p.name = u.Username
	}
	status := fields("/proc/self/status")
	p.noNewPrivs = status["NoNewPrivs"] == "1"
	p.seccomp = status["Seccomp"] == "2"
	return p
}

// fields reads lines of the form "Key: value".
func fields(file string) map[string]string {
	m := map[string]string{}
	data, _ := os.ReadFile(file) // what cannot be read is not known
	for line := range strings.Lines(string(data)) {
		if k, v, ok := strings.Cut(line, ":"); ok {
			m[k] = strings.TrimSpace(v)
		}
	}
	return m
}

// family reads os-release(5).
func family(file string) string {
	var words []string
	data, _ := os.ReadFile(file) // without the file the family is not known
	for line := range strings.Lines(string(data)) {
		k, v, _ := strings.Cut(strings.TrimSpace(line), "=")
		if k == "ID" || k == "ID_LIKE" {
			words = append(words, strings.Fields(strings.Trim(v, `"'`))...)
		}
	}
	for _, f := range []struct {
		name string
		ids  []string
	}{{"debian", []string{"debian", "ubuntu"}}, {"fedora", []string{"fedora", "rhel", "centos"}}, {"arch", []string{"arch"}}, {"suse", []string{"suse", "opensuse"}}} {
		for _, id := range f.ids {
			if slices.Contains(words, id) {
				return f.name
			}
		}
	}
	return ""
}

// limits are the switches that keep ordinary users from making user namespaces; -1 where there is no such switch.
type limits struct {
	max      int // user.max_user_namespaces
	clone    int // kernel.unprivileged_userns_clone, Debian's and Ubuntu's
	apparmor int // kernel.apparmor_restrict_unprivileged_userns, Ubuntu's from 23.10 on
}

func findLimits(root string) limits {
	number := func(file string) int {
		data, err := os.ReadFile(filepath.Join(root, "proc/sys", file))
		if err != nil {
			return -1
		}
		n, err := strconv.Atoi(strings.TrimSpace(string(data)))
		if err != nil {
			return -1
		}
		return n
	}
	return limits{
		max:      number("user/max_user_namespaces"),
		clone:    number("kernel/unprivileged_userns_clone"),
		apparmor: number("kernel/apparmor_restrict_unprivileged_userns"),
	}
}

func kernelRelease() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}

// squashfs is what the kernel needs to mount an image itself, which only real root may ask it to.
type squashfs struct {
	known bool // the file system is built in, loaded, or can be loaded
	loop  bool // loop devices can be had
}

func findSquashfs(root, release string) squashfs {
	var s squashfs
	data, _ := os.ReadFile(filepath.Join(root, "proc/filesystems")) // unreadable: not known
	for line := range strings.Lines(string(data)) {
		f := strings.Fields(line)
		s.known = s.known || len(f) > 0 && f[len(f)-1] == "squashfs"
	}
	for _, dir := range []string{"lib/modules", "usr/lib/modules"} {
		found, _ := filepath.Glob(filepath.Join(root, dir, release, "kernel/fs/squashfs/squashfs.ko*")) // the pattern is well formed
		s.known = s.known || len(found) > 0
	}
	fd, err := unix.Open(filepath.Join(root, "dev/loop-control"), unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err == nil {
		s.loop = true
		_ = unix.Close(fd) // nothing was written
	}
	return s
}

// subordinate is what newuidmap(1) and newgidmap(1) need.
type subordinate struct {
	missing  []string // programs that are not installed
	weak     []string // paths of programs that have no privilege: not set-uid, no file capability, or mounted nosuid
	uids     int      // how many subordinate ids the person has
	gids     int
	nextFree int // first id above all ranges that are given out
}

// needed is how many ids make a container's usual range: 0 to 65535, of which the person's own is one.
const needed = 65535

func findSubordinate(root string, p person) subordinate {
	var s subordinate
	for _, tool := range []string{"newuidmap", "newgidmap"} {
		path, err := exec.LookPath(tool)
		switch {
		case err != nil:
			s.missing = append(s.missing, tool)
		case !privileged(path):
			s.weak = append(s.weak, path)
		}
	}
	s.nextFree = 100000
	for file, n := range map[string]*int{"etc/subuid": &s.uids, "etc/subgid": &s.gids} {
		given, end := ranges(filepath.Join(root, file), p)
		*n = given
		s.nextFree = max(s.nextFree, end)
	}
	return s
}

// privileged tells whether executing a file gives privileges: it is set-uid root or has capabilities (capabilities(7)), on
// a file system that is not mounted nosuid (mount(8)).
func privileged(path string) bool {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil {
		return false
	}
	var fs unix.Statfs_t
	if unix.Statfs(path, &fs) == nil && fs.Flags&unix.ST_NOSUID != 0 {
		return false
	}
	if st.Mode&unix.S_ISUID != 0 && st.Uid == 0 {
		return true
	}
	n, err := unix.Getxattr(path, "security.capability", nil)
	return err == nil && n > 0
}

// ranges reads subuid(5): how many ids the person has, and the first id above all ranges.
func ranges(file string, p person) (given, end int) {
	f, err := os.Open(file)
	if err != nil {
		return 0, 0
	}
	defer f.Close()
	sc := bufio.NewScanner(f)
	for sc.Scan() {
		parts := strings.Split(strings.TrimSpace(sc.Text()), ":")
		if len(parts) != 3 {
			continue
		}
		start, err1 := strconv.Atoi(parts[1])
		count, err2 := strconv.Atoi(parts[2])
		if err1 != nil || err2 != nil || start < 0 || count <= 0 {
			continue
		}
		end = max(end, start+count)
		if parts[0] == p.name || parts[0] == strconv.Itoa(p.uid) {
			given += count
		}
	}
	return given, end
}

// cgroup is what this process may do with its control group (cgroups(7)).
type cgroup struct {
	systemd     bool // systemd manages this computer
	mounted     bool // the second version is there, at all
	hybrid      bool // but memory is counted by the first
	path        string
	above       string // the group above, which passes controllers on; empty at the top
	writable    bool
	controllers []string
}

func findCgroup(root string) cgroup {
	var c cgroup
	var mount string
	_, err := os.Stat(filepath.Join(root, "run/systemd/system")) // sd_booted(3)
	c.systemd = err == nil
	data, _ := os.ReadFile(filepath.Join(root, "proc/self/mountinfo")) // unreadable: none
	for line := range strings.Lines(string(data)) {
		before, after, ok := strings.Cut(line, " - ")
		if !ok {
			continue
		}
		fields := strings.Fields(before)
		if kind := strings.Fields(after); len(kind) > 0 && len(fields) > 4 && kind[0] == "cgroup2" {
			mount, c.mounted = fields[4], true
		}
	}
	if !c.mounted {
		return c
	}
	data, _ = os.ReadFile(filepath.Join(root, "proc/self/cgroup")) // unreadable: none
	group := ""
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		if path, ok := strings.CutPrefix(line, "0::"); ok {
			group = path
		} else if parts := strings.SplitN(line, ":", 3); len(parts) == 3 && slices.Contains(strings.Split(parts[1], ","), "memory") {
			c.hybrid = true
		}
	}
	c.path = filepath.Join(mount, group)
	if c.path != filepath.Clean(mount) {
		c.above = filepath.Dir(c.path)
	}
	c.writable = true
	for _, name := range []string{"", "cgroup.procs", "cgroup.subtree_control"} {
		c.writable = c.writable && unix.Access(filepath.Join(root, c.path, name), unix.W_OK) == nil
	}
	data, _ = os.ReadFile(filepath.Join(root, c.path, "cgroup.controllers")) // unreadable: none
	c.controllers = strings.Fields(string(data))
	return c
}

// outer is the container that this process is in.
type outer struct {
	kind string // "Docker"; empty: none that can be seen
	sign string // by what that is known
	ids  bool   // it is in a user namespace, too
}

// findOuter looks for the signs that container programs leave: files, variables, and a map of user ids that is not all of them
// (user_namespaces(7)).
func findOuter(root string, env []string) outer {
	var o outer
	if data, err := os.ReadFile(filepath.Join(root, "proc/self/uid_map")); err == nil {
		f := strings.Fields(string(data))
		o.ids = len(f) != 3 || f[0] != "0" || f[1] != "0" || f[2] != "4294967295"
	}
	for _, kv := range env {
		k, v, _ := strings.Cut(kv, "=")
		switch {
		case v == "":
		case k == "CARREL_CONTAINER":
			o.kind, o.sign = "Carrel", "the variable "+k
			return o
		case k == "APPTAINER_CONTAINER" || k == "SINGULARITY_CONTAINER":
			o.kind, o.sign = "Apptainer, Singularity or Carrel", "the variable "+k
		case k == "KUBERNETES_SERVICE_HOST" && o.kind == "":
			o.kind, o.sign = "Kubernetes", "the variable "+k
		}
	}
	if o.kind != "" {
		return o
	}
	for _, s := range []struct{ kind, file string }{
		{"Podman", "/run/.containerenv"}, {"Docker", "/.dockerenv"}, {"Apptainer, Singularity or Carrel", "/.singularity.d"}, {"systemd-nspawn", "/run/systemd/container"},
	} {
		if _, err := os.Stat(filepath.Join(root, s.file)); err == nil {
			o.kind, o.sign = s.kind, s.file
			return o
		}
	}
	if o.ids {
		o.kind, o.sign = "some program", "/proc/self/uid_map"
	}
	return o
}

// room is the space of a folder's file system, for the person who asks.
type room struct {
	dir      string
	free     int64 // bytes
	memory   bool  // it lies in memory
	writable bool
	err      error
}

// space looks at a folder or, when it is still to be made, at the nearest one above it that exists.
func space(dir string) room {
	r := room{dir: dir}
	for at := filepath.Clean(dir); ; at = filepath.Dir(at) {
		var fs unix.Statfs_t
		err := unix.Statfs(at, &fs)
		if errors.Is(err, unix.ENOENT) && at != "/" && at != "." {
			continue
		}
		if err != nil {
			r.err = err
			return r
		}
		r.free = int64(fs.Bavail) * fs.Bsize
		r.memory = fs.Type == unix.TMPFS_MAGIC
		r.writable = unix.Access(at, unix.W_OK) == nil
		return r
	}
}

// port tries to listen on a port of 127.0.0.1, for a moment; nil: it is free.
func port(ctx context.Context, n int) error {
	p, err := network.Publish(ctx, network.Mapping{HostIP: netip.AddrFrom4([4]byte{127, 0, 0, 1}), HostPort: uint16(n), ContainerPort: uint16(n)},
		func(context.Context) (net.Conn, error) { return nil, net.ErrClosed })
	if err != nil {
		return err
	}
	return p.Close()
}
