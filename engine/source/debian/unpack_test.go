package debian

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"carrel/internal/debtest"

	"golang.org/x/sys/unix"
)

// unpackTest unpacks packages one by one in the order given, which need not be that of their numbers.
func unpackTest(t *testing.T, root string, aliases map[string]string, order []int, packages ...debtest.Package) (*unpacker, []*unpacked, error) {
	t.Helper()
	r, err := openRoot(root)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.close() })
	for name, target := range aliases {
		fd, err := r.makeDir(target)
		if err != nil {
			t.Fatal(err)
		}
		unix.Close(fd)
		if err := r.symlink(target, name); err != nil {
			t.Fatal(err)
		}
	}
	u := newUnpacker(r, aliases)
	done := make([]*unpacked, len(packages))
	for _, i := range order {
		p := packages[i]
		done[i], err = u.unpack(t.Context(), i, &Package{Name: p.Name, Version: p.Version}, bytes.NewReader(p.Build(t)), false)
		if err != nil {
			return u, done, err
		}
	}
	if err := u.settle(); err != nil {
		return u, done, err
	}
	return u, done, u.settleFolders()
}

func pkg(name string, files ...tar.Header) debtest.Package {
	p := debtest.Package{Name: name, Version: "1", Compression: "gz", Files: files, Fields: map[string]string{}, Content: map[string]string{}}
	for _, f := range files {
		p.Content[f.Name] = name
	}
	return p
}

func with(p debtest.Package, field, value string) debtest.Package {
	p.Fields[field] = value
	return p
}

func mode(h tar.Header, mode int64) tar.Header {
	h.Mode = mode
	return h
}

func TestUnpackHostile(t *testing.T) {
	file, link, dir := debtest.File, debtest.Symlink, debtest.Dir
	for _, test := range []struct {
		name  string
		files []tar.Header
		err   string // "" when it is harmless
		where string // where the file x is to be, below the root
	}{
		{"parent in a name", []tar.Header{file("./../x")}, "out of the root", ""},
		{"parent inside a name", []tar.Header{file("./usr/../../x")}, "out of the root", ""},
		{"absolute name", []tar.Header{file("/usr/x")}, "", "usr/x"},
		{"line end in a name", []tar.Header{file("./a\nb")}, "line end", ""},
		{"absolute link", []tar.Header{link("./out", "/outside"), dir("./outside"), file("./out/x")}, "", "outside/x"},
		{"link above the root", []tar.Header{link("./out", "../../../.."), file("./out/x")}, "", "x"},
		{"link to itself", []tar.Header{link("./out", "out"), file("./out/x")}, "symbolic links", ""},
		{"folder below a file", []tar.Header{file("./a"), file("./a/x")}, "not a directory", ""},
		{"file over a link", []tar.Header{link("./x", "/etc/passwd"), file("./x")}, "", "x"},
		{"file over a folder", []tar.Header{dir("./x"), file("./x")}, "file exists", ""},
		{"link over a folder keeps it", []tar.Header{dir("./usr"), link("./usr", "/"), file("./usr/x")}, "", "usr/x"},
		{"hard link to a file of the host", []tar.Header{debtest.Link("./x", "/etc/passwd")}, "not a file of this package", ""},
		{"hard link above the root", []tar.Header{debtest.Link("./x", "../../etc/passwd")}, "out of the root", ""},
		{"hard link to nothing", []tar.Header{debtest.Link("./x", "./gone")}, "not a file of this package", ""},
		{"root as a link", []tar.Header{link(".", "/tmp")}, "root is not a folder", ""},
		{"odd type", []tar.Header{{Typeflag: tar.TypeCont, Name: "./x", Mode: 0o644}}, "not allowed", ""},
	} {
		for _, walk := range []bool{false, true} {
			name := test.name
			if walk {
				name += ", without openat2"
			}
			t.Run(name, func(t *testing.T) {
				outer := t.TempDir()
				root := filepath.Join(outer, "root")
				if err := os.Mkdir(root, 0o755); err != nil {
					t.Fatal(err)
				}
				r, err := openRoot(root)
				if err != nil {
					t.Fatal(err)
				}
				defer r.close()
				r.walk.Store(walk)
				p := pkg("bad", test.files...)
				u := newUnpacker(r, nil)
				_, err = u.unpack(t.Context(), 0, &Package{Name: "bad", Version: "1"}, bytes.NewReader(p.Build(t)), false)
				if err == nil {
					err = errors.Join(u.settle(), u.settleFolders())
				}
				var archive *ArchiveError
				switch {
				case test.err == "" && err != nil:
					t.Fatal(err)
				case test.err != "" && (!errors.As(err, &archive) || !strings.Contains(err.Error(), test.err) || archive.Package != "bad"):
					t.Fatalf("got error %v, want %s", err, test.err)
				}
				if entries, err := os.ReadDir(outer); err != nil || len(entries) != 1 {
					t.Errorf("outside of the root: %v, %v", entries, err)
				}
				if test.where != "" {
					if info, err := os.Lstat(filepath.Join(root, test.where)); err != nil || !info.Mode().IsRegular() {
						t.Errorf("got %v, %v", info, err)
					}
				}
			})
		}
	}
}

