package engine

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"carrel/engine/image"
	"carrel/engine/launch"
	"carrel/engine/sandbox"
	"carrel/engine/sandbox/plan"
)

// Details are what containers can be asked for beside the everyday options of a RunSpec: the further options of
// Singularity's command line, in their meaning.
type Details struct {
	ReadOnly bool `json:"read_only,omitempty"` // the image's own files cannot be changed, not even for the time of the run
	HostPIDs bool `json:"host_pids,omitempty"` // the host's processes are seen, the container's are among them
	UserNS   bool `json:"user_ns,omitempty"`   // a user namespace also for root
	IPC      bool `json:"ipc,omitempty"`
	UTS      bool `json:"uts,omitempty"`

	Hostname string    `json:"hostname,omitempty"`
	DNS      []string  `json:"dns,omitempty"`
	Overlays []Overlay `json:"overlays,omitempty"` // lowest first
	Scratch  []string  `json:"scratch,omitempty"`
	NoMount  []string  `json:"no_mount,omitempty"`
	Shell    string    `json:"shell,omitempty"` // of the action shell
	Prompt   string    `json:"prompt,omitempty"`
	Umask    *int      `json:"umask,omitempty"`
	NoEnv    []string  `json:"no_env,omitempty"` // variables of the caller's that are not passed on

	Nvidia bool `json:"nvidia,omitempty"`
	AMD    bool `json:"amd,omitempty"`

	AddCaps  string `json:"add_caps,omitempty"` // names, comma separated
	DropCaps string `json:"drop_caps,omitempty"`
	NoPrivs  bool   `json:"no_privs,omitempty"` // root without any privilege
	// Security are requests as launch.ParseSecurity reads them: seccomp:FILE, uid:NUMBER, gid:NUMBER.
	Security []string `json:"security,omitempty"`

	Limits Limits `json:"limits,omitzero"`

	// AsSelf starts the image's program in the caller's folder and as the caller, whatever the image says of it. Apptainer has
	// it so.
	AsSelf bool `json:"as_self,omitempty"`
	// Started is what the image said, of an app that runs; Start sets it.
	Started started `json:"started,omitzero"`

	// FromCaller is for Exec: the environment, what CleanEnv says of it, the current folder and the umask are the caller's, not
	// those that the app was started with. Apptainer has it so.
	FromCaller bool `json:"-"`
}

// Overlay is a folder or image that is laid over an image.
type Overlay struct {
	Path     string `json:"path"`
	ReadOnly bool   `json:"read_only,omitempty"`
}

// Limits are what a container may use at most.
type Limits = launch.Limits

