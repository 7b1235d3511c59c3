package image

import (
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
)

//go:embed scripts
var scripts embed.FS

func script(names ...string) string {
	var b strings.Builder
	for _, name := range names {
		text, err := scripts.ReadFile("scripts/" + name + ".sh")
		if err != nil {
			panic(err) // embedded: a name that is not there is a mistake in this file
		}
		b.Write(text)
	}
	return b.String()
}

func scriptFor(name string) string { return strings.ReplaceAll(script("script"), "@SCRIPT@", name) }

const (
	ownEnvironment = dotd + "/env/90-environment.sh"
	ociEnvironment = dotd + "/env/10-docker2singularity.sh"
)

// PrepareRoot gives the root file system in the folder root what every image has: the folders a container is mounted
// on, empty files for what is bound over, and /.singularity.d with its environment files, entry scripts and links. It is
// called before %post. What the base brought of its own (environment, runscript, labels …) is kept, so that it may be
// called again.
//
// Nothing outside of root is touched, whatever links it holds (os.Root); a link in the place of /.singularity.d or of
// something in it is replaced.
func PrepareRoot(root string) error {
	r, err := os.OpenRoot(root)
	if err != nil {
		return err
	}
	defer r.Close()
	w := &writer{root: folderTarget{r}}
	w.prepare()
	return w.failed("prepare " + root)
}

func (w *writer) prepare() {
	for _, dir := range []string{"dev", "proc", "sys", "root", "home", "etc", "tmp", "var/tmp"} {
		perm := fs.FileMode(0o755)
		switch dir {
		case "tmp", "var/tmp":
			perm = 0o777 | fs.ModeSticky
		case "root":
			perm = 0o700
		}
		w.mountPoint(dir, perm)
	}
	w.mountFile("etc/hosts")
	w.mountFile("etc/resolv.conf")

	for _, dir := range []string{dotd, dotd + "/actions", dotd + "/env", dotd + "/libs"} {
		w.folder(dir)
	}
	w.file(dotd+"/env/01-base.sh", script("base"), 0o755)
	w.keep(ownEnvironment, script("environment"), 0o755)
	w.file(dotd+"/env/95-apps.sh", script("apps"), 0o755)
	w.file(dotd+"/env/99-base.sh", script("last"), 0o755)
	w.file(dotd+"/env/99-runtimevars.sh", script("runtime"), 0o755)
	w.file(dotd+"/actions/exec", script("action", "exec"), 0o755)
	w.file(dotd+"/actions/shell", script("action", "shell"), 0o755)
	w.file(dotd+"/actions/run", script("action")+scriptFor("runscript")+script("run"), 0o755)
	w.file(dotd+"/actions/start", script("action")+scriptFor("startscript"), 0o755)
	w.file(dotd+"/actions/test", script("action")+scriptFor("test"), 0o755)

	w.adopt("singularity", dotd+"/runscript")
	w.adopt("environment", ownEnvironment)
	links := map[string]string{
		".run": dotd + "/actions/run", ".exec": dotd + "/actions/exec", ".shell": dotd + "/actions/shell", ".test": dotd + "/actions/test",
		"singularity": dotd + "/runscript", "environment": ownEnvironment,
	}
	for _, name := range slices.Sorted(maps.Keys(links)) {
		w.link(name, links[name])
	}
}

// WriteMetadata puts what an image says about itself into the root file system in the folder root, after PrepareRoot.
// Empty fields leave what the base brought: a base's runscript is inherited. The Definition of a base goes to
// /.singularity.d/bootstrap_history; Labels replace all labels (the caller has merged those of the base, which
// ReadMetadata gives); texts in Environment are added to the end of files that exist already, except for the variables of
// an OCI configuration, which replace the file.
func WriteMetadata(root string, m Metadata) error {
	r, err := os.OpenRoot(root)
	if err != nil {
		return err
	}
	defer r.Close()
	w := &writer{root: folderTarget{r}}
	w.metadata(m)
	return w.failed("write metadata to " + root)
}

func (w *writer) metadata(m Metadata) {
	w.folder(dotd)
	w.folder(dotd + "/env")
	if m.Definition != "" {
		w.history()
		w.file(dotd+"/Singularity", m.Definition, 0o644)
	}
	w.script(dotd+"/runscript", m.Runscript)
	w.script(dotd+"/startscript", m.Startscript)
	w.script(dotd+"/test", m.Test)
	w.text(dotd+"/runscript.help", m.Help)
	w.environment(m.Environment)
	w.labels(dotd+"/labels.json", m.Labels)
	if len(m.Apps) > 0 {
		w.apps(m.Apps)
	}
}

