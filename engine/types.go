package engine

import (
	"time"

	"carrel/engine/instance"
	"carrel/engine/progress"
)

// Event and Sink are how long work tells what it does; see package progress.
type (
	Event = progress.Event
	Sink  = progress.Sink
)

// What running apps are told of; see package instance.
type (
	Bind       = instance.Bind
	Address    = instance.Address
	State      = instance.State
	Reason     = instance.Reason
	Restart    = instance.Restart
	LogLine    = instance.LogLine
	LogOptions = instance.LogOptions
	Usage      = instance.Usage
	Process    = instance.Process
)

// ElsewhereError is an app that runs on another computer, which shares this one's home folder.
type ElsewhereError = instance.ElsewhereError

// The states of an app, the reasons of its end, and when it is started again.
const (
	StateStarting  = instance.StateStarting
	StateReady     = instance.StateReady
	StateRunning   = instance.StateRunning
	StateUnhealthy = instance.StateUnhealthy
	StateStopping  = instance.StateStopping
	StateExited    = instance.StateExited
	StateLost      = instance.StateLost

	ReasonExited  = instance.ReasonExited
	ReasonStopped = instance.ReasonStopped
	ReasonSignal  = instance.ReasonSignal
	ReasonMemory  = instance.ReasonMemory
	ReasonTime    = instance.ReasonTime
	ReasonFailed  = instance.ReasonFailed
	ReasonLost    = instance.ReasonLost

	RestartNever     = instance.RestartNever
	RestartOnFailure = instance.RestartOnFailure
	RestartAlways    = instance.RestartAlways
)

// TargetKind says what a name turned out to be.
type TargetKind string

const (
	TargetImage   TargetKind = "image"   // a file or folder that can be run
	TargetCatalog TargetKind = "catalog" // a catalog entry; Path is where its image is or will be
	TargetRemote  TargetKind = "remote"  // a registry reference, docker://…
)

// Target is what a name given by a person stands for: a path, else an image of the local store, else a catalog entry.
type Target struct {
	Kind  TargetKind
	Name  string // short name for a person: "jupyter"
	Path  string // the image file; for a catalog entry that is not built yet, where it will be
	Built bool   // whether Path exists and matches the entry
	Ref   string // the registry reference of a TargetRemote
}

// ImageInfo is what a list of images shows: everything that one read of the file's head tells.
type ImageInfo struct {
	Name     string    `json:"name"` // file name without folder
	Path     string    `json:"path"`
	Kind     string    `json:"kind"` // sif, squashfs, sandbox, ext3
	Size     int64     `json:"size"` // bytes
	ModTime  time.Time `json:"modified"`
	Arch     string    `json:"arch"`
	Title    string    `json:"title,omitempty"`    // label org.opencontainers.image.title
	Catalog  string    `json:"catalog,omitempty"`  // name of the catalog entry it was built from
	LastRun  time.Time `json:"last_run,omitzero"`  // zero: never on this machine
	InStore  bool      `json:"in_store,omitempty"` // lies in Carrel's own folder
	Problem  string    `json:"problem,omitempty"`  // why it cannot be used: truncated, foreign architecture …
	UsedByID []string  `json:"used_by,omitempty"`  // names of running apps
	// Unchanged: a build had nothing to do, because the image was already what would have been made.
	Unchanged bool `json:"unchanged,omitempty"`
}

