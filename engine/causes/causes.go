package causes

import (
	"path"
	"strconv"
	"strings"
	"unicode"
)

// ID names a cause, for those who branch on it.
type ID string

// The causes.
const (
	DiskFull       ID = "disk-full"
	PortTaken      ID = "port-taken"
	LowPort        ID = "low-port"    // a port that is not for ordinary users
	RuntimeDir     ID = "runtime-dir" // /run/user/N is not there, or cannot be written
	ReadOnly       ID = "read-only"
	Glibc          ID = "glibc"
	NoUserNS       ID = "no-user-namespaces"
	Architecture   ID = "architecture"
	Memory         ID = "memory"
	TimeLimit      ID = "time-limit"
	RateLimit      ID = "rate-limit"
	NoName         ID = "no-name" // names of computers cannot be looked up
	NoRoute        ID = "no-route"
	Certificate    ID = "certificate"
	MissingSource  ID = "missing-source" // a folder to be shared is not there
	MissingDest    ID = "missing-dest"   // its place inside is not there
	RootRefused    ID = "root-refused"
	OtherIDs       ID = "other-ids" // chown and the like
	MissingModule  ID = "missing-module"
	MissingLibrary ID = "missing-library"
	MissingDebian  ID = "missing-debian-package"
	NoDisplay      ID = "no-display"
	OpenFiles      ID = "open-files"
	Denied         ID = "denied"
	MissingFile    ID = "missing-file"
	MissingProgram ID = "missing-program"
	Crashed        ID = "crashed"
	Aborted        ID = "aborted"
	Usage          ID = "usage"
	NotStarted     ID = "not-started"
)

// Fix is what can be done about a cause at once.
type Fix string

// The fixes.
const (
	FixNone     Fix = ""
	FixPort     Fix = "port"     // start it on the next free port
	FixNetwork  Fix = "network"  // start it with a network of its own, in which it may use any port
	FixFolder   Fix = "folder"   // make the folder Path
	FixSpace    Fix = "space"    // show what can be deleted
	FixMemory   Fix = "memory"   // start it with a higher limit
	FixTime     Fix = "time"     // start it with a later end
	FixWritable Fix = "writable" // share the folder for reading and changing
	FixEnv      Fix = "env"      // start it with the variables of Env
	FixArgs     Fix = "args"     // start it with the further arguments Args
	FixDoctor   Fix = "doctor"   // show what this computer can do
	FixRetry    Fix = "retry"    // try again after a while
)

// Cause is why something failed.
type Cause struct {
	ID ID `json:"id"`
	// Why is one sentence, Hint one or two that say what to do.
	Why  string `json:"why"`
	Hint string `json:"hint"`
	// Evidence is the line it was read from, without control characters; empty when it was read from the status.
	Evidence string `json:"evidence,omitempty"`
	Fix      Fix    `json:"fix,omitempty"`

	Port int               `json:"port,omitempty"` // of PortTaken and LowPort, 0 when the line does not say
	Path string            `json:"path,omitempty"` // the file or folder concerned, as whoever failed sees it
	Name string            `json:"name,omitempty"` // the program, module, library, package or computer that is missing
	Env  map[string]string `json:"env,omitempty"`
	Args []string          `json:"args,omitempty"`
}

// Folder is one that was shared with a container.
type Folder struct {
	Source, Dest string
	ReadOnly     bool
}

// Failure is what is known of something that failed.
type Failure struct {
	// Lines are the last ones it wrote, oldest first.
	Lines []string
	// Own are lines of Carrel's own about it. What they say is meant as they say it, so that only telling rules read them:
	// "resolve x.sif: not found" speaks of no program.
	Own []string
	// Status is its exit status; 0 for an error that was none of a program's.
	Status int
	// Memory says that it is known to have been ended for want of memory, Time for taking too long.
	Memory, Time bool
	// MemoryLimit is how much it was allowed, in bytes; 0 for all there is.
	MemoryLimit int64
	Folders     []Folder
	// Network says that it had a network of its own.
	Network bool
	// Build says that it was a step of a build.
	Build bool
}

// window is how many of the last lines are looked at.
const window = 60

