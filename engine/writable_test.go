package engine

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"carrel/engine/image"
	"carrel/engine/sif"
	"carrel/internal/testroot"
)

// marked is an image with a file of each of three modes, and an extended attribute.
func marked(t *testing.T, e *Engine) string {
	t.Helper()
	root := testroot.Make(t, "stat")
	for name, mode := range map[string]os.FileMode{"plain": 0o644, "fixed": 0o444, "closed": 0o400} {
		p := filepath.Join(root, name)
		if err := os.WriteFile(p, []byte("text\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Setxattr(filepath.Join(root, "plain"), "user.foo", []byte("bar"), 0); err != nil {
		t.Fatal(err)
	}
	target := filepath.Join(e.c.User.Cwd, "marked.sif")
	if _, err := e.Build(context.Background(), BuildSpec{Definition: root, Target: target}, nil); err != nil {
		t.Fatal(err, Hint(err))
	}
	return target
}

// TestWritableAttributes: a file that a run changes keeps its mode and extended attributes, whether the image is served,
// mounted, or used from an unpacked copy.
func TestWritableAttributes(t *testing.T) {
	for _, hot := range []bool{false, true} {
		e := newEngine(t, nil)
		path := marked(t, e)
		if hot {
			if os.Getuid() == 0 {
				continue // root's images are mounted by the kernel
			}
			key, err := hotKey(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := runHeater(t.Context(), heatOrder{Image: path, Dir: e.hotDir(), Key: key, Limit: 1 << 30}); err != nil {
				t.Fatal(err)
			}
			if len(hotCopies(e.hotDir())) != 1 {
				t.Fatal("no copy was made")
			}
		}
		s := shell(path, "stat -c %a /plain /fixed /closed; echo more >> /plain; touch /fixed; chmod 444 /fixed")
		s.Writable = true
		if status, out, err := output(t, e, s); status != 0 || err != nil || out != "644\n444\n400\n" {
			t.Errorf("hot %v: %d, %q, %v", hot, status, out, err)
		}
		img, err := image.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		fsys, err := img.FS()
		if err != nil {
			t.Fatal(err)
		}
		for name, mode := range map[string]os.FileMode{"plain": 0o644, "fixed": 0o444, "closed": 0o400} {
			if info, err := fs.Stat(fsys, name); err != nil || info.Mode() != mode {
				t.Errorf("hot %v: %s is %v, %v", hot, name, info, err)
			}
		}
		if attrs, err := image.XattrsOf(fsys, "plain"); err != nil || string(attrs["user.foo"]) != "bar" {
			t.Errorf("hot %v: attributes %q, %v", hot, attrs, err)
		}
		if len(img.Overlays()) != 1 {
			t.Errorf("hot %v: %d layers", hot, len(img.Overlays()))
		}
		img.Close()
	}
}

// TestCompactThroughALink: the link stays one, and the image keeps what it carries beside its system.
func TestCompactThroughALink(t *testing.T) {
	e := newEngine(t, nil)
	path := small(t, e, "")
	link := filepath.Join(e.c.User.Cwd, "link.sif")
	if err := os.Symlink(filepath.Base(path), link); err != nil {
		t.Fatal(err)
	}
	names := func() (list []string) {
		m, err := sif.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		for _, o := range m.Objects {
			list = append(list, o.Type.String()+" "+o.Name)
		}
		return list
	}
	before := names()
	s := shell(link, "echo new > /new")
	s.Writable = true
	if status, out, err := output(t, e, s); status != 0 || err != nil {
		t.Fatal(status, out, err)
	}
	if done, err := e.Compact(t.Context(), link); err != nil || done.Layers != 1 || done.Signatures != 0 {
		t.Fatalf("%+v, %v", done, err)
	}
	if to, err := os.Readlink(link); err != nil || to != filepath.Base(path) {
		t.Errorf("the link is %q, %v", to, err)
	}
	if after := names(); !slices.Equal(before, after) || len(after) < 4 {
		t.Errorf("got %q, before %q", after, before)
	}
	if _, out, _ := output(t, e, shell(path, "cat /new")); out != "new\n" {
		t.Errorf("got %q", out)
	}
}

// leave makes changes of an image that were not saved, as a killed run does.
func leave(t *testing.T, e *Engine, path, name string) {
	t.Helper()
	k := &keeper{e: e, path: path, lower: imageLower(path), owners: imageOwners(os.Getuid() != 0), id: identify(path), dir: e.changesDir(path)}
	if err := errors.Join(k.folders(), k.begin(nil), os.WriteFile(filepath.Join(k.dir, "upper", name), nil, 0o644)); err != nil {
		t.Fatal(err)
	}
}

// TestUnsavedAreFound: unsaved changes are an image's, not a name's: they are found through links and after the image was
// moved, and neither a copy nor another image of the name is offered them.
func TestUnsavedAreFound(t *testing.T) {
	e := newEngine(t, nil)
	path := small(t, e, "")
	at := func(name string) string { return filepath.Join(e.c.User.Cwd, name) }
	leave(t, e, path, "precious")
	found := func(image string, want bool) {
		t.Helper()
		left, err := e.Unsaved(t.Context(), image)
		if err != nil || (left != nil) != want || want && !slices.Equal(left.Names, []string{"+ /precious"}) {
			t.Errorf("%s: %+v, %v", filepath.Base(image), left, err)
		}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	copied := at("copy.sif")
	if err := errors.Join(os.Symlink(path, at("link.sif")), os.WriteFile(copied, data, 0o755)); err != nil {
		t.Fatal(err)
	}
	found(path, true)
	found(at("link.sif"), true)
	found(copied, false)
	if err := os.Rename(path, at("moved.sif")); err != nil {
		t.Fatal(err)
	}
	found(at("moved.sif"), true)
	again := small(t, e, "%labels\n  v 2\n")
	if again != path {
		t.Fatal(again)
	}
	found(path, false)
	// The new image of the old name has changes of its own.
	other := shell(path, "echo > /other")
	other.Writable = true
	if status, out, err := output(t, e, other); status != 0 || err != nil {
		t.Fatal(status, out, err)
	}
	found(at("moved.sif"), true)
	s := shell(at("moved.sif"), "ls /precious")
	s.Writable = true
	if _, _, err := output(t, e, s); !errors.As(err, new(*UnsavedError)) {
		t.Errorf("got %v", err)
	}
	s.Leftovers = LeftoversKeep
	if status, out, err := output(t, e, s); status != 0 || out != "/precious\n" || err != nil {
		t.Errorf("%d, %q, %v", status, out, err)
	}
	found(at("moved.sif"), false)
	if _, out, _ := output(t, e, shell(at("moved.sif"), "ls /precious")); out != "/precious\n" {
		t.Errorf("not saved: %q", out)
	}
}

// TestFullImage: an image without room for a further layer says so before anything is lost, and how to go on.
func TestFullImage(t *testing.T) {
	e := newEngine(t, nil)
	path := small(t, e, "")
	u, err := sif.OpenForUpdate(path)
	if err != nil {
		t.Fatal(err)
	}
	for u.Room() == nil {
		o := sif.NewObject{Type: sif.TypeGeneric, Name: "n", Write: func(w sif.Target, at int64) (int64, error) {
			_, err := w.WriteAt([]byte("x"), at)
			return 1, err
		}}
		if _, err := u.Add(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	u.Close()
	s := shell(path, "echo > /new")
	s.Writable = true
	status, out, err := output(t, e, s)
	if !errors.As(err, new(*FullError)) || !strings.Contains(Hint(err), "carrel compact") {
		t.Errorf("%d, %q, %v, %q", status, out, err, Hint(err))
	}
	if left, err := e.Unsaved(t.Context(), path); left != nil || err != nil {
		t.Errorf("%+v, %v", left, err)
	}
}
