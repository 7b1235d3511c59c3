package instance

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"carrel/engine/instance/logfile"
	"carrel/internal/filelock"
)

const (
	historyDir = ".history"
	lockFile   = ".lock"
	maxName    = 63
)

// List returns the instances below a root folder, oldest start first, ended ones too. A root that does not exist has none.
// Folders whose state cannot be read are left out and told of in the error, beside all others.
func List(root string) ([]Instance, error) { return list(root) }

// History returns the ended instances whose names were taken again, oldest first; their names are NAME@TIME.
func History(root string) ([]Instance, error) { return list(filepath.Join(root, historyDir)) }

func list(root string) ([]Instance, error) {
	entries, err := os.ReadDir(root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list apps: %w", err)
	}
	here := thisMachine()
	var all []Instance
	var problems []error
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		in, _, err := load(filepath.Join(root, e.Name()), here)
		switch {
		case errors.Is(err, ErrNotFound): // being removed
		case err != nil:
			problems = append(problems, err)
		default:
			in.Name = e.Name()
			all = append(all, in)
		}
	}
	slices.SortStableFunc(all, func(a, b Instance) int { return a.Started.Compare(b.Started) })
	return all, errors.Join(problems...)
}

// Get returns one instance, or one of the history. The error wraps ErrNotFound.
func Get(root, name string) (Instance, error) {
	dir, err := folder(root, name)
	if err != nil {
		return Instance{}, err
	}
	return at(dir)
}

// at returns the instance of a folder.
func at(dir string) (Instance, error) {
	in, _, err := load(dir, thisMachine())
	if err != nil {
		return Instance{}, fmt.Errorf("find %s: %w", filepath.Base(dir), err)
	}
	in.Name = filepath.Base(dir)
	return in, nil
}

// folder is where the instance of a name has its files.
func folder(root, name string) (string, error) {
	base, _, old := strings.Cut(name, "@")
	if name == "" || CheckName(base) != nil || strings.ContainsAny(name, "/\x00") {
		return "", fmt.Errorf("find %q: %w", name, ErrNotFound)
	}
	if old {
		return filepath.Join(root, historyDir, name), nil
	}
	return filepath.Join(root, name), nil
}

// NameError says what is wrong with a name.
type NameError struct{ Name, Reason string }

func (e *NameError) Error() string { return fmt.Sprintf("name %q: %s", e.Name, e.Reason) }

// Hint says which names can be given.
func (e *NameError) Hint() string {
	return "use letters, digits, '-', '_' and '.', beginning with a letter or digit, at most " + strconv.Itoa(maxName) + " of them"
}

// CheckName tells whether an instance can have a name: 1 to 63 of A–Z a–z 0–9 - _ . beginning with a letter or digit. The
// error is a *NameError.
func CheckName(name string) error {
	if name == "" {
		return &NameError{name, "empty"}
	}
	if len(name) > maxName {
		return &NameError{name, "too long"}
	}
	for i, c := range []byte(name) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && (i == 0 || c != '-' && c != '_' && c != '.') {
			return &NameError{name, fmt.Sprintf("%q cannot stand there", rune(c))}
		}
	}
	return nil
}

// NameOf makes a name of an image's file name or reference: "/data/Jupyter Lab.sif" gives "jupyter-lab".
func NameOf(image string) string {
	name := image[strings.LastIndexByte(strings.TrimRight(image, "/"), '/')+1:]
	name = strings.TrimRight(name, "/")
	name, _, _ = strings.Cut(name, "@sha256")
	for _, ext := range []string{".sif", ".img", ".simg", ".sqsh", ".squashfs", ".tar", ".gz"} {
		name = strings.TrimSuffix(name, ext)
	}
	var b strings.Builder
	for _, c := range strings.ToLower(name) {
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '.', c == '_':
			b.WriteRune(c)
		default:
			b.WriteByte('-')
		}
	}
	name = strings.TrimLeft(b.String(), "-._")
	name = strings.TrimRight(name[:min(len(name), maxName-8)], "-._")
	if name == "" {
		return "app"
	}
	return name
}

// Reserve makes the folder of a new instance, private to the user, and returns its name and path. With exact the name is
// taken as it is, and ErrExists (wrapped) tells that it is running already; otherwise a number is put behind a name that is
// running: jupyter, jupyter-2, jupyter-3. An ended instance of the name goes to the history. Nobody else can reserve the
// name as long as the calling process lives; Spawn hands it to the supervisor, Forget gives it back.
func Reserve(root, name string, exact bool) (taken, dir string, err error) {
	if err := CheckName(name); err != nil {
		return "", "", err
	}
	unlock, err := lock(root)
	if err != nil {
		return "", "", err
	}
	defer unlock()
	here := thisMachine()
	self, err := readProcess(os.Getpid())
	if err != nil {
		return "", "", fmt.Errorf("reserve name %s: %w", name, err)
	}
	for n := 1; ; n++ {
		taken = name
		if n > 1 {
			taken = name + "-" + strconv.Itoa(n)
		}
		dir = filepath.Join(root, taken)
		in, _, err := load(dir, here)
		switch {
		case errors.Is(err, ErrNotFound):
			if err := os.RemoveAll(dir); err != nil { // without a state it is a leftover
				return "", "", fmt.Errorf("reserve name %s: %w", taken, err)
			}
		case err == nil && !in.State.Live():
			if err := archive(root, in); err != nil {
				return "", "", fmt.Errorf("reserve name %s: %w", taken, err)
			}
		case exact && err != nil:
			return "", "", fmt.Errorf("reserve name %s: %w", taken, err)
		case exact:
			return "", "", &takenNameError{taken, in.Elsewhere}
		default:
			continue
		}
		r := record{
			Instance: Instance{Name: taken, State: StateStarting, PID: self.pid, Started: time.Now()},
			Machine:  here, Start: self.start, Reserved: true, Beats: true,
		}
		if err := os.Mkdir(dir, 0o700); err != nil {
			return "", "", fmt.Errorf("reserve name %s: %w", taken, err)
		}
		if err := r.write(dir, false); err != nil {
			return "", "", errors.Join(err, os.RemoveAll(dir))
		}
		return taken, dir, nil
	}
}