// Find reads the cause of a failure. What is telling wins over what may have many reasons, and of two the later line. It
// reports false when nothing is known.
func Find(f Failure) (Cause, bool) {
	if f.Memory {
		return f.memory(""), true
	}
	if f.Time {
		return Cause{ID: TimeLimit, Fix: FixTime, Why: "It was ended because its time was over.", Hint: "Start it with a later end, or without one."}, true
	}
	lines := f.Lines[max(0, len(f.Lines)-window):]
	lines = append(append([]string{}, f.Own...), lines...)
	for _, weak := range []bool{false, true} {
		first := 0
		if weak {
			first = len(f.Own)
		}
		for i := len(lines) - 1; i >= first; i-- {
			line := clean(lines[i])
			for j := range rules {
				r := &rules[j]
				if r.weak != weak || r.status != 0 && r.status != f.Status {
					continue
				}
				m := r.pattern.FindStringSubmatch(line)
				if m == nil || r.not != nil && r.not.MatchString(line) {
					continue
				}
				c := r.make(&f, line, m)
				c.ID, c.Evidence = r.id, cut(line)
				return c, true
			}
		}
	}
	return f.status()
}

// status reads the exit status (128 and a signal's number for one that was killed, as shells write it).
func (f *Failure) status() (Cause, bool) {
	switch f.Status {
	case 2:
		return Cause{ID: Usage, Why: "It was called in a way it does not understand.", Hint: "Check its arguments."}, true
	case 126:
		return Cause{ID: NotStarted, Why: "Its start script is not a program that can be run.", Hint: "Look inside at the runscript: is it marked as executable, and does its first line name a program of the image?"}, true
	case 127:
		return Cause{ID: MissingProgram, Why: "A command in its start script was not found.", Hint: "Look inside at the runscript and the software."}, true
	case 134:
		return Cause{ID: Aborted, Why: "It gave up by itself (abort).", Hint: "The last lines of the log usually say why."}, true
	case 137:
		return f.memory(""), true
	case 139:
		return Cause{ID: Crashed, Why: "It crashed (segmentation fault).", Hint: "Often a program made for other libraries: build the image again from its definition."}, true
	}
	return Cause{}, false
}

func (f *Failure) memory(line string) Cause {
	c := Cause{ID: Memory, Why: "There was not enough memory.", Hint: "Close other programs, or give it less data at once.", Evidence: cut(clean(line))}
	if f.MemoryLimit > 0 {
		c.Fix, c.Why = FixMemory, "It needed more memory than it was allowed."
		c.Hint = "Start it with a higher limit of memory, or give it less data at once."
	} else if f.Status == 137 && line == "" && !f.Memory {
		c.Why = "It was killed, most often because memory ran out."
	}
	return c
}

// shared is the shared folder that a path inside lies in.
func (f *Failure) shared(at string) (Folder, bool) {
	best := Folder{}
	for _, d := range f.Folders {
		dest := path.Clean("/" + d.Dest)
		if (at == dest || strings.HasPrefix(at, strings.TrimSuffix(dest, "/")+"/")) && len(dest) > len(best.Dest) {
			best = Folder{d.Source, dest, d.ReadOnly}
		}
	}
	return best, best.Dest != ""
}

// clean takes control characters and escape sequences out of a line.
func clean(line string) string {
	var b strings.Builder
	escape := false
	for _, r := range line {
		switch {
		case r == 0x1b:
			escape = true
		case escape: // CSI and two-character sequences, as programs colour their messages with
			if r != '[' && (r >= '@' && r <= '~') {
				escape = false
			}
		case r == '\t':
			b.WriteByte(' ')
		case unicode.IsControl(r), r == unicode.ReplacementChar:
		default:
			b.WriteRune(r)
		}
	}
	return strings.TrimSpace(b.String())
}

// maxEvidence is how much of a line is shown.
const maxEvidence = 400

func cut(line string) string {
	if len(line) <= maxEvidence {
		return line
	}
	return strings.ToValidUTF8(line[:maxEvidence], "") + " …"
}

// port is the number that a line speaks of.
func port(line string) int {
	for _, m := range portNumber.FindAllStringSubmatch(line, -1) {
		for _, text := range m[1:] {
			if n, err := strconv.Atoi(text); err == nil && n > 0 && n < 65536 {
				return n
			}
		}
	}
	return 0
}

// file is the path that a line speaks of, the last one.
func file(line string) string {
	found := ""
	for _, m := range filePath.FindAllStringSubmatch(line, -1) {
		for _, text := range m[1:] {
			if text != "" {
				found = strings.TrimRight(text, ".:,;")
			}
		}
	}
	return found
}