// BuildSpec asks for an image to be built.
type BuildSpec struct {
	// Definition is the path of a definition file, a folder holding one named Singularity, a catalog entry's name, an
	// existing image or sandbox folder (to convert), or a source URI (docker://alpine, oci:…).
	Definition string
	// Target is the path of the image to write; replaced atomically, and only on success. Empty: the store.
	Target    string
	BuildArgs map[string]string
	Force     bool // replace an existing target without being asked
	// ReplaceOwn replaces a target that was built of the same definition file, in the same place, and has not been changed
	// since; other targets still need Force.
	ReplaceOwn bool
	Sandbox    bool // write a folder instead of a file
	NoTest     bool
	// Platform is for which an image of a registry is fetched, "OS/ARCH[/VARIANT]"; empty: this computer's.
	Platform string
	// Compression of the SquashFS: "zstd" (default), "gzip", "none"; Level 0 is the default of the compressor.
	Compression string
	Level       int
	LogFile     string // also keep the whole log here; empty: in the state folder

	// NoCache runs every section anew, also when nothing has changed; bases and downloads are still reused.
	NoCache bool
	// Update builds upon the sandbox folder at Target, instead of the base that the definition names.
	Update bool
	// Resume goes on with the tree that the failed build of the same Target has left, from the section that failed.
	Resume bool
	// keepAs is the target under which the tree of a build that fails is kept, keepCalled what the person calls that: of a
	// build that is only a step towards the target.
	keepAs, keepCalled string
	// Sections are those to carry out, by name without %, "apps" for those of SCIF apps; empty for all.
	Sections []string
	// Binds are visible while sections run.
	Binds []Bind
	// NV and ROCm show the drivers of this computer's graphics processors to sections; where there are none, that is told.
	NV, ROCm bool
	// Reproducible makes the same bytes of the same inputs: no time in the image is later than Time.
	Reproducible bool
	// Time is the build's time (SOURCE_DATE_EPOCH); zero is now, or with Reproducible the lock's, or the beginning of 1980.
	Time time.Time
	// Lock writes what was used into LockFile(Definition); Locked uses what that names, or fails.
	Lock, Locked bool
}

// Port publishes a port of the container on this computer.
type Port struct {
	HostIP    string `json:"host_ip,omitempty"` // empty: 127.0.0.1
	Host      int    `json:"host"`              // 0: any free one
	Container int    `json:"container"`
	Fixed     bool   `json:"fixed,omitempty"` // a taken host port is an error; otherwise the next free one is used, and said
	UDP       bool   `json:"udp,omitempty"`   // datagrams instead of connections
	Proto     string `json:"proto,omitempty"` // what is spoken there: tcp for what is no HTTP, http, https; empty: it is found out
}

// Action says which of an image's scripts a run starts.
type Action string

const (
	ActionRun   Action = "run"   // the runscript, or an OCI image's entrypoint
	ActionExec  Action = "exec"  // Args[0] with Args[1:]
	ActionShell Action = "shell" // an interactive shell
	ActionStart Action = "start" // the startscript
	ActionTest  Action = "test"
)

// RunSpec asks for a container to be started.
type RunSpec struct {
	Image  string // a path, a local image's name, a catalog entry, a registry reference
	Action Action // empty: ActionRun
	Args   []string
	App    string // SCIF app

	Name  string // of the running app; empty: made from the image's name
	Binds []Bind
	Ports []Port
	Env   map[string]string

	// Profile: "singularity" (home, cwd, /tmp and the environment of the caller, host network) is the default of the command
	// line, "safe" (own home, clean environment, only the binds) that of the screens.
	Profile Profile
	// Isolated gives the container its own network namespace even when no port is published; NoNetwork leaves it empty.
	// HostNetwork says that it is to share this computer's, also where Guard would give it one of its own.
	Isolated    bool
	NoNetwork   bool
	HostNetwork bool `json:",omitempty"`
	// Guard says whether a gate lets only the caller's own browser to the published ports; empty: as Config.Guard says.
	// GuardOn gives the container its own network, because only what is published there can be guarded; so does GuardAuto
	// to an app in the background where other people use the computer.
	Guard    GuardMode `json:",omitempty"`
	Writable bool      // keep what changes
	// Leftovers says what to do, with Writable, about changes that an earlier run could not save.
	Leftovers Leftovers
	Root      bool // be root inside (--fakeroot)
	CleanEnv  bool
	NoHome    bool
	Contain   bool
	Home      string // a folder as home, "src[:dest]", or only its source where HomeDest says the other
	HomeDest  string `json:",omitempty"`
	Cwd       string
	Workdir   string

	Wait time.Duration // how long the app may take to answer; 0: the image's carrel.ready, else 60 s

	// Of an app in the background: Restart starts it again; Terminal gives it a terminal, Stdin a standard input that stays
	// open, both for Attach.
	Restart         Restart `json:"restart,omitzero"`
	Terminal, Stdin bool
	// TimeLimit ends it after so long; 0: never.
	TimeLimit time.Duration
	// StopSignal asks it to end: "SIGINT", "INT" or "2"; empty: what the image says, else SIGTERM.
	StopSignal string

	Details Details `json:"details,omitzero"` // what is asked for seldom
}

