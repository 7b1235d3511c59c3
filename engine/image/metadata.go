package image

import (
	"context"
	"encoding/json"
	"io"
	"io/fs"
	"maps"
	"path"
	"strings"
	"unicode/utf8"

	"carrel/engine/oci"
	"carrel/engine/sif"
	"carrel/engine/tree"
)

// Metadata is what an image says about itself. Scripts are whole files with their first line.
type Metadata struct {
	Labels      map[string]string
	Definition  string // text of the definition file
	Help        string
	Runscript   string
	Startscript string
	Test        string
	Environment map[string]string // text of files by path, "/.singularity.d/env/90-environment.sh"
	Apps        map[string]App    // SCIF apps by name
}

// App is a SCIF app of an image.
type App struct {
	Labels      map[string]string
	Help        string
	Runscript   string
	Startscript string
	Test        string
	Environment map[string]string // as Metadata.Environment
}

const (
	dotd = ".singularity.d"
	// maxText bounds each file of metadata that is read, maxLabels and maxApps their number.
	maxText   = 1 << 20
	maxLabels = 10_000
	maxApps   = 1_000
	maxEnv    = 100
	maxLabel  = 64 << 10 // bytes of a label's value
)

// Metadata reads what the image says about itself: the metadata a SIF carries beside its file system, else the files in
// the image, else those of images of 2016.
func (m *Image) Metadata() (Metadata, error) { return m.metadata() }

// Labels are the image's labels, cleaned for being shown.
func (m *Image) Labels() (map[string]string, error) {
	if m.oci != nil { // its layers have nothing to add
		return cleanLabels(m.oci.Config.Labels), nil
	}
	meta, err := m.metadata()
	return meta.Labels, err
}

// Definition is the text of the definition file the image was built from, empty when it has none.
func (m *Image) Definition() string {
	if m.sif != nil {
		if text, err := m.sif.Definition(); err == nil && len(text) > 0 && len(text) <= maxText {
			return clean(string(text))
		}
	}
	meta, err := m.metadata()
	if err != nil {
		return ""
	}
	return meta.Definition
}

func (m *Image) readMetadata() (Metadata, error) {
	if m.oci != nil {
		return m.readOCIMetadata()
	}
	if m.sif != nil {
		if b, err := m.sif.JSON(sif.MetadataName); err == nil && len(b) > 0 {
			if meta, err := ParseMetadata(b); err == nil {
				return meta, nil
			}
		}
	}
	contents, err := m.FS()
	if err != nil {
		return Metadata{}, err
	}
	return ReadMetadata(contents)
}

// readOCIMetadata takes what the configuration says; of an image made of a SIF, which says it in files, these are read,
// unless they had to be downloaded.
func (m *Image) readOCIMetadata() (Metadata, error) {
	c := m.oci.Config
	meta := OCIMetadata(c.Env, c.Entrypoint, c.Cmd, cleanLabels(c.Labels))
	meta.Apps = map[string]App{}
	if m.Kind == Registry {
		return meta, nil
	}
	found, ok, err := OwnMetadata(context.Background(), m.oci)
	if err != nil || !ok {
		return meta, err
	}
	maps.Copy(found.Labels, meta.Labels)
	return found, nil
}

// OwnMetadata is what an OCI image that Export made of another says of itself in files; ok is false for other OCI images.
// Its layers are read for it.
func OwnMetadata(ctx context.Context, o *oci.Image) (m Metadata, ok bool, err error) {
	if !isEntry(o.Config.Entrypoint) {
		return Metadata{}, false, nil
	}
	x, err := NewIndex(ctx, o, IndexOptions{Keep: func(e *tree.Entry) bool {
		return strings.HasPrefix(e.Path, dotd+"/") || strings.HasPrefix(e.Path, "scif/")
	}})
	if err != nil {
		return Metadata{}, false, err
	}
	m, err = ReadMetadata(x)
	return m, err == nil, err
}

// document is inspect-metadata.json (Apptainer, pkg/inspect). Labels of old images are not always strings.
type document struct {
	Data struct {
		Attributes attributes `json:"attributes"`
	} `json:"data"`
	Type string `json:"type"`
}

