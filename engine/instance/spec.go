package instance

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"syscall"
	"time"

	"carrel/engine/sandbox"
)

const (
	// DefaultWait is how long an app may take to answer before it is no longer called starting.
	DefaultWait = 60 * time.Second
	// quietWait is the same for a container of which nobody said that it serves anything.
	quietWait = 10 * time.Second
	// restWait is how long an app may do nothing at all, with nothing listening, until it is no longer expected to serve
	// anything soon; restWaitServer is the same where somebody said that it does.
	restWait, restWaitServer = 2 * time.Second, 5 * time.Second
	// DefaultGrace is how long an app has to end after its stop signal.
	DefaultGrace = 10 * time.Second
)

// PortSpec is a port that the app is said to serve.
type PortSpec struct {
	HostIP    string // empty: 127.0.0.1
	Host      int    // 0: any free one
	Container int
	Fixed     bool   // a taken host port is an error; otherwise the next free one is used, and remarked
	Proto     string // http, https, tcp, udp; empty: TCP, the rest is found out
	Path      string // of the page to open, over HTTP
	Text      string // "Notebook"
}

// Ready says when the app counts as ready.
type Ready struct {
	Port    int           // of the container; 0: any that is served
	Path    string        // to ask for; empty: "/"
	Timeout time.Duration // 0: Spec.Wait
}

// RestartWhen is when an instance that has ended by itself is started again.
type RestartWhen string

const (
	RestartNever     RestartWhen = ""
	RestartOnFailure RestartWhen = "on-failure" // when its status is not 0
	RestartAlways    RestartWhen = "always"
)

// Restart is how an instance is started again.
type Restart struct {
	When RestartWhen
	// Max is how many times in a row; 0: any number. An app that has run for a while begins to count anew.
	Max int
	// Pause is the time before the first restart, doubled before each further one up to a minute; 0: half a second.
	Pause time.Duration
}

// Spec is everything a supervisor has to know.
type Spec struct {
	Name, Dir             string // as Reserve returned them
	Title, Image, Command string // to be shown; see Instance
	Raw                   json.RawMessage
	Binds                 []Bind

	Ports []PortSpec
	Ready *Ready
	Wait  time.Duration // how long the app may take to answer; 0: DefaultWait
	// Recheck is when a page that answers is asked again whether it still does, the first time; 0: a quarter of a minute.
	Recheck time.Duration
	// HostNetwork: the container shares the host's network. Ports are then looked for among its processes' sockets, and
	// shown as they are; otherwise each is published.
	HostNetwork bool
	// Closed: the container has no network. Only Ports are published; what else listens in it stays inside.
	Closed bool
	// Guard puts a gate in front of published ports, which lets only this user in; see package guard. Exposed says that other
	// people use this machine: what is open to them is then remarked.
	Guard, Exposed bool

	StopSignal syscall.Signal // 0: SIGTERM
	Grace      time.Duration  // 0: DefaultGrace
	// Restart says whether it is started again when it ends by itself.
	Restart Restart
	// TimeLimit is how long it may run, restarts included, before it is stopped; 0: for ever.
	TimeLimit time.Duration
	// Limits are sentences about what the container may use at most, to be shown.
	Limits []string
	// MemoryLimit is how many bytes each process may ask for, where a resource limit holds it to that (RLIMIT_DATA of
	// getrlimit(2)): nobody kills one that asks for more, it is refused. 0: any.
	MemoryLimit int64
	// Terminal gives the app a terminal of its own, Stdin a standard input that stays open; see Attach. The plan's process
	// has Terminal as well.
	Terminal, Stdin bool
	// KeepAlive: the plan has KeepAlive, the container stays when its process has ended.
	KeepAlive bool
	LogSize   int64 // of the log in bytes; 0: logfile.DefaultSize

	// Start starts the container with these standard files, which stay the supervisor's. Its plan must have PIDNS. note
	// takes remarks for the log. It is called anew for each restart. cleanup, which may be nil, is called when the container has ended. When ctx ends the
	// container is to be killed, as sandbox.Start does.
	Start func(ctx context.Context, stdin, stdout, stderr *os.File, note func(string)) (k *sandbox.Container, cleanup func() error, err error)
	// UserNet carries the packets of the container's link, a descriptor that it takes over, until it is closed. Not called
	// for a container without link; nil leaves it without a way out.
	UserNet func(ctx context.Context, link *os.File) (io.Closer, error)
	// Took is told once: nil when the container runs, or why it does not. See Takeover.
	Took func(error)
}
