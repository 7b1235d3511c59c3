package launch

import (
	"fmt"
	"path"
	"strings"

	"carrel/engine/sandbox/plan"
)

// mounts collects what is mounted on the root of a container.
type mounts struct {
	o    Options
	user user
	ops  []plan.Op
}

func (m *mounts) add(op plan.Op) { m.ops = append(m.ops, op) }

func (m *mounts) bind(src, dest string) plan.Op {
	return plan.Op{Kind: plan.OpBind, Source: src, Dest: dest}
}

func (m *mounts) optional(src, dest string) {
	m.add(plan.Op{Kind: plan.OpBind, Source: src, Dest: dest, Optional: true, Quiet: true})
}

// without tells whether a default mount is to be left out.
func (o Options) without(names ...string) bool {
	for _, n := range o.NoMount {
		for _, name := range names {
			if n == name {
				return true
			}
		}
	}
	return false
}

// own tells whether /dev, /tmp and home are the container's own.
func (o Options) own() bool { return o.Safe || o.Contain }

// list is every mount, in the order in which Singularity does them: the system's, home, temporary folders, the current
// folder, files, and the user's own last, so that nothing covers them.
func (m *mounts) list() []plan.Op {
	o := m.o
	m.dev()
	m.gpus()
	if !o.without("bind-paths", "/etc/localtime") {
		// Images have a link there: what it leads to is the zone of that name, and stays so.
		m.add(plan.Op{Kind: plan.OpBind, Source: "/etc/localtime", Dest: "/etc/localtime", OnLink: true, Optional: true, Quiet: true})
	}
	m.hosts()
	if !o.without("proc") {
		m.proc()
	}
	if !o.without("sys") {
		m.add(plan.Op{Kind: plan.OpBind, Source: "/sys", Dest: "/sys", ReadOnly: o.own(), Optional: true, Quiet: true})
	}
	m.mask()
	m.tmp()
	if o.Safe {
		// What half of the field's broken web applications want to write to.
		m.add(plan.Op{Kind: plan.OpTmpfs, Dest: "/run", Mode: 0o755})
		m.add(plan.Op{Kind: plan.OpDir, Dest: "/run/lock", Mode: 0o1777})
		m.add(plan.Op{Kind: plan.OpDir, Dest: fmt.Sprintf("/run/user/%d", m.user.uid), Mode: 0o700})
	}
	m.home() // after /tmp and /run, below which some homes lie
	for _, dest := range o.Scratch {
		m.ownFolder(path.Join("scratch", dest), dest, 0o755)
	}
	if m.wantsCwd() {
		// A sandbox that is written to gets no folders for the sake of where somebody stood.
		m.add(plan.Op{Kind: plan.OpBind, Source: o.Host.Cwd, Dest: o.Host.Cwd, Optional: true, Quiet: true, NoMake: m.direct()})
	}
	m.files()
	for _, b := range o.Binds {
		op := m.bind(b.Source, b.Dest)
		op.ReadOnly, op.Layer = b.ReadOnly, b.Layer
		m.add(op)
	}
	return m.ops
}

func (m *mounts) direct() bool { return m.o.Upper != nil && m.o.Upper.Kind == plan.UpperDirect }

// ownFolder mounts an empty writable folder: one of the work folder, or memory.
func (m *mounts) ownFolder(name, dest string, mode uint32) {
	if m.o.Workdir != "" {
		m.add(m.bind(path.Join(m.o.Workdir, name), dest))
		return
	}
	m.add(plan.Op{Kind: plan.OpTmpfs, Dest: dest, Mode: mode})
}

// Folders are those that the caller has to make below Workdir before the container is started, with their modes.
func Folders(o Options) map[string]uint32 {
	out := map[string]uint32{}
	if o.Workdir == "" {
		return out
	}
	if o.own() {
		out[path.Join(o.Workdir, "tmp")], out[path.Join(o.Workdir, "var_tmp")] = 0o1777, 0o1777
		if o.Home == nil && !o.without("home") && (o.Safe || !o.NoHome) {
			out[path.Join(o.Workdir, "home")] = 0o700
		}
	}
	for _, dest := range o.Scratch {
		out[path.Join(o.Workdir, "scratch", dest)] = 0o755
	}
	return out
}

