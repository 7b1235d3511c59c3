package dockerfile

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"carrel/internal/pattern"
)

// Result is a converted file.
type Result struct {
	// Text is the file.
	Text string
	// Remarks are what the other form cannot say, or says differently; each stands in the text too, where it belongs.
	Remarks []Remark
}

// Remark is what a line could not be turned into as it is.
type Remark struct {
	Line int    `json:"line"` // of the source
	Text string `json:"text"`
}

// ToDefinition turns a Dockerfile into a definition file. context is its folder, which is asked whether what is copied is a
// file or a folder; nil when it is not there. The error is an *Error.
func ToDefinition(text string, context fs.FS) (Result, error) {
	all, err := parse(text)
	if err != nil {
		return Result{}, err
	}
	c := &converter{context: context}
	for _, in := range all {
		if err := c.take(in); err != nil {
			return Result{}, err
		}
	}
	if c.now == nil {
		return Result{}, &Error{1, "it has no FROM"}
	}
	return Result{Text: c.write(), Remarks: c.remarks}, nil
}

// stage is what will be a stage of the definition.
type stage struct {
	name string // what others call it: its AS, or its number
	base string // the image; empty for scratch

	args    [][2]string // ARG, with default
	env     [][2]string // ENV, in order
	labels  [][2]string
	files   []fileLine
	post    []string
	workdir string
	user    string
	shell   []string
	entry   *Instruction
	cmd     *Instruction
	ran     bool // a RUN came: what is copied from now on must be put in its place later
	staged  bool // something waits below /.copied
	used    bool // the final stage needs it
	image   bool // it stands for an image that is only copied from
}

// fileLine is a line of %files.
type fileLine struct{ from, src, dst string }

type converter struct {
	context fs.FS
	global  [][2]string // ARG before the first FROM
	stages  []*stage
	now     *stage
	remarks []Remark
}

// remark notes something, and returns it as a comment.
func (c *converter) remark(line int, format string, args ...any) string {
	r := Remark{line, fmt.Sprintf(format, args...)}
	c.remarks = append(c.remarks, r)
	return fmt.Sprintf("# Dockerfile, line %d: %s", r.Line, r.Text)
}

func (c *converter) note(line int, format string, args ...any) {
	text := c.remark(line, format, args...)
	if c.now != nil {
		c.now.post = append(c.now.post, text)
	}
}

func (c *converter) take(in Instruction) error {
	if c.now == nil {
		switch in.Name {
		case "ARG":
			c.global = append(c.global, pairs(in)...)
			return nil
		case "FROM":
		default:
			return &Error{in.Line, in.Name + " stands before the first FROM"}
		}
	}
	s := c.now
	switch in.Name {
	case "FROM":
		return c.from(in)
	case "ARG":
		for _, p := range pairs(in) {
			for _, g := range c.global {
				if g[0] == p[0] && p[1] == "" {
					p[1] = g[1]
				}
			}
			s.args = set(s.args, p)
			s.post = append(s.post, fmt.Sprintf("%s=\"{{ %s }}\"; export %s", p[0], p[0], p[0]))
		}
	case "ENV":
		for _, p := range pairs(in) {
			if !name(p[0]) {
				c.note(in.Line, "ENV %s: not the name of a variable", p[0])
				continue
			}
			s.env = append(s.env, p)
			s.post = append(s.post, "export "+p[0]+"="+double(p[1]))
		}
	case "LABEL":
		for _, p := range pairs(in) {
			s.labels = set(s.labels, [2]string{p[0], c.fill(p[1])})
		}
	case "MAINTAINER":
		s.labels = set(s.labels, [2]string{"org.opencontainers.image.authors", in.Text})
	case "RUN":
		c.run(in)
	case "COPY", "ADD":
		c.copy(in)
	case "WORKDIR":
		dir := c.abs(strings.Trim(in.Text, `"'`))
		s.workdir = dir
		s.post = append(s.post, "mkdir -p "+single(dir)+" && cd "+single(dir))
	case "USER":
		s.user = in.Text
		if u, _, _ := strings.Cut(in.Text, ":"); u != "root" && u != "0" {
			c.note(in.Line, "USER %s: what follows ran as that user there; here it runs as the container's own root, and the app as the person who starts it", in.Text)
		}
	case "SHELL":
		s.shell = in.Args
	case "ENTRYPOINT":
		s.entry, s.cmd = &in, nil
	case "CMD":
		s.cmd = &in
	case "EXPOSE":
		for _, p := range words(c.fill(in.Text)) {
			c.expose(in.Line, p)
		}
	case "VOLUME":
		dirs := in.Args
		if dirs == nil {
			dirs = words(in.Text)
		}
		for _, d := range dirs {
			s.labels = set(s.labels, [2]string{"carrel.bind." + c.abs(c.fill(d)), "rw A folder of yours"})
		}
	case "STOPSIGNAL":
		s.labels = set(s.labels, [2]string{"carrel.stop", in.Text})
	case "HEALTHCHECK":
		c.health(in)
	case "ONBUILD":
		c.note(in.Line, "ONBUILD %s: there is nothing like it", in.Text)
	}
	return nil
}

