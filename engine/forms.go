package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/user"
	"path/filepath"
	"sort"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"carrel/engine/instance"
	"carrel/engine/network"
	"carrel/internal/amount"
)

// maxCounted is how many entries of a folder are counted.
const maxCounted = 10_000

// Folder looks at a folder as the launch form does while its name is typed: ~ and relative paths are understood.
func (e *Engine) Folder(path string) FolderState {
	s := FolderState{ByExt: map[string]int{}}
	if strings.TrimSpace(path) == "" {
		s.Problem = "choose a folder"
		return s
	}
	s.Path = e.expand(path)
	st, err := os.Stat(s.Path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		s.Problem = "there is no such folder yet"
		return s
	case errors.Is(err, os.ErrPermission):
		s.Exists = true
		s.Problem = "you may not look at this folder"
		return s
	case err != nil:
		s.Problem = err.Error()
		return s
	}
	s.Exists, s.IsDir = true, st.IsDir()
	if !s.IsDir {
		s.Problem = "this is a file; choose a folder"
		return s
	}
	s.Readable = unix.Access(s.Path, unix.R_OK|unix.X_OK) == nil
	s.Writable = unix.Access(s.Path, unix.W_OK) == nil
	if !s.Readable {
		s.Problem = "you may not read this folder"
		return s
	}
	var fs unix.Statfs_t
	if unix.Statfs(s.Path, &fs) == nil {
		s.FreeBytes = int64(fs.Bavail) * fs.Bsize
	}
	d, err := os.Open(s.Path)
	if err != nil {
		s.Problem = err.Error()
		return s
	}
	defer d.Close()
	for seen := 0; seen < maxCounted; {
		entries, err := d.ReadDir(1000)
		for _, n := range entries {
			seen++
			if n.IsDir() {
				s.Folders++
			}
			if n.Type().IsRegular() {
				s.Files++
				if ext := strings.ToLower(filepath.Ext(n.Name())); ext != "" && ext != n.Name() {
					s.ByExt[ext]++
				}
			}
		}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				s.Problem = err.Error()
			}
			break
		}
	}
	return s
}

// Port tells whether a port of this computer is free, who holds it, and which is the next free one.
func (e *Engine) Port(n int) PortState {
	s := PortState{Port: n}
	if n < 1 || n > 65535 {
		s.Holder = "a port is a number from 1 to 65535"
		return s
	}
	ctx := context.Background()
	local := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	free, err := network.FreePort(ctx, local, uint16(n))
	if err == nil {
		s.NextOne = int(free)
	}
	if s.NextOne == n {
		s.Free = true
		return s
	}
	// Taking it for a moment tells who has it.
	p, err := network.Publish(ctx, network.Mapping{HostPort: uint16(n), ContainerPort: 1}, func(context.Context) (net.Conn, error) {
		return nil, net.ErrClosed // whoever connects in this moment is turned away
	})
	var taken *network.PortTaken
	var forbidden *network.PortForbidden
	switch {
	case err == nil:
		p.Close()
		s.Free, s.NextOne = true, n
	case errors.As(err, &taken) && e.publishes(n) != "":
		s.Holder = "your app " + e.publishes(n)
	case errors.As(err, &taken) && taken.Command != "":
		s.Holder = fmt.Sprintf("%s (process %d)", taken.Command, taken.PID)
	case errors.As(err, &taken):
		s.Holder = "a program of another user"
		if u, err := user.LookupId(strconv.Itoa(taken.UID)); err == nil && taken.UID >= 0 {
			s.Holder = "a program of the user " + u.Username
		}
	case errors.As(err, &forbidden):
		s.Holder = fmt.Sprintf("the system: ports below %d are not for ordinary users", forbidden.First)
	default:
		s.Holder = err.Error()
	}
	return s
}

// publishes is the name of the app of this user's that has a port of this computer, empty when none has.
func (e *Engine) publishes(port int) string {
	list, err := e.Instances(context.Background())
	if err != nil {
		return ""
	}
	for _, in := range list {
		for _, a := range in.Addresses {
			if in.State.Live() && in.Elsewhere == "" && a.Host == port {
				return in.Name
			}
		}
	}
	return ""
}

