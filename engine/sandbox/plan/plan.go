// Package plan is what a container's init is told to do: a typed list of mounts and one process, as plain data, and the
// messages that init and its supervisor exchange afterwards. It imports nothing heavy, because every container pays for
// what its init imports.
package plan

// Plan is the whole order. The supervisor writes it, by Encode, to descriptor FDPlan of the init it starts.
type Plan struct {
	// UserNS tells that init runs in a user namespace other than the host's first one, so that overlays need "userxattr".
	UserNS bool `json:"userns,omitempty"`
	// PIDNS tells that init is process 1 of a new PID namespace: it stays, reaps, and answers requests. Without it init
	// replaces itself by the process.
	PIDNS bool `json:"pidns,omitempty"`
	// WaitMapped makes init wait for MsgMapped before it does anything: its ids are written by newuidmap(1).
	WaitMapped bool `json:"wait_mapped,omitempty"`
	// UID and GID are who init becomes first, inside its namespace; -1 keeps.
	UID int `json:"uid"`
	GID int `json:"gid"`

	// Groups are the cgroup.procs files of control groups of version 1 that init enters first (cgroups(7)).
	Groups []string `json:"groups,omitempty"`

	Hostname string `json:"hostname,omitempty"`
	// Net tells what to do in a new network namespace; nil: the network is the host's.
	Net *Net `json:"net,omitempty"`

	// Layers are stacked to become the root, lowest first.
	Layers []Layer `json:"layers"`
	Upper  Upper   `json:"upper"`
	Ops    []Op    `json:"ops"`

	Process Process `json:"process"`
	// KeepAlive keeps the container when the process has ended, until it is told to stop (instances whose startscript
	// starts servers and returns).
	KeepAlive bool `json:"keep_alive,omitempty"`
}

// Net is the network of a container that has its own.
type Net struct {
	// Outgoing asks for a link whose packets the supervisor carries; its descriptor is sent with MsgLink.
	Outgoing bool   `json:"outgoing,omitempty"`
	Address  string `json:"address,omitempty"` // CIDR of the container's end
	Gateway  string `json:"gateway,omitempty"`
	// Address6 and Gateway6 are the same for IPv6; empty: none.
	Address6 string `json:"address6,omitempty"`
	Gateway6 string `json:"gateway6,omitempty"`
	MTU      int    `json:"mtu,omitempty"`
}

// Layer is one read-only tree of the root. Exactly one field is set.
type Layer struct {
	Folder string `json:"folder,omitempty"` // a folder of the host
	// FUSE: init opens /dev/fuse, mounts it, and sends the descriptor with MsgFUSE; the supervisor serves it.
	FUSE bool `json:"fuse,omitempty"`
	// Device is a block device that the supervisor has prepared, mounted read-only as FSType.
	Device string `json:"device,omitempty"`
	FSType string `json:"fstype,omitempty"`
	// Aside is no part of the root: it is there for Ops that bind from it.
	Aside bool `json:"aside,omitempty"`
}

// Upper is where what the container writes to its root goes.
type Upper struct {
	Kind UpperKind `json:"kind"`
	// Dir holds the folders "upper" and "work" of UpperDir, on one file system.
	Dir string `json:"dir,omitempty"`
	// Size limits UpperMemory in bytes; 0 leaves it to the kernel (half of the memory).
	Size int64 `json:"size,omitempty"`
	// Seal makes the root read-only once every Op is done: the layer then holds the places for mounts and nothing else.
	// What is mounted below the root is not affected.
	Seal bool `json:"seal,omitempty"`
}

// UpperKind is a way to make the root writable.
type UpperKind string

const (
	UpperMemory UpperKind = "memory" // thrown away at the end
	UpperDir    UpperKind = "dir"    // kept in Upper.Dir
	UpperNone   UpperKind = "none"   // the root is read-only
	UpperDirect UpperKind = "direct" // the single folder layer itself is written to (a sandbox with --writable)
)

// OpKind is a kind of mount operation.
type OpKind string

const (
	OpBind   OpKind = "bind"   // Source of the host on Dest, with what is mounted below it
	OpTmpfs  OpKind = "tmpfs"  // an empty file system; Mode, Size
	OpProc   OpKind = "proc"   // the processes of this PID namespace; the host's /proc where that is forbidden
	OpDevpts OpKind = "devpts" // own terminals
	OpMqueue OpKind = "mqueue"
	OpDir    OpKind = "dir"     // make sure that Dest is a directory
	OpLink   OpKind = "symlink" // Dest → Source
	OpFile   OpKind = "file"    // a file with Content on Dest, outside the root's own layers
	OpMerge  OpKind = "merge"   // as OpFile, but the image's own Dest with the lines of Content; see MergeField
)