// from begins a stage.
func (c *converter) from(in Instruction) error {
	ws := words(in.Text)
	if len(ws) != 1 && (len(ws) != 3 || !strings.EqualFold(ws[1], "as")) {
		return &Error{in.Line, "FROM takes IMAGE, or IMAGE AS NAME"}
	}
	s := &stage{name: strconv.Itoa(len(c.stages)), base: ws[0]}
	if p := c.find(ws[0]); p != nil { // it goes on where another one ended
		was := *p
		s = &was
		s.name = strconv.Itoa(len(c.stages))
		s.args, s.env, s.labels = slices.Clone(p.args), slices.Clone(p.env), slices.Clone(p.labels)
		s.files, s.post = slices.Clone(p.files), slices.Clone(p.post)
		s.post = append(s.post, "# Dockerfile, line "+strconv.Itoa(in.Line)+": goes on from "+ws[0])
	} else if ws[0] == "scratch" {
		s.base = ""
	}
	if len(ws) == 3 {
		s.name = ws[2]
	}
	c.now = s
	if s.base != "" && strings.Contains(s.base, "$") {
		for _, g := range c.global {
			if uses(s.base, g[0]) {
				s.args = set(s.args, g)
			}
		}
		s.base = c.fill(s.base)
	}
	c.stages = append(c.stages, s)
	if platform, ok := in.Flag("platform"); ok && !strings.Contains(platform, "$") {
		c.note(in.Line, "FROM --platform=%s: choose it when you build, with --platform", platform)
	}
	return nil
}

// find is the stage of a name or number.
func (c *converter) find(name string) *stage {
	for i := len(c.stages) - 1; i >= 0; i-- {
		if strings.EqualFold(c.stages[i].name, name) || strconv.Itoa(i) == name && !c.stages[i].image {
			return c.stages[i]
		}
	}
	return nil
}

var web = map[int]bool{80: true, 3000: true, 3838: true, 4000: true, 4200: true, 5000: true, 5601: true, 6006: true, 7860: true, 8787: true, 9000: true, 9090: true}

// expose declares a port; what it speaks is guessed from its number.
func (c *converter) expose(line int, text string) {
	number, protocol, _ := strings.Cut(text, "/")
	n, err := strconv.Atoi(number)
	if err != nil || n < 1 || n > 65535 || protocol != "" && protocol != "tcp" {
		c.note(line, "EXPOSE %s: say it with a label, carrel.port.NUMBER", text)
		return
	}
	value := "tcp"
	switch {
	case n == 443 || n == 8443:
		value = "https /"
	case web[n] || n >= 8000 && n < 9000:
		value = "http /"
	}
	c.now.labels = set(c.now.labels, [2]string{"carrel.port." + number, value})
}