type attributes struct {
	Apps        map[string]appAttributes `json:"apps"`
	Environment map[string]string        `json:"environment"`
	Labels      looseStrings             `json:"labels"`
	Runscript   string                   `json:"runscript"`
	Test        string                   `json:"test"`
	Helpfile    string                   `json:"helpfile"`
	Deffile     string                   `json:"deffile"`
	Startscript string                   `json:"startscript"`
}

type appAttributes struct {
	Environment map[string]string `json:"environment,omitempty"`
	Labels      looseStrings      `json:"labels,omitempty"`
	Runscript   string            `json:"runscript,omitempty"`
	Startscript string            `json:"startscript,omitempty"`
	Test        string            `json:"test,omitempty"`
	Helpfile    string            `json:"helpfile,omitempty"`
}

// looseStrings takes values that are not strings as their JSON text.
type looseStrings map[string]string

func (l *looseStrings) UnmarshalJSON(b []byte) error {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(b, &raw); err != nil {
		return err
	}
	*l = make(looseStrings, len(raw))
	for k, v := range raw {
		var s string
		if json.Unmarshal(v, &s) != nil {
			s = string(v)
		}
		(*l)[k] = s
	}
	return nil
}

// JSON is the metadata as the inspect-metadata.json of a SIF.
func (m *Metadata) JSON() ([]byte, error) {
	d := document{Type: "container"}
	d.Data.Attributes = attributes{
		Apps: map[string]appAttributes{}, Environment: trimmed(m.Environment), Labels: notNil(m.Labels),
		Runscript: trim(m.Runscript), Test: trim(m.Test), Helpfile: trim(m.Help), Deffile: trim(m.Definition), Startscript: trim(m.Startscript),
	}
	for name, a := range m.Apps {
		d.Data.Attributes.Apps[name] = appAttributes{
			Environment: trimmed(a.Environment), Labels: a.Labels,
			Runscript: trim(a.Runscript), Startscript: trim(a.Startscript), Test: trim(a.Test), Helpfile: trim(a.Help),
		}
	}
	return json.Marshal(d)
}

// trim drops the last newlines, as Apptainer's metadata has its texts.
func trim(s string) string { return strings.TrimRight(s, "\n") }

func trimmed(m map[string]string) map[string]string {
	out := make(map[string]string, len(m))
	for k, v := range m {
		out[k] = trim(v)
	}
	return out
}

func notNil(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}

// ParseMetadata reads an inspect-metadata.json.
func ParseMetadata(b []byte) (Metadata, error) {
	var d document
	if err := json.Unmarshal(b, &d); err != nil {
		return Metadata{}, err
	}
	a := d.Data.Attributes
	m := Metadata{
		Labels: cleanLabels(a.Labels), Definition: clean(a.Deffile), Help: clean(a.Helpfile), Runscript: clean(a.Runscript),
		Startscript: clean(a.Startscript), Test: clean(a.Test), Environment: cleanTexts(a.Environment), Apps: map[string]App{},
	}
	for name, app := range a.Apps {
		if len(m.Apps) < maxApps && validApp(name) {
			m.Apps[name] = App{
				Labels: cleanLabels(app.Labels), Help: clean(app.Helpfile), Runscript: clean(app.Runscript),
				Startscript: clean(app.Startscript), Test: clean(app.Test), Environment: cleanTexts(app.Environment),
			}
		}
	}
	return m, nil
}

