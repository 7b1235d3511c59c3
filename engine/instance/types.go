package instance

import (
	"encoding/json"
	"time"

	"carrel/engine/instance/logfile"
)

// State is where an instance is in its life.
type State string

const (
	StateStarting  State = "starting"  // started, nothing answers yet
	StateReady     State = "ready"     // its address answers
	StateRunning   State = "running"   // runs, serves nothing that we know of
	StateUnhealthy State = "unhealthy" // listens, but answers with errors or not at all
	StateStopping  State = "stopping"
	StateExited    State = "exited" // ended; ExitCode tells how
	StateLost      State = "lost"   // its supervisor was killed
)

// Live tells whether processes of the instance are expected to run.
func (s State) Live() bool { return s != StateExited && s != StateLost }

// Reason is why an instance has ended.
type Reason string

const (
	ReasonExited  Reason = "exited"  // by itself
	ReasonStopped Reason = "stopped" // somebody asked for it
	ReasonSignal  Reason = "signal"  // something sent it a signal that ended it
	ReasonMemory  Reason = "memory"  // the kernel killed it, or a part of it, for want of memory
	ReasonTime    Reason = "time"    // its time was over
	ReasonFailed  Reason = "failed"  // it could not be started, or what looks after it failed
	ReasonLost    Reason = "lost"    // its supervisor was killed
)

// Address is one thing an instance serves.
type Address struct {
	URL       string `json:"url"` // complete, with path and token: what a browser opens
	Host      int    `json:"host_port"`
	Container int    `json:"container_port"`
	Proto     string `json:"proto"`          // http, https, tcp; empty as long as it is not known
	Text      string `json:"text,omitempty"` // "Notebook"
	Ready     bool   `json:"ready"`
	// Guarded: the URL has a code that opens the app in one browser; then there is a new one.
	Guarded bool `json:"guarded,omitempty"`
}

// Bind is a file or folder of the host that the container sees; kept to be shown.
type Bind struct {
	Source   string `json:"source"`
	Dest     string `json:"dest"`
	ReadOnly bool   `json:"read_only,omitempty"`
	// InImage is a path in the image at Source, to be bound instead of it; Part is the number of the partition that it is in.
	InImage string `json:"in_image,omitempty"`
	Part    uint32 `json:"part,omitempty"`
}

// OfImage tells that what is bound lies in an image: in the one at Source.
func (b Bind) OfImage() bool { return b.InImage != "" || b.Part != 0 }

// Instance is a container in the background, running or ended.
type Instance struct {
	Name      string          `json:"name"`
	Image     string          `json:"image"` // path of the image
	Title     string          `json:"title,omitempty"`
	State     State           `json:"state"`
	PID       int             `json:"pid"` // of the supervisor
	Started   time.Time       `json:"started"`
	ReadyIn   time.Duration   `json:"ready_in,omitempty"` // from start to first answer
	Ended     time.Time       `json:"ended,omitzero"`
	ExitCode  int             `json:"exit_code"`        // while it is started again: of the run before
	Reason    Reason          `json:"reason,omitempty"` // empty while it runs
	LastLines []string        `json:"last_lines,omitempty"`
	Restarts  int             `json:"restarts,omitempty"` // how often it was started again by itself
	Limits    []string        `json:"limits,omitempty"`   // what holds it, and by what means; sentences
	Terminal  bool            `json:"terminal,omitempty"` // it has a terminal of its own: Attach
	Stdin     bool            `json:"stdin,omitempty"`    // its standard input is kept open: Attach
	Problem   string          `json:"problem,omitempty"`  // one sentence, when something is wrong
	Hint      string          `json:"hint,omitempty"`
	Addresses []Address       `json:"addresses,omitempty"`
	HostPorts []int           `json:"host_ports,omitempty"` // where each of Spec.Ports is published on the host; 0: not yet
	Binds     []Bind          `json:"binds,omitempty"`
	Command   string          `json:"command"`        // the command that starts the same again
	Spec      json.RawMessage `json:"spec,omitempty"` // the starter's own, verbatim

	// Init is the process number of the container's init on its machine; 0 before it runs.
	Init int `json:"init,omitempty"`
	// Elsewhere is the machine it runs or ran on, when that is not this one: it can be looked at, not spoken to.
	Elsewhere string `json:"elsewhere,omitempty"`
	Dir       string `json:"-"` // its folder
	LogFile   string `json:"-"` // the newer file of its log
}

// Usage is what an instance uses right now.
type Usage struct {
	CPU       time.Duration // processor time used since it started
	Memory    int64         // bytes resident, all processes; what they share is counted in each
	Processes int
	Read      int64 // bytes that its processes took with system calls, of files, pipes and sockets (rchar of proc_pid_io(5))
	Written   int64 // bytes that they wrote (wchar)
}

// ownStream is the stream of our own remarks in a log.
var ownStream = logfile.Remark.String()

// The parts of a log; see package logfile.
type (
	LogLine    = logfile.Line
	LogOptions struct {
		Follow bool      // go on with new lines until the instance has ended
		Tail   int       // only the last n lines there are; 0: all
		Since  time.Time // only lines written after this; zero: all
	}
)
