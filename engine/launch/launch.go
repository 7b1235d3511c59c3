// Package launch decides what a container started from an image looks like: which namespaces and mounts it gets, whose
// home and environment it sees, which script is started. It turns Options, in the words of Singularity's command line,
// into the Config of package sandbox, by the rules of FACTS that users of Singularity rely on (userdocs "Bind Paths and
// Mounts", "Environment and Metadata") or by the safe profile of Carrel's screens.
//
// It starts nothing and reads no environment: what it knows of the caller is in Host.
package launch

import (
	"fmt"
	"net/netip"
	"path"
	"path/filepath"
	"sort"
	"strconv"
	"strings"

	"carrel/engine/sandbox"
	"carrel/engine/sandbox/plan"
)

// Host is what a container may get to see of its caller.
type Host struct {
	UID, GID int
	User     string // login name; may be empty
	Home     string // home folder from the user database
	Shell    string
	Env      []string // "K=V"
	Cwd      string
}

// Bind makes a file or folder of the host visible.
type Bind struct {
	Source, Dest string
	ReadOnly     bool
}

// Network is the kind of network a container gets.
type Network string

const (
	NetworkHost    Network = ""        // the host's
	NetworkPrivate Network = "private" // its own, with a way out
	NetworkNone    Network = "none"    // its own, without
)

// Addresses of a private network: every container has one to itself, so they are the same in all.
const (
	privateAddress = "10.0.2.100/24"
	privateGateway = "10.0.2.2"
)

// Options ask for a container.
type Options struct {
	ImagePath string // for $APPTAINER_CONTAINER
	ImageName string // for $APPTAINER_NAME
	Layers    []Layer
	// Upper is where changes of the root go: nil for memory.
	Upper *plan.Upper

	Host Host
	IDs  sandbox.IDMap
	// InUserNS tells that the container will not be in the host's first user namespace, also where IDs makes no new one.
	InUserNS bool
	// FakeRoot answers privileged calls with success; for root with a single id.
	FakeRoot bool
	Root     bool // root inside (--fakeroot)

	Action string // run, exec, shell, start, test
	Args   []string
	App    string
	Shell  string

	Binds []Bind
	Env   map[string]string // forced
	Cwd   string            // working directory; empty: the caller's

	Safe      bool // the screens' profile: nothing of the host but Binds
	Contain   bool // own /dev, /tmp and home, no cwd
	CleanEnv  bool
	NoHome    bool
	Home      *Bind // another folder as home
	Network   Network
	Hostname  string
	IPC       bool
	KeepAlive bool
	NoPIDs    bool // share the host's process numbers

	// Resolv and Hosts are the contents of the host's files; empty where it has none.
	Resolv, Hosts []byte
}

// Layer is one tree of the image, lowest first: a folder, or a part of a file that holds a SquashFS.
type Layer struct {
	Folder string
	Device string // a prepared block device with a SquashFS
	Image  func(fd int) error
}

// Config works out the container.
func Config(o Options) (sandbox.Config, error) {
	c := sandbox.Config{IDs: o.IDs, IPC: o.IPC || o.Safe}
	p := &c.Plan
	p.PIDNS = !o.NoPIDs
	p.UserNS = o.InUserNS || o.IDs.Namespace
	p.UID, p.GID = -1, -1
	if o.Root && o.IDs.Namespace {
		p.UID, p.GID = 0, 0
	}
	p.KeepAlive = o.KeepAlive
	p.Hostname = o.Hostname
	for _, l := range o.Layers {
		p.Layers = append(p.Layers, plan.Layer{Folder: l.Folder, FUSE: l.Image != nil, Device: l.Device, FSType: fsType(l)})
	}
	c.Serve = func(layer, fd int) error { return o.Layers[layer].Image(fd) }
	p.Upper = plan.Upper{Kind: plan.UpperMemory}
	if o.Upper != nil {
		p.Upper = *o.Upper
	}
	if o.Network != NetworkHost {
		p.Net = &plan.Net{Outgoing: o.Network == NetworkPrivate, Address: privateAddress, Gateway: privateGateway}
	}
	m := mounts{o: o, user: person(o)}
	p.Ops = m.list()
	p.Process = process(o, m)
	return c, nil
}

func fsType(l Layer) string {
	if l.Device != "" {
		return "squashfs"
	}
	return ""
}

