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
	w.include(s)
	for _, c := range s.Files {
		w.file(c)
	}
	if sec := s.Section("post"); !sec.IsEmpty() {
		shell, ofShell := interpreter(sec)
		text := sec.Text()
		if ofShell {
			shell += " -ex"
			text = "umask 0002\ncd /\nexport DEBIAN_FRONTEND=\"${DEBIAN_FRONTEND:-noninteractive}\"\n" + text
		}
		if strings.Contains(text, "SINGULARITY_ENVIRONMENT") || strings.Contains(text, "APPTAINER_ENVIRONMENT") {
			if ofShell {
				text = "export APPTAINER_ENVIRONMENT=/.environment-of-post SINGULARITY_ENVIRONMENT=/.environment-of-post\n" + text
				w.remark(sec.Line, "variables that %post writes to $APPTAINER_ENVIRONMENT are read from /.environment-of-post")
			} else {
				w.remark(sec.Line, "variables that %post writes to $APPTAINER_ENVIRONMENT are lost: say them with ENV")
			}
		}
		w.execute(shell, text, "POST", ofShell)
	}
	if sec := s.Section("test"); !sec.IsEmpty() && final {
		w.line("")
		w.remark(sec.Line, "%test runs while it is built; there is nothing that runs it later")
		shell, ofShell := interpreter(sec)
		w.execute(shell, sec.Text(), "TEST", ofShell)
	}
	for _, a := range s.Apps {
		w.remark(a.Line, "the SCIF app "+a.Name+" is left out: make an image of its own for it")
	}
	if !final {
		return
	}
	if help := s.Section("help"); !help.IsEmpty() {
		w.line("")
		w.remark(help.Line, "%help, which nothing shows of a Docker image; it was:")
		for l := range strings.Lines(strings.TrimRight(help.Body, "\n ")) {
			w.line(strings.TrimRight("#   "+strings.TrimSuffix(l, "\n"), " "))
		}
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

// there are folders that every base has.
const there = " / /bin /boot /dev /etc /home /lib /lib64 /media /mnt /opt /proc /root /run /sbin /srv /sys /tmp /usr /usr/bin /usr/include /usr/lib /usr/local " +
	"/usr/local/bin /usr/local/etc /usr/local/include /usr/local/lib /usr/local/sbin /usr/local/share /usr/sbin /usr/share /usr/src /var /var/cache /var/lib /var/log /var/tmp "

// include installs what the header's Include names.
func (w *dockerWriter) include(s *definition.Stage) {
	var names []string
	for _, n := range strings.FieldsFunc(w.templates(s.Header.Get("Include")), func(r rune) bool { return r == ',' || r == ' ' || r == '\t' }) {
		if n != "yum" && n != "dnf" && n != "zypper" { // the image has it
			names = append(names, n)
		}
	}
	if len(names) == 0 {
		return
	}
	list := strings.Join(names, " ")
	switch s.Bootstrap() {
	case "debootstrap":
		w.line("RUN apt-get update && apt-get install -y --no-install-recommends " + list)
	case "yum", "dnf":
		w.line("RUN dnf -y install " + list + " && dnf clean all")
	case "zypper":
		w.line("RUN zypper --non-interactive install " + list + " && zypper clean --all")
	case "arch":
		w.line("RUN pacman -Syu --noconfirm " + list)
	default:
		w.remark(s.Header.Line("include"), "Include: "+list+" is not installed: nothing says with what")
	}
}

// interpreter is the first line of a section's script, "#!" and what "-c" behind its name says or /bin/sh, and whether that is
// a shell.
func interpreter(sec *definition.Section) (string, bool) {
	line := "/bin/sh"
	if args := strings.Fields(sec.Args); len(args) > 1 && args[0] == "-c" {
		line = strings.Join(args[1:], " ")
	}
	return "#!" + line, isShell(line)
}

// isShell tells of an interpreter's path, perhaps behind env, that it is one of the shells that understand sh.
func isShell(line string) bool {
	for _, word := range strings.Fields(line) {
		if name := path.Base(word); name != "env" {
			return slices.Contains([]string{"sh", "bash", "dash", "ash", "ksh", "zsh", "busybox"}, name)
		}
	}
	return false
}

// file is a line of %files.
func (w *dockerWriter) file(c definition.FileCopy) {
	src, dst := w.templates(c.Src), w.templates(c.Dst)
	if dst == "" {
		dst = src
	}
	// A definition puts a folder into one that is there, COPY what is in it: so the whole name is said.
	if base := path.Base(path.Clean(src)); (strings.HasSuffix(dst, "/") || strings.Contains(there, " "+path.Clean(dst)+" ")) && base != "." && base != "/" && base != ".." && !strings.ContainsAny(src, "*?[$") {
		dst = path.Join(dst, base)
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
		w.line("LABEL " + dockerQuote(n) + "=" + w.templates(dockerQuote(labels[n])))
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

// plain is a line of %environment that ENV may be able to say.
var plain = pattern.New(`^(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)=("[^"` + "`" + `]*"|'[^']*'|[^\s"'\\~` + "`" + `;|&()<>]*)$`)

// assignment is the value of ENV for a value as a shell reads it. Variables have to be known when the image is built: those that
// were set before, and search paths, which the base may have. Of others, such as HOME, only the start of the container knows.
func assignment(word string, known map[string]bool) (string, bool) {
	switch {
	case strings.HasPrefix(word, "'"):
		return dockerEscape(strings.Trim(word, "'")), true
	case strings.Contains(word, "$("), strings.HasSuffix(word, `\"`):
		return "", false
	}
	word = strings.TrimSuffix(strings.TrimPrefix(word, `"`), `"`)
	for i := 0; i < len(word); i++ {
		if word[i] == '\\' {
			i++
			continue
		}
		if word[i] != '$' {
			continue
		}
		m := reference.FindStringSubmatch(word[i:])
		if m == nil || !known[m[1]+m[2]] && !strings.HasSuffix(m[1]+m[2], "PATH") {
			return "", false
		}
	}
	return word, true
}

// reference is a variable as ENV understands it (Dockerfile reference, "Environment replacement").
var reference = pattern.New(`^\$(?:([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)(?::[-+][^}$]*)?\})`)

// variables turns %environment into ENV, or, where that cannot say it, into a script; the answer is whether there is one.
func (w *dockerWriter) variables(env *definition.Section) bool {
	if env.IsEmpty() {
		return false
	}
	var lines []string
	known := map[string]bool{}
	for l := range strings.Lines(env.Body) {
		l = strings.TrimSpace(l)
		if l == "" || l[0] == '#' || exportOnly.MatchString(l) {
			continue
		}
		m := plain.FindStringSubmatch(l)
		if m == nil {
			w.script("/.environment.sh", env.Text(), "ENV")
			return true
		}
		value, ok := assignment(m[2], known)
		if !ok {
			w.script("/.environment.sh", env.Text(), "ENV")
			return true
		}
		known[m[1]] = true
		lines = append(lines, "ENV "+m[1]+`="`+w.templates(value)+`"`)
	}
	for _, l := range lines {
		w.line(l)
	}
	return false
}

// execute runs a script while the image is built. A template without a value becomes a variable, which a shell puts in its
// place except between single quotes and in here-documents; there, and for every other interpreter, it is filled in before.
func (w *dockerWriter) execute(shebang, text, end string, ofShell bool) {
	open := slices.ContainsFunc(w.undefined, func(name string) bool { return needs(text, name) })
	if !open || ofShell && !strings.Contains(text, "'") && !strings.Contains(text, "<<") {
		w.document("RUN", "", shebang+"\n"+w.templates(text), end)
		return
	}
	file := "/." + strings.ToLower(end)
	w.script(file, shebang+"\n"+text, end)
	w.line("RUN " + file + " && rm " + file)
}

// script writes a file whose templates are filled in when the image is built, wherever in the text they stand.
func (w *dockerWriter) script(target, text, end string) {
	w.document("COPY --chmod=755", target, text, end)
	for _, name := range w.undefined {
		if needs(text, name) {
			w.line(`RUN value=$(printf '%s' "$` + name + `" | sed 's/[|&\\]/\\&/g') && sed -i "s|{{ *` + name + ` *}}|$value|g" ` + target)
		}
	}
}

// runtime is what happens when the container starts.
func (w *dockerWriter) runtime(s *definition.Stage) {
	env := s.Section("environment")
	scripted := w.variables(env)
	run := s.Section("runscript")
	if run.IsEmpty() {
		if scripted {
			w.remark(env.Line, "%environment is a script: source /.environment.sh where it is needed")
		}
		return
	}
	text := run.Text()
	shebang, ofShell := interpreter(run)
	if first, rest, _ := strings.Cut(text, "\n"); strings.HasPrefix(strings.TrimSpace(first), "#!") {
		shebang, text = strings.TrimSpace(first), rest
		ofShell = isShell(strings.TrimPrefix(shebang, "#!"))
	}
	switch {
	case scripted && ofShell:
		w.script("/.runscript", shebang+"\n. /.environment.sh\n"+text, "RUNSCRIPT")
	case scripted:
		w.script("/.runscript.own", shebang+"\n"+text, "RUNSCRIPT")
		w.document("COPY --chmod=755", "/.runscript", "#!/bin/sh\n. /.environment.sh\nexec /.runscript.own \"$@\"\n", "START")
	default:
		w.script("/.runscript", shebang+"\n"+text, "RUNSCRIPT")
	}
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
	return `"` + dockerEscape(s) + `"`
}

// dockerEscape makes a text stand for itself between double quotes.
func dockerEscape(s string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`, "$", `\$`).Replace(s)
}
