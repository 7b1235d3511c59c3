package again

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"carrel/engine/sandbox/forked"
)

// world is a call with a memo of a folder and files.
type world struct {
	t     *testing.T
	dir   string
	call  *Call
	memo  *Memo
	began time.Time // so late that everything was changed long before
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), began: time.Now().Add(time.Hour)}
	w.write("root/etc/passwd", "root:x:0:0::/root:/bin/sh\n")
	w.write("root/usr/bin/true", "true")
	w.link("usr/bin", "root/bin")
	w.write("config", "hot_limit = 1\n")
	w.write("home/file", "")
	w.write("used", "")
	w.call = NewCall([]string{"carrel", "exec", "root", "true", "x"}, []string{"XDG_RUNTIME_DIR=" + w.dir, "A=1"}, 4)
	if w.call == nil {
		t.Fatal("no call")
	}
	p := &forked.Program{}
	p.Exec(forked.Int(3), []string{"true"}, nil)
	text, ok := p.Append(nil, 0)
	if !ok {
		t.Fatal("the program cannot be encoded")
	}
	w.memo = &Memo{
		Look: Look{
			Folder: w.path("root"), Inside: []string{"/etc/passwd", "/bin/true", "/sbin/true", "/opt/data"},
			Files: []string{w.path("config"), w.path("none")}, Places: []string{w.path("home"), w.path("nowhere")},
		},
		Hold: w.path("used"), Terminal: true, Flags: 5, Program: text,
	}
	return w
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

func (w *world) write(name, text string) {
	w.t.Helper()
	if err := os.MkdirAll(filepath.Dir(w.path(name)), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(w.path(name), []byte(text), 0o644); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) link(target, name string) {
	w.t.Helper()
	if err := os.Symlink(target, w.path(name)); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) remove(name string) {
	w.t.Helper()
	if err := os.RemoveAll(w.path(name)); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) save() {
	w.t.Helper()
	if err := w.call.Save(w.memo, w.began); err != nil {
		w.t.Fatal(err)
	}
}

func TestMemo(t *testing.T) {
	w := newWorld(t)
	w.save()
	m, ok := w.call.load(w.began.Add(time.Second))
	if !ok {
		t.Fatal("it was not kept")
	}
	if m.Hold != w.memo.Hold || !m.Terminal || m.Flags != 5 || string(m.Program) != string(w.memo.Program) || m.Folder != w.memo.Folder {
		t.Errorf("got %+v", m)
	}
	if !m.same() {
		t.Error("nothing has changed, and it is told otherwise")
	}
	if _, err := m.program(w.call); err != nil {
		t.Error(err)
	}
}

// TestChanges: whatever the launch has looked at is noticed when it changes.
func TestChanges(t *testing.T) {
	for name, change := range map[string]func(*world){
		"a file inside is changed":          func(w *world) { w.write("root/etc/passwd", "longer than it was before, and other\n") },
		"a file inside is removed":          func(w *world) { w.remove("root/usr/bin/true") },
		"what was missing inside is there":  func(w *world) { w.write("root/opt/data", "") },
		"a folder on the way is there":      func(w *world) { w.write("root/opt/other", "") },
		"a program comes first":             func(w *world) { w.write("root/sbin/true", "") },
		"a link leads elsewhere":            func(w *world) { w.remove("root/bin"); w.link("etc", "root/bin") },
		"a link leads out of the root":      func(w *world) { w.remove("root/bin"); w.link("../../../usr/bin", "root/bin") },
		"the rights of a folder inside":     func(w *world) { _ = os.Chmod(w.path("root/etc"), 0o700) },
		"the folder is another":             func(w *world) { w.remove("root"); w.write("root/etc/passwd", "") },
		"the folder is gone":                func(w *world) { w.remove("root") },
		"a file of the host is changed":     func(w *world) { w.write("config", "hot_limit = 0, and more\n") },
		"a file of the host is there":       func(w *world) { w.write("none", "") },
		"a place of the host is gone":       func(w *world) { w.remove("home") },
		"a place of the host is a file":     func(w *world) { w.remove("home"); w.write("home", "") },
		"a place of the host is there":      func(w *world) { w.write("nowhere", "") },
		"the rights of a place of the host": func(w *world) { _ = os.Chmod(w.path("home"), 0o700) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.save()
			change(w)
			m, ok := w.call.load(w.began)
			if !ok {
				t.Fatal("it was not kept")
			}
			if m.same() {
				t.Error("it was not noticed")
			}
		})
	}
	w := newWorld(t)
	w.save()
	w.write("home/other", "what is in a place does not matter")
	if m, ok := w.call.load(w.began); !ok || !m.same() {
		t.Error("a file in a place of the host counts as a change")
	}
}

