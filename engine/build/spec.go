package build

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	"carrel/engine/launch"
	"carrel/engine/oci"
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

	// Convert tells that the definition says nothing but where the image comes from: the one that it has is kept.
	Convert bool `json:"convert,omitempty"`

	Target  string `json:"target"` // absolute path of the image, or of the folder with Sandbox
	Sandbox bool   `json:"sandbox,omitempty"`
	Force   bool   `json:"force,omitempty"`
	NoTest  bool   `json:"no_test,omitempty"`
	// NoCache runs every section anew and builds also when nothing has changed; bases and downloads are still reused.
	NoCache bool `json:"no_cache,omitempty"`
	// Update builds upon the sandbox folder at Target instead of the base that the definition names.
	Update bool `json:"update,omitempty"`
	// Resume goes on with the tree of a build of the same target that failed in %post or later.
	Resume bool `json:"resume,omitempty"`
	// KeepAs is the target under which the tree of a build that fails is kept; empty for Target. Called is what the person
	// who builds calls it, for hints.
	KeepAs string `json:"keep_as,omitempty"`
	Called string `json:"called,omitempty"`
	// Sections are those to carry out, by name without %, and "apps" for SCIF apps; empty or "all" for all of them.
	Sections []string `json:"sections,omitempty"`
	// Binds are made visible in the containers that sections run in.
	Binds []Bind `json:"binds,omitempty"`
	// GPUs are drivers of the host that sections see.
	GPUs []launch.GPU `json:"gpus,omitempty"`
	// Reproducible makes the same bytes of the same inputs: no time in the image is later than Time, and its id is fixed.
	Reproducible bool `json:"reproducible,omitempty"`
	// Lock asks for what was used to be told in Result.Lock. Locked is what has to be used.
	Lock        bool   `json:"lock,omitempty"`
	Locked      *Lock  `json:"locked,omitempty"`
	Compression string `json:"compression,omitempty"`
	Level       int    `json:"level,omitempty"`

	// Cache is the folder for bases and downloads; Work holds the trees of running builds and has to be on a file system
	// with extended attributes.
	Cache string `json:"cache"`
	Work  string `json:"work"` // on the file system of Cache
	// CacheLimit bounds what the cache holds after the build, in bytes; 0 for no limit.
	CacheLimit int64 `json:"cache_limit,omitempty"`

	// SingleID tells that only one id is mapped: privileged calls are answered with success, and all files are root's.
	SingleID bool `json:"single_id,omitempty"`
	// UserNS tells that root is that of a user namespace.
	UserNS bool `json:"userns,omitempty"`
	// IDKind keeps bases apart whose owners on disk differ: "root", "ranges", "single".
	IDKind string `json:"id_kind"`

	// Mirror is the configured Debian mirror, HostApt the folder of the host's apt sources (/etc/apt).
	Mirror  string `json:"mirror,omitempty"`
	HostApt string `json:"host_apt,omitempty"`
	// Registries says how registries are reached; Library is the library for references that name none, empty for the usual
	// one. Platform is for which images are fetched, "OS/ARCH[/VARIANT]"; empty for this computer's.
	Registries oci.Access `json:"registries,omitzero"`
	Library    string     `json:"library,omitempty"`
	Platform   string     `json:"platform,omitempty"`

	// Variables are INCLUDE (further packages for a base) and GPG (address of the key that signs it), as Singularity takes
	// them from the caller's environment for yum and zypper.
	Variables map[string]string `json:"variables,omitempty"`

	// DockerHost is where the Docker daemon listens, unix://PATH or tcp://HOST:PORT; empty for the usual place.
	DockerHost string `json:"docker_host,omitempty"`

	// Resolv and Hosts are the host's name resolution; Proxies variables that are passed to sections.
	Resolv  []byte   `json:"resolv,omitempty"`
	Hosts   []byte   `json:"hosts,omitempty"`
	Proxies []string `json:"proxies,omitempty"`

	Version string    `json:"version"` // of this program, for labels
	Time    time.Time `json:"time"`    // the build's time, for labels and headers
}

// Bind is a file or folder of the host to be seen in containers.
type Bind struct {
	Source   string `json:"source"`
	Dest     string `json:"dest"`
	ReadOnly bool   `json:"read_only,omitempty"`
}

// Result is a finished build.
type Result struct {
	Path string `json:"path"`
	Size int64  `json:"size"` // bytes
	Base string `json:"base"` // what the last stage started from
	// Unchanged: the target was already what would have been made, and was left as it is.
	Unchanged bool `json:"unchanged,omitempty"`
	// Lock is what was used, when the order asked for it.
	Lock *Lock `json:"lock,omitempty"`
}

// StepError is a build that failed in a step.
type StepError struct {
	Step    progress.Step
	Section string // "%post"
	Line    int    // in the definition, 0 when not known
	Status  int    // of the section's script, 0 when it is not that
	Command string // the command of the script that failed, where it is known
	Kept    bool   // the tree is kept, to be looked at or gone on with
	Called  string // with Kept: what the person calls the image
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
		if e.Command != "" {
			s += ": " + e.Command
		}
		return fmt.Sprintf("%s: exit status %d", s, e.Status)
	}
	return s + ": " + e.Err.Error()
}

func (e *StepError) Unwrap() error { return e.Err }

// Hint says what to do about it.
func (e *StepError) Hint() string {
	if errors.Is(e.Err, syscall.ENOSPC) || errors.Is(e.Err, syscall.EDQUOT) {
		return "the disk is full: free some of it, or remove what the cache holds of earlier builds: carrel cache prune"
	}
	if e.Kept {
		return fmt.Sprintf("the last lines of the log say what went wrong; `carrel debug %[1]s` opens a shell in the container as it is now, `carrel build --resume %[1]s …` goes on from there", e.Called)
	}
	if e.Status != 0 {
		return "the last lines of the log say what went wrong in " + e.Section
	}
	return ""
}
