package debian

import (
	"archive/tar"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// maxUnpacked is how many bytes a package may hold beyond twice what its control file says.
const maxUnpacked = 1 << 30

// unpacker unpacks packages into one root, several at a time, with the outcome dpkg has when it unpacks them one after
// another: a folder of several packages gets the attributes the first one gives it, and a file that two packages have
// is only allowed when one of them Replaces the other, which wins (Debian Policy 7.6.1).
type unpacker struct {
	root *rootDir
	// aliases are the top-level folders that are links into usr, by their name: "bin" is "usr/bin".
	aliases map[string]string
	uid     int // whose files new files are
	gid     int

	mu      sync.Mutex
	claims  map[string]claim     // by real path, of everything but folders
	folders map[string]folder    // by real path
	later   map[string][]pending // by real path: what replaces a file when all is unpacked

	// ids counts owners that could not be set, devices those that could not be made.
	ids, devices atomic.Int64
}

// claim says whose a path is.
type claim struct {
	by   *unpacked
	path string // as the package spells it
}

// folder holds the attributes of a folder, which are set when everything is in it.
type folder struct {
	order int
	attributes
}

type attributes struct {
	mode     uint32
	uid, gid int
	modTime  time.Time
}

// pending is a file, under a name of its own, that will replace another package's.
type pending struct {
	order int
	temp  string
}

// unpacked is a package that was unpacked: what dpkg's database has to know of it.
type unpacked struct {
	pkg     *Package
	order   int // of unpacking, as if packages were unpacked one by one
	control paragraph
	members map[string]controlMember
	// files are the paths of the package as dpkg lists them: "/.", "/usr", "/usr/bin/x".
	files     []string
	conffiles []conffile
	replaces  []Alternatives
	// deferred tells that nothing is unpacked yet: dpkg does it in the root, after the package's preinst.
	deferred bool
	file     string          // the package file in the cache
	lost     map[string]bool // files that another package, which replaces them, took; guarded by unpacker.mu
}

// conffile is a configuration file that belongs to the administrator once it is there (deb-conffiles(5)).
type conffile struct {
	path, md5, flag string
}

func newUnpacker(root *rootDir, aliases map[string]string) *unpacker {
	return &unpacker{
		root: root, aliases: aliases, uid: os.Geteuid(), gid: os.Getegid(),
		claims: map[string]claim{}, folders: map[string]folder{}, later: map[string][]pending{},
	}
}

// real is a path with its top-level alias resolved.
func (u *unpacker) real(p string) string {
	first, rest, ok := strings.Cut(p, "/")
	if target, aliased := u.aliases[first]; aliased && ok {
		return target + "/" + rest
	}
	return p
}

// unpack unpacks one package file. Order is its place among all packages. MayDefer leaves a package whose preinst has
// work to do first as it is.
func (u *unpacker) unpack(ctx context.Context, order int, pkg *Package, file io.Reader, mayDefer bool) (*unpacked, error) {
	out := &unpacked{pkg: pkg, order: order, lost: map[string]bool{}}
	fail := func(entry string, err error) (*unpacked, error) {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, &ArchiveError{Package: pkg.Name, Entry: entry, Err: err}
	}
	deb, err := newDebReader(file)
	if err != nil {
		return fail("", err)
	}
	control, err := deb.member("control.tar")
	if err != nil {
		return fail("", err)
	}
	out.members, err = readControl(control)
	if err = errors.Join(err, control.Close()); err != nil {
		return fail("control.tar", err)
	}
	if err := out.readControlFile(); err != nil {
		return fail("control", err)
	}
	if mayDefer && !trivialPreinst(out.members["preinst"].data) {
		out.deferred = true
		return out, nil
	}
	data, err := deb.member("data.tar")
	if err != nil {
		return fail("", err)
	}
	defer data.Close()
	w := &treeWriter{u: u, out: out, dirs: map[string]int{}, modes: map[int]unix.Stat_t{}, buf: make([]byte, 128<<10), now: out.conffileIndex()}
	defer w.close()
	if _, ok := out.members["md5sums"]; !ok {
		w.sums = &bytes.Buffer{}
	}
	archive := tar.NewReader(data)
	limit := maxUnpacked + 2*pkg.InstalledSize
	for {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		h, err := archive.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return fail("data.tar", err)
		}
		if limit -= h.Size; limit < 0 {
			return fail(h.Name, errors.New("the package holds far more than it says"))
		}
		if err := w.add(h, archive); err != nil {
			return fail(h.Name, err)
		}
	}
	// What follows the last entry is part of the checksums of the compressed stream.
	if _, err := io.Copy(io.Discard, data); err != nil {
		return fail("data.tar", err)
	}
	if w.sums != nil && w.sums.Len() > 0 {
		// dpkg makes the list itself at this moment, so that the package can be checked later.
		out.members["md5sums"] = controlMember{mode: 0o644, data: w.sums.Bytes(), modTime: out.members["control"].modTime}
	}
	return out, nil
}