// user is who the process is inside.
type user struct {
	uid, gid          int
	name, home, shell string
}

func person(o Options) user {
	u := user{uid: o.Host.UID, gid: o.Host.GID, name: o.Host.User, home: o.Host.Home, shell: o.Host.Shell}
	if o.Root || u.uid == 0 {
		u = user{name: "root", home: "/root", shell: o.Host.Shell}
	}
	if u.name == "" {
		u.name = "user" + strconv.Itoa(u.uid)
	}
	if u.home == "" || u.home == "/" || strings.HasPrefix(u.home, "/nonexistent") {
		u.home = "/home/" + u.name
	}
	if u.shell == "" {
		u.shell = "/bin/sh"
	}
	return u
}

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

// list is every mount, in the order in which Singularity does them: the system's, home, temporary folders, the user's.
func (m *mounts) list() []plan.Op {
	o := m.o
	own := o.Safe || o.Contain
	m.dev(own)
	m.optional("/etc/localtime", "/etc/localtime")
	m.hosts()
	m.add(plan.Op{Kind: plan.OpProc, Dest: "/proc"})
	m.add(plan.Op{Kind: plan.OpBind, Source: "/sys", Dest: "/sys", ReadOnly: own, Optional: true, Quiet: true})
	if own {
		m.add(plan.Op{Kind: plan.OpTmpfs, Dest: "/tmp", Mode: 0o1777})
		m.add(plan.Op{Kind: plan.OpTmpfs, Dest: "/var/tmp", Mode: 0o1777})
	} else {
		m.optional("/tmp", "/tmp")
		m.optional("/var/tmp", "/var/tmp")
	}
	m.home(own) // after /tmp, below which some homes lie
	if o.Safe {
		// What half of the field's broken web applications want to write to.
		m.add(plan.Op{Kind: plan.OpTmpfs, Dest: "/run", Mode: 0o755})
		m.add(plan.Op{Kind: plan.OpDir, Dest: "/run/lock", Mode: 0o1777})
		m.add(plan.Op{Kind: plan.OpDir, Dest: fmt.Sprintf("/run/user/%d", m.user.uid), Mode: 0o700})
	}
	m.add(plan.Op{Kind: plan.OpFile, Dest: "/etc/resolv.conf", Content: m.resolv(), Optional: true, Quiet: true})
	passwd := fmt.Sprintf("%s:x:%d:%d::%s:%s\n", m.user.name, m.user.uid, m.user.gid, m.user.home, m.user.shell)
	group := fmt.Sprintf("%s:x:%d:\n", m.user.name, m.user.gid)
	if m.user.uid != 0 {
		m.add(plan.Op{Kind: plan.OpMerge, Dest: "/etc/passwd", Content: []byte(passwd), MergeField: 2, Optional: true})
		m.add(plan.Op{Kind: plan.OpMerge, Dest: "/etc/group", Content: []byte(group), MergeField: 2, Optional: true})
	}
	for _, b := range o.Binds {
		op := m.bind(b.Source, b.Dest)
		op.ReadOnly = b.ReadOnly
		m.add(op)
	}
	if !own && m.wantsCwd() {
		m.optional(o.Host.Cwd, o.Host.Cwd)
	}
	return m.ops
}

// devices are what an application needs of /dev; all else of the host's stays outside (as Apptainer's --contain).
var devices = []string{"null", "zero", "full", "random", "urandom", "tty"}

func (m *mounts) dev(own bool) {
	if !own {
		m.add(plan.Op{Kind: plan.OpBind, Source: "/dev", Dest: "/dev", Dev: true})
		return
	}
	m.add(plan.Op{Kind: plan.OpTmpfs, Dest: "/dev", Mode: 0o755, Dev: true})
	for _, d := range devices {
		m.add(plan.Op{Kind: plan.OpBind, Source: "/dev/" + d, Dest: "/dev/" + d, Dev: true, Optional: true, Quiet: true})
	}
	m.add(plan.Op{Kind: plan.OpDevpts, Dest: "/dev/pts", NoExec: true, Optional: true})
	m.add(plan.Op{Kind: plan.OpTmpfs, Dest: "/dev/shm", Mode: 0o1777})
	m.add(plan.Op{Kind: plan.OpMqueue, Dest: "/dev/mqueue", Optional: true, Quiet: true})
	for dest, target := range map[string]string{
		"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2", "ptmx": "pts/ptmx",
	} {
		m.add(plan.Op{Kind: plan.OpLink, Source: target, Dest: "/dev/" + dest})
	}
}

