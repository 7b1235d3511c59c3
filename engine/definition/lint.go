package definition

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// Report is the verdict on a definition file and all there is to say about it.
type Report struct {
	File string `json:"file"`
	// Valid tells whether Parse takes the file, given the build arguments it asks for.
	Valid bool `json:"valid"`
	// Builds tells whether a build can begin with it: that there are a header, bases and stages, as far as the text tells.
	Builds bool `json:"builds"`
	// Findings are errors, leniencies and advice, by line; never nil.
	Findings []Finding `json:"findings"`
}

// Lint reads a definition file and says what is wrong with it, what other programs will not take, and what will surprise
// the people who build or run it. The error is a read error or ErrTooLarge; a bad file is a Report that is not Valid, one
// that says what cannot be built is one that does not Build.
//
// Rules beyond those of reading (doc.go): build-arg-missing, no-bootstrap, stage-unknown, stage-duplicate,
// bootstrap-unknown, bootstrap-gone, base-missing, base-unpinned, install-asks, post-sudo, pip-unpinned, secret, files-home, runscript-cd,
// labels-none, port-undeclared. Findings that a machine can answer have Edits, which Fix makes.
func Lint(r io.Reader, opts Options) (Report, error) {
	report := Report{File: opts.Name, Findings: []Finding{}}
	text, err := read(r, opts)
	if err != nil {
		return report, err
	}
	file, errs := parse(text, opts)
	report.Valid = len(errs) == 0
	for _, e := range errs {
		report.Findings = append(report.Findings, e.Finding())
	}
	report.Findings = append(report.Findings, file.Warnings...)
	if report.Valid {
		report.Findings = append(report.Findings, file.advice()...)
	}
	report.Builds = !slices.ContainsFunc(report.Findings, func(f Finding) bool { return f.Severity == Failure })
	slices.SortStableFunc(report.Findings, func(a, b Finding) int { return cmp.Compare(a.Line, b.Line) })
	if len(report.Findings) > 0 {
		e := newEditor(text)
		for i := range report.Findings {
			report.Findings[i].Edits = e.edits(report.Findings[i])
		}
	}
	return report, nil
}

// advice is what can be said about a file that can be read.
func (f *File) advice() []Finding {
	var a adviser
	for _, u := range f.Undefined {
		a.add(Warning, "build-arg-missing", u.Line, "", "{{ "+u.Name+" }} has no value unless the build gives one",
			"build with --build-arg "+u.Name+"=…, or write "+u.Name+"=… below %arguments")
	}
	if err := f.Check(); err != nil {
		var all Errors
		var one *Error
		if !errors.As(err, &all) && errors.As(err, &one) {
			all = Errors{one}
		}
		for _, e := range all {
			a.findings = append(a.findings, e.Finding())
		}
	}
	for _, s := range f.Stages {
		a.base(s)
		for _, name := range []string{"pre", "setup", "post", "environment", "test", "runscript", "startscript"} {
			a.secrets(name, s.Section(name))
		}
		a.secrets("labels", s.Section("labels"))
		a.secrets("arguments", s.Section("arguments"))
		a.installs("post", s.Section("post"))
		a.pins("post", s.Section("post"))
		for _, app := range s.Apps {
			for _, name := range []string{"install", "env", "run", "start", "test", "labels"} {
				a.secrets("app"+name, app.Section(name))
			}
			a.installs("appinstall", app.Section("install"))
			a.pins("appinstall", app.Section("install"))
		}
		a.files(s)
	}
	last := f.Final()
	for _, name := range []string{"runscript", "startscript"} {
		a.directory(name, last.Section(name))
	}
	if len(last.Labels) == 0 {
		a.add(Note, "labels-none", last.Line, "", "no labels say what this is",
			"add %labels with org.opencontainers.image.title and org.opencontainers.image.description")
	}
	a.ports(last)
	a.listens(last)
	return a.findings
}

type adviser struct{ findings []Finding }

func (a *adviser) add(s Severity, rule string, line int, section, message, fix string) {
	a.findings = append(a.findings, Finding{Rule: rule, Severity: s, Line: line, Column: 1, Section: section, Message: message, Fix: fix})
}

