package dockerfile

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"carrel/engine/card"
	"carrel/engine/definition"
	"carrel/internal/pattern"
)

// FromDefinition turns a definition file, read, into a Dockerfile. Templates have the values they were read with; those
// without one become build arguments.
func FromDefinition(f *definition.File) Result {
	var w dockerWriter
	for _, u := range f.Undefined {
		if !slices.Contains(w.undefined, u.Name) {
			w.undefined = append(w.undefined, u.Name)
		}
	}
	w.line("# syntax=docker/dockerfile:1")
	for i, s := range f.Stages {
		w.line("")
		w.stage(s, i == len(f.Stages)-1)
	}
	return Result{Text: w.b.String(), Remarks: w.remarks}
}

type dockerWriter struct {
	b         strings.Builder
	remarks   []Remark
	undefined []string // templates without a value
}

func (w *dockerWriter) line(text string) { w.b.WriteString(text + "\n") }

func (w *dockerWriter) remark(line int, text string) {
	w.remarks = append(w.remarks, Remark{line, text})
	w.line("# definition, line " + strconv.Itoa(line) + ": " + text)
}

func (w *dockerWriter) stage(s *definition.Stage, final bool) {
	head := strings.Join(headerValues(s), "\n")
	for _, a := range w.undefined {
		if needs(head, a) {
			w.line("ARG " + a)
		}
	}
	from := w.base(s)
	if s.Name != "" {
		from += " AS " + s.Name
	}
	w.line("FROM " + from)
	for _, a := range w.undefined {
		if needs(s.Raw, a) {
			w.line("ARG " + a)
		}
	}
	for _, name := range []string{"pre", "setup"} {
		if sec := s.Section(name); !sec.IsEmpty() {
			w.remark(sec.Line, "%"+name+" ran on the computer that builds, which a Dockerfile cannot do; it was:")
			for l := range strings.Lines(sec.Body) {
				w.line("#   " + strings.TrimRight(l, "\n"))
			}
		}
	}
	if include := s.Header.Get("Include"); include != "" && s.Bootstrap() == "debootstrap" {
		w.line("RUN apt-get update && apt-get install -y --no-install-recommends " + strings.ReplaceAll(include, ",", " "))
	}
	for _, c := range s.Files {
		w.file(c)
	}
	if sec := s.Section("post"); !sec.IsEmpty() {
		shell := "#!/bin/sh -ex"
		if args := strings.Fields(sec.Args); len(args) > 1 && args[0] == "-c" {
			shell = "#!" + args[1] + " -ex"
		}
		text := "umask 0002\ncd /\nexport DEBIAN_FRONTEND=\"${DEBIAN_FRONTEND:-noninteractive}\"\n" + w.templates(sec.Text())
		if strings.Contains(text, "SINGULARITY_ENVIRONMENT") || strings.Contains(text, "APPTAINER_ENVIRONMENT") {
			text = "export APPTAINER_ENVIRONMENT=/.environment-of-post SINGULARITY_ENVIRONMENT=/.environment-of-post\n" + text
			w.remark(sec.Line, "variables that %post writes to $APPTAINER_ENVIRONMENT are read from /.environment-of-post")
		}
		w.document("RUN", "", shell+"\n"+text, "POST")
	}
	if sec := s.Section("test"); !sec.IsEmpty() && final {
		w.line("")
		w.remark(sec.Line, "%test runs while it is built; there is nothing that runs it later")
		w.document("RUN", "", "#!/bin/sh\n"+w.templates(sec.Text()), "TEST")
	}
	for _, a := range s.Apps {
		w.remark(a.Line, "the SCIF app "+a.Name+" is left out: make an image of its own for it")
	}
	if !final {
		return
	}
	w.labels(s)
	w.runtime(s)
}

// needs tells whether a text has a template of a name.
func needs(text, name string) bool {
	for _, m := range template.FindAllStringSubmatch(text, -1) {
		if m[1] == name {
			return true
		}
	}
	return false
}

// base is the image of FROM.
func (w *dockerWriter) base(s *definition.Stage) string {
	from := w.templates(s.From())
	switch strings.ToLower(s.Bootstrap()) {
	case "docker":
		return strings.TrimPrefix(strings.TrimPrefix(from, "docker://"), "//")
	case "scratch":
		return "scratch"
	case "debootstrap":
		suite := w.templates(s.Header.Get("OSVersion"))
		image := "debian:" + suite + "-slim"
		if strings.Contains(s.Header.Get("MirrorURL"), "ubuntu") {
			image = "ubuntu:" + suite
		}
		w.remark(s.Line, "the base is bootstrapped from packages; "+image+" comes near to it")
		return image
	case "busybox":
		return "busybox"
	case "arch":
		return "archlinux"
	case "yum", "dnf":
		w.remark(s.Line, "the base is made from packages; choose an image that comes near to it")
		return "rockylinux:" + dockerOr(s.Header.Get("OSVersion"), "9")
	case "zypper":
		w.remark(s.Line, "the base is made from packages; choose an image that comes near to it")
		return "opensuse/leap:" + dockerOr(s.Header.Get("OSVersion"), "15")
	}
	w.remark(s.Line, s.Bootstrap()+" "+from+" is no image of a Docker registry; push it to one (carrel push) and name it here")
	return "scratch"
}