// detail works the details into a container's options. What a person should know of it is in p.notes.
func (e *Engine) detail(s RunSpec, p *prepared, o *launch.Options) error {
	d := s.Details
	o.ReadOnly, o.NoPIDs, o.IPC, o.UTS = d.ReadOnly && !s.Writable, d.HostPIDs, d.IPC, d.UTS || d.Hostname != ""
	if d.Hostname != "" {
		o.Hostname = d.Hostname
	}
	o.DNS, o.Scratch, o.NoMount, o.NoEnv, o.Shell, o.Umask, o.NoPrivs = d.DNS, d.Scratch, d.NoMount, d.NoEnv, d.Shell, d.Umask, d.NoPrivs
	o.Prompt = d.Prompt
	for _, dest := range d.Scratch {
		if !path.IsAbs(dest) || path.Clean(dest) == "/" {
			return &ScratchError{Dest: dest}
		}
	}
	var err error
	if o.AddCaps, err = launch.Capabilities(d.AddCaps); err != nil {
		return err
	}
	if o.DropCaps, err = launch.Capabilities(d.DropCaps); err != nil {
		return err
	}
	if o.Security, err = launch.ParseSecurity(d.Security, e.c.User.UID == 0 && !d.UserNS && !s.Root); err != nil {
		return err
	}
	if as := o.Security.As; as != nil {
		o.Host = become(o.Host, as.UID, as.GID)
	}
	for _, kind := range []struct {
		wanted bool
		kind   launch.GPUKind
	}{{d.Nvidia, launch.GPUNvidia}, {d.AMD, launch.GPUAMD}} {
		if !kind.wanted {
			continue
		}
		g, err := launch.FindGPU("/", kind.kind)
		if errors.Is(err, launch.ErrNoGPU) {
			// As Apptainer: what can use a GPU can often do without.
			p.note(err.Error() + "; " + Hint(err))
		} else if err != nil {
			return err
		}
		o.GPUs = append(o.GPUs, g)
	}
	if s.Workdir != "" {
		o.Workdir = e.expand(s.Workdir)
		for dir, mode := range launch.Folders(*o) {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return fmt.Errorf("make folder in the work folder: %w", err)
			}
			if err := os.Chmod(dir, os.FileMode(mode&0o777)|sticky(mode)); err != nil && !errors.Is(err, os.ErrPermission) {
				return fmt.Errorf("make folder in the work folder: %w", err)
			}
		}
	}
	limiter, err := launch.Limit(d.Limits, shortName(p.target.Path))
	if err != nil {
		return err
	}
	p.closers = append(p.closers, func() { limiter.Close() }) // a group that is not empty is removed by who ends last
	o.Cgroup, o.Groups, o.Limits, o.CPUs = limiter.Cgroup, limiter.Join, limiter.Limits, limiter.CPUs
	p.limits = limiter.Held
	for _, l := range limiter.Limits {
		if l.Resource == unix.RLIMIT_DATA {
			p.asked = int64(l.Value)
		}
	}
	for _, n := range slices.Concat(limiter.Held, limiter.Notes) {
		p.note(n)
	}
	return nil
}

// ScratchError is a scratch folder that cannot be made.
type ScratchError struct{ Dest string }

func (e *ScratchError) Error() string {
	return fmt.Sprintf("scratch folder %q: not a whole path inside the container", e.Dest)
}

// Hint says how to write it.
func (e *ScratchError) Hint() string {
	return "write where it is to be inside, beginning with /, such as --scratch /" + strings.TrimLeft(path.Join("/", e.Dest), "/")
}

func sticky(mode uint32) os.FileMode {
	if mode&0o1000 != 0 {
		return os.ModeSticky
	}
	return 0
}

// host is what a container may see of the caller.
func (e *Engine) host() launch.Host {
	u := e.c.User
	h := launch.Host{UID: u.UID, GID: u.GID, User: u.Name, Home: u.Home, Shell: u.Shell, Env: u.Env, Cwd: u.Cwd}
	if g, err := user.LookupGroupId(strconv.Itoa(u.GID)); err == nil {
		h.Group = g.Name
	}
	groups, _ := os.Getgroups() // without them the container knows fewer names
	for _, gid := range groups {
		if g, err := user.LookupGroupId(strconv.Itoa(gid)); err == nil && gid != u.GID {
			h.Groups = append(h.Groups, launch.Group{GID: gid, Name: g.Name})
		}
	}
	if st, err := os.Stat(h.Home); err != nil || !st.IsDir() {
		h.Home = "" // /nonexistent and the like
	}
	return h
}

// overlays puts the overlays of a RunSpec on the layers of the image.
func (e *Engine) overlays(s RunSpec, p *prepared, o *launch.Options, look bool) error {
	if s.Writable && len(s.Details.Overlays) > 0 {
		return fmt.Errorf("run %s: an overlay takes the changes, so the image itself cannot be writable as well", p.target.Path)
	}
	var below []*image.Image // files and folders laid over the image so far
	for _, ov := range s.Details.Overlays {
		file := e.expand(ov.Path)
		st, err := os.Stat(file)
		if errors.Is(err, os.ErrNotExist) {
			return &MissingOverlayError{Path: file}
		}
		if err != nil {
			return fmt.Errorf("overlay: %w", err)
		}
		if st.IsDir() {
			if err := e.overlayFolder(file, ov.ReadOnly, o); err != nil {
				return err
			}
			if !ov.ReadOnly {
				// The kernel's own folder there is closed to everybody, so that rm -r would stumble over it.
				p.closers = append(p.closers, func() { _ = os.Chmod(filepath.Join(file, "work", "work"), 0o700) })
			}
			img, err := image.OpenFolder(file)
			if err != nil {
				return fmt.Errorf("overlay: %w", err)
			}
			p.closers = append(p.closers, func() { img.Close() })
			below = append(below, img)
			continue
		}
		img, err := image.Open(file)
		if err != nil {
			return fmt.Errorf("overlay: %w", err)
		}
		p.closers = append(p.closers, func() { img.Close() })
		switch img.Kind {
		case image.Ext3:
			if err := e.overlayFile(s, p, img, below, ov.ReadOnly, o, look); err != nil {
				return err
			}
		case image.SquashFS:
			part, err := img.System()
			if err != nil {
				return fmt.Errorf("overlay: %w", err)
			}
			l, err := e.squashLayer(p, o, img.Path, img.File(), part, false)
			if err != nil {
				return err
			}
			o.Layers = append(o.Layers, l)
		default:
			return &OverlayError{Path: file, Kind: string(img.Kind)}
		}
		below = append(below, img)
	}
	return nil
}