// base looks at the agent and at what it is told to fetch.
func (a *adviser) base(s *Stage) {
	agent := s.Bootstrap()
	if agent == "" {
		return
	}
	if err := s.CheckBase(); err != nil {
		if e, ok := errors.AsType[*BaseError](err); ok {
			rule, message := "bootstrap-unknown", fmt.Sprintf("there is no agent %q", agent)
			switch {
			case e.Key != "":
				rule, message = "base-missing", "the agent "+agent+" needs "+e.Key+": "+keyMeanings[e.Key]
			case Gone(agent) != "":
				rule, message = "bootstrap-gone", "there are no bases from "+agent+" any more"
			}
			a.add(Failure, rule, e.Line, "header", message, e.Hint())
		}
		return
	}
	switch agent {
	case "docker", "library", "oras":
	default:
		return
	}
	from := s.From()
	if strings.Contains(from, "@sha256:") || strings.Contains(from, ":sha256.") || strings.Contains(from, "{{") {
		return
	}
	name := from[strings.LastIndexByte(from, '/')+1:]
	switch _, tag, ok := strings.Cut(name, ":"); {
	case !ok || tag == "":
		a.add(Warning, "base-unpinned", s.Header.Line("from"), "header", from+" has no version: each build may get another base", "name a version, as in "+strings.TrimSuffix(from, ":")+":1.0, or a digest")
	case tag == "latest":
		a.add(Warning, "base-unpinned", s.Header.Line("from"), "header", from+" is another base with every release", "name a version instead of latest, or a digest")
	}
}

// scriptLine is a command line of a script: continued lines joined, comments and here-documents left out.
type scriptLine struct {
	text string
	line int
}