var healthURL = pattern.New(`https?://(?:localhost|127\.0\.0\.1|0\.0\.0\.0|\[::1\])(?::(\d+))?(/[^\s"'|;)]*)?`)

func (c *converter) health(in Instruction) {
	if strings.EqualFold(in.Text, "none") {
		return
	}
	m := healthURL.FindStringSubmatch(c.fill(in.Text))
	if m == nil {
		c.note(in.Line, "HEALTHCHECK %s: say when the app is ready with a label, carrel.ready PORT PATH", in.Text)
		return
	}
	port, p := m[1], m[2]
	if port == "" {
		port = "80"
	}
	if p == "" {
		p = "/"
	}
	c.now.labels = set(c.now.labels, [2]string{"carrel.ready", port + " " + p + " 60s"})
}

// ownShell are words after which a command may leave a trace in its shell: in a Dockerfile each has one of its own.
var ownShell = pattern.New(`(^|[\s;&|({])(cd|export|set|unset|exit|exec|trap|umask|alias|source|\.|pushd|return|eval)\s`)

// run adds a command.
func (c *converter) run(in Instruction) {
	s := c.now
	for _, f := range in.Flags {
		switch {
		case f[0] == "mount" && strings.Contains(f[1], "type=cache"):
			c.note(in.Line, "RUN --mount=type=cache: Carrel keeps the downloads of apt, pip, conda, npm and R between builds by itself")
		case f[0] == "mount" && strings.Contains(f[1], "type=secret"):
			c.note(in.Line, "RUN --%s=%s: give secrets with --bind when you build; they are not kept", f[0], f[1])
		default:
			c.note(in.Line, "RUN --%s=%s has no counterpart", f[0], f[1])
		}
	}
	s.ran = true
	if in.Args != nil {
		quoted := make([]string, len(in.Args))
		for i, a := range in.Args {
			quoted[i] = single(a)
		}
		s.post = append(s.post, strings.Join(quoted, " "))
		return
	}
	text := in.Text
	for _, d := range in.Documents {
		if strings.Contains("\n"+strings.NewReplacer(" ", "", "\t", "").Replace(d.Text), "\n%") {
			c.note(in.Line, "a line of the here-document %s begins with %%, which begins a section of a definition: write it in another way", d.Name)
		}
	}
	if len(in.Documents) > 0 {
		if d := in.Documents[0]; len(in.Documents) == 1 && onlyDocument.MatchString(text) {
			s.post = append(s.post, script(d, in.Line)...)
			return
		}
		for _, d := range in.Documents {
			text += "\n" + d.Text + d.Name
		}
		s.post = append(s.post, "(", text, ")")
		return
	}
	// Under "sh -e" a failing command ahead of && would not end the script; a subshell that fails does
	// (POSIX, "Shell Command Language", set -e). Between semicolons a failure is none in a Dockerfile.
	switch {
	case hasSemicolon(text):
		s.post = append(s.post, "(set +e", text, ")")
	case (strings.ContainsAny(text, "&|\n") || ownShell.MatchString(text)) && strings.Contains(text, "#"): // a remark would hide the end
		s.post = append(s.post, "("+text, ")")
	case strings.ContainsAny(text, "&|\n") || ownShell.MatchString(text):
		s.post = append(s.post, "("+text+")")
	default:
		s.post = append(s.post, text)
	}
}

var onlyDocument = pattern.New(`^<<-?\s*['"]?\w+['"]?\s*$`)

// script runs a here-document that is a script of its own.
func script(d Document, line int) []string {
	if !strings.HasPrefix(d.Text, "#!") {
		return []string{"(set +e", strings.TrimSuffix(d.Text, "\n"), ")"}
	}
	file := "/tmp/.run-" + strconv.Itoa(line)
	d.Expand = false
	return []string{save(d, file), "chmod 755 " + file, file, "rm -f " + file}
}

