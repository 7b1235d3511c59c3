package changes

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"golang.org/x/sys/unix"

	"carrel/engine/sandbox"
	"carrel/engine/sandbox/plan"
	"carrel/engine/tree"
	"carrel/internal/rmtree"
	"carrel/internal/testroot"
)

// collector lists what it is given, one line an entry.
type collector struct{ lines []string }

func (c *collector) Add(e tree.Entry, body io.Reader) error {
	text := ""
	switch {
	case e.HardLink != "":
		text = "link to " + e.HardLink
	case e.Type() == tree.TypeRegular:
		b, err := io.ReadAll(body)
		if err != nil {
			return err
		}
		text = fmt.Sprintf("file %q", b)
	case e.Type() == tree.TypeDir:
		text = "dir"
	case e.Type() == tree.TypeSymlink:
		text = "→ " + e.Link
	case e.Type() == tree.TypeChar:
		text = fmt.Sprintf("device %d:%d", e.Major, e.Minor)
	}
	if len(e.Xattrs) > 0 {
		text += fmt.Sprint(" ", e.Xattrs)
	}
	c.lines = append(c.lines, e.Path+" "+text)
	return nil
}

// record runs a script over an image folder and returns the upper folder it filled.
func record(t *testing.T, image, script string, mounts ...plan.Op) string {
	t.Helper()
	dir := t.TempDir()
	t.Cleanup(func() { rmtree.Remove(dir) })
	for _, d := range []string{"upper", "work"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	ids := sandbox.NoIDMap()
	if os.Getuid() != 0 {
		ids = sandbox.SingleID(os.Getuid(), os.Getgid())
	}
	k, err := sandbox.Start(context.Background(), sandbox.Config{IDs: ids, Stderr: os.Stderr, Plan: plan.Plan{
		UserNS: os.Getuid() != 0, PIDNS: true, UID: -1, GID: -1,
		Layers: []plan.Layer{{Folder: image}}, Upper: plan.Upper{Kind: plan.UpperDir, Dir: dir},
		Ops:     append([]plan.Op{{Kind: plan.OpProc, Dest: "/proc"}}, mounts...),
		Process: plan.Process{Args: []string{"/bin/sh", "-ec", script}, Env: []string{"PATH=/bin"}, Dir: "/", Umask: 0o022},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if status, err := k.Wait(); status != 0 || err != nil {
		t.Fatalf("status %d, %v", status, err)
	}
	return filepath.Join(dir, "upper")
}

func TestChanges(t *testing.T) {
	image := testroot.Make(t)
	for name, text := range map[string]string{"data/old": "old", "data/keep": "keep", "opt/app/a": "a", "opt/app/b": "b", "opt/app/sub/c": "c"} {
		p := filepath.Join(image, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("app", filepath.Join(image, "opt/link")); err != nil {
		t.Fatal(err)
	}
	mount := plan.Op{Kind: plan.OpTmpfs, Dest: "/made/for/mount"}
	for _, tc := range []struct {
		name, script   string
		want           []string
		files, deleted int
		folders        int
		empty          bool
	}{
		{name: "nothing", script: "true", empty: true},
		{name: "reading", script: "cat /data/old; ls -la /opt", empty: true},
		{name: "only a place to mount on", script: "echo x > /made/for/mount/file", empty: true},
		{name: "new file", script: "mkdir /data/new; echo -n x > /data/new/f", files: 1, folders: 1,
			want: []string{". dir", "data dir", "data/new dir", `data/new/f file "x"`}},
		{name: "new empty folder", script: "mkdir /data/new", folders: 1, want: []string{". dir", "data dir", "data/new dir"}},
		{name: "changed file", script: "echo -n more >> /data/old", files: 1, want: []string{". dir", "data dir", `data/old file "oldmore"`}},
		{name: "deleted file", script: "rm /data/old", deleted: 1, want: []string{". dir", "data dir", "data/old device 0:0"}},
		{name: "deleted folder", script: "rm -r /opt/app", deleted: 1, want: []string{". dir", "opt dir", "opt/app device 0:0"}},
		{name: "folder in the place of another", script: "rm -r /opt/app; mkdir /opt/app; echo -n n > /opt/app/b", files: 1, folders: 1,
			want: []string{". dir", "opt dir", "opt/app dir", "opt/app/a device 0:0", "opt/app/sub device 0:0", `opt/app/b file "n"`}},
		{name: "folder in a folder in the place of another", script: "rm -r /opt/app; mkdir -p /opt/app/sub; echo -n n > /opt/app/sub/n", files: 1, folders: 2,
			want: []string{". dir", "opt dir", "opt/app dir", "opt/app/a device 0:0", "opt/app/b device 0:0", "opt/app/sub dir", "opt/app/sub/c device 0:0", `opt/app/sub/n file "n"`}},
		{name: "folder in the place of a link to a folder", script: "rm /opt/link; mkdir /opt/link; echo -n n > /opt/link/new", files: 1, folders: 1,
			want: []string{". dir", "opt dir", "opt/link dir", `opt/link/new file "n"`}},
		{name: "folder of the same name behind a former link", script: "rm /opt/link; mkdir -p /opt/link/sub", folders: 2,
			want: []string{". dir", "opt dir", "opt/link dir", "opt/link/sub dir"}},
		{name: "folder in the place of a file", script: "rm /data/old; mkdir /data/old", folders: 1, want: []string{". dir", "data dir", "data/old dir"}},
		{name: "link", script: "ln -s keep /data/link", files: 1, want: []string{". dir", "data dir", "data/link → keep"}},
		{name: "mode of a folder", script: "chmod 700 /data", folders: 1, want: []string{". dir", "data dir"}},
		{name: "sticky bit of a folder", script: "chmod 1755 /data", folders: 1, want: []string{". dir", "data dir"}},
		{name: "mode of the root", script: "chmod 1755 /", folders: 1, want: []string{". dir"}},
		{name: "beside a place to mount on", script: "echo -n x > /made/file", files: 1, folders: 1, want: []string{". dir", "made dir", `made/file file "x"`}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			upper := record(t, image, tc.script, mount)
			c, err := Read(upper, Options{Lower: os.DirFS(image), MountPoints: []string{mount.Dest, "/proc"}, Owner: tree.AllOwnedBy(0, 0), OneOwner: true})
			if err != nil {
				t.Fatal(err)
			}
			if c.Empty() != tc.empty || c.Files != tc.files || c.Deleted != tc.deleted {
				t.Errorf("empty %v, %d files, %d deleted; want %v, %d, %d", c.Empty(), c.Files, c.Deleted, tc.empty, tc.files, tc.deleted)
			}
			if len(c.Names) != tc.files+tc.deleted+tc.folders || c.Folders != tc.folders {
				t.Errorf("%d folders, names %q", c.Folders, c.Names)
			}
			if tc.empty {
				return
			}
			var got collector
			if err := c.WriteTo(context.Background(), &got); err != nil {
				t.Fatal(err)
			}
			slices.Sort(got.lines)
			slices.Sort(tc.want)
			if !slices.Equal(got.lines, tc.want) {
				t.Errorf("got\n  %s\nwant\n  %s", strings.Join(got.lines, "\n  "), strings.Join(tc.want, "\n  "))
			}
		})
	}
}

func TestReadMissing(t *testing.T) {
	if _, err := Read(filepath.Join(t.TempDir(), "none"), Options{Lower: os.DirFS("/")}); !os.IsNotExist(err) {
		t.Errorf("got %v", err)
	}
}

// sequence is a source of entries whose bodies are their paths.
type sequence []tree.Entry

func (s sequence) WriteTo(_ context.Context, sink tree.Sink) error {
	for _, e := range s {
		var body io.Reader
		if e.IsRegular() {
			body = strings.NewReader(e.Path)
			e.Size = int64(len(e.Path))
		}
		if err := sink.Add(e, body); err != nil {
			return err
		}
	}
	return nil
}

// pile keeps the last entry of each path, as sinks do.
type pile map[string]string

func (p pile) Add(e tree.Entry, body io.Reader) error {
	text := fmt.Sprintf("%o", e.Type())
	switch {
	case e.HardLink != "":
		text = "link " + e.HardLink
	case body != nil:
		b, err := io.ReadAll(body)
		if err != nil {
			return err
		}
		text = "file " + string(b)
	case e.Type() == tree.TypeChar:
		text = "whiteout"
	case e.IsDir():
		if text = "folder"; len(e.Xattrs) == 2 {
			text = "opaque folder"
		}
	}
	p[e.Path] = text
	return nil
}

func TestMerge(t *testing.T) {
	file := func(p string) tree.Entry { return tree.Entry{Path: p, Mode: tree.TypeRegular | 0o644} }
	dir := func(p string) tree.Entry { return tree.Entry{Path: p, Mode: tree.TypeDir | 0o755} }
	link := func(p, to string) tree.Entry { return tree.Entry{Path: p, HardLink: to} }
	gone := func(p string) tree.Entry { return tree.Entry{Path: p, Mode: tree.TypeChar} }
	below := fstest.MapFS{"image/a": {}, "image/b": {}, "image/c/d": {}}
	for _, tc := range []struct {
		name           string
		earlier, later sequence
		want           pile
	}{
		{"both are kept", sequence{dir("new"), file("new/x")}, sequence{dir("new"), file("new/y")}, pile{"new": "folder", "new/x": "file new/x", "new/y": "file new/y"}},
		{"the image's is hidden", nil, sequence{gone("image/a")}, pile{"image/a": "whiteout"}},
		{"the earlier layer's is gone without a trace", sequence{dir("new"), file("new/x")}, sequence{dir("new"), gone("new/x")}, pile{"new": "folder"}},
		{"a folder and all in it", sequence{dir("new"), dir("new/d"), file("new/d/x")}, sequence{dir("new"), gone("new/d")}, pile{"new": "folder"}},
		{"the image's under the earlier layer's", sequence{dir("image"), file("image/a")}, sequence{dir("image"), gone("image/a")}, pile{"image": "folder", "image/a": "whiteout"}},
		{"a folder where one was deleted hides it", sequence{dir("image"), gone("image/c")}, sequence{dir("image"), dir("image/c")}, pile{"image": "folder", "image/c": "opaque folder"}},
		{"many names of one whiteout", sequence{gone("image/a"), link("image/b", "image/a")}, sequence{file("x")}, pile{"image/a": "whiteout", "image/b": "link image/a", "x": "file x"}},
		{"of which the first hides nothing", sequence{file("new")}, sequence{gone("new"), link("image/b", "new")}, pile{"image/b": "whiteout"}},
		{"the first name of a file is gone", sequence{file("new"), link("other", "new"), link("third", "new")}, sequence{gone("new")}, pile{"other": "file new", "third": "link other"}},
		{"all names are gone", sequence{file("new"), link("other", "new")}, sequence{gone("new"), gone("other")}, pile{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := pile{}
			if err := Merge(below, tc.earlier, tc.later).WriteTo(t.Context(), got); err != nil {
				t.Fatal(err)
			}
			if !maps.Equal(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

// entryOf is the entry that Changes gives for a path.
type entryOf struct {
	path  string
	entry *tree.Entry
}

func (s *entryOf) Add(e tree.Entry, _ io.Reader) error {
	if e.Path == s.path {
		s.entry = &e
	}
	return nil
}

// TestOwners: root's chown of a folder is a change; with one owner for all, what the image has keeps its own.
func TestOwners(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("missing: root")
	}
	const user = 1000
	image := folder(t, t.TempDir(), "data", 7, 8)
	for _, tc := range []struct {
		name     string
		owner    int // on disk, of the folder that the container changed something in
		options  Options
		folders  int
		uid, gid uint32
	}{
		{"chown", 5, Options{}, 1, 5, 8},
		{"chown, mapped", 5, Options{Owner: func(u, g uint32) (uint32, uint32) { return u * 2, g }}, 1, 10, 8},
		{"as in the image, mapped", 14, Options{Owner: func(u, g uint32) (uint32, uint32) { return u / 2, g }}, 0, 7, 8},
		{"only a file in it", 7, Options{}, 0, 7, 8},
		{"one owner", user, Options{Owner: tree.AllOwnedBy(0, 0), OneOwner: true, KeepOwners: true}, 0, 7, 8},
		{"one owner, of an overlay's file", user, Options{OneOwner: true}, 0, user, 8},
	} {
		t.Run(tc.name, func(t *testing.T) {
			upper := folder(t, t.TempDir(), "data", tc.owner, 8)
			if err := os.WriteFile(filepath.Join(upper, "data", "new"), nil, 0o644); err != nil {
				t.Fatal(err)
			}
			tc.options.Lower = os.DirFS(image)
			c, err := Read(upper, tc.options)
			if err != nil {
				t.Fatal(err)
			}
			if c.Files != 1 || c.Folders != tc.folders {
				t.Errorf("%d files, %d folders, %q", c.Files, c.Folders, c.Names)
			}
			got := entryOf{path: "data"}
			if err := c.WriteTo(context.Background(), &got); err != nil {
				t.Fatal(err)
			}
			if got.entry == nil || got.entry.UID != tc.uid || got.entry.GID != tc.gid {
				t.Errorf("got %+v", got.entry)
			}
		})
	}
}

// folder makes one with an owner in another.
func folder(t *testing.T, in, name string, uid, gid int) string {
	t.Helper()
	dir := filepath.Join(in, name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(dir, uid, gid); err != nil {
		t.Fatal(err)
	}
	return in
}

// TestReferences: a folder that only says where in the image it was before is refused: what is in it would be lost.
func TestReferences(t *testing.T) {
	for _, attr := range []string{"redirect", "metacopy"} {
		upper := t.TempDir()
		if err := os.MkdirAll(filepath.Join(upper, "a/moved"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := unix.Setxattr(filepath.Join(upper, "a/moved"), "user.overlay."+attr, []byte("/a/before"), 0); err != nil {
			t.Skipf("missing: a file system with user attributes (%v)", err)
		}
		_, err := Read(upper, Options{Lower: os.DirFS(t.TempDir())})
		var e *ReferenceError
		if !errors.As(err, &e) || e.Path != "/a/moved" || e.Hint() == "" {
			t.Errorf("%s: %v", attr, err)
		}
	}
}