// apps writes the files of SCIF apps and their variables.
func (w *writer) apps(apps map[string]App) {
	var all strings.Builder
	for _, name := range slices.Sorted(maps.Keys(apps)) {
		if !validApp(name) {
			w.note(fmt.Errorf("%q cannot be the name of an app", name))
			return
		}
		app, dir := apps[name], "scif/apps/"+name
		for _, d := range []string{dir + "/bin", dir + "/lib", dir + "/scif/env", "scif/data/" + name + "/input", "scif/data/" + name + "/output"} {
			w.note(w.root.MkdirAll(d, 0o755))
		}
		meta := dir + "/scif"
		w.script(meta+"/runscript", app.Runscript)
		w.script(meta+"/startscript", app.Startscript)
		w.script(meta+"/test", app.Test)
		w.text(meta+"/runscript.help", app.Help)
		w.file(meta+"/env/01-base.sh", appBase(name), 0o755)
		for _, p := range slices.Sorted(maps.Keys(app.Environment)) {
			w.script(meta+"/env/"+path.Base(p), app.Environment[p])
		}
		labels := map[string]string{"SCIF_APP_NAME": name}
		maps.Copy(labels, app.Labels)
		w.labels(meta+"/labels.json", labels)
		all.WriteString(appVariables(name, app))
	}
	w.file(dotd+"/env/94-appsbase.sh", "#!/bin/sh\n# Where the apps of this image are (https://sci-f.github.io).\n"+all.String(), 0o755)
}

func appBase(name string) string {
	return fmt.Sprintf(`#!/bin/sh
# Where the app has its files.
SCIF_APPNAME=%[1]s
SCIF_APPROOT=%[2]s
SCIF_APPMETA=%[2]s/scif
SCIF_DATA=/scif/data
SCIF_APPDATA=%[3]s
SCIF_APPINPUT=%[3]s/input
SCIF_APPOUTPUT=%[3]s/output
export SCIF_APPNAME SCIF_APPROOT SCIF_APPMETA SCIF_DATA SCIF_APPDATA SCIF_APPINPUT SCIF_APPOUTPUT
`, quote(name), quote("/scif/apps/"+name), quote("/scif/data/"+name))
}

// appVariables are the variables by which all apps of an image are known, with the app's name at their end.
func appVariables(name string, app App) string {
	suffix := strings.Map(func(r rune) rune {
		if r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '_'
	}, name)
	root := "/scif/apps/" + name
	vars := [][2]string{
		{"APPDATA", "/scif/data/" + name}, {"APPMETA", root + "/scif"}, {"APPROOT", root}, {"APPBIN", root + "/bin"},
		{"APPLIB", root + "/lib"}, {"APPLABELS", root + "/scif/labels.json"},
	}
	if len(app.Environment) > 0 {
		vars = append(vars, [2]string{"APPENV", root + "/scif/env/90-environment.sh"})
	}
	if app.Runscript != "" {
		vars = append(vars, [2]string{"APPRUN", root + "/scif/runscript"})
	}
	var b strings.Builder
	b.WriteByte('\n')
	for _, v := range vars {
		fmt.Fprintf(&b, "export SCIF_%s_%s=%s\n", v[0], suffix, quote(v[1]))
	}
	return b.String()
}

// target is where a writer writes: a folder on disk, or memory.
type target interface {
	Lstat(name string) (fs.FileInfo, error)
	ReadFile(name string) ([]byte, error)
	Mkdir(name string, perm fs.FileMode) error
	MkdirAll(name string, perm fs.FileMode) error
	Chmod(name string, perm fs.FileMode) error
	Symlink(link, name string) error
	Rename(old, now string) error
	Remove(name string) error
	RemoveAll(name string) error
	// Create makes a new file; it is an error when there is something of that name.
	Create(name, text string, perm fs.FileMode) error
}

// folderTarget is a folder on disk, out of which nothing leads.
type folderTarget struct{ *os.Root }

func (t folderTarget) Create(name, text string, perm fs.FileMode) error {
	f, err := t.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Chmod(perm), f.Close())
}

// writer writes into a root file system and remembers the first error.
type writer struct {
	root target
	err  error
}

func (w *writer) note(err error) {
	if w.err == nil {
		w.err = err
	}
}

func (w *writer) failed(op string) error {
	if w.err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", op, w.err)
}