// MissingOverlayError is an overlay that does not exist.
type MissingOverlayError struct{ Path string }

func (e *MissingOverlayError) Error() string {
	return fmt.Sprintf("overlay %s: there is no such folder or file", e.Path)
}

// Hint says how to make one.
func (e *MissingOverlayError) Hint() string {
	return "make a folder for the changes: mkdir " + quote(e.Path)
}

// writesOverlay tells that an overlay is written to which has to be read by the caller afterwards.
func (s RunSpec) writesOverlay() bool {
	for _, ov := range s.Details.Overlays {
		if st, err := os.Stat(ov.Path); !ov.ReadOnly && err == nil && st.Mode().IsRegular() {
			return true
		}
	}
	return false
}

// overlayFolder lays a folder over the image: its subfolder upper holds the changes, as in Apptainer's overlays.
func (e *Engine) overlayFolder(dir string, readOnly bool, o *launch.Options) error {
	if readOnly {
		upper := filepath.Join(dir, "upper")
		if st, err := os.Stat(upper); err != nil || !st.IsDir() {
			return fmt.Errorf("overlay %s: it has no folder upper, so it holds no changes", dir)
		}
		o.Layers = append(o.Layers, launch.Layer{Folder: upper})
		return nil
	}
	if o.Upper != nil {
		return fmt.Errorf("overlay %s: only one overlay can be written to; add :ro to the others", dir)
	}
	for _, sub := range []string{"upper", "work"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil && !errors.Is(err, os.ErrExist) {
			return fmt.Errorf("overlay %s: %w", dir, err)
		}
	}
	o.Upper = &plan.Upper{Kind: plan.UpperDir, Dir: dir}
	o.ReadOnly = false
	return nil
}

// OverlayError is a file that cannot be laid over an image.
type OverlayError struct{ Path, Kind string }

func (e *OverlayError) Error() string {
	return fmt.Sprintf("overlay %s: a file of kind %s cannot be laid over an image", e.Path, e.Kind)
}

// Hint says what can.
func (e *OverlayError) Hint() string {
	return "use a folder (mkdir my-changes; --overlay my-changes), which needs no size to be chosen, or an ext3 or SquashFS file"
}

// userNS gives root a user namespace of its own.
func (e *Engine) userNS(s RunSpec, o *launch.Options) {
	if s.Details.UserNS && !o.IDs.Namespace {
		o.IDs = sandbox.SingleID(o.Host.UID, o.Host.GID)
		if o.Person != nil {
			o.IDs = sandbox.SingleID(o.Person.UID, o.Person.GID)
		}
	}
}

// become is what a container sees of its caller when its process has other ids; -1 keeps one.
func become(h launch.Host, uid, gid int) launch.Host {
	if uid >= 0 {
		h.Groups = nil
		h.UID, h.User, h.Home = uid, "user"+strconv.Itoa(uid), ""
		if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
			h.User, h.Home = u.Username, u.HomeDir
		}
	}
	if gid >= 0 {
		h.GID, h.Group = gid, ""
		if g, err := user.LookupGroupId(strconv.Itoa(gid)); err == nil {
			h.Group = g.Name
		}
	}
	return h
}