// Profile is a set of defaults for what of the host a container sees.
type Profile string

const (
	ProfileSingularity Profile = "singularity"
	ProfileSafe        Profile = "safe"
)

// Instance is a container in the background, running or ended.
type Instance struct {
	Name      string        `json:"name"`
	Image     string        `json:"image"` // path of the image
	Title     string        `json:"title,omitempty"`
	State     State         `json:"state"`
	PID       int           `json:"pid"` // of the supervisor
	Started   time.Time     `json:"started"`
	ReadyIn   time.Duration `json:"ready_in,omitempty"` // from start to first answer
	Ended     time.Time     `json:"ended,omitzero"`
	ExitCode  int           `json:"exit_code"`        // while it is started again: of the run before
	Reason    Reason        `json:"reason,omitempty"` // why it has ended; empty while it runs
	LastLines []string      `json:"last_lines,omitempty"`
	Restarts  int           `json:"restarts,omitempty"`  // how often it was started again by itself
	Limits    []string      `json:"limits,omitempty"`    // what it may use at most, and what holds it to that; sentences
	Terminal  bool          `json:"terminal,omitempty"`  // Attach connects with its terminal
	Stdin     bool          `json:"stdin,omitempty"`     // Attach connects with its standard input
	Elsewhere string        `json:"elsewhere,omitempty"` // the machine it runs on, when that is not this one
	Init      int           `json:"init,omitempty"`      // process number of its init, on its machine
	Problem   string        `json:"problem,omitempty"`   // one sentence, when something is wrong
	Hint      string        `json:"hint,omitempty"`
	Addresses []Address     `json:"addresses,omitempty"`
	Binds     []Bind        `json:"binds,omitempty"`
	Command   string        `json:"command"`  // the carrel command that starts the same again
	LogFile   string        `json:"log_file"` // one line of log: RFC 3339 time, "o" or "e", the text
	Spec      RunSpec       `json:"spec"`
}

// Check is one line of the doctor: something this computer can or cannot do.
type Check struct {
	Name   string `json:"name"` // stable: "user-namespaces"
	Status Status `json:"status"`
	Title  string `json:"title"`            // for a person: "Containers can run without administrator rights"
	Term   string `json:"term,omitempty"`   // the expert's word: "user namespaces"
	Detail string `json:"detail,omitempty"` // what was found
	Advice string `json:"advice,omitempty"` // what still works, and what to do
	Admin  string `json:"admin,omitempty"`  // the exact line an administrator would run
}

// Status of a Check.
type Status string

const (
	StatusOK   Status = "ok"
	StatusNote Status = "note" // works, by another way
	StatusBad  Status = "bad"  // Carrel cannot work like this
)

// FolderState is what the launch form shows about a folder while it is typed.
type FolderState struct {
	Path      string // expanded and absolute
	Exists    bool
	IsDir     bool
	Readable  bool
	Writable  bool
	Files     int            // regular files directly in it, up to 10,000
	Folders   int            // folders directly in it, counted with them
	ByExt     map[string]int // how many of each extension, lower case with dot
	FreeBytes int64
	Problem   string // one sentence, empty when it can be used
}

// PortState is what the launch form shows about a port.
type PortState struct {
	Port    int
	Free    bool
	Holder  string // "python3 (pid 4711)", "another user's program", empty when free
	NextOne int    // the next free port from there
}
