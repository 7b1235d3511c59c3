package definition

import (
	"fmt"
	"slices"
	"strings"
)

var (
	pipPattern = lazy(`^\s*(?:(?:sudo|then|else|do|time|exec|\w+=\S*|[({!])\s+)*(?:\S*/)?(?:pip3?(?:\.\d+)?|python3?(?:\.\d+)?\s+-m\s+pip|uv\s+pip)\s+(?:-\S+\s+)*install\s+(.*)$`)
	// pipValued are options of pip install that take the next word (https://pip.pypa.io/en/stable/cli/pip_install/).
	pipValued = []string{
		"-c", "--constraint", "-r", "--requirement", "-e", "--editable", "-t", "--target", "-i", "--index-url", "--extra-index-url",
		"-f", "--find-links", "--prefix", "--root", "--platform", "--python-version", "--implementation", "--abi", "--src", "--proxy",
		"--trusted-host", "--cache-dir", "--timeout", "--retries", "--progress-bar", "--only-binary", "--no-binary", "--upgrade-strategy",
	}
	// pipTools are installed in their newest version on purpose.
	pipTools = []string{"pip", "setuptools", "wheel", "uv"}
)

// pins looks for Python packages whose version a later build chooses anew.
func (a *adviser) pins(name string, s *Section) {
	for _, l := range scriptLines(s) {
		for _, command := range commandEnd().Split(l.text, -1) {
			m := pipPattern().FindStringSubmatch(command)
			if m == nil {
				continue
			}
			if loose := unpinned(strings.Fields(m[1])); len(loose) > 0 {
				what := loose[0]
				if n := len(loose) - 1; n > 0 {
					what = fmt.Sprintf("%s and %d more", what, n)
				}
				a.add(Note, "pip-unpinned", l.line, name, "no version is named for "+what+": a build next year may get one that behaves differently",
					"name the versions, as in "+loose[0]+"==1.0, or install from a requirements.txt that does")
			}
		}
	}
}

// unpinned are the packages among the words behind pip install that have no version of their own.
func unpinned(words []string) []string {
	var loose []string
	for i := 0; i < len(words); i++ {
		w := strings.Trim(words[i], `'"`)
		switch {
		case slices.Contains([]string{"-c", "--constraint"}, w) || strings.HasPrefix(w, "--constraint="):
			return nil // the versions are in that file
		case slices.Contains(pipValued, w):
			i++
		case strings.HasPrefix(w, "-") || strings.ContainsAny(w, `=@/$<>~*{}|&()`) || w == "." || strings.HasSuffix(w, ".whl"):
		case w != "" && !slices.Contains(pipTools, w):
			loose = append(loose, w)
		}
	}
	return loose
}

// personalPattern is a path that only one person, or one computer, has.
var personalPattern = lazy(`^(~|\$HOME|\$\{HOME\}|\$USER|/home/|/Users/|/root/)`)

// personalWord is such a path in a command.
var personalWord = lazy(`(?:^|\s|["'=])((?:~/|\$HOME\b|\$\{HOME\}|/home/|/Users/)[^\s"';&|]*)`)

// secretFiles are what keys and passwords are kept in.
var secretFiles = lazy(`(^|/)(id_(rsa|dsa|ecdsa|ed25519)|\.ssh|\.netrc|\.pgpass|\.aws|\.docker/config\.json|\.git-credentials|\.gnupg|\.env|credentials(\.json)?|[^/]*\.(pem|p12|pfx))(/|$)`)

// files looks for what %files and %setup take from the person who builds.
func (a *adviser) files(s *Stage) {
	lines := slices.Clone(s.Files)
	for _, app := range s.Apps {
		lines = append(lines, app.Files...)
	}
	for _, f := range lines {
		if f.From != "" {
			continue
		}
		if secretFiles().MatchString(f.Src) {
			a.add(Warning, "secret", f.Line, "files", f.Src+" is what keys and passwords are kept in, and everybody who gets the image can read it",
				"bind it when the app is started")
		}
		if personalPattern().MatchString(f.Src) {
			a.add(Warning, "files-home", f.Line, "files", f.Src+" is in a folder that only you have: nobody else can build this",
				"put the file beside the definition file, and name it from there")
		}
	}
	for _, name := range []string{"pre", "setup"} {
		for _, l := range scriptLines(s.Section(name)) {
			if m := personalWord().FindStringSubmatch(l.text); m != nil {
				a.add(Warning, "files-home", l.line, name, m[1]+" is in a folder that only you have: nobody else can build this",
					"put the file beside the definition file, and take it with %files")
				break
			}
		}
	}
}

// servers are programs that listen, and where, unless they are told otherwise.
var servers = []struct {
	port    string
	pattern pattern
}{
	{"8888", lazy(`^(?:\S*/)?(?:jupyter(?:[- ](?:lab|notebook|server))?)(?:\s|$)|-m\s+(?:jupyterlab|notebook)\b`)},
	{"8866", lazy(`^(?:\S*/)?voila\b`)},
	{"8501", lazy(`^(?:\S*/)?streamlit\s+run\b`)},
	{"8787", lazy(`^(?:\S*/)?rserver\b`)},
	{"3838", lazy(`^(?:\S*/)?shiny-server\b`)},
	{"5006", lazy(`^(?:\S*/)?(?:bokeh|panel)\s+serve\b`)},
	{"6006", lazy(`^(?:\S*/)?tensorboard\b`)},
	{"5000", lazy(`^(?:\S*/)?(?:flask\s+(?:\S+\s+)*run|mlflow\s+(?:ui|server))\b`)},
	{"8000", lazy(`^(?:\S*/)?(?:gunicorn|uvicorn|mkdocs\s+serve|datasette)\b|\bmanage\.py\s+runserver\b|-m\s+http\.server\s*$`)},
	{"8080", lazy(`^(?:\S*/)?(?:code-server|catalina\.sh)\b`)},
	{"80", lazy(`^(?:\S*/)?(?:nginx|apache2(?:ctl)?|httpd|lighttpd)\b`)},
}

var commandPrefix = lazy(`^\s*(?:(?:exec|then|else|do|time|nohup|\w+=\S*|[({!])\s+)*`)

// usualPort is where the program of a command listens when nobody says, or "".
func usualPort(commandText string) string {
	text := commandText[len(commandPrefix().FindString(commandText)):]
	for _, s := range servers {
		if s.pattern().MatchString(text) {
			return s.port
		}
	}
	return ""
}

// listens looks for known servers in an image no label of which tells a port.
func (a *adviser) listens(s *Stage) {
	for _, l := range s.Labels {
		if strings.HasPrefix(l.Key, "carrel.port.") {
			return
		}
	}
	for _, name := range []string{"runscript", "startscript"} {
		for _, l := range scriptLines(s.Section(name)) {
			if portPattern().MatchString(l.text) {
				return // the number has a finding of its own
			}
			for _, command := range commandEnd().Split(l.text, -1) {
				if port := usualPort(command); port != "" {
					a.add(Note, "port-undeclared", l.line, name, "this starts a server, and no label tells its port (usually "+port+")",
						"add to %labels: carrel.port."+port+" http / What is served")
					return
				}
			}
		}
	}
}
