// Package launch decides what a container started from an image looks like: which namespaces and mounts it gets, whose
// home and environment it sees, which script is started. It turns Options, in the words of Singularity's command line,
// into the Config of package sandbox, by the rules that users of Singularity rely on (userdocs "Bind Paths and
// Mounts", "Environment and Metadata") or by the safe profile of Carrel's screens.
//
// It starts nothing and reads no environment: what it knows of the caller is in Host.
package launch

import (
	"cmp"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strconv"
	"strings"

	"carrel/engine/network"
	"carrel/engine/sandbox"
	"carrel/engine/sandbox/plan"
)

// Host is what a container may get to see of its caller.
type Host struct {
	UID, GID int
	User     string  // login name; empty: that of Env
	Group    string  // name of GID; empty: that of the user
	Groups   []Group // further ones
	Home     string  // home folder from the user database; empty: there is none on the host
	Shell    string
	Env      []string // "K=V"
	Cwd      string
}

// Group is a group of the caller.
type Group struct {
	GID  int
	Name string
}

// Bind makes a file or folder of the host visible.
type Bind struct {
	Source, Dest string
	ReadOnly     bool
	// Layer is the number of a layer of Options, counted from 1, in which Source is; 0 for the host.
	Layer int
}

// Network is the kind of network a container gets.
type Network string

const (
	NetworkHost    Network = ""        // the host's
	NetworkPrivate Network = "private" // its own, with a way out
	NetworkNone    Network = "none"    // its own, without
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
	Prompt string // of the action shell; empty: Carrel's

	Binds []Bind
	Env   map[string]string // forced
	Cwd   string            // working directory; empty: Start, or the caller's
	Start string            // the image's own; where it cannot be entered the home is, with a remark
	// Person is who the process is instead of the caller, for the ids that IDs or Security give it; nil: the caller.
	Person *Person

	Safe      bool // the screens' profile: nothing of the host but Binds
	Contain   bool // own /dev, /tmp and home, no cwd
	CleanEnv  bool
	NoHome    bool
	Home      *Bind // another folder as home
	Network   Network
	Subnet    network.Subnet // of a private network
	Hostname  string
	IPC, UTS  bool
	KeepAlive bool
	NoPIDs    bool // share the host's process numbers
	// ReadOnly seals the root: a memory layer then serves for mount points only.
	ReadOnly bool
	// Workdir is a folder of the host in which a contained container's /tmp, /var/tmp and home, and scratch folders, are
	// made (Folders says which); empty: memory.
	Workdir string
	Scratch []string // folders inside that are empty and writable
	// NoMount are default mounts to leave out: proc, sys, dev, devpts, home, tmp, cwd, bind-paths, or a destination of the
	// last, such as /etc/localtime.
	NoMount []string
	NoEnv   []string // variables of the host that are not passed on
	DNS     []string // name servers in place of the host's
	Umask   *int     // nil keeps the caller's
	GPUs    []GPU    // to be passed in; see FindGPU
	// Caps change what capabilities the process has; NoPrivs takes all from root.
	AddCaps, DropCaps []int
	NoPrivs           bool
	// Security is a filter, and who to be instead of the caller; Host then has the ids and names of that one.
	Security Security
	// SealMounts keeps mounts as they are also from a process with capabilities, as a read-only bind does.
	SealMounts bool
	// Cgroup is the group to start in, or nil; Limits and CPUs are what no group holds. See Limit.
	Cgroup *os.File
	Groups []string // of version 1, to enter
	Limits []plan.Limit
	CPUs   []int

	// Resolv and Hosts are the contents of the host's files; empty where it has none.
	Resolv, Hosts []byte
}

// Layer is one tree of the image, lowest first: a folder, or a part of a file that holds a file system.
type Layer struct {
	Folder string
	Device string // a prepared block device
	FSType string // what is on the device; empty for a SquashFS
	Aside  bool   // no part of the root: there to be bound from
	Image  func(fd int) error
	// Files are those that Image serves, looked at from here; nil where that is not possible.
	Files fs.FS
}

