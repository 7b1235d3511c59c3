package source

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"carrel/internal/pattern"
)

// Folders of rpm's database: for long the first, since Fedora 36 and in SUSE the second.
const (
	RPMOld = "/var/lib/rpm"
	RPMNew = "/usr/lib/sysimage/rpm"
)

// WriteRPMMacros tells the rpm of this computer, by the file in its home folder, where the database of the root is (that of
// Debian keeps it in the home folder otherwise) and to leave alone what is mounted.
func (p *Place) WriteRPMMacros(dbpath string) error {
	home := filepath.Join(p.Temp, "home")
	if err := os.MkdirAll(home, 0o755); err != nil {
		return err
	}
	text := "%_var /var\n%_dbpath " + dbpath + "\n%_netsharedpath /sys:/proc:/dev\n"
	return os.WriteFile(filepath.Join(home, ".rpmmacros"), []byte(text), 0o644)
}

// LinkRPM makes the folder of rpm's database and a link to it at the other place where programs look for it.
func (p *Place) LinkRPM(at, link string) error {
	r, err := os.OpenRoot(p.Root)
	if err != nil {
		return err
	}
	defer r.Close()
	at, link = strings.TrimPrefix(at, "/"), strings.TrimPrefix(link, "/")
	if err := errors.Join(r.MkdirAll(at, 0o755), r.MkdirAll(filepath.Dir(link), 0o755)); err != nil {
		return err
	}
	up := strings.Repeat("../", strings.Count(link, "/"))
	return r.Symlink(up+at, link)
}

var dbpathMacro = pattern.New(`(?m)^%_dbpath\s+(\S+)`)

// SettleRPM moves the database, which was made at RPMOld, to where the rpm in the root looks for it.
func (p *Place) SettleRPM() error {
	r, err := os.OpenRoot(p.Root)
	if err != nil {
		return err
	}
	defer r.Close()
	macros, err := r.ReadFile("usr/lib/rpm/macros")
	if errors.Is(err, fs.ErrNotExist) {
		return nil // a root without rpm
	}
	if err != nil {
		return err
	}
	m := dbpathMacro.FindSubmatch(macros)
	if m == nil || strings.NewReplacer("%{_usr}", "/usr", "%{_prefix}", "/usr", "%{_var}", "/var").Replace(string(m[1])) != RPMNew {
		return nil
	}
	from, to := strings.TrimPrefix(RPMOld, "/"), strings.TrimPrefix(RPMNew, "/")
	if st, err := r.Lstat(from); err != nil || !st.IsDir() {
		return nil // linked already
	}
	if err := r.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	if err := r.RemoveAll(to); err != nil { // the package's empty folder
		return err
	}
	if err := r.Rename(from, to); err != nil {
		return err
	}
	return r.Symlink("../../"+to, from)
}
