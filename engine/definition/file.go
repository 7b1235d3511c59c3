package definition

import (
	"slices"
	"strings"
)

// File is a definition file, read.
type File struct {
	// Name is the name it was parsed under, for messages; it may be empty.
	Name string
	// Stages are the builds it describes, in order; the last one becomes the image. There is at least one.
	Stages []*Stage
	// Raw is the text with all templates filled in, without a byte order mark, line ends as written: what an image
	// keeps as its definition.
	Raw string
	// Source is the text exactly as it was read.
	Source string
	// Warnings are the leniencies taken while reading, by line.
	Warnings []Finding
	// Undefined are the template names nothing gives a value to; only with Options.AllowUndefined.
	Undefined []Undefined
	// UnusedArgs are the build arguments no template asks for, sorted.
	UnusedArgs []string
}

// Final is the last stage, the one that becomes the image.
func (f *File) Final() *Stage { return f.Stages[len(f.Stages)-1] }

// Stage finds a stage by its "Stage:" name, which is case-sensitive; nil when there is none.
func (f *File) Stage(name string) *Stage {
	for _, s := range f.Stages {
		if s.Name == name {
			return s
		}
	}
	return nil
}

// Stage is one build: a header that names the base, and sections.
type Stage struct {
	// Name is the value of "Stage:", or empty.
	Name string
	// Line is where the stage begins.
	Line int
	// Header are the keys above the first section.
	Header Header
	// Sections are the sections by lower-case name without %, apps excepted. Several of one name are one Section.
	Sections map[string]*Section
	// Apps are the SCIF apps in the order they first appear, in which their %appinstall run.
	Apps []*App
	// Files are the lines of all %files sections, in order.
	Files []FileCopy
	// Arguments are the defaults of %arguments, in order.
	Arguments []Argument
	// Labels are the lines of %labels, in order, each name once (the last value wins).
	Labels []Label
	// Raw is the stage's own text with templates filled in.
	Raw string
}

// Bootstrap is the name of the agent that provides the base, in lower case; empty when the header has none.
func (s *Stage) Bootstrap() string { return strings.ToLower(s.Header.Get("bootstrap")) }

// From is the header's From, the reference of the base.
func (s *Stage) From() string { return s.Header.Get("from") }

// Section is the section of a name (without %), or nil. A nil Section answers Text and IsEmpty.
func (s *Stage) Section(name string) *Section { return s.Sections[strings.ToLower(name)] }

// App finds a SCIF app by name; nil when there is none.
func (s *Stage) App(name string) *App {
	for _, a := range s.Apps {
		if a.Name == name {
			return a
		}
	}
	return nil
}

// LabelMap is Labels as a map, never nil.
func (s *Stage) LabelMap() map[string]string { return labelMap(s.Labels) }

// Header is the keys above the sections in the order written, each key once (the last value wins).
type Header []Field

// Field is one key of a header.
type Field struct {
	Key   string // as written
	Value string // without the comment, continuation lines joined
	Line  int
}

// Get is the value of a key, whatever its case; empty when it is not there.
func (h Header) Get(key string) string {
	v, _ := h.Lookup(key)
	return v
}

// Lookup is Get that tells an empty value from a missing key.
func (h Header) Lookup(key string) (string, bool) {
	if i := h.index(key); i >= 0 {
		return h[i].Value, true
	}
	return "", false
}

// Line is the line a key stands on, 0 when it is not there.
func (h Header) Line(key string) int {
	if i := h.index(key); i >= 0 {
		return h[i].Line
	}
	return 0
}

// Numbered are the values of KEY1, KEY2 …, in the order of their numbers ("OtherURL" of zypper).
func (h Header) Numbered(key string) []string {
	type numbered struct {
		digits string
		value  string
	}
	var all []numbered
	for _, f := range h {
		lower := strings.ToLower(f.Key)
		base := strings.TrimRight(lower, "0123456789")
		if base == strings.ToLower(key) && base != lower {
			all = append(all, numbered{strings.TrimLeft(lower[len(base):], "0"), f.Value})
		}
	}
	slices.SortStableFunc(all, func(a, b numbered) int {
		if len(a.digits) != len(b.digits) {
			return len(a.digits) - len(b.digits)
		}
		return strings.Compare(a.digits, b.digits)
	})
	values := make([]string, len(all))
	for i, n := range all {
		values[i] = n.value
	}
	return values
}

func (h Header) index(key string) int {
	return slices.IndexFunc(h, func(f Field) bool { return strings.EqualFold(f.Key, key) })
}

// Section is a section with its text.
type Section struct {
	// Name is the lower-case name without %; for an app's section the name without "app" (install, run …).
	Name string
	// Args is what follows the name on its line, trimmed, comment included ("-c /bin/bash"). Of several sections of a
	// name the last that has any counts.
	Args string
	// Body is the text below, line ends "\n", ending in one unless it is empty. Repeated sections are joined.
	Body string
	// Line is the line of the (first) name.
	Line int

	parts []part
	texts []string // of the parts, while they are read
}

// join makes the body of the parts.
func (s *Section) join() { s.Body, s.texts = strings.Join(s.texts, ""), nil }

// part says where a run of body lines stands in the file.
type part struct {
	first int   // index of the first body line, from 0
	lines []int // their lines in the file
}

// Text is the body; empty for a nil section.
func (s *Section) Text() string {
	if s == nil {
		return ""
	}
	return s.Body
}

// IsEmpty tells whether there is nothing but white space in the section, or no section at all.
func (s *Section) IsEmpty() bool { return s == nil || strings.TrimSpace(s.Body) == "" }

// SourceLine is the line in the definition file of the nth line of Body, both from 1; the section's own line when there
// is no such line. It turns a shell's "line 3" into the line a person edits.
func (s *Section) SourceLine(n int) int {
	i, exact := slices.BinarySearchFunc(s.parts, n-1, func(p part, at int) int { return p.first - at })
	if !exact {
		i--
	}
	if i >= 0 {
		if k := n - 1 - s.parts[i].first; k >= 0 && k < len(s.parts[i].lines) {
			return s.parts[i].lines[k]
		}
	}
	return s.Line
}

// App is a SCIF app: what %appinstall NAME, %apprun NAME and so on say of it (https://sci-f.github.io).
type App struct {
	// Name is as written. It becomes a folder below /scif/apps: whoever builds must not let it lead elsewhere.
	Name string
	Line int
	// Sections by name without "app": install, files, env, labels, help, run, start, test.
	Sections map[string]*Section
	// Files are the lines of %appfiles; destinations are relative to the app's folder.
	Files []FileCopy
	// Labels are the lines of %applabels.
	Labels []Label
}

// Section is an app's section by its name without "app", or nil.
func (a *App) Section(name string) *Section { return a.Sections[name] }

// LabelMap is Labels as a map, never nil.
func (a *App) LabelMap() map[string]string { return labelMap(a.Labels) }

// FileCopy is a line of %files: what to copy, and where to.
type FileCopy struct {
	// From is the stage Src is taken from; empty for the folder of the definition file.
	From string
	// Src is a path or a glob pattern.
	Src string
	// Dst is empty for "the same path in the image".
	Dst  string
	Line int
}

// Argument is a default of %arguments.
type Argument struct {
	Name    string
	Default string
	Line    int
}

// Label is a line of %labels.
type Label struct {
	Key   string
	Value string
	Line  int
}

func labelMap(labels []Label) map[string]string {
	m := make(map[string]string, len(labels))
	for _, l := range labels {
		m[l.Key] = l.Value
	}
	return m
}