// Config works out the container.
func Config(o Options) (sandbox.Config, error) {
	c := sandbox.Config{IDs: o.IDs, IPC: o.IPC || o.Safe, UTS: o.UTS, Cgroup: o.Cgroup}
	p := &c.Plan
	p.PIDNS = !o.NoPIDs
	p.UserNS = o.InUserNS || o.IDs.Namespace
	p.UID, p.GID = -1, -1
	if o.Root && o.IDs.Namespace {
		p.UID, p.GID = 0, 0
	}
	p.KeepAlive = o.KeepAlive
	p.Hostname, p.Groups = o.Hostname, o.Groups
	for _, l := range o.Layers {
		p.Layers = append(p.Layers, plan.Layer{Folder: l.Folder, FUSE: l.Image != nil, Device: l.Device, FSType: fsType(l), Aside: l.Aside})
	}
	c.Look = func(layer int) fs.FS { return o.Layers[layer].Files }
	c.Serve = func(layer, fd int) error { return o.Layers[layer].Image(fd) }
	p.Upper = plan.Upper{Kind: plan.UpperMemory}
	if o.Upper != nil {
		p.Upper = *o.Upper
	}
	p.Upper.Seal = o.ReadOnly && p.Upper.Kind != plan.UpperDirect
	if o.Network != NetworkHost {
		p.Net = privateNet(o)
	}
	m := mounts{o: o, user: person(o)}
	p.Ops = m.list()
	p.Process = process(o, m)
	if o.Security.As != nil {
		p.UID, p.GID, p.Process.Groups = o.Host.UID, o.Host.GID, append([]int{o.Host.GID}, o.Security.As.Groups...)
	}
	var err error
	p.Process.Filter, err = o.Security.Filter(p.Process.KeepCaps)
	return c, err
}

func fsType(l Layer) string {
	switch {
	case l.Device == "":
		return ""
	case l.FSType != "":
		return l.FSType
	}
	return "squashfs"
}

// Person is a user of an image.
type Person struct {
	UID, GID    int
	Groups      []int  // further ones
	Name, Group string // Group may be empty: there is no name
	Home, Shell string // as the image's user database says; may be empty
	HasHome     bool   // Home is a folder of the image
}

// user is who the process is inside.
type user struct {
	uid, gid          int
	name, home, shell string
	group             string
}

func person(o Options) user {
	if p := o.Person; p != nil {
		u := user{uid: p.UID, gid: p.GID, name: p.Name, group: cmp.Or(p.Group, p.Name), home: p.Home, shell: cmp.Or(p.Shell, "/bin/sh")}
		switch {
		case !o.own() && o.Host.Home != "":
			u.home = o.Host.Home
		case u.home == "" || u.home == "/":
			u.home = "/home/" + u.name
		}
		return u
	}
	u := user{uid: o.Host.UID, gid: o.Host.GID, name: o.Host.User, home: o.Host.Home, shell: o.Host.Shell, group: o.Host.Group}
	if o.Root || u.uid == 0 {
		u = user{name: "root", group: "root", home: "/root", shell: o.Host.Shell}
	}
	if u.name == "" {
		u.name = lookup(o.Host.Env, "USER", "LOGNAME") // users of a directory service are in no file
	}
	if u.name == "" || strings.ContainsAny(u.name, ":\n") {
		u.name = "user" + strconv.Itoa(u.uid)
	}
	if u.group == "" {
		u.group = u.name
	}
	if u.home == "" || u.home == "/" || strings.HasPrefix(u.home, "/nonexistent") {
		u.home = "/home/" + u.name
	}
	if u.shell == "" {
		u.shell = "/bin/sh"
	}
	return u
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

// privateNet is a network of the container's own, with a way out where it is to have one.
func privateNet(o Options) *plan.Net {
	n := &plan.Net{Outgoing: o.Network == NetworkPrivate && o.Subnet.Address.IsValid()}
	if !n.Outgoing {
		return n
	}
	n.Address, n.Gateway = o.Subnet.Address.String(), o.Subnet.Gateway.String()
	if o.Subnet.Address6.IsValid() {
		n.Address6, n.Gateway6 = o.Subnet.Address6.String(), o.Subnet.Gateway6.String()
	}
	return n
}

func sortedKeys(m map[string]string) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}