// Op is one step of making the root; init performs them in order. Dest is a path inside the container, resolved below
// its root whatever links the image has. A missing Dest is made, as a directory or an empty file as Source demands.
type Op struct {
	Kind   OpKind `json:"kind"`
	Source string `json:"source,omitempty"`
	// Layer is for OpBind the number of a layer, counted from 1, in which Source is instead of on the host.
	Layer    int    `json:"layer,omitempty"`
	Dest     string `json:"dest"`
	ReadOnly bool   `json:"ro,omitempty"`
	Optional bool   `json:"optional,omitempty"` // a failure is a remark, not the end
	Quiet    bool   `json:"quiet,omitempty"`    // with Optional: not even a remark
	NoExec   bool   `json:"noexec,omitempty"`
	Dev      bool   `json:"dev,omitempty"` // devices work below it (only /dev)
	Mode     uint32 `json:"mode,omitempty"`
	Size     int64  `json:"size,omitempty"`
	Content  []byte `json:"content,omitempty"`
	// MergeField: lines of the image's file whose field of this index (colon separated) equals that of a line of Content
	// are replaced by it, except where it is "0".
	MergeField int `json:"merge_field,omitempty"`
	// OnlyIfMissing leaves a Dest that exists as it is.
	OnlyIfMissing bool `json:"only_if_missing,omitempty"`
	// NoMake makes a missing Dest an error (ENOENT) for what is mounted.
	NoMake bool `json:"no_make,omitempty"`
	// OnLink binds a file over the symbolic link that Dest may be, rather than over what that leads to.
	OnLink bool `json:"on_link,omitempty"`
	// NoRecurse binds Source without what is mounted below it.
	NoRecurse bool `json:"no_recurse,omitempty"`
}

// Process is what runs in the container.
type Process struct {
	Args []string `json:"args"`
	// Env is the environment, complete. With Action it is what the image's environment scripts start from.
	Env []string `json:"env"`
	Dir string   `json:"dir"` // working directory; DirFallback when it cannot be entered
	// DirFallback is tried when Dir is not there; empty makes that an error.
	DirFallback string `json:"dir_fallback,omitempty"`
	// Action, when set, finds Args by the rules of a Singularity image; see the type.
	Action *Action `json:"action,omitempty"`

	Umask int `json:"umask"` // -1 keeps
	// KeepCaps leaves the capabilities of the container's user namespace to the process (builds, --fakeroot).
	KeepCaps bool `json:"keep_caps,omitempty"`
	// AddCaps are capabilities (numbers of linux/capability.h) that the process keeps although KeepCaps is not set; DropCaps
	// those it loses although it is.
	AddCaps  []int `json:"add_caps,omitempty"`
	DropCaps []int `json:"drop_caps,omitempty"`
	// Limits are set before the process is started; one that cannot be set is a remark.
	Limits []Limit `json:"limits,omitempty"`
	// CPUs are the processors it may run on; nil: all.
	CPUs []int `json:"cpus,omitempty"`
	// FakeRoot answers the privileged calls of an installation (chown, setuid, mknod …) with success (seccomp(2)).
	FakeRoot bool `json:"fake_root,omitempty"`
	// NoSync answers fsync(2) and its like with success and without work: for builds, whose tree counts only when it is
	// complete.
	NoSync bool `json:"no_sync,omitempty"`
	// DenyList refuses the calls that reach the kernel rather than the container (module loading, keyrings, bpf …).
	DenyList bool `json:"deny_list,omitempty"`
	// SealMounts refuses to remount, move and unmount (mount(2), umount(2)), and the calls of Linux 5.2 that can: for a process with
	// capabilities, which could otherwise write to what is mounted read-only, and look below a mount. It takes CAP_SYS_PTRACE,
	// by which init could be made to do it.
	SealMounts bool `json:"seal_mounts,omitempty"`
	// OwnInput refuses to push characters into a terminal (TIOCSTI, TIOCLINUX of ioctl_tty(2)), where the caller's shell would
	// read them as typed when the container has ended.
	OwnInput bool `json:"own_input,omitempty"`
	// Filter is one more filter of system calls: the array of struct sock_filter, as the kernel reads it (seccomp(2)).
	Filter []byte `json:"filter,omitempty"`
	// Groups are the supplementary groups; nil keeps those of the caller.
	Groups []int `json:"groups,omitempty"`
	// CloseFDs keeps descriptors that the caller was started with from the process. Without it they are passed on, as
	// shells expect of a program that runs another (cat <(command)).
	CloseFDs bool `json:"close_fds,omitempty"`
	// NewSession detaches from the terminal: setsid(2).
	NewSession bool `json:"new_session,omitempty"`
	// Terminal makes the standard input, a terminal, the controlling one of a session of the process's own.
	Terminal bool `json:"terminal,omitempty"`
}

// Limit is a resource limit of a process, soft and hard alike (setrlimit(2)).
type Limit struct {
	Resource int    `json:"resource"` // RLIMIT_…
	Value    uint64 `json:"value"`
	Name     string `json:"name"` // for a remark: "memory"
}

// Action is what Singularity's action scripts decide at the start: the image's environment is sourced, then the right
// script is started.
type Action struct {
	Name string   `json:"name"` // run, exec, shell, start, test
	App  string   `json:"app,omitempty"`
	Args []string `json:"args,omitempty"`
	// Host are the caller's variables ("K=V") that the process gets where the image's environment does not set them.
	Host []string `json:"host,omitempty"`
	// Force are variables set after the image's environment ("K=V").
	Force []string `json:"force,omitempty"`
	// Shell is the shell of the action "shell", when the caller asks for one.
	Shell string `json:"shell,omitempty"`
	// AppendPath, PrependPath extend PATH after the image's environment.
	PrependPath string `json:"prepend_path,omitempty"`
	AppendPath  string `json:"append_path,omitempty"`
	// Prompt is PS1 of an interactive shell.
	Prompt string `json:"prompt,omitempty"`
}
