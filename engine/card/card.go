package card

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// Protocols of a Port.
const (
	HTTP  = "http"
	HTTPS = "https"
	TCP   = "tcp"
)

// Modes of a Bind.
const (
	ReadWrite = "rw"
	ReadOnly  = "ro"
)

// The labels of what an OCI image's configuration calls WorkingDir and User.
const (
	LabelWorkdir = carrelPrefix + "workdir"
	LabelUser    = carrelPrefix + "user"
)

// What to do with changes inside the container.
const (
	Keep    = "keep"
	Discard = "discard"
	Ask     = "ask"
)

// Categories are the values of carrel.category, in the order they are shown.
var Categories = []string{"notebook", "experiment", "page", "analysis", "tool"}

// Card is what an image says of itself. Empty fields were not told.
type Card struct {
	Title, Description         string
	Authors                    string
	URL, Documentation, Source string
	Version, Licenses          string
	// Category is one of Categories, or empty.
	Category string
	// Keywords are in the order given, each once.
	Keywords []string
	// Ports are ordered by number.
	Ports []Port
	// Binds are ordered by destination.
	Binds []Bind
	// Args are ordered by N.
	Args []Arg
	// Choices says what choices of arguments are, by choice; nil when nothing was told.
	Choices map[string]string
	// Env is ordered by name.
	Env   []Env
	Ready *Ready
	// Writable is Keep, Discard, Ask, or empty.
	Writable string
	// Stop is the signal that asks the app to end, "SIGINT"; empty: SIGTERM.
	Stop string
	// Workdir is the folder inside in which its runscript wants to be started: absolute and clean, or empty.
	Workdir string
	// User is as whom its runscript wants to be started, NAME|NUMBER[:GROUP|NUMBER]; empty: whoever starts it.
	User    string
	Cite    string
	Example string
}

// Port is a port the app listens on inside its container.
type Port struct {
	Container int    // 1 to 65535
	Proto     string // HTTP, HTTPS or TCP
	Path      string // where to begin, "/" or longer; empty for TCP
	Text      string
}

// Bind is a folder (or file) the app wants from outside.
type Bind struct {
	Dest     string // absolute, clean
	Mode     string // ReadWrite or ReadOnly
	Required bool
	Text     string
}

// Arg is an argument of the app's command line.
type Arg struct {
	N       int // from 1
	Name    string
	Choices []string // nil when anything goes
	Text    string
}

// Env is a variable the app reads.
type Env struct {
	Name       string
	Default    string
	HasDefault bool // tells an empty default from none
	Text       string
}

// Ready says how to know that the app has started: an answer at a port.
type Ready struct {
	Port    int
	Path    string        // empty when the port has only to accept
	Timeout time.Duration // 0 when not told
}

// Warning is a label that was skipped or cut.
type Warning struct {
	Label   string
	Message string
}

// String is the label's name and what is wrong with it.
func (w Warning) String() string { return w.Label + ": " + w.Message }

// PrimaryPort is the port to open first: the readiness port when it is one of Ports, else the first that speaks HTTP, else
// the first; nil without ports.
func (c *Card) PrimaryPort() *Port {
	if c.Ready != nil {
		for i := range c.Ports {
			if c.Ports[i].Container == c.Ready.Port {
				return &c.Ports[i]
			}
		}
	}
	for i := range c.Ports {
		if c.Ports[i].Proto != TCP {
			return &c.Ports[i]
		}
	}
	if len(c.Ports) > 0 {
		return &c.Ports[0]
	}
	return nil
}

// sort puts the lists into their stable order.
func (c *Card) sort() {
	slices.SortFunc(c.Ports, func(a, b Port) int { return cmp.Compare(a.Container, b.Container) })
	slices.SortFunc(c.Binds, func(a, b Bind) int { return strings.Compare(a.Dest, b.Dest) })
	slices.SortFunc(c.Args, func(a, b Arg) int { return cmp.Compare(a.N, b.N) })
	slices.SortFunc(c.Env, func(a, b Env) int { return strings.Compare(a.Name, b.Name) })
}