func TestUnpackDamaged(t *testing.T) {
	good := pkg("p", debtest.Dir("./"), debtest.File("./x")).Build(t)
	for _, test := range []struct {
		name string
		deb  []byte
	}{
		{"nothing", nil},
		{"another archive", []byte("!<arch>\nx")},
		{"cut in the control part", good[:200]},
		{"cut in the data part", good[:len(good)-20]},
		{"a member of negative size", bytes.Replace(good, []byte("4         `\n"), []byte("-4        `\n"), 1)},
		{"another package's", pkg("q").Build(t)},
		{"an unknown compression", bytes.Replace(good, []byte("data.tar.gz "), []byte("data.tar.lz "), 1)},
		{"format 3", bytes.Replace(good, []byte("2.0\n"), []byte("3.0\n"), 1)},
		{"no control file", bytes.Replace(good, []byte("control.tar"), []byte("kontrol.tar"), 1)},
	} {
		r, err := openRoot(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		_, err = newUnpacker(r, nil).unpack(t.Context(), 0, &Package{Name: "p", Version: "1"}, bytes.NewReader(test.deb), false)
		var archive *ArchiveError
		if !errors.As(err, &archive) {
			t.Errorf("%s: got %v", test.name, err)
		}
		r.close()
	}
}

func TestUnpackBomb(t *testing.T) {
	var data bytes.Buffer
	if err := tar.NewWriter(&data).WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "./x", Mode: 0o644, Size: 1 << 40}); err != nil {
		t.Fatal(err)
	}
	bomb := pkg("p")
	bomb.Data = data.Bytes()
	root := t.TempDir()
	if _, _, err := unpackTest(t, root, nil, []int{0}, bomb); err == nil || !strings.Contains(err.Error(), "more than it says") {
		t.Errorf("got %v", err)
	}
}

func TestUnpackSharedFiles(t *testing.T) {
	a := pkg("a", debtest.Dir("./d"), debtest.File("./d/x"))
	for _, test := range []struct {
		name    string
		b       debtest.Package
		aliases map[string]string
		content string // of d/x, a's name or b's
		err     string
		lostA   bool
		lostB   bool
	}{
		{"neither replaces the other", pkg("b", debtest.File("./d/x")), nil, "", "in package a too|in package b too", false, false},
		{"b replaces a", with(pkg("b", debtest.File("./d/x")), "Replaces", "a"), nil, "b", "", true, false},
		{"b replaces an older a only", with(pkg("b", debtest.File("./d/x")), "Replaces", "a (<< 1)"), nil, "", "too", false, false},
		{"b replaces a by a hard link", with(pkg("b", debtest.File("./d/y"), debtest.Link("./d/x", "./d/y")), "Replaces", "a (<= 1)"), nil, "b", "", true, false},
		{"b links to what it replaces", with(pkg("b", debtest.File("./d/x"), debtest.Link("./d/y", "./d/x")), "Replaces", "a"), nil, "b", "", true, false},
		{"one file by two names", pkg("b", debtest.File("./e/x")), map[string]string{"e": "d"}, "b", "", false, false},
	} {
		for _, order := range [][]int{{0, 1}, {1, 0}} {
			root := t.TempDir()
			_, done, err := unpackTest(t, root, test.aliases, order, a, test.b)
			if test.err != "" {
				if err == nil || !slices.ContainsFunc(strings.Split(test.err, "|"), func(s string) bool { return strings.Contains(err.Error(), s) }) {
					t.Errorf("%s: got error %v, want %s", test.name, err, test.err)
				}
				continue
			}
			if err != nil {
				t.Errorf("%s: %v", test.name, err)
				continue
			}
			if got := read(t, root, "d/x"); got != test.content {
				t.Errorf("%s, order %v: got the file of %s", test.name, order, got)
			}
			for i, lost := range []bool{test.lostA, test.lostB} {
				if listed := strings.Contains(string(done[i].fileList()), "/d/x\n"); listed == lost && done[i].pkg.Name != "b" || i == 0 && listed == lost {
					t.Errorf("%s, order %v: package %d lists the file: %v", test.name, order, i, listed)
				}
			}
			entries, err := os.ReadDir(filepath.Join(root, "d"))
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				if strings.Contains(e.Name(), "dpkg-new") {
					t.Errorf("%s: %s remains", test.name, e.Name())
				}
			}
		}
	}
}