func (m *mounts) hosts() {
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
	switch m.o.Network {
	case NetworkPrivate:
		return []byte("nameserver " + privateGateway + "\n")
	case NetworkNone:
		return nil
	}
	return m.o.Resolv
}

func (m *mounts) home(own bool) {
	o := m.o
	switch {
	case o.Home != nil:
		m.user.home = o.Home.Dest
		m.add(m.bind(o.Home.Source, o.Home.Dest))
	case o.NoHome && !own:
	case own:
		m.add(plan.Op{Kind: plan.OpTmpfs, Dest: m.user.home, Mode: 0o700})
	case o.Host.Home == "" || o.Host.Home == "/":
	default:
		m.optional(o.Host.Home, m.user.home)
	}
}

// system are the folders in which the container's own files must not be covered by the caller's working directory.
var system = []string{"/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/opt", "/proc", "/run", "/sbin", "/sys", "/usr", "/var"}

// wantsCwd tells whether the caller's working directory has to be bound: it is not part of the system, and not visible by
// another bind.
func (m *mounts) wantsCwd() bool {
	cwd := m.o.Host.Cwd
	if cwd == "" || cwd == "/" || m.o.Cwd != "" {
		return false
	}
	if within(cwd, "/tmp") || within(cwd, "/var/tmp") || (m.o.Host.Home == m.user.home && !m.o.NoHome && within(cwd, m.user.home)) {
		return false
	}
	for _, s := range system {
		if within(cwd, s) {
			return false
		}
	}
	for _, b := range m.o.Binds {
		if b.Source == b.Dest && within(cwd, b.Source) {
			return false
		}
	}
	return true
}

func within(p, dir string) bool {
	return p == dir || strings.HasPrefix(p, strings.TrimSuffix(dir, "/")+"/")
}

func process(o Options, m mounts) plan.Process {
	p := plan.Process{
		Env:         baseEnv(o, m.user),
		Umask:       -1,
		KeepCaps:    o.Root || (o.Host.UID == 0 && !o.Safe),
		FakeRoot:    o.FakeRoot,
		DenyList:    o.Safe,
		CloseFDs:    o.Safe,
		DirFallback: m.user.home,
		Action: &plan.Action{
			Name: o.Action, App: o.App, Args: o.Args, Shell: o.Shell, Host: passedOn(o, m.user), Force: forced(o),
			PrependPath: lookup(o.Host.Env, "APPTAINERENV_PREPEND_PATH", "SINGULARITYENV_PREPEND_PATH", "CARRELENV_PREPEND_PATH"),
			AppendPath:  lookup(o.Host.Env, "APPTAINERENV_APPEND_PATH", "SINGULARITYENV_APPEND_PATH", "CARRELENV_APPEND_PATH"),
			Prompt:      prompt(o),
		},
	}
	switch {
	case o.Cwd != "":
		p.Dir, p.DirFallback = o.Cwd, ""
	case o.Safe || o.Contain:
		p.Dir = m.user.home
	default:
		p.Dir = o.Host.Cwd
	}
	if m.user.home == "" || (o.NoHome && !o.Safe && !o.Contain) {
		p.DirFallback = "/"
	}
	return p
}

func prompt(o Options) string {
	if o.Action != "shell" {
		return ""
	}
	return "Carrel " + strings.TrimSuffix(o.ImageName, path.Ext(o.ImageName)) + "> "
}

// CheckBind tells what is wrong with a bind before anything is started; nil when nothing is.
func CheckBind(b Bind) error {
	if !filepath.IsAbs(b.Source) || !path.IsAbs(b.Dest) {
		return fmt.Errorf("bind %s on %s: both have to be absolute paths", b.Source, b.Dest)
	}
	if path.Clean(b.Dest) == "/" {
		return fmt.Errorf("bind %s: the root of the container cannot be replaced; choose a folder in it", b.Source)
	}
	return nil
}

// PrivateGateway is the router of a private network, whose address the stack that carries its packets answers at.
func PrivateGateway() netip.Addr { return netip.MustParseAddr(privateGateway) }

func sortedKeys(m map[string]string) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}
