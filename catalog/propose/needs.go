package propose

import (
	"bufio"
	"encoding/json"
	"path"

	"slices"
	"strings"

	"carrel/internal/pattern"
)

// python fills in what Python code needs: the files that say so, else what the code imports.
func (l *looker) python(s *Spec) {
	l.common(s)
	for _, f := range []string{"environment.yml", "environment.yaml", "binder/environment.yml"} {
		if l.has(f) {
			s.Environment = f
			s.Remarks = append(s.Remarks, "conda packages come from conda-forge, over the network, on the image mambaorg/micromamba")
			return
		}
	}
	s.Apt = append(s.Apt, "python3")
	for _, f := range []string{"requirements.txt", "binder/requirements.txt"} {
		if l.has(f) {
			s.Requirements = f
			return
		}
	}
	if l.has("pyproject.toml") || l.has("setup.py") {
		if s.Include {
			s.Pip = append(s.Pip, s.Folder)
			return
		}
	}
	found := map[string]bool{}
	own := map[string]bool{}
	for _, f := range l.with(".py") {
		own[strings.TrimSuffix(path.Base(f), ".py")] = true
		own[strings.SplitN(f, "/", 2)[0]] = true
	}
	for i, f := range append(l.with(".py"), l.with(".ipynb")...) {
		if i >= 100 {
			break
		}
		text := l.read(f)
		if strings.HasSuffix(f, ".ipynb") {
			text = notebookCode(text)
		}
		for name := range pythonImports(text) {
			found[name] = !own[name]
		}
	}
	for _, name := range sorted(found) {
		if !found[name] || standardLibrary[name] {
			continue
		}
		if p, ok := debianPython[name]; ok {
			s.Apt = append(s.Apt, p)
		} else {
			if p, ok := pipNames[name]; ok {
				name = p
			}
			s.Pip = append(s.Pip, name)
		}
	}
}

// common are files that repo2docker reads whatever the language.
func (l *looker) common(s *Spec) {
	for _, x := range []struct {
		name string
		to   *string
	}{{"apt.txt", &s.AptFile}, {"postBuild", &s.PostBuild}, {"start", &s.Start}} {
		for _, f := range []string{x.name, "binder/" + x.name} {
			if l.has(f) && *x.to == "" {
				*x.to = f
			}
		}
	}
	if t := strings.TrimSpace(l.read("runtime.txt")); t != "" {
		if text := "runtime.txt asks for " + oneLine(t) + "; the image has what Debian has"; !slices.Contains(s.Remarks, text) {
			s.Remarks = append(s.Remarks, text)
		}
	}
}

// anything fills in what a command needs that may be of any language, by the files that say so and the code that is there.
func (l *looker) anything(s *Spec) {
	if l.has("install.R") || l.has("binder/install.R") || len(l.with(".R")) > 0 {
		s.Apt = append(s.Apt, "r-base-core")
		l.r(s)
	}
	if l.has("package.json") {
		s.Npm = true
	}
	for _, f := range []string{"environment.yml", "environment.yaml", "requirements.txt", "pyproject.toml", "setup.py", "binder/environment.yml", "binder/requirements.txt"} {
		if l.has(f) || len(l.with(".py")) > 0 {
			l.python(s)
			return
		}
	}
	l.common(s)
}

// r fills in what R code needs.
func (l *looker) r(s *Spec) {
	l.common(s)
	for _, f := range []string{"install.R", "binder/install.R"} {
		if l.has(f) {
			s.Install = f
			return
		}
	}
	found := map[string]bool{}
	files := append(append(l.with(".R"), l.with(".Rmd")...), l.with(".ipynb")...)
	for _, f := range files[:min(100, len(files))] {
		text := l.read(f)
		if strings.HasSuffix(f, ".ipynb") {
			text = notebookCode(text)
		}
		for _, m := range library.FindAllStringSubmatch(text, -1) {
			found[m[1]+m[2]] = true
		}
	}
	for _, name := range sorted(found) {
		switch {
		case baseR[name]:
		case debianR[name]:
			if p := "r-cran-" + strings.ToLower(name); !slices.Contains(s.Apt, p) {
				s.Apt = append(s.Apt, p)
			}
		default:
			s.R = append(s.R, name)
		}
	}
}

var (
	importLine = pattern.New(`^\s*(?:import\s+([\w.]+(?:\s+as\s+\w+)?(?:\s*,\s*[\w.]+(?:\s+as\s+\w+)?)*)|from\s+([\w]+)[\w.]*\s+import\b)`)
	library    = pattern.New(`\b(?:library|require|requireNamespace)\s*\(\s*["']?([A-Za-z][A-Za-z0-9.]*)["']?\s*[,)]|\b([A-Za-z][A-Za-z0-9.]*)::`)
)

// pythonImports are the first parts of the modules that a script imports.
func pythonImports(text string) map[string]bool {
	out := map[string]bool{}
	sc := bufio.NewScanner(strings.NewReader(text))
	sc.Buffer(nil, maxRead+1)
	for sc.Scan() {
		m := importLine.FindStringSubmatch(sc.Text())
		if m == nil {
			continue
		}
		if m[2] != "" {
			out[m[2]] = true
			continue
		}
		for _, one := range strings.Split(m[1], ",") {
			name, _, _ := strings.Cut(strings.Fields(one)[0], ".")
			out[name] = true
		}
	}
	return out
}

// notebookCode is the text of a notebook's code cells.
func notebookCode(text string) string {
	var nb struct {
		Cells []struct {
			Type   string          `json:"cell_type"`
			Source json.RawMessage `json:"source"`
		}
	}
	if json.Unmarshal([]byte(text), &nb) != nil {
		return ""
	}
	var b strings.Builder
	for _, c := range nb.Cells {
		if c.Type != "code" {
			continue
		}
		var lines []string
		var one string
		if json.Unmarshal(c.Source, &lines) == nil {
			one = strings.Join(lines, "")
		} else if json.Unmarshal(c.Source, &one) != nil {
			continue
		}
		b.WriteString(one + "\n")
	}
	return b.String()
}