func scriptLines(s *Section) []scriptLine {
	if s.IsEmpty() {
		return nil
	}
	var all []scriptLine
	var docs heredocs
	joined, first, n := "", 0, 0
	for l := range strings.Lines(s.Body) {
		n++
		l = trimEOL(l)
		inside := docs.inside()
		docs.next(l, n)
		trimmed := strings.TrimSpace(l)
		if inside || strings.HasPrefix(trimmed, "#") || joined == "" && trimmed == "" {
			continue
		}
		if first == 0 {
			first = s.SourceLine(n)
		}
		if rest, ok := strings.CutSuffix(trimmed, `\`); ok {
			joined += rest + " "
			continue
		}
		all = append(all, scriptLine{joined + withoutComment(trimmed), first})
		joined, first = "", 0
	}
	if joined != "" {
		all = append(all, scriptLine{joined, first})
	}
	return all
}

// withoutComment cuts the comment off a line; a line with quotes before the # is left as it is.
func withoutComment(l string) string {
	if i := strings.Index(l, " #"); i >= 0 && !strings.ContainsAny(l[:i], "'\"`") {
		return strings.TrimSpace(l[:i])
	}
	return l
}

var (
	commandEnd     = lazy(`&&|\|\|?|;|\n`)
	installPattern = lazy(`^\s*(?:(?:sudo|then|else|do|time|exec|eval|\w+=\S*|[({!])\s+)*(?:/usr/bin/)?(apt-get|apt|aptitude|yum|dnf|zypper|conda|mamba)\s+(?:\S+\s+)*?(install|upgrade|dist-upgrade|full-upgrade|update|groupinstall|create|in)\b`)
	agreed         = lazy(`(^|\s)(-[a-zA-Z]*y[a-zA-Z]*|--yes|--assume-yes|--assumeyes|-qq+|--force-yes)(\s|=|$)`)
	agreedZypper   = lazy(`\s(-n|--non-interactive)\s`)
	sudoPattern    = lazy(`(^|[;&|(]\s*)sudo\s`)
)

// installs looks for commands that wait for an answer nobody gives.
func (a *adviser) installs(name string, s *Section) {
	for _, l := range scriptLines(s) {
		for _, command := range commandEnd().Split(l.text, -1) {
			if strings.HasPrefix(l.text, "yes ") || !asks(command) {
				continue
			}
			m := installPattern().FindStringSubmatch(command)
			a.add(Warning, "install-asks", l.line, name, m[1]+" "+m[2]+" asks before it goes on, and nobody is there to answer", "add -y")
		}
		if sudoPattern().MatchString(l.text) {
			a.add(Warning, "post-sudo", l.line, name, "the section runs as root, and most bases have no sudo", "leave sudo out")
		}
	}
}

// asks tells whether a command installs something and waits for an answer first.
func asks(command string) bool {
	m := installPattern().FindStringSubmatch(command)
	if m == nil || agreed().MatchString(command) || m[1] == "zypper" && agreedZypper().MatchString(command) {
		return false
	}
	switch tool, verb := m[1], m[2]; verb {
	case "update":
		return tool == "yum" || tool == "dnf" || tool == "conda" || tool == "mamba"
	case "create":
		return tool == "conda" || tool == "mamba"
	case "in":
		return tool == "zypper"
	}
	return true
}

// secretPatterns are what a password or key in a text looks like.
var secretPatterns = []struct {
	what    string
	pattern pattern
}{
	{"a private key", lazy(`-----BEGIN [A-Z ]*PRIVATE KEY-----`)},
	{"an AWS key", lazy(`\b(AKIA|ASIA)[0-9A-Z]{16}\b`)},
	{"a GitHub token", lazy(`\b(gh[pousr]_[0-9A-Za-z]{36,}|github_pat_[0-9A-Za-z_]{40,})`)},
	{"a GitLab token", lazy(`\bglpat-[0-9A-Za-z_-]{20,}`)},
	{"a token of Hugging Face", lazy(`\bhf_[0-9A-Za-z]{30,}`)},
	{"a token of Slack", lazy(`\bxox[abprs]-[0-9A-Za-z-]{20,}`)},
	{"a Google key", lazy(`\bAIza[0-9A-Za-z_-]{35}`)},
	{"a key of OpenAI or Anthropic", lazy(`\bsk-[0-9A-Za-z_-]{30,}`)},
	{"a password in an address", lazy(`[a-z]+://[^\s/:@$]+:[^\s/:@${]{3,}@`)},
	{"a password", lazy(`(?i)\b[a-z_]*(password|passwd|secret|api_?key|(?:access|auth|api|bearer)_?token)\s*=\s*["']?[^\s"'$({<]{6,}`)},
}

// secrets looks for what should not be in a file that travels with every image.
func (a *adviser) secrets(name string, s *Section) {
	if s.IsEmpty() {
		return
	}
	n := 0
	for l := range strings.Lines(s.Body) {
		n++
		for _, p := range secretPatterns {
			if p.pattern().MatchString(l) {
				a.add(Warning, "secret", s.SourceLine(n), name, "this looks like "+p.what+", and the definition is kept in the image for everybody to read",
					"give it when the app is started, by a variable or a bound file, and change it where it is in use")
				break
			}
		}
	}
}

var (
	cdPattern  = lazy(`(^|[;&|]\s*)cd\s+["']?[^\s"'$;&|]`)
	argPattern = lazy(`\$(@|\*|[1-9]|\{[@*1-9])`)
)

// directory looks for a script that leaves the user's folder: what it writes and reads by relative names is somewhere else
// then, and arguments that are names in the user's folder are not found.
func (a *adviser) directory(name string, s *Section) {
	var cds []int
	arguments := false // are used behind the first of them
	for _, l := range scriptLines(s) {
		if cdPattern().MatchString(l.text) && !strings.HasPrefix(l.text, "(") {
			cds = append(cds, l.line)
		}
		arguments = arguments || len(cds) > 0 && argPattern().MatchString(l.text)
	}
	for i, line := range cds {
		if i == 0 && arguments {
			a.add(Warning, "runscript-cd", line, name, "after cd, a file the user names relative to their own folder is not found",
				"leave cd out and use absolute paths, or cd in a subshell: (cd DIR && …)")
			continue
		}
		a.add(Note, "runscript-cd", line, name, "after cd the app works in a folder of the image: what it reads and writes by relative names is not in the user's folder",
			"if that is not meant, leave cd out and use absolute paths, or cd in a subshell: (cd DIR && …)")
	}
}

var portPattern = lazy(`http\.server\s+(\d{2,5})\b|--(?:server\.|www-|http-)?port[= ](\d{2,5})\b|(?:0\.0\.0\.0|127\.0\.0\.1|localhost|\[::\]|\*):(\d{2,5})\b|\brunserver\s+(\d{2,5})\b|\blisten\s+(\d{2,5})\b`)

// ports looks for servers whose port no label tells.
func (a *adviser) ports(s *Stage) {
	declared := map[string]bool{}
	for _, l := range s.Labels {
		if p, ok := strings.CutPrefix(l.Key, "carrel.port."); ok {
			declared[p] = true
		}
	}
	for _, name := range []string{"runscript", "startscript"} {
		for _, l := range scriptLines(s.Section(name)) {
			for _, m := range portPattern().FindAllStringSubmatch(l.text, -1) {
				port := strings.Join(m[1:], "")
				if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 || declared[port] {
					continue
				}
				declared[port] = true
				a.add(Note, "port-undeclared", l.line, name, "port "+port+" is served but no label tells it", "add to %labels: carrel.port."+port+" http / What is served")
			}
		}
	}
}