// ReadMetadata reads the metadata files of a root file system. Missing files are no error; neither are ones that cannot
// be understood, since an image with a broken label file can still be run.
func ReadMetadata(root fs.FS) (Metadata, error) {
	r := reader{root: root}
	m := Metadata{
		Labels:      r.labels(dotd + "/labels.json"),
		Definition:  r.text(dotd + "/Singularity"),
		Help:        r.text(dotd + "/runscript.help"),
		Runscript:   r.text(dotd + "/runscript"),
		Startscript: r.text(dotd + "/startscript"),
		Test:        r.text(dotd + "/test"),
		Environment: r.environment(dotd + "/env"),
		Apps:        map[string]App{},
	}
	if m.Runscript == "" {
		m.Runscript = r.text("singularity")
	}
	if m.Test == "" && !r.isLink(".test") {
		m.Test = r.text(".test")
	}
	if len(m.Environment) == 0 {
		if text := r.text("environment"); text != "" {
			m.Environment["/environment"] = text
		}
	}
	for _, e := range r.list("scif/apps") {
		if len(m.Apps) >= maxApps || !validApp(e.Name()) {
			continue
		}
		dir := "scif/apps/" + e.Name() + "/scif"
		if _, err := fs.Stat(root, dir); err != nil {
			continue
		}
		m.Apps[e.Name()] = App{
			Labels: r.labels(dir + "/labels.json"), Help: r.text(dir + "/runscript.help"), Runscript: r.text(dir + "/runscript"),
			Startscript: r.text(dir + "/startscript"), Test: r.text(dir + "/test"), Environment: r.environment(dir + "/env"),
		}
	}
	return m, r.err
}

// reader reads small files and remembers the first error that is not about what the image is like.
type reader struct {
	root fs.FS
	err  error
}

func (r *reader) bytes(name string) []byte {
	f, err := r.root.Open(name)
	if err != nil {
		return nil
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() || info.Size() > maxText {
		return nil
	}
	b, err := io.ReadAll(io.LimitReader(f, maxText))
	if err != nil {
		if r.err == nil {
			r.err = err
		}
		return nil
	}
	return b
}

func (r *reader) text(name string) string { return clean(string(r.bytes(name))) }

func (r *reader) labels(name string) map[string]string {
	var l looseStrings
	if json.Unmarshal(r.bytes(name), &l) != nil {
		return map[string]string{}
	}
	return cleanLabels(l)
}

func (r *reader) isLink(name string) bool {
	info, err := fs.Lstat(r.root, name)
	return err == nil && info.Mode()&fs.ModeSymlink != 0
}

func (r *reader) list(dir string) []fs.DirEntry {
	list, err := fs.ReadDir(r.root, dir)
	if err != nil {
		return nil
	}
	return list
}

// environment reads the files that carry an image's own variables: those of an OCI configuration and those that
// definition files and %post write; not the ones every image has.
func (r *reader) environment(dir string) map[string]string {
	env := map[string]string{}
	for _, e := range r.list(dir) {
		docker, _ := path.Match("10-docker*.sh", e.Name())
		own, _ := path.Match("9[0-9]-environment.sh", e.Name())
		if (docker || own) && len(env) < maxEnv {
			if text := r.text(dir + "/" + e.Name()); text != "" {
				env["/"+dir+"/"+e.Name()] = text
			}
		}
	}
	return env
}

func validApp(name string) bool {
	return fs.ValidPath(name) && !strings.Contains(name, "/") && name != "." && clean(name) == name
}

func cleanLabels(in map[string]string) map[string]string {
	out := make(map[string]string, min(len(in), maxLabels))
	for k, v := range in {
		if len(out) >= maxLabels || len(k) > maxLabel {
			continue
		}
		if len(v) > maxLabel {
			v = v[:maxLabel]
		}
		out[clean(k)] = clean(v)
	}
	return out
}

func cleanTexts(in map[string]string) map[string]string {
	out := make(map[string]string, len(in))
	for k, v := range in {
		if len(out) < maxEnv {
			out[clean(k)] = clean(v)
		}
	}
	return out
}

// clean removes what a terminal would obey or what would deceive its reader: control characters other than newline and
// tab, marks that reverse the direction of text, and bytes that are not UTF-8.
func clean(s string) string {
	ok := func(r rune) bool {
		switch {
		case r == '\n' || r == '\t':
			return true
		case r < 0x20, r >= 0x7f && r < 0xa0, // C0, DEL, C1
			r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069, r == 0x200e, r == 0x200f, r == 0x061c: // bidirectional controls
			return false
		}
		return true
	}
	if utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool { return !ok(r) }) < 0 {
		return s
	}
	return strings.Map(func(r rune) rune {
		if ok(r) {
			return r
		}
		return -1
	}, strings.ToValidUTF8(s, "\ufffd"))
}