// devices are what an application needs of /dev; all else of the host's stays outside (as Apptainer's --contain).
var devices = []string{"null", "zero", "full", "random", "urandom", "tty"}

func (m *mounts) dev() {
	if m.o.without("dev") {
		return
	}
	if !m.o.own() {
		m.add(plan.Op{Kind: plan.OpBind, Source: "/dev", Dest: "/dev", Dev: true})
		return
	}
	m.add(plan.Op{Kind: plan.OpTmpfs, Dest: "/dev", Mode: 0o755, Dev: true})
	for _, d := range devices {
		m.device("/dev/" + d)
	}
	if !m.o.without("devpts") {
		// Its files are devices: with nodev, which mounts have unless they say otherwise, nobody could open a terminal.
		m.add(plan.Op{Kind: plan.OpDevpts, Dest: "/dev/pts", NoExec: true, Dev: true, Optional: true})
	}
	m.add(plan.Op{Kind: plan.OpTmpfs, Dest: "/dev/shm", Mode: 0o1777})
	m.add(plan.Op{Kind: plan.OpMqueue, Dest: "/dev/mqueue", Optional: true, Quiet: true})
	for _, l := range [][2]string{
		{"fd", "/proc/self/fd"}, {"stdin", "/proc/self/fd/0"}, {"stdout", "/proc/self/fd/1"}, {"stderr", "/proc/self/fd/2"}, {"ptmx", "pts/ptmx"},
	} {
		m.add(plan.Op{Kind: plan.OpLink, Source: l[1], Dest: "/dev/" + l[0]})
	}
}

func (m *mounts) device(name string) {
	m.add(plan.Op{Kind: plan.OpBind, Source: name, Dest: name, Dev: true, Optional: true, Quiet: true})
}

// masked are parts of /proc and /sys that tell of, or steer, the whole computer (the list of the OCI runtime
// specification's reference, runc's default, as Docker uses it).
var masked = []string{
	"/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/sched_debug", "/proc/timer_list", "/proc/timer_stats",
}

// maskedDirs are such parts that are folders.
var maskedDirs = []string{"/proc/acpi", "/proc/asound", "/proc/scsi", "/sys/devices/virtual/powercap", "/sys/firmware"}

// sealed are parts of /proc that may be read only.
var sealed = []string{"/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus", "/proc/fs"}

func (m *mounts) proc() {
	m.add(plan.Op{Kind: plan.OpProc, Dest: "/proc"})
	if !m.o.own() {
		return
	}
	for _, p := range sealed {
		m.add(plan.Op{Kind: plan.OpBind, Source: p, Dest: p, ReadOnly: true, Optional: true, Quiet: true, NoMake: true})
	}
}

// mask hides what tells of the whole computer from a container that is to know little of it. As an ordinary user much of it
// cannot be read anyway, but not all, and not on every computer.
func (m *mounts) mask() {
	if !m.o.own() {
		return
	}
	left := func(p string) bool {
		return strings.HasPrefix(p, "/proc/") && m.o.without("proc") || strings.HasPrefix(p, "/sys/") && m.o.without("sys")
	}
	for _, p := range masked {
		if !left(p) {
			m.add(plan.Op{Kind: plan.OpBind, Source: "/dev/null", Dest: p, ReadOnly: true, Dev: true, Optional: true, Quiet: true, NoMake: true})
		}
	}
	for _, p := range maskedDirs {
		if !left(p) {
			m.add(plan.Op{Kind: plan.OpTmpfs, Dest: p, ReadOnly: true, NoExec: true, Optional: true, Quiet: true, NoMake: true})
		}
	}
}

func (m *mounts) tmp() {
	if m.o.without("tmp") {
		return
	}
	if m.o.own() {
		m.ownFolder("tmp", "/tmp", 0o1777)
		m.ownFolder("var_tmp", "/var/tmp", 0o1777)
		return
	}
	m.optional("/tmp", "/tmp")
	m.optional("/var/tmp", "/var/tmp")
}

func (m *mounts) hosts() {
	if m.o.without("bind-paths", "/etc/hosts") {
		return
	}
	content := m.o.Hosts
	if m.o.Network != NetworkHost {
		name := m.o.Hostname
		if name == "" {
			name = "carrel"
		}
		content = []byte("127.0.0.1 localhost " + name + "\n::1 localhost ip6-localhost ip6-loopback\n")
	}
	if len(content) > 0 {
		m.add(plan.Op{Kind: plan.OpFile, Dest: "/etc/hosts", Content: content, Optional: true, Quiet: true})
	}
}