func TestUnpackFolders(t *testing.T) {
	a := pkg("a", mode(debtest.Dir("./"), 0o755), mode(debtest.Dir("./tmp"), 0o1777), mode(debtest.Dir("./locked"), 0o500), debtest.File("./locked/x"))
	b := pkg("b", mode(debtest.Dir("./tmp"), 0o755), mode(debtest.Dir("./locked"), 0o755), debtest.File("./locked/y"))
	for _, order := range [][]int{{0, 1}, {1, 0}} {
		root := t.TempDir()
		if _, _, err := unpackTest(t, root, nil, order, a, b); err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]fs.FileMode{"tmp": 0o777 | fs.ModeSticky | fs.ModeDir, "locked": 0o500 | fs.ModeDir} {
			info, err := os.Stat(filepath.Join(root, name))
			if err != nil || info.Mode() != want || !info.ModTime().Equal(debtest.Date) {
				t.Errorf("%s: got %v %v, want %v %v (%v)", name, info.Mode(), info.ModTime(), want, debtest.Date, err)
			}
		}
		if err := os.Chmod(filepath.Join(root, "locked"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
}

func TestUnpackMergedUsr(t *testing.T) {
	root := t.TempDir()
	aliases := map[string]string{"bin": "usr/bin", "lib": "usr/lib"}
	_, done, err := unpackTest(t, root, aliases, []int{0, 1},
		pkg("a", debtest.Dir("./bin"), debtest.File("./bin/sh"), debtest.Link("./bin/rsh", "./bin/sh"), debtest.Dir("./lib"), debtest.File("./lib/ld.so")),
		pkg("base", debtest.Symlink("./bin", "usr/bin"), debtest.Symlink("./lib", "usr/lib")))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"usr/bin/sh", "bin/sh", "bin/rsh", "usr/lib/ld.so"} {
		if got := read(t, root, name); got != "a" {
			t.Errorf("%s: got %q", name, got)
		}
	}
	if target, err := os.Readlink(filepath.Join(root, "bin")); target != "usr/bin" {
		t.Errorf("bin: %q, %v", target, err)
	}
	if got, want := string(done[0].fileList()), "/bin\n/bin/sh\n/bin/rsh\n/lib\n/lib/ld.so\n"; got != want {
		t.Errorf("got list %q, want %q", got, want)
	}
}

func TestUnpackOwnersAndModes(t *testing.T) {
	setuid := mode(debtest.File("./su"), 0o4755)
	setuid.Uid, setuid.Gid = 0, 42
	node := tar.Header{Typeflag: tar.TypeChar, Name: "./null", Mode: 0o666, Devmajor: 1, Devminor: 3}
	fifo := tar.Header{Typeflag: tar.TypeFifo, Name: "./fifo", Mode: 0o600}
	staff := mode(debtest.Dir("./local"), 0o2775)
	staff.Gid = 50
	root := t.TempDir()
	u, _, err := unpackTest(t, root, nil, []int{0}, pkg("p", setuid, node, fifo, staff, debtest.File("./local/x")))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]fs.FileMode{"su": 0o755 | fs.ModeSetuid, "fifo": 0o600 | fs.ModeNamedPipe, "local": 0o775 | fs.ModeSetgid | fs.ModeDir} {
		if info, err := os.Lstat(filepath.Join(root, name)); err != nil || info.Mode() != want {
			t.Errorf("%s: got %v, want %v (%v)", name, info.Mode(), want, err)
		}
	}
	if os.Geteuid() != 0 {
		if u.ids.Load() == 0 || u.devices.Load() != 1 {
			t.Errorf("as a user: %d owners and %d devices were counted", u.ids.Load(), u.devices.Load())
		}
		return
	}
	for name, gid := range map[string]uint32{"su": 42, "local": 50, "local/x": 0} {
		var st unix.Stat_t
		if err := unix.Lstat(filepath.Join(root, name), &st); err != nil || st.Gid != gid || st.Uid != 0 {
			t.Errorf("%s: got owner %d:%d, want 0:%d (%v)", name, st.Uid, st.Gid, gid, err)
		}
	}
	if u.ids.Load() != 0 || u.devices.Load() != 0 {
		t.Errorf("as root: %d owners and %d devices were counted", u.ids.Load(), u.devices.Load())
	}
}

func TestUnpackCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r, err := openRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	_, err = newUnpacker(r, nil).unpack(ctx, 0, &Package{Name: "p", Version: "1"}, bytes.NewReader(pkg("p", debtest.File("./x")).Build(t)), false)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestRootDirResolves(t *testing.T) {
	root := t.TempDir()
	for _, dir := range []string{"usr/bin", "a/b"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, target := range map[string]string{"bin": "usr/bin", "abs": "/a/b", "up": "../../../a", "a/b/back": "../../usr", "loop": "loop2", "loop2": "loop", "dangling": "gone"} {
		if err := os.Symlink(target, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "file"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, walk := range []bool{false, true} {
		r, err := openRoot(root)
		if err != nil {
			t.Fatal(err)
		}
		r.walk.Store(walk)
		for p, want := range map[string]string{
			".": ".", "": "", "bin": "usr/bin", "/bin": "usr/bin", "abs": "a/b", "abs/back/bin": "usr/bin", "up/b": "a/b", "../..": ".", "a/../bin/..": "usr",
			"loop": "!", "dangling": "!", "file": "!", "file/x": "!", "gone": "!",
		} {
			if p == "" && !walk {
				continue // openat2 refuses an empty path
			}
			fd, err := r.openDir(p)
			if (err != nil) != (want == "!") {
				t.Errorf("walk %v: %q: got error %v", walk, p, err)
			}
			if err != nil {
				continue
			}
			var got, expected unix.Stat_t
			if err := errors.Join(unix.Fstat(fd, &got), unix.Stat(filepath.Join(root, want), &expected)); err != nil {
				t.Fatal(err)
			}
			if got.Ino != expected.Ino {
				t.Errorf("walk %v: %q leads elsewhere than to %s", walk, p, want)
			}
			unix.Close(fd)
		}
		r.close()
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add(pkg("p", debtest.Dir("./"), debtest.File("./x"), debtest.Symlink("./l", "/")).Build(f))
	none := pkg("p", debtest.Symlink("./l", ".."), debtest.File("./l/x"), debtest.Link("./y", "./l/x"))
	none.Compression = "none"
	f.Add(none.Build(f))
	f.Fuzz(func(t *testing.T, deb []byte) {
		outer := t.TempDir()
		root := filepath.Join(outer, "root")
		if err := os.Mkdir(root, 0o755); err != nil {
			t.Fatal(err)
		}
		r, err := openRoot(root)
		if err != nil {
			t.Fatal(err)
		}
		defer r.close()
		u := newUnpacker(r, nil)
		if _, err := u.unpack(t.Context(), 0, &Package{Name: "p", Version: "1"}, bytes.NewReader(deb), false); err == nil {
			_ = u.settleFolders() // folders may be locked; only where things land is asked
		}
		if entries, err := os.ReadDir(outer); err != nil || len(entries) != 1 {
			t.Fatalf("outside of the root: %v, %v", entries, err)
		}
		_ = filepath.WalkDir(root, func(p string, d fs.DirEntry, _ error) error {
			if d != nil && d.IsDir() {
				_ = os.Chmod(p, 0o700) // so that the test's folder can be removed
			}
			return nil
		})
	})
}

func FuzzRelease(f *testing.F) {
	f.Add([]byte("Suite: x\nDate: Sat, 11 Jul 2026 10:16:37 UTC\nSHA256:\n e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 0 main/x\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseRelease(b)
		if err != nil {
			return
		}
		for name, file := range r.files {
			if !isSHA256(file.sha256) || file.size < 0 {
				t.Fatalf("%s: %+v", name, file)
			}
		}
	})
}

func FuzzPackages(f *testing.F) {
	f.Add([]byte(pkg("p").Control() + "\nPackage: q\nSize: 1\n\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		err := readPackages(bytes.NewReader(b), func(p *Package) error {
			if !validName(p.Name) {
				t.Fatalf("got a package named %q", p.Name)
			}
			return nil
		})
		if err == io.EOF {
			t.Fatal("the end of the stream is told as an error")
		}
	})
}