// hasSemicolon tells of a semicolon outside of quotes.
func hasSemicolon(text string) bool {
	quote := byte(0)
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\' && quote != '\'':
			i++
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '\'' || c == '"':
			quote = c
		case c == ';':
			return true
		}
	}
	return false
}

// copy adds what is copied. Before the first command a single file goes to its place at once; everything else waits below
// /.copied until its turn comes, because %files are copied before %post begins.
func (c *converter) copy(in Instruction) {
	s := c.now
	ws := in.Args
	if ws == nil {
		ws = words(in.Text)
	}
	if len(ws) < 2 {
		c.note(in.Line, "%s %s: nothing to copy", in.Name, in.Text)
		return
	}
	dst := c.fill(ws[len(ws)-1])
	sources := ws[:len(ws)-1]
	folder := strings.HasSuffix(dst, "/") || dst == "." || len(sources) > 1
	to := c.abs(dst)
	from := ""
	if name, ok := in.Flag("from"); ok {
		name = c.fill(name)
		p := c.find(name)
		if p == nil { // an image
			p = &stage{name: "image" + strconv.Itoa(len(c.stages)), base: name, image: true}
			c.stages = append(c.stages, p)
		}
		from = p.name
	}
	var lines []string
	wait := "/.copied/" + strconv.Itoa(in.Line)
	n := 0
	for _, src := range sources {
		if strings.HasPrefix(src, "<<") {
			if n < len(in.Documents) {
				d := in.Documents[n]
				target := to
				if folder {
					target = path.Join(to, d.Name)
				}
				lines = append(lines, "mkdir -p "+single(path.Dir(target)), save(d, target))
				n++
			}
			continue
		}
		src = c.fill(src)
		if in.Name == "ADD" && strings.Contains(src, "://") {
			target := to
			if folder {
				target = path.Join(to, path.Base(src))
			}
			lines = append(lines, "mkdir -p "+single(path.Dir(target)),
				"if command -v curl >/dev/null; then curl -fsSL -o "+single(target)+" "+single(src)+"; else wget -q -O "+single(target)+" "+single(src)+"; fi")
			continue
		}
		if strings.HasPrefix(src, "..") || from == "" && path.IsAbs(src) {
			src = strings.TrimLeft(path.Clean("/"+src), "/") // paths are of the folder, also with a slash in front
			if src == "" {
				src = "."
			}
		}
		kind := c.kind(src, from)
		_, owned := in.Flag("chown")
		_, moded := in.Flag("chmod")
		if !s.ran && kind == 'f' && !owned && !moded && !(in.Name == "ADD" && isTar(src)) {
			target := to
			if folder {
				target = path.Join(to, path.Base(src))
			}
			s.files = append(s.files, fileLine{from, src, target})
			continue
		}
		s.staged = true
		base := path.Base(path.Clean(src))
		if base == "." || base == "/" {
			base = "all"
		}
		if strings.ContainsAny(src, "*?[") {
			s.files = append(s.files, fileLine{from, src, wait + "/"})
			lines = append(lines, "mkdir -p "+single(to)+" && cp -a "+wait+"/. "+single(slash(to)))
			continue
		}
		at := wait + "/" + base
		s.files = append(s.files, fileLine{from, src, at})
		target := to
		if folder {
			target = slash(to)
		}
		switch {
		case in.Name == "ADD" && isTar(src) && from == "":
			lines = append(lines, "mkdir -p "+single(to)+" && tar -xf "+single(at)+" -C "+single(to))
		case kind == 'd':
			lines = append(lines, "mkdir -p "+single(to)+" && cp -a "+single(at+"/.")+" "+single(slash(to)))
		case kind == 'f' && folder:
			lines = append(lines, "mkdir -p "+single(to)+" && cp -a "+single(at)+" "+single(target))
		case kind == 'f':
			lines = append(lines, "mkdir -p "+single(path.Dir(to))+" && cp -a "+single(at)+" "+single(target))
		default: // it turns out when it is built
			parent := path.Dir(to)
			if folder {
				parent = to
			}
			lines = append(lines, "if [ -d "+single(at)+" ]; then mkdir -p "+single(to)+" && cp -a "+single(at+"/.")+" "+single(slash(to))+
				"; else mkdir -p "+single(parent)+" && cp -a "+single(at)+" "+single(target)+"; fi")
		}
	}
	if owner, ok := in.Flag("chown"); ok {
		lines = append(lines, "chown -R "+single(c.fill(owner))+" "+single(to))
	}
	if mode, ok := in.Flag("chmod"); ok {
		lines = append(lines, "chmod -R "+single(c.fill(mode))+" "+single(to))
	}
	for _, l := range lines {
		if strings.Contains(l, " && ") && !strings.HasPrefix(l, "if ") {
			l = "(" + l + ")"
		}
		s.post = append(s.post, l)
	}
	for _, f := range in.Flags {
		if f[0] != "from" && f[0] != "chown" && f[0] != "chmod" && f[0] != "link" {
			c.note(in.Line, "%s --%s=%s has no counterpart", in.Name, f[0], f[1])
		}
	}
	if from == "" && slices.ContainsFunc(sources, func(s string) bool { return path.Clean("/"+s) == "/" }) && c.context != nil {
		if _, err := fs.Stat(c.context, ".dockerignore"); err == nil {
			c.note(in.Line, "what .dockerignore leaves out is copied too: name the folders you need instead of \".\"")
		}
	}
}