func dockerOr(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

func headerValues(s *definition.Stage) []string {
	var all []string
	for _, f := range s.Header {
		all = append(all, f.Value)
	}
	return all
}

// file is a line of %files.
func (w *dockerWriter) file(c definition.FileCopy) {
	src, dst := w.templates(c.Src), w.templates(c.Dst)
	if dst == "" {
		dst = src
	}
	if !path.IsAbs(dst) {
		dst = "/" + dst
	}
	from := ""
	if c.From != "" {
		from = "--from=" + c.From + " "
	} else if path.IsAbs(src) || strings.HasPrefix(path.Clean(src), "..") {
		w.remark(c.Line, src+" lies outside of the folder; put it there")
		src = path.Base(src)
	}
	if strings.ContainsAny(src, "*?[") && !strings.HasSuffix(dst, "/") {
		dst += "/"
	}
	if strings.ContainsAny(src+dst, " \t") {
		w.line("COPY " + from + `["` + src + `", "` + dst + `"]`)
		return
	}
	w.line("COPY " + from + src + " " + dst)
}

// document writes an instruction with a here-document, whose end does not occur in it.
func (w *dockerWriter) document(head, target, text, end string) {
	if !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	for strings.Contains("\n"+text, "\n"+end+"\n") {
		end += "X"
	}
	w.b.WriteString(strings.TrimSpace(head+" <<'"+end+"' "+target) + "\n" + text + end + "\n")
}

func (w *dockerWriter) labels(s *definition.Stage) {
	labels := s.LabelMap()
	if len(labels) == 0 {
		return
	}
	names := make([]string, 0, len(labels))
	for n := range labels {
		names = append(names, n)
	}
	slices.Sort(names)
	w.line("")
	for _, n := range names {
		w.line("LABEL " + dockerQuote(n) + "=" + dockerQuote(w.templates(labels[n])))
	}
	c, _ := card.Parse(labels)
	for _, p := range c.Ports {
		w.line("EXPOSE " + strconv.Itoa(p.Container))
	}
	for _, b := range c.Binds {
		w.line("VOLUME [" + strconv.Quote(b.Dest) + "]")
	}
	if c.Stop != "" {
		w.line("STOPSIGNAL " + c.Stop)
	}
}

// plain is a line of %environment that ENV can say.
var plain = pattern.New(`^(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)=("[^"` + "`" + `]*"|'[^'$]*'|[^\s"'` + "`" + `;|&()<>]*)$`)

// runtime is what happens when the container starts.
func (w *dockerWriter) runtime(s *definition.Stage) {
	env := s.Section("environment")
	simple := true
	var pairs [][2]string
	if !env.IsEmpty() {
		for l := range strings.Lines(env.Body) {
			l = strings.TrimSpace(l)
			if l == "" || l[0] == '#' {
				continue
			}
			m := plain.FindStringSubmatch(l)
			if m == nil || strings.Contains(m[2], "$(") {
				if exportOnly.MatchString(l) {
					continue
				}
				simple = false
				break
			}
			pairs = append(pairs, [2]string{m[1], strings.Trim(m[2], `"'`)})
		}
		if simple {
			for _, p := range pairs {
				w.line("ENV " + p[0] + "=" + `"` + w.templates(p[1]) + `"`)
			}
		} else {
			w.document("COPY", "/.environment.sh", w.templates(env.Text()), "ENV")
		}
	}
	run := s.Section("runscript")
	if run.IsEmpty() {
		if !simple {
			w.remark(env.Line, "%environment is a script: source /.environment.sh where it is needed")
		}
		return
	}
	text := w.templates(run.Text())
	shebang := "#!/bin/sh"
	if first, rest, _ := strings.Cut(text, "\n"); strings.HasPrefix(strings.TrimSpace(first), "#!") {
		shebang, text = strings.TrimSpace(first), rest
	}
	source := ""
	if !simple {
		source = ". /.environment.sh\n"
	}
	w.document("COPY --chmod=755", "/.runscript", shebang+"\n"+source+text, "RUNSCRIPT")
	w.line(`ENTRYPOINT ["/.runscript"]`)
	if start := s.Section("startscript"); !start.IsEmpty() {
		w.remark(start.Line, "%startscript, which an instance runs, is left out")
	}
}

var exportOnly = pattern.New(`^export(\s+[A-Za-z_][A-Za-z0-9_]*)+$`)

var template = pattern.New(`\{\{\s*(\w+)\s*\}\}`)

// templates turns {{ NAME }} into a build argument.
func (w *dockerWriter) templates(text string) string {
	return template.ReplaceAllString(text, "$${$1}")
}

// dockerQuote quotes a value of LABEL and ARG.
func dockerQuote(s string) string {
	if s != "" && !strings.ContainsAny(s, " \t\"'\\$#") {
		return s
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "$", `\$`).Replace(s) + `"`
}
