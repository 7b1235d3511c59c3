package build

import (
	"fmt"
	"time"

	"carrel/engine/progress"
)

// Spec is one build. It crosses a process boundary as JSON.
type Spec struct {
	// Text is the definition, Name what to call it in messages.
	Text string `json:"text"`
	Name string `json:"name"`
	// Folders are where relative sources of %files are looked for, in this order: the caller's working directory and the
	// folder of the definition.
	Folders []string `json:"folders"`
	// BuildArgs are values of {{ templates }}.
	BuildArgs map[string]string `json:"build_args,omitempty"`

	Target      string `json:"target"` // absolute path of the image, or of the folder with Sandbox
	Sandbox     bool   `json:"sandbox,omitempty"`
	Force       bool   `json:"force,omitempty"`
	NoTest      bool   `json:"no_test,omitempty"`
	Compression string `json:"compression,omitempty"`
	Level       int    `json:"level,omitempty"`

	// Cache is the folder for bases and downloads; Work holds the trees of running builds and has to be on a file system
	// with extended attributes.
	Cache string `json:"cache"`
	Work  string `json:"work"`

	// SingleID tells that only one id is mapped: privileged calls are answered with success, and all files are root's.
	SingleID bool `json:"single_id,omitempty"`
	// UserNS tells that root is that of a user namespace.
	UserNS bool `json:"userns,omitempty"`
	// IDKind keeps bases apart whose owners on disk differ: "root", "ranges", "single".
	IDKind string `json:"id_kind"`

	// Mirror is the configured Debian mirror, HostApt the folder of the host's apt sources (/etc/apt).
	Mirror  string `json:"mirror,omitempty"`
	HostApt string `json:"host_apt,omitempty"`
	// Insecure lists registries that are spoken to without TLS.
	Insecure []string `json:"insecure,omitempty"`

	// Resolv and Hosts are the host's name resolution; Proxies variables that are passed to sections.
	Resolv  []byte   `json:"resolv,omitempty"`
	Hosts   []byte   `json:"hosts,omitempty"`
	Proxies []string `json:"proxies,omitempty"`

	Version string    `json:"version"` // of this program, for labels
	Time    time.Time `json:"time"`    // the build's time, for labels and headers
}

// Result is a finished build.
type Result struct {
	Path string `json:"path"`
	Size int64  `json:"size"` // bytes
	Base string `json:"base"` // what the last stage started from
}

// StepError is a build that failed in a step.
type StepError struct {
	Step    progress.Step
	Section string // "%post"
	Line    int    // in the definition, 0 when not known
	Status  int    // of the section's script, 0 when it is not that
	Err     error
}

func (e *StepError) Error() string {
	s := string(e.Step)
	if e.Section != "" {
		s = e.Section
	}
	if e.Line > 0 {
		s += fmt.Sprintf(" (line %d)", e.Line)
	}
	if e.Status != 0 {
		return fmt.Sprintf("%s: exit status %d", s, e.Status)
	}
	return s + ": " + e.Err.Error()
}

func (e *StepError) Unwrap() error { return e.Err }

// Hint says what to do about it.
func (e *StepError) Hint() string {
	if e.Status != 0 {
		return "the last lines of the log above say what went wrong in " + e.Section
	}
	return ""
}
