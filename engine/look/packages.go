package look

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"carrel/engine/tree"
)

// Package is an installed package.
type Package struct {
	Manager string `json:"manager"` // dpkg, rpm, apk, pip, conda, r, npm
	Name    string `json:"name"`
	Version string `json:"version"`
	Arch    string `json:"arch,omitempty"`
	Path    string `json:"path,omitempty"` // where it was found, of those that may be anywhere
}

// Installed are the packages of an image.
type Installed struct {
	Packages []Package `json:"packages"` // by manager, then name
	// Notes tell what could not be read, for people.
	Notes []string `json:"notes,omitempty"`
	// Unread is where nobody could look.
	Unread Unread `json:"unread,omitempty"`
}

const (
	maxRecord   = 4 << 20   // bytes of one package's description
	maxDatabase = 256 << 20 // bytes of a database of packages
	maxPackages = 1_000_000
)

// databases are the files that hold all packages of a manager.
var databases = []struct {
	path string
	read func(data []byte) ([]Package, error)
}{
	{"var/lib/dpkg/status", readDpkg},
	{"lib/apk/db/installed", readApk},
	{"usr/lib/apk/db/installed", readApk},
	{"var/lib/rpm/rpmdb.sqlite", readRPMSQLite},
	{"var/lib/rpm/Packages.db", readRPMNdb},
	{"var/lib/rpm/Packages", readRPMBerkeley},
	{"usr/lib/sysimage/rpm/rpmdb.sqlite", readRPMSQLite},
	{"usr/lib/sysimage/rpm/Packages.db", readRPMNdb},
	{"usr/lib/sysimage/rpm/Packages", readRPMBerkeley},
}

// dpkgParts is where images without dpkg have one file for each package.
const dpkgParts = "var/lib/dpkg/status.d"

// IsRecord tells whether Packages will want to read a file. It is for image.IndexOptions.Keep.
func IsRecord(e *tree.Entry) bool {
	for _, d := range databases {
		if e.Path == d.path {
			return e.Size <= maxDatabase
		}
	}
	if e.Size > maxRecord {
		return false
	}
	dir, base := path.Split(e.Path)
	dir = strings.TrimSuffix(dir, "/")
	switch {
	case strings.HasSuffix(dir, ".dist-info"):
		return base == "METADATA" || base == "INSTALLER"
	case strings.HasSuffix(dir, ".egg-info"):
		return base == "PKG-INFO"
	case base == "package.json":
		return npmPlace(dir)
	}
	return strings.HasSuffix(base, ".egg-info") || base == "DESCRIPTION" || dir == dpkgParts
}

// Packages finds what is installed. Records that cannot be understood are left out; a database that cannot be read is
// told in the notes. Folders and records that may not be read are told, and no error.
func Packages(ctx context.Context, fsys fs.FS) (Installed, error) {
	s := &search{ctx: ctx, fsys: fsys, out: Installed{Packages: []Package{}}, seen: map[Package]bool{}, folders: visited{}}
	for _, d := range databases {
		s.database(d.path, d.read)
	}
	s.dpkgParts()
	if err := s.folder(".", 0); err != nil {
		return Installed{}, err
	}
	slices.SortStableFunc(s.out.Packages, func(a, b Package) int {
		return cmp.Or(cmp.Compare(a.Manager, b.Manager), cmp.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)), cmp.Compare(a.Version, b.Version))
	})
	s.out.Unread.sort()
	return s.out, nil
}

type search struct {
	ctx  context.Context
	fsys fs.FS
	out  Installed
	seen map[Package]bool

	folders visited
}

func (s *search) add(p Package) {
	p.Name, p.Version, p.Arch = printable(p.Name), printable(p.Version), printable(p.Arch)
	if p.Name == "" || s.seen[p] || len(s.out.Packages) >= maxPackages {
		return
	}
	s.seen[p] = true
	s.out.Packages = append(s.out.Packages, p)
}