func (m *mounts) resolv() []byte {
	if len(m.o.DNS) > 0 {
		var b strings.Builder
		for _, server := range m.o.DNS {
			b.WriteString("nameserver " + server + "\n")
		}
		return []byte(b.String())
	}
	switch m.o.Network {
	case NetworkPrivate:
		if !m.o.Subnet.Gateway.IsValid() {
			return nil
		}
		return []byte("nameserver " + m.o.Subnet.Gateway.String() + "\n")
	case NetworkNone:
		return nil
	}
	return m.o.Resolv
}

func (m *mounts) home() {
	o := m.o
	switch {
	case o.Home != nil:
		m.user.home = o.Home.Dest
		op := m.bind(o.Home.Source, o.Home.Dest)
		op.ReadOnly = o.Home.ReadOnly
		m.add(op)
	case o.Person != nil && o.Person.HasHome && o.Person.Home == m.user.home:
		// The image's own is shown, with what is in it.
	case o.without("home"):
	case o.NoHome && !o.Safe:
	case o.own():
		m.ownFolder("home", m.user.home, 0o700)
	case o.Host.Home == "" || o.Host.Home == "/":
		m.add(plan.Op{Kind: plan.OpTmpfs, Dest: m.user.home, Mode: 0o700})
	default:
		m.optional(o.Host.Home, m.user.home)
	}
}

// files puts what the container has to know of its network and its user into the image's own files.
func (m *mounts) files() {
	m.add(plan.Op{Kind: plan.OpFile, Dest: "/etc/resolv.conf", Content: m.resolv(), Optional: true, Quiet: true})
	if m.user.uid == 0 {
		return
	}
	passwd := fmt.Sprintf("%s:x:%d:%d::%s:%s\n", m.user.name, m.user.uid, m.user.gid, m.user.home, m.user.shell)
	group := fmt.Sprintf("%s:x:%d:%s\n", m.user.group, m.user.gid, m.user.name)
	for _, g := range m.groups() {
		if g.GID != m.user.gid && g.Name != "" && !strings.ContainsAny(g.Name, ":\n") {
			group += fmt.Sprintf("%s:x:%d:%s\n", g.Name, g.GID, m.user.name)
		}
	}
	m.add(plan.Op{Kind: plan.OpMerge, Dest: "/etc/passwd", Content: []byte(passwd), MergeField: 2, Optional: true})
	m.add(plan.Op{Kind: plan.OpMerge, Dest: "/etc/group", Content: []byte(group), MergeField: 2, Optional: true})
}

// groups are those of the caller; of another person the image's own files tell.
func (m *mounts) groups() []Group {
	if m.o.Person != nil {
		return nil
	}
	return m.o.Host.Groups
}

// plain are folders that are never bound as the current folder, because the image's own are needed there (as Apptainer's);
// those of system are not even with what is below them.
var (
	plain  = []string{"/", "/boot", "/home", "/media", "/mnt", "/opt", "/root", "/run", "/srv", "/var"}
	system = []string{"/bin", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/proc", "/sbin", "/sys", "/usr", "/.singularity.d"}
)

// wantsCwd tells whether the caller's working directory has to be bound: it is not part of the system, and not visible by
// another mount.
func (m *mounts) wantsCwd() bool {
	o, cwd := m.o, m.o.Host.Cwd
	if o.own() || cwd == "" || o.Cwd != "" || o.without("cwd") {
		return false
	}
	if !o.without("tmp") && (within(cwd, "/tmp") || within(cwd, "/var/tmp")) {
		return false
	}
	if o.Host.Home == m.user.home && o.Home == nil && !o.NoHome && !o.without("home") && within(cwd, m.user.home) {
		return false
	}
	for _, s := range plain {
		if cwd == s {
			return false
		}
	}
	for _, s := range system {
		if within(cwd, s) {
			return false
		}
	}
	for _, b := range o.Binds {
		if within(cwd, b.Dest) {
			return false // what is bound there is what the caller wants to see
		}
	}
	return true
}

func within(p, dir string) bool {
	return p == dir || strings.HasPrefix(p, strings.TrimSuffix(dir, "/")+"/")
}