// readControlFile takes what unpacking needs from the control part.
func (p *unpacked) readControlFile() error {
	b, err := newControlReader(bytes.NewReader(p.members["control"].data)).next()
	if err != nil {
		return cmpErr(noEOF(err), io.ErrUnexpectedEOF)
	}
	if p.control, err = parseParagraph(b); err != nil {
		return err
	}
	if name, version := p.control.get("Package"), p.control.get("Version"); name != p.pkg.Name || version != p.pkg.Version {
		return fmt.Errorf("is %s %s, the index says %s %s", name, version, p.pkg.Name, p.pkg.Version)
	}
	if p.replaces, err = ParseRelations(p.control.get("Replaces")); err != nil {
		return err
	}
	for line := range strings.SplitSeq(string(p.members["conffiles"].data), "\n") {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		flag, name := "", line
		if !strings.HasPrefix(line, "/") {
			flag, name = cutField(line)
		}
		if !strings.HasPrefix(name, "/") {
			return fmt.Errorf("conffile %.80q is no absolute path", line)
		}
		p.conffiles = append(p.conffiles, conffile{path: name, flag: flag, md5: "newconffile"})
	}
	return nil
}

func noEOF(err error) error {
	if err == io.EOF {
		return nil
	}
	return err
}

func (p *unpacked) conffileIndex() map[string]*conffile {
	index := map[string]*conffile{}
	for i := range p.conffiles {
		if p.conffiles[i].flag == "" {
			index[strings.TrimPrefix(p.conffiles[i].path, "/")] = &p.conffiles[i]
		}
	}
	return index
}

// takes tells whether this package may take over a file of the other.
func (p *unpacked) takes(other *unpacked) bool {
	for _, alternatives := range p.replaces {
		for _, r := range alternatives {
			if r.Name == other.pkg.Name && r.AllowsVersion(other.pkg.Version) {
				return true
			}
		}
	}
	return false
}

// has tells whether a path belongs to a package.
func (u *unpacker) has(p string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	_, file := u.claims[u.real(p)]
	_, folder := u.folders[u.real(p)]
	return file || folder
}

// verdict is what to do with a file of a package.
type verdict int

const (
	create  verdict = iota // nobody else has it
	skip                   // another package's stays
	replace                // it will replace another package's
)

// claim decides about a path that is no folder.
func (u *unpacker) claim(p string, by *unpacked) (verdict, error) {
	real := u.real(p)
	u.mu.Lock()
	defer u.mu.Unlock()
	old, taken := u.claims[real]
	if !taken {
		u.claims[real] = claim{by: by, path: p}
		return create, nil
	}
	if old.by == by {
		if old.path == p {
			return replace, nil // twice in one archive: the later one counts, as in any tar
		}
		return create, fmt.Errorf("is %s as well", old.path)
	}
	mine, theirs := by.takes(old.by), old.by.takes(by)
	if mine == theirs {
		if !mine && old.path == p {
			return create, fmt.Errorf("is in package %s too", old.by.pkg.Name)
		}
		// Each replaces the other, or the paths differ so that dpkg does not see they are one: the later one wins.
		mine = by.order > old.by.order
	}
	if !mine {
		if old.path == p {
			by.lost[p] = true
		}
		return skip, nil
	}
	if old.path == p {
		old.by.lost[p] = true
	}
	u.claims[real] = claim{by: by, path: p}
	return replace, nil
}

// settle puts files that replace others in their places. Call it when every package is unpacked.
func (u *unpacker) settle() error {
	for real, files := range u.later {
		slices.SortStableFunc(files, func(a, b pending) int { return cmp.Compare(a.order, b.order) })
		winner := u.claims[real].by.order
		err := u.root.at(real, func(dir int, base string) error {
			for _, f := range files {
				name := path.Base(f.temp)
				if f.order != winner {
					if err := unix.Unlinkat(dir, name, 0); err != nil {
						return err
					}
				} else if err := unix.Renameat(dir, name, dir, base); err != nil && !errors.Is(err, unix.ENOENT) {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("replace file: %w", err)
		}
	}
	return nil
}

// settleFolders gives folders their attributes, the deepest first. Call it when nothing more is written into them.
func (u *unpacker) settleFolders() error {
	paths := make([]string, 0, len(u.folders))
	for p := range u.folders {
		paths = append(paths, p)
	}
	slices.SortFunc(paths, func(a, b string) int {
		return cmp.Or(cmp.Compare(strings.Count(b, "/"), strings.Count(a, "/")), cmp.Compare(a, b))
	})
	for _, p := range paths {
		if err := u.settleFolder(p, u.folders[p]); err != nil {
			return fmt.Errorf("set attributes of /%s: %w", p, err)
		}
	}
	return nil
}

func (u *unpacker) settleFolder(p string, f folder) error {
	link, err := u.root.openDir(p)
	if err != nil {
		return err
	}
	defer unix.Close(link)
	// An O_PATH descriptor cannot be changed: open the folder itself.
	fd, err := unix.Openat(link, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if int(st.Uid) != f.uid || int(st.Gid) != f.gid {
		if err := u.tolerate(unix.Fchown(fd, f.uid, f.gid)); err != nil {
			return err
		}
	}
	if st.Mode&0o7777 != f.mode {
		if err := unix.Fchmod(fd, f.mode); err != nil {
			return err
		}
	}
	return unix.Futimes(fd, []unix.Timeval{unix.NsecToTimeval(f.modTime.UnixNano()), unix.NsecToTimeval(f.modTime.UnixNano())})
}