// printable keeps a word of a record that is short and has nothing that a terminal would obey.
func printable(word string) string {
	if len(word) > 256 || strings.ContainsFunc(word, func(r rune) bool { return r < ' ' || r >= 0x7f && r < 0xa0 || r == 0xfffd }) {
		return ""
	}
	return word
}

func (s *search) database(name string, read func([]byte) ([]Package, error)) {
	data, err := Read(s.fsys, name, maxDatabase)
	if errors.Is(err, fs.ErrNotExist) || len(data) == 0 && err == nil {
		return
	}
	if errors.Is(err, fs.ErrPermission) {
		// A folder on the way to it is met again when all are looked through; the file itself is not.
		if _, lerr := fs.Lstat(s.fsys, name); lerr == nil {
			_ = s.out.Unread.pass(name, err)
		}
		return
	}
	if dir, lerr := fs.Lstat(s.fsys, path.Dir(path.Dir(name))); lerr == nil && dir.Mode()&fs.ModeSymlink != 0 {
		return // the same database by another way, such as /lib being /usr/lib
	}
	var list []Package
	if err == nil {
		list, err = read(data)
	}
	for _, p := range list {
		s.add(p)
	}
	if err != nil {
		s.out.Notes = append(s.out.Notes, "the database /"+name+" cannot be read: "+err.Error())
	}
}

func (s *search) dpkgParts() {
	list, err := fs.ReadDir(s.fsys, dpkgParts)
	if err != nil {
		return
	}
	for _, e := range list {
		if data := s.record(path.Join(dpkgParts, e.Name())); data != nil {
			for f := range stanzas(data) {
				s.add(Package{Manager: "dpkg", Name: f["Package"], Version: f["Version"], Arch: f["Architecture"]})
			}
		}
	}
}

