package dockerfile

import (
	"strings"

	"carrel/internal/pattern"
)

// write is the definition.
func (c *converter) write() string {
	final := c.now
	mark(c, final)
	var b strings.Builder
	for _, s := range c.stages {
		if s.used && s != final {
			c.stage(&b, s, false)
			b.WriteString("\n")
		}
	}
	c.stage(&b, final, true)
	return b.String()
}

// mark finds the stages that a stage copies from, as the builder does: others are not built.
func mark(c *converter, s *stage) {
	if s.used {
		return
	}
	s.used = true
	for _, f := range s.files {
		if f.from != "" {
			if p := c.find(f.from); p != nil {
				mark(c, p)
			}
		}
	}
}

func (c *converter) stage(b *strings.Builder, s *stage, final bool) {
	if s.base == "" {
		b.WriteString("Bootstrap: scratch\n")
	} else {
		b.WriteString("Bootstrap: docker\nFrom: " + s.base + "\n")
	}
	if !final {
		b.WriteString("Stage: " + s.name + "\n")
	}
	section := func(head string) { b.WriteString("\n%" + head + "\n") }
	indent := func(text string) {
		for _, l := range indented(text) {
			b.WriteString(l + "\n")
		}
	}
	if len(s.args) > 0 {
		section("arguments")
		for _, a := range s.args {
			indent(a[0] + "=" + a[1])
		}
	}
	for _, from := range sources(s.files) {
		head := "files"
		if from != "" {
			head += " from " + from
		}
		section(head)
		for _, f := range s.files {
			if f.from == from {
				indent(quoteFile(f.src) + " " + quoteFile(f.dst))
			}
		}
	}
	if len(s.post) > 0 {
		head := "post"
		if len(s.shell) > 0 && strings.HasSuffix(s.shell[0], "bash") {
			head = "post -c " + s.shell[0]
		}
		section(head)
		if strings.Contains(strings.Join(s.shell, " "), "pipefail") {
			indent("set -o pipefail")
		}
		for _, l := range s.post {
			indent(l)
		}
		if s.staged {
			indent("rm -rf /.copied")
		}
	}
	if !final {
		return
	}
	if len(s.env) > 0 {
		section("environment")
		for _, e := range s.env {
			indent("export " + e[0] + "=" + double(c.values(s, e[1])))
		}
	}
	if s.entry != nil || s.cmd != nil {
		section("runscript")
		if s.workdir != "" && s.workdir != "/" {
			indent("cd " + single(s.workdir))
		}
		for _, l := range s.start() {
			indent(l)
		}
		section("startscript")
		indent(`exec /.singularity.d/runscript "$@"`)
	}
	if len(s.labels) > 0 {
		section("labels")
		for _, l := range s.labels {
			indent(strings.ReplaceAll(l[0], " ", "-") + " " + strings.Join(strings.Fields(l[1]), " "))
		}
	}
}

// values are the build arguments in a value that outlives the build.
func (c *converter) values(s *stage, text string) string {
	now := c.now
	c.now = &stage{args: s.args}
	defer func() { c.now = now }()
	return c.fill(text)
}

// start is what the container runs: ENTRYPOINT, with CMD in place of arguments that are not given.
func (s *stage) start() []string {
	list := func(in *Instruction) string {
		if in == nil {
			return ""
		}
		args := in.Args
		if args == nil {
			shell := s.shell
			if len(shell) == 0 {
				shell = []string{"/bin/sh", "-c"}
			}
			args = append(append([]string{}, shell...), in.Text)
		}
		quoted := make([]string, len(args))
		for i, a := range args {
			quoted[i] = single(a)
		}
		return strings.Join(quoted, " ")
	}
	entry, cmd := list(s.entry), list(s.cmd)
	switch {
	case entry != "" && s.entry.Args == nil:
		return []string{"exec " + entry} // the shell form takes no arguments
	case entry != "" && cmd != "":
		return []string{"if [ $# -eq 0 ]; then set -- " + cmd + "; fi", "exec " + entry + ` "$@"`}
	case entry != "":
		return []string{"exec " + entry + ` "$@"`}
	case cmd != "":
		return []string{`if [ $# -gt 0 ]; then exec "$@"; fi`, "exec " + cmd}
	}
	return []string{`exec "$@"`}
}

// sources are the stages that files come from, in the order they first appear; the folder itself is the empty one.
func sources(files []fileLine) []string {
	var all []string
	seen := map[string]bool{}
	for _, f := range files {
		if !seen[f.from] {
			seen[f.from] = true
			all = append(all, f.from)
		}
	}
	return all
}

var documentStart = pattern.New(`<<-?\s*['"]?(\w+)['"]?`)

// indented sets a text in from the margin, but for here-documents, whose text and end must stay as they are.
func indented(text string) []string {
	var out []string
	end := ""
	for _, l := range strings.Split(text, "\n") {
		switch {
		case end != "":
			out = append(out, l)
			if l == end {
				end = ""
			}
		case strings.TrimSpace(l) == "":
			out = append(out, "")
		default:
			out = append(out, "    "+l)
			if m := documentStart.FindStringSubmatch(l); m != nil && !strings.Contains(l, "<<<") {
				end = m[1]
			}
		}
	}
	return out
}

// save is the command that writes a here-document to a file. A line that begins with % would begin a section of the
// definition, so such a text is written line by line.
func save(d Document, target string) string {
	if !strings.Contains("\n"+strings.NewReplacer(" ", "", "\t", "").Replace(d.Text), "\n%") {
		quote := "'"
		if d.Expand {
			quote = ""
		}
		return "cat > " + single(target) + " <<" + quote + d.Name + quote + "\n" + d.Text + d.Name
	}
	var b strings.Builder
	b.WriteString("printf '%s\\n'")
	for l := range strings.Lines(d.Text) {
		l = strings.TrimSuffix(l, "\n")
		if d.Expand {
			b.WriteString(" \\\n  " + double(l))
		} else {
			b.WriteString(" \\\n  '" + strings.ReplaceAll(l, "'", `'\''`) + "'")
		}
	}
	return b.String() + " > " + single(target)
}

// single quotes a word for the shell, unless it needs none. Templates are left for the build to fill in.
func single(s string) string {
	if s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("@%_+=:,./-", r))
	}) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// double quotes a value in which variables are replaced.
func double(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && i+1 < len(s) && s[i+1] == '$':
			b.WriteString(`\$`)
			i++
		case c == '"' || c == '`' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// quoteFile quotes a path of %files.
func quoteFile(p string) string {
	if strings.ContainsAny(p, " \t") {
		return `"` + p + `"`
	}
	return p
}

// name tells whether a name may be one of the shell's.
func name(s string) bool {
	for i, r := range s {
		if r != '_' && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return s != ""
}