// mountPoint makes a folder where there is nothing yet; a link stays, wherever it leads.
func (w *writer) mountPoint(name string, perm fs.FileMode) {
	dir := path.Dir(name)
	if dir != "." {
		if info, err := w.root.Lstat(dir); err == nil && !info.IsDir() {
			return // such as /var being a link: what is in it is the image's affair
		}
		w.note(w.root.MkdirAll(dir, 0o755))
	}
	if _, err := w.root.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
		w.note(err)
		return
	}
	w.note(w.root.Mkdir(name, 0o755))
	w.note(w.root.Chmod(name, perm))
}

// mountFile makes an empty file where there is nothing yet.
func (w *writer) mountFile(name string) {
	if info, err := w.root.Lstat(path.Dir(name)); err == nil && !info.IsDir() {
		return
	}
	if _, err := w.root.Lstat(name); errors.Is(err, fs.ErrNotExist) {
		w.file(name, "", 0o644)
	}
}

// folder makes a folder of our own, in the place of anything else.
func (w *writer) folder(name string) {
	info, err := w.root.Lstat(name)
	switch {
	case err == nil && info.IsDir():
		return
	case err == nil:
		w.note(w.root.Remove(name))
	case !errors.Is(err, fs.ErrNotExist):
		w.note(err)
		return
	}
	w.note(w.root.Mkdir(name, 0o755))
	w.note(w.root.Chmod(name, 0o755))
}

// file writes a new file in the place of what is there, never through a link or another name of the same file.
func (w *writer) file(name, text string, perm fs.FileMode) {
	if w.err != nil {
		return
	}
	if err := w.root.RemoveAll(name); err != nil {
		w.note(err)
		return
	}
	w.note(w.root.Create(name, text, perm))
}

// keep writes a file unless there is one.
func (w *writer) keep(name, text string, perm fs.FileMode) {
	if info, err := w.root.Lstat(name); err == nil && info.Mode().IsRegular() {
		return
	}
	w.file(name, text, perm)
}

func (w *writer) script(name, text string) {
	if text != "" {
		w.file(name, text, 0o755)
	}
}

func (w *writer) text(name, text string) {
	if text != "" {
		w.file(name, text, 0o644)
	}
}

func (w *writer) labels(name string, labels map[string]string) {
	if labels == nil {
		return
	}
	b, err := json.MarshalIndent(labels, "", "\t")
	w.note(err)
	w.file(name, string(b)+"\n", 0o644)
}

// adopt moves a file that an image of 2016 has at its root to the place where it is looked for today.
func (w *writer) adopt(old, now string) {
	info, err := w.root.Lstat(old)
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxText {
		return
	}
	text, err := w.root.ReadFile(old)
	w.note(err)
	if existing, err := w.root.Lstat(now); now == ownEnvironment && err == nil && existing.Size() > int64(len(script("environment"))) {
		return
	} else if now != ownEnvironment && err == nil {
		return
	}
	w.file(now, string(text), 0o755)
}

// link makes a symbolic link in the place of a file or another link. A folder of that name is the image's own and stays.
func (w *writer) link(name, target string) {
	info, err := w.root.Lstat(name)
	switch {
	case err == nil && info.IsDir():
		return
	case err == nil:
		w.note(w.root.Remove(name))
	case !errors.Is(err, fs.ErrNotExist):
		w.note(err)
	}
	w.note(w.root.Symlink(target, name))
}

// history moves the definition of the base to /.singularity.d/bootstrap_history/ApptainerN.
func (w *writer) history() {
	const dir = dotd + "/bootstrap_history"
	info, err := w.root.Lstat(dotd + "/Singularity")
	if err != nil || !info.Mode().IsRegular() {
		return
	}
	w.folder(dir)
	for n := range 1000 {
		name := fmt.Sprintf("%s/Apptainer%d", dir, n)
		if _, err := w.root.Lstat(name); errors.Is(err, fs.ErrNotExist) {
			w.note(w.root.Rename(dotd+"/Singularity", name))
			return
		}
	}
}

// environment adds variables to the environment files, by their paths in the image.
func (w *writer) environment(texts map[string]string) {
	for _, p := range slices.Sorted(maps.Keys(texts)) {
		name := dotd + "/env/" + path.Base(p)
		if path.Dir(path.Clean("/"+p)) != "/"+dotd+"/env" {
			w.note(fmt.Errorf("%s: environment files are in /%s/env", p, dotd))
			return
		}
		text := texts[p]
		if info, err := w.root.Lstat(name); name != ociEnvironment && err == nil && info.Mode().IsRegular() && info.Size() <= maxText {
			old, err := w.root.ReadFile(name)
			w.note(err)
			if first, rest, ok := strings.Cut(text, "\n"); ok && strings.HasPrefix(first, "#!") {
				text = rest
			}
			text = strings.TrimRight(string(old), "\n") + "\n" + text
		}
		w.script(name, text)
	}
}