// folder looks for what language package managers leave in a folder and below it.
func (s *search) folder(name string, depth int) error {
	if s.ctx.Err() != nil {
		return context.Cause(s.ctx)
	}
	if depth > maxDepth {
		return &fs.PathError{Op: "read", Path: name, Err: errDepth}
	}
	list, err := fs.ReadDir(s.fsys, name)
	if err != nil {
		if name == "." {
			return err
		}
		return s.out.Unread.pass(name, err)
	}
	base := path.Base(name)
	inConda := base == "conda-meta"
	if npmPlace(name) && has(list, "package.json") {
		s.npm(name)
	}
	if has(list, "DESCRIPTION") && (has(list, "Meta") || has(list, "INDEX")) {
		s.r(name)
	}
	for _, e := range list {
		p := path.Join(name, e.Name())
		switch {
		case inConda && strings.HasSuffix(e.Name(), ".json"):
			s.conda(p)
		case strings.HasSuffix(e.Name(), ".dist-info") && e.IsDir():
			s.dist(p)
			continue
		case strings.HasSuffix(e.Name(), ".egg-info"):
			s.egg(p, e.IsDir())
			continue
		}
		if e.IsDir() && p != "proc" && p != "sys" && p != "dev" {
			info, err := e.Info()
			if err == nil {
				err = s.folders.enter(p, info)
			}
			if err = s.out.Unread.pass(p, err); err != nil {
				return err
			}
			if info == nil {
				continue
			}
			if err := s.folder(p, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

func has(list []fs.DirEntry, name string) bool {
	_, ok := slices.BinarySearchFunc(list, name, func(e fs.DirEntry, name string) int { return cmp.Compare(e.Name(), name) })
	return ok
}

// npmPlace tells whether a folder is one of a package: node_modules/NAME or node_modules/@SCOPE/NAME.
func npmPlace(dir string) bool {
	parent, base := path.Split(dir)
	parent = strings.TrimSuffix(parent, "/")
	if base == "" || base == "." || base[0] == '@' || base[0] == '.' {
		return false
	}
	if path.Base(parent) == "node_modules" {
		return true
	}
	return strings.HasPrefix(path.Base(parent), "@") && path.Base(path.Dir(parent)) == "node_modules"
}

func (s *search) record(name string) []byte {
	data, err := Read(s.fsys, name, maxRecord)
	if err != nil {
		_ = s.out.Unread.pass(name, err) // what cannot be understood is no package
		return nil
	}
	return data
}

func (s *search) npm(dir string) {
	var p struct{ Name, Version any }
	if json.Unmarshal(s.record(dir+"/package.json"), &p) != nil {
		return
	}
	name, _ := p.Name.(string)
	version, _ := p.Version.(string)
	if name != "" && version != "" { // folders of examples have a file without
		s.add(Package{Manager: "npm", Name: name, Version: version, Path: "/" + dir})
	}
}

func (s *search) r(dir string) {
	f := header(s.record(dir + "/DESCRIPTION"))
	if f["Built"] != "" { // a package that is installed, not its source
		s.add(Package{Manager: "r", Name: f["Package"], Version: f["Version"], Path: "/" + dir})
	}
}

// conda takes the file's name apart, which is NAME-VERSION-BUILD.json: its content may be megabytes.
func (s *search) conda(name string) {
	parts := strings.Split(strings.TrimSuffix(path.Base(name), ".json"), "-")
	if n := len(parts); n >= 3 {
		s.add(Package{Manager: "conda", Name: strings.Join(parts[:n-2], "-"), Version: parts[n-2], Path: "/" + path.Dir(path.Dir(name))})
	}
}

func (s *search) dist(dir string) {
	if strings.TrimSpace(string(s.record(dir+"/INSTALLER"))) == "conda" {
		return // conda-meta has it
	}
	f := header(s.record(dir + "/METADATA"))
	s.add(Package{Manager: "pip", Name: f["Name"], Version: f["Version"], Path: "/" + path.Dir(dir)})
}

func (s *search) egg(name string, dir bool) {
	at := name
	if dir {
		at = name + "/PKG-INFO"
	}
	f := header(s.record(at))
	s.add(Package{Manager: "pip", Name: f["Name"], Version: f["Version"], Path: "/" + path.Dir(name)})
}

// header reads the fields before the first empty line; of a folded field the first line.
func header(data []byte) map[string]string {
	for f := range stanzas(data) {
		return f
	}
	return map[string]string{}
}

// stanzas reads paragraphs of "Name: value" lines (deb822(5)); continuation lines are left out.
func stanzas(data []byte) func(yield func(map[string]string) bool) {
	return func(yield func(map[string]string) bool) {
		fields := map[string]string{}
		for line := range bytes.Lines(data) {
			line = bytes.TrimRight(line, "\r\n")
			if len(bytes.TrimSpace(line)) == 0 {
				if len(fields) > 0 && !yield(fields) {
					return
				}
				fields = map[string]string{}
				continue
			}
			if line[0] == ' ' || line[0] == '\t' {
				continue
			}
			key, value, ok := bytes.Cut(line, []byte(":"))
			if _, twice := fields[string(key)]; ok && !twice {
				fields[string(key)] = string(bytes.TrimSpace(value))
			}
		}
		if len(fields) > 0 {
			yield(fields)
		}
	}
}

func readDpkg(data []byte) ([]Package, error) {
	var list []Package
	for f := range stanzas(data) {
		if strings.HasSuffix(f["Status"], " installed") {
			list = append(list, Package{Manager: "dpkg", Name: f["Package"], Version: f["Version"], Arch: f["Architecture"]})
		}
	}
	return list, nil
}

// readApk reads paragraphs of one-letter fields (apk's database format, "installed").
func readApk(data []byte) ([]Package, error) {
	var list []Package
	var p Package
	flush := func() {
		if p.Name != "" {
			list = append(list, p)
		}
		p = Package{Manager: "apk"}
	}
	flush()
	r := bufio.NewReader(bytes.NewReader(data))
	for {
		line, err := r.ReadString('\n')
		line = strings.TrimRight(line, "\n")
		switch {
		case line == "":
			flush()
		case strings.HasPrefix(line, "P:"):
			p.Name = line[2:]
		case strings.HasPrefix(line, "V:"):
			p.Version = line[2:]
		case strings.HasPrefix(line, "A:"):
			p.Arch = line[2:]
		}
		if err == io.EOF {
			flush()
			return list, nil
		}
	}
}