// lock keeps other starters of this user out (flock(2)). File systems without locks are used without.
func lock(root string) (unlock func(), err error) {
	if err := os.MkdirAll(root, 0o700); err != nil {
		return nil, fmt.Errorf("make folder of running apps: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(root, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock folder of running apps: %w", err)
	}
	if err := filelock.Lock(f, unix.LOCK_EX); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock folder of running apps: %w", err)
	}
	return func() { f.Close() }, nil
}

// archive moves an ended instance to the history.
func archive(root string, in Instance) error {
	history := filepath.Join(root, historyDir)
	if err := os.MkdirAll(history, 0o700); err != nil {
		return err
	}
	base := filepath.Base(in.Dir) + "@" + in.Started.UTC().Format("20060102-150405")
	target := filepath.Join(history, base)
	for n := 2; ; n++ {
		if _, err := os.Lstat(target); errors.Is(err, fs.ErrNotExist) {
			break
		}
		target = filepath.Join(history, base+"."+strconv.Itoa(n))
	}
	if err := os.Rename(in.Dir, target); err != nil {
		return err
	}
	return nil
}

// Keep says how much of what has ended is kept.
type Keep struct {
	Number int           // of instances; negative: any
	Age    time.Duration // since they ended; 0: any
	Size   int64         // of all their files in bytes; 0: any
}

// Prune forgets instances that have ended, those that ended first, as keep says. Of those that take too much room only the
// logs go: how they ended is still listed. It returns how many it has forgotten.
func Prune(root string, keep Keep, now time.Time) (int, error) {
	unlock, err := lock(root)
	if err != nil {
		return 0, err
	}
	defer unlock()
	// What cannot be read stays where it is.
	old, _ := History(root)
	all, _ := List(root)
	for _, in := range all {
		if !in.State.Live() && in.Elsewhere == "" {
			old = append(old, in)
		}
	}
	slices.SortStableFunc(old, func(a, b Instance) int { return a.over().Compare(b.over()) })
	forgotten, size := 0, int64(0)
	for i, in := range slices.Backward(old) {
		if keep.Number >= 0 && len(old)-i > keep.Number || keep.Age != 0 && now.Sub(in.over()) > keep.Age {
			if err := os.RemoveAll(in.Dir); err != nil {
				return forgotten, fmt.Errorf("forget %s: %w", in.Name, err)
			}
			forgotten++
			continue
		}
		own := sizeOf(in.Dir)
		if size += own; keep.Size > 0 && size > keep.Size && own > leastDropped {
			if err := dropLog(in); err != nil {
				return forgotten, fmt.Errorf("forget the log of %s: %w", in.Name, err)
			}
			size += sizeOf(in.Dir) - own
		}
	}
	return forgotten, nil
}

// leastDropped is the size in bytes of a folder from which on it is worth while to drop its log.
const leastDropped = 64 << 10

// sizeOf is what the files of a folder take, in bytes.
func sizeOf(dir string) (size int64) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			size += info.Size()
		}
	}
	return size
}

// dropLog puts a remark, and the last lines, in the place of the log of an instance that has ended.
func dropLog(in Instance) error {
	for _, name := range []string{logfile.OlderPath(in.Dir), in.LogFile, filepath.Join(in.Dir, crashFile)} {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	w, err := logfile.Open(in.Dir, 0)
	if err != nil {
		return err
	}
	text := "this log was dropped, because the logs of all apps that have ended took too much room"
	if len(in.LastLines) > 0 {
		text += "; its last lines were:\n" + strings.Join(in.LastLines, "\n")
	}
	w.Remark(text)
	return w.Close()
}

// over is when it ended; of one that was lost, when it was started, since nobody wrote down more.
func (in Instance) over() time.Time {
	if in.Ended.IsZero() {
		return in.Started
	}
	return in.Ended
}

// Forget removes an instance that has ended, with its log; one of the history as well. ErrRunning (wrapped) tells that it
// has not. The caller's own reservation may be given back as long as no supervisor has taken it over.
func Forget(root, name string) error { return forget(root, name, false) }

// Discard is Forget of an instance of another machine as well, of which somebody knows that it has ended there.
func Discard(root, name string) error { return forget(root, name, true) }

func forget(root, name string, elsewhere bool) error {
	dir, err := folder(root, name)
	if err != nil {
		return err
	}
	unlock, err := lock(root)
	if err != nil {
		return err
	}
	defer unlock()
	in, r, err := load(dir, thisMachine())
	if errors.Is(err, ErrNotFound) {
		if _, e := os.Lstat(dir); e != nil {
			return fmt.Errorf("forget %s: %w", name, ErrNotFound)
		}
	} else if err == nil && in.State.Live() && !(r.Reserved && in.PID == os.Getpid()) && !(elsewhere && in.Elsewhere != "") {
		return fmt.Errorf("forget %s: %w", name, ErrRunning)
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("forget %s: %w", name, err)
	}
	return nil
}