// TestNotUsed: what is no memo of this call, or may be somebody else's, is none.
func TestNotUsed(t *testing.T) {
	for name, spoil := range map[string]func(w *world, file string) time.Duration{
		"too old":     func(*world, string) time.Duration { return Lasting + time.Second },
		"of tomorrow": func(*world, string) time.Duration { return -time.Second },
		"of another environment": func(w *world, file string) time.Duration {
			other := NewCall([]string{"carrel", "exec", "root", "true"}, []string{"XDG_RUNTIME_DIR=" + w.dir, "A=2"}, 4)
			if err := os.Rename(file, other.path()); err != nil {
				w.t.Fatal(err)
			}
			w.call = other
			return 0
		},
		"others may write to it": func(w *world, file string) time.Duration { _ = os.Chmod(file, 0o622); return 0 },
		"a link": func(w *world, file string) time.Duration {
			if err := os.Rename(file, file+"x"); err != nil {
				w.t.Fatal(err)
			}
			if err := os.Symlink(file+"x", file); err != nil {
				w.t.Fatal(err)
			}
			return 0
		},
		"cut off": func(w *world, file string) time.Duration { _ = os.Truncate(file, 400); return 0 },
		"longer": func(w *world, file string) time.Duration {
			st, err := os.Stat(file)
			if err != nil {
				w.t.Fatal(err)
			}
			_ = os.Truncate(file, st.Size()+1)
			return 0
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.save()
			age := spoil(w, w.call.path())
			if _, ok := w.call.load(w.began.Add(age)); ok {
				t.Error("it is used")
			}
		})
	}
}

// TestUnsettled: of files that were changed a moment ago nobody can tell whether they are as they were read.
func TestUnsettled(t *testing.T) {
	w := newWorld(t)
	w.began = time.Now()
	w.save()
	if _, err := os.Stat(w.call.path()); !os.IsNotExist(err) {
		t.Errorf("a memo was made: %v", err)
	}
}

// TestPrivate: memos are not put where others can write.
func TestPrivate(t *testing.T) {
	w := newWorld(t)
	if err := os.Mkdir(w.call.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(w.call.Dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := w.call.Save(w.memo, w.began); err == nil {
		t.Error("they are")
	}
}

// TestSweep: memos that have lasted are removed when another is made.
func TestSweep(t *testing.T) {
	w := newWorld(t)
	w.save()
	old := w.call.Dir + "/0123"
	if err := os.WriteFile(old, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(old, time.Time{}, w.began.Add(-Lasting-time.Second)); err != nil {
		t.Fatal(err)
	}
	w.save()
	if _, err := os.Stat(old); !os.IsNotExist(err) {
		t.Errorf("it is still there: %v", err)
	}
	w.call.Drop()
	if _, ok := w.call.load(w.began); ok {
		t.Error("what was dropped is used")
	}
}

func FuzzMemo(f *testing.F) {
	w := &Memo{Look: Look{Folder: "/", Inside: []string{"/etc"}, Files: []string{"/etc/passwd"}}, Program: []byte{1}}
	dir := f.TempDir()
	now := time.Now().Add(time.Hour)
	c := NewCall([]string{"carrel", "exec", "/", "true"}, []string{"XDG_RUNTIME_DIR=" + dir}, 4)
	c.Key = []byte("key") // that of a call is of this process
	if err := c.Save(w, now); err != nil {
		f.Fatal(err)
	}
	text, err := os.ReadFile(c.path())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add(text[:len(text)/2])
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, ok := c.parse(b, now); ok && len(m.inside)+len(m.files)+len(m.places) > len(b) {
			t.Error("more than there is")
		}
	})
}