// kind is 'f' for a file of the context, 'd' for a folder, 0 when it is not known.
func (c *converter) kind(src, from string) byte {
	if from != "" || c.context == nil || strings.ContainsAny(src, "*?[$") {
		return 0
	}
	info, err := fs.Stat(c.context, path.Clean(src))
	switch {
	case err != nil:
		return 0
	case info.IsDir():
		return 'd'
	}
	return 'f'
}

func isTar(src string) bool {
	for _, e := range []string{".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".txz", ".tbz2"} {
		if strings.HasSuffix(strings.ToLower(src), e) {
			return true
		}
	}
	return false
}

// abs is a path of the image, seen from the working directory.
func (c *converter) abs(p string) string {
	p = c.fill(p)
	if !path.IsAbs(p) {
		p = path.Join("/", c.now.workdir, p)
	}
	return path.Clean(p)
}

var dollar = pattern.New(`\$(\w+|\{(\w+)(:?[-+][^}]*)?\})`)

// fill replaces variables where no shell will: build arguments by templates, ENV by its value.
func (c *converter) fill(text string) string {
	return dollar.ReplaceAllStringFunc(text, func(m string) string {
		parts := dollar.FindStringSubmatch(m)
		name := parts[2]
		if name == "" {
			name = parts[1]
		}
		for i := len(c.now.env) - 1; i >= 0; i-- {
			if c.now.env[i][0] == name && !strings.Contains(c.now.env[i][1], "$") {
				return c.now.env[i][1]
			}
		}
		for _, a := range c.now.args {
			if a[0] == name {
				return "{{ " + name + " }}"
			}
		}
		if _, fallback, ok := strings.Cut(parts[3], "-"); ok {
			return fallback
		}
		return m
	})
}

func uses(text, name string) bool {
	for _, m := range dollar.FindAllStringSubmatch(text, -1) {
		if m[1] == name || m[2] == name {
			return true
		}
	}
	return false
}

// set puts a pair in, in place of one of the same name.
func set(list [][2]string, p [2]string) [][2]string {
	for i := range list {
		if list[i][0] == p[0] {
			list[i] = p
			return list
		}
	}
	return append(list, p)
}

func slash(p string) string { return strings.TrimSuffix(p, "/") + "/" }