// FreeSpace is how many bytes are free for images, and in which folder.
func (e *Engine) FreeSpace() (int64, string) {
	var fs unix.Statfs_t
	if unix.Statfs(e.imageDir(), &fs) != nil {
		return 0, e.imageDir()
	}
	return int64(fs.Bavail) * fs.Bsize, e.imageDir()
}

// CommandLine is the command that starts the same from a shell.
func (e *Engine) CommandLine(s RunSpec) string {
	verb := "run"
	switch s.Action {
	case ActionExec, ActionShell:
		verb = string(s.Action)
	}
	return e.line([]string{"carrel", verb}, s)
}

// backgroundLine is the command that starts the same in the background, under a name where that is not the one it gets
// anyway. A start script is started by Singularity's own command, the only one that has it.
func (e *Engine) backgroundLine(s RunSpec, name string) string {
	if s.Action == ActionStart {
		s.Args = append([]string{name}, s.Args...)
		return e.line([]string{"singularity", "instance", "start"}, s)
	}
	head := []string{"carrel", "run", "-d"}
	if name != instance.NameOf(s.Image) {
		head = append(head, "--name", name)
	}
	if s.Wait > 0 {
		head = append(head, "--wait", s.Wait.String())
	}
	return e.line(head, s)
}

// line is a command line that begins with args and goes on with what a RunSpec asks for.
func (e *Engine) line(args []string, s RunSpec) string {
	flag := func(on bool, name string) {
		if on {
			args = append(args, name)
		}
	}
	value := func(on bool, name, value string) {
		if on {
			args = append(args, name, value)
		}
	}
	flag(s.Profile == ProfileSafe, "--safe")
	l := s.Details.Limits
	value(l.Memory > 0, "--memory", amount.FormatBytes(l.Memory))
	value(l.CPUs > 0, "--cpus", strconv.FormatFloat(l.CPUs, 'g', -1, 64))
	value(l.PIDs > 0, "--pids-limit", strconv.FormatInt(l.PIDs, 10))
	value(s.TimeLimit > 0, "--time", amount.FormatSpan(s.TimeLimit))
	if r := s.Restart; r.When != RestartNever {
		text := string(r.When)
		if r.Max > 0 {
			text += ":" + strconv.Itoa(r.Max)
		}
		value(true, "--restart", text)
	}
	value(s.StopSignal != "", "--stop-signal", s.StopSignal)
	flag(s.Terminal, "--tty")
	flag(s.Stdin, "--interactive")
	flag(s.Details.Nvidia, "--nv")
	flag(s.Details.AMD, "--rocm")
	flag(s.Writable, "--writable")
	for _, o := range s.Details.Overlays {
		path := e.shorten(e.expand(o.Path))
		if o.ReadOnly {
			path += ":ro"
		}
		args = append(args, "--overlay", path)
	}
	flag(s.Root, "--fakeroot")
	flag(s.Contain, "--contain")
	flag(s.CleanEnv, "--cleanenv")
	flag(s.NoHome, "--no-home")
	if s.NoNetwork {
		args = append(args, "--net", "none")
	} else if s.Isolated && len(s.Ports) == 0 {
		args = append(args, "--net", "private")
	} else if s.HostNetwork {
		args = append(args, "--net", "host")
	}
	switch s.Guard {
	case GuardOn:
		args = append(args, "--guard")
	case GuardOff, GuardAuto:
		args = append(args, "--guard="+string(s.Guard))
	}
	if s.Home != "" {
		home := s.Home
		if s.HomeDest != "" {
			home = strings.ReplaceAll(s.Home, ":", `\:`) + ":" + strings.ReplaceAll(s.HomeDest, ":", `\:`)
		}
		args = append(args, "--home", home)
	}
	if s.Cwd != "" {
		args = append(args, "--cwd", s.Cwd)
	}
	flag(s.Details.AsSelf, "--as-self")
	if s.App != "" {
		args = append(args, "--app", s.App)
	}
	for _, b := range s.Binds {
		args = append(args, "-B", e.bindText(b))
	}
	for _, p := range s.Ports {
		args = append(args, "-p", portFlag(p))
	}
	keys := make([]string, 0, len(s.Env))
	for k := range s.Env {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	for _, k := range keys {
		args = append(args, "--env", k+"="+s.Env[k])
	}
	args = append(args, e.shorten(s.Image))
	return quoteAll(append(args, s.Args...))
}

// bindText is what -B is given for a bind.
func (e *Engine) bindText(b Bind) string {
	escape := strings.NewReplacer(`\`, `\\`, ":", `\:`, ",", `\,`).Replace
	v := escape(e.tilde(b.Source)) + ":" + escape(b.Dest)
	var options []string
	if b.ReadOnly && !b.OfImage() {
		options = append(options, "ro")
	}
	if b.InImage != "" {
		options = append(options, "image-src="+escape(b.InImage))
	}
	if b.Part != 0 {
		options = append(options, fmt.Sprintf("id=%d", b.Part))
	}
	if len(options) > 0 {
		v += ":" + strings.Join(options, ",")
	}
	return v
}

// portFlag is the shortest form of -p that means a port.
func portFlag(p Port) string {
	c := strconv.Itoa(p.Container)
	if p.UDP {
		c += "/udp"
	} else if p.Proto != "" {
		c += "/" + p.Proto
	}
	switch {
	case strings.Contains(p.HostIP, ":"):
		return "[" + p.HostIP + "]:" + strconv.Itoa(p.Host) + ":" + c
	case p.HostIP != "":
		return p.HostIP + ":" + strconv.Itoa(p.Host) + ":" + c
	case p.Host == p.Container && !p.Fixed:
		return c
	}
	return strconv.Itoa(p.Host) + ":" + c
}

// BuildCommandLine is the command that builds the same from a shell.
func (e *Engine) BuildCommandLine(s BuildSpec) string {
	args := []string{"carrel", "build"}
	if s.Sandbox {
		args = append(args, "--sandbox")
	}
	if s.Force {
		args = append(args, "--force")
	}
	if s.NoTest {
		args = append(args, "--notest")
	}
	keys := make([]string, 0, len(s.BuildArgs))
	for k := range s.BuildArgs {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	for _, k := range keys {
		args = append(args, "--build-arg", k+"="+s.BuildArgs[k])
	}
	target := s.Target
	if target == "" {
		base := shortName(s.Definition)
		if base == "Singularity" {
			base = filepath.Base(filepath.Dir(e.expand(s.Definition)))
		}
		target = base + ".sif"
	}
	return quoteAll(append(args, e.shorten(target), e.shorten(s.Definition)))
}

// shorten writes a path as a person would: an image of the store by its name, one of the working directory without the
// folder, one below home with ~.
func (e *Engine) shorten(path string) string {
	if !filepath.IsAbs(path) {
		return path
	}
	switch filepath.Dir(path) {
	case e.imageDir():
		return shortName(path)
	case e.c.User.Cwd:
		return filepath.Base(path)
	}
	return e.tilde(path)
}

func (e *Engine) tilde(path string) string {
	if h := e.c.User.Home; h != "" && h != "/" {
		if path == h {
			return "~"
		}
		if rest, ok := strings.CutPrefix(path, h+"/"); ok {
			return "~/" + rest
		}
	}
	return path
}

// quoteAll joins words so that a shell reads them back as they are.
func quoteAll(words []string) string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = quote(w)
	}
	return strings.Join(out, " ")
}

func quote(w string) string {
	plain := w != ""
	for _, r := range w {
		if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:=@%+,~", r)) {
			plain = false
		}
	}
	if plain && !strings.Contains(w[1:], "~") {
		return w
	}
	// A leading ~/ has to stay outside of the quotes, or the shell does not expand it.
	if rest, ok := strings.CutPrefix(w, "~/"); ok {
		return "~/" + quote(rest)
	}
	return "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
}
