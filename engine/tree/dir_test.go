package tree

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// recorder notes entries and contents.
type recorder struct {
	order []string
	all   map[string]recorded
	hook  func(e Entry) // called before the body is read
}

type recorded struct {
	Entry
	Data string
}

func (r *recorder) Add(e Entry, body io.Reader) error {
	if r.hook != nil {
		r.hook(e)
	}
	x := recorded{Entry: e}
	if body != nil {
		b, err := io.ReadAll(body)
		if err != nil {
			return err
		}
		if int64(len(b)) != e.Size {
			return fmt.Errorf("%s: %d bytes instead of %d", e.Path, len(b), e.Size)
		}
		x.Data = string(b)
	}
	r.order = append(r.order, e.Path)
	r.all[e.Path] = x
	return nil
}

func record(t *testing.T, src Source) *recorder {
	t.Helper()
	r := &recorder{all: map[string]recorded{}}
	if err := src.WriteTo(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	return r
}

type entries []recorded

func (es entries) WriteTo(ctx context.Context, sink Sink) error {
	for _, e := range es {
		var body io.Reader
		if e.IsRegular() {
			e.Size = int64(len(e.Data))
			body = strings.NewReader(e.Data)
		}
		if err := sink.Add(e.Entry, body); err != nil {
			return err
		}
	}
	return nil
}

func file(p, data string) recorded {
	return recorded{Entry{Path: p, Mode: TypeRegular | 0o640, UID: uint32(os.Geteuid()), GID: uint32(os.Getegid()), Size: int64(len(data)), ModTime: time.Unix(1e9, 123)}, data}
}

func link(p, target string) recorded {
	e := file(p, "")
	e.Mode, e.Link = TypeSymlink|0o777, target
	return e
}

func directory(p string, mode uint32) recorded {
	e := file(p, "")
	e.Mode = TypeDir | mode
	return e
}

func unpack(t *testing.T, folder string, opt UnpackOptions, es entries) (UnpackReport, error) {
	t.Helper()
	u, err := Unpack(folder, opt)
	if err != nil {
		t.Fatal(err)
	}
	err = es.WriteTo(t.Context(), u)
	report, err2 := u.Close()
	if err == nil {
		err = err2
	} else if err2 == nil {
		t.Error("close after an error gives none")
	}
	return report, err
}

// sample is a tree of all that an unprivileged user can make.
func sample() entries {
	holes := strings.Repeat("\x00", 1<<20) + "end" + strings.Repeat("\x00", 3<<20)
	es := entries{
		directory(".", 0o755), directory("closed", 0o500), file("closed/in", "inside"), file("empty", ""), file("holes", holes),
		file("large", strings.Repeat("0123456789", 100_000)), link("link", "../../nowhere"), file("suid", "x"),
		{Entry: Entry{Path: "z-hard", HardLink: "large"}}, directory("deep", 0o2755), directory("deep/er", 0o1777), link("deep/er/link", "/etc"),
	}
	es[7].Mode |= 0o4111
	for name, kind := range map[string]uint32{"fifo": TypeFifo, "socket": TypeSocket} {
		e := file(name, "")
		e.Mode = kind | 0o620
		es = append(es, e)
	}
	return es
}

func userXattrs(t *testing.T) bool {
	p := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(p, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return unix.Setxattr(p, "user.carrel", []byte("x"), 0) == nil
}

func TestUnpackThenDir(t *testing.T) {
	es := sample()
	if userXattrs(t) {
		es[0].Xattrs = map[string][]byte{"user.root": []byte("1")}
		es[5].Xattrs = map[string][]byte{"user.a": {}, "user.overlay.opaque": []byte("y"), "user.long": bytes.Repeat([]byte("long"), 500)}
	}
	if os.Geteuid() == 0 {
		dev := file("null", "")
		dev.Mode, dev.Major, dev.Minor, dev.UID, dev.GID = TypeChar|0o666, 1, 3, 12, 1<<20
		whiteout := file("whiteout", "")
		whiteout.Mode = TypeChar
		es = append(es, dev, whiteout)
	}
	for _, noOpenat := range []bool{false, true} {
		folder := filepath.Join(t.TempDir(), "out")
		u, err := Unpack(folder, UnpackOptions{Owners: true})
		if err != nil {
			t.Fatal(err)
		}
		u.where.noOpenat = noOpenat
		if err := es.WriteTo(t.Context(), u); err != nil {
			t.Fatal(err)
		}
		report, err := u.Close()
		if err != nil || len(report.Devices) > 0 || report.Xattrs > 0 {
			t.Fatalf("report %+v, %v", report, err)
		}
		got := record(t, Dir(folder, DirOptions{}))
		if !slices.Contains(got.order, ".") || got.order[0] != "." {
			t.Errorf("order %v", got.order)
		}
		want := record(t, es)
		delete(got.all["large"].Xattrs, "security.selinux")
		if diff := cmp.Diff(want.all, got.all); diff != "" {
			t.Errorf("noOpenat %v (-want +got):\n%s", noOpenat, diff[:min(len(diff), 3000)])
		}
		var st unix.Stat_t
		if err := unix.Stat(filepath.Join(folder, "holes"), &st); err != nil || st.Blocks*512 > st.Size/2 {
			t.Errorf("file with holes takes %d blocks, %v", st.Blocks, err)
		}
		if err := os.Chmod(filepath.Join(folder, "closed"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDirOptions(t *testing.T) {
	folder := t.TempDir()
	if _, err := unpack(t, folder, UnpackOptions{}, entries{file("a/x", "1"), file("a/y", "2"), file("b/x", "3"), file("c", "4")}); err != nil {
		t.Fatal(err)
	}
	got := record(t, Dir(folder, DirOptions{Exclude: func(p string) bool { return p == "a/y" || p == "b" }, MapOwner: AllOwnedBy(5, 1<<31), SkipXattrs: true, OneFileSystem: true}))
	if diff := cmp.Diff([]string{".", "a", "a/x", "c"}, got.order); diff != "" {
		t.Error(diff)
	}
	for p, e := range got.all {
		if e.UID != 5 || e.GID != 1<<31 {
			t.Errorf("%s is owned by %d:%d", p, e.UID, e.GID)
		}
	}
	if err := Dir(filepath.Join(folder, "nothing"), DirOptions{}).WriteTo(t.Context(), got); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Dir(folder, DirOptions{}).WriteTo(ctx, got); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestFileChangesWhileItIsRead(t *testing.T) {
	for name, change := range map[string]func(p string) error{
		"grows":       func(p string) error { return appendTo(p, "more") },
		"shrinks":     func(p string) error { return os.Truncate(p, 10) },
		"is modified": func(p string) error { return os.Chtimes(p, time.Time{}, time.Unix(5, 5)) },
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			if err := os.WriteFile(filepath.Join(folder, "victim"), make([]byte, 5000), 0o600); err != nil {
				t.Fatal(err)
			}
			r := &recorder{all: map[string]recorded{}, hook: func(e Entry) {
				if e.Path == "victim" {
					if err := change(filepath.Join(folder, e.Path)); err != nil {
						t.Fatal(err)
					}
				}
			}}
			err := Dir(folder, DirOptions{}).WriteTo(t.Context(), r)
			if !errors.Is(err, ErrChanged) || !strings.Contains(err.Error(), "victim") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func appendTo(p, text string) error {
	f, err := os.OpenFile(p, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString(text)
	return err
}

func TestUnpackStaysInside(t *testing.T) {
	for _, noOpenat := range []bool{false, true} {
		outside := t.TempDir()
		folder := filepath.Join(outside, "in", "root")
		if err := os.MkdirAll(folder, 0o700); err != nil {
			t.Fatal(err)
		}
		secret := filepath.Join(outside, "secret")
		if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
			t.Fatal(err)
		}
		tests := map[string]entries{
			"absolute link":     {link("l", outside), file("l/evil", "x")},
			"upward link":       {link("l", "../.."), file("l/evil", "x")},
			"link to the host":  {link("l", "/"), file("l/evil", "x")},
			"link over file":    {link("l", secret), file("l", "x")},
			"link, then dir":    {link("d", outside), directory("d", 0o711), file("d/evil", "x")},
			"dir, then link":    {directory("d", 0o700), link("d", outside), file("d/evil", "x")},
			"magic link":        {link("l", "/proc/self/cwd"), file("l/evil", "x")},
			"hard link through": {link("l", outside), {Entry: Entry{Path: "h", HardLink: "l/secret"}}},
			"above":             {file("../evil", "x")},
			"absolute":          {file("/evil", "x")},
			"hard link above":   {{Entry: Entry{Path: "h", HardLink: "../../secret"}}},
			"loop":              {link("a", "b"), link("b", "a"), file("a/evil", "x")},
		}
		for name, es := range tests {
			u, err := Unpack(folder, UnpackOptions{})
			if err != nil {
				t.Fatal(err)
			}
			u.where.noOpenat = noOpenat
			err = es.WriteTo(t.Context(), u)
			_, _ = u.Close()
			// Some are errors and some land inside; nothing may have landed or changed outside.
			if b, rerr := os.ReadFile(secret); rerr != nil || string(b) != "secret" {
				t.Errorf("%s: secret is %q, %v (unpack: %v)", name, b, rerr, err)
			}
			if left, _ := filepath.Glob(filepath.Join(outside, "*")); len(left) != 2 {
				t.Errorf("%s: outside is %v", name, left)
			}
			if left, _ := filepath.Glob(filepath.Join(outside, "in", "*")); len(left) != 1 {
				t.Errorf("%s: outside is %v", name, left)
			}
			if err := os.RemoveAll(folder); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestUnpackReplaces(t *testing.T) {
	folder := t.TempDir()
	_, err := unpack(t, folder, UnpackOptions{}, entries{
		file("a/b/c", "1"), file("a", "now a file"), file("f", "old"), {Entry: Entry{Path: "h", HardLink: "f"}}, file("f", "new"),
		directory("d", 0o555), file("d/x", "x"), directory("d", 0o700), file("d/y", "y"), link("s", "f"), directory("s", 0o750),
	})
	if err != nil {
		t.Fatal(err)
	}
	got := record(t, Dir(folder, DirOptions{}))
	for p, want := range map[string]string{"a": "now a file", "f": "new", "h": "old", "d/x": "x", "d/y": "y"} {
		if got.all[p].Data != want {
			t.Errorf("%s is %q", p, got.all[p].Data)
		}
	}
	if got.all["d"].Mode != TypeDir|0o700 || got.all["s"].Mode != TypeDir|0o750 {
		t.Errorf("modes %o %o", got.all["d"].Mode, got.all["s"].Mode)
	}
	// A second run into what the first one closed.
	for range 2 {
		if _, err := unpack(t, folder, UnpackOptions{}, entries{directory("ro", 0o555), file("ro/f", "x")}); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Join(folder, "ro"), 0o700); err != nil {
		t.Fatal(err)
	}
}

func TestUnpackErrors(t *testing.T) {
	short, long := file("a/short", "abc"), file("a/long", "abc")
	for _, tt := range []struct {
		e    Entry
		body io.Reader
		want string
	}{
		{short.Entry, strings.NewReader("ab"), "a/short: file has 2 bytes instead of 3"},
		{long.Entry, strings.NewReader("abcd"), "a/long: file has more than 3 bytes"},
		{Entry{Path: "x", Mode: 0o644}, nil, "unknown file type"},
		{Entry{Path: "x", HardLink: "nothing"}, nil, "hard link to nothing"},
		{Entry{Path: ".", Mode: TypeRegular}, nil, "root is not a directory"},
	} {
		u, err := Unpack(t.TempDir(), UnpackOptions{})
		if err != nil {
			t.Fatal(err)
		}
		err = u.Add(tt.e, tt.body)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("got %v, want %q", err, tt.want)
		}
		if _, err := u.Close(); err == nil {
			t.Error("close gives no error")
		}
	}
}

func TestUnpackWithoutPrivilege(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("missing: an unprivileged user")
	}
	dev := file("null", "")
	dev.Mode, dev.Major, dev.Minor = TypeChar|0o666, 1, 3
	capability := file("ping", "x")
	capability.Xattrs = map[string][]byte{"security.capability": {1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}}
	capability.UID = 0
	shadow := file("shadow", "x")
	shadow.Mode = TypeRegular
	report, err := unpack(t, t.TempDir(), UnpackOptions{OwnerAccess: true}, entries{dev, capability, shadow, {Entry: Entry{Path: "null2", HardLink: "null"}}})
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Devices) != 2 || report.Devices[0].Path != "null" || report.Devices[1].Path != "null2" || report.Xattrs != 1 || report.Xattr == "" {
		t.Errorf("report %+v", report)
	}
}
