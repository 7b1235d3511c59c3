package propose

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"carrel/catalog/dockerfile"
	"carrel/internal/pattern"
)

// Bounds of what is looked at.
const (
	maxFiles = 2_000     // files of the folder, three folders deep
	maxRead  = 256 << 10 // bytes of a file
)

// Options are what a folder does not say of itself.
type Options struct {
	// Name is what the folder is called, for titles.
	Name string
}

// FileError is a file that says what to run, or was meant to, and cannot be read.
type FileError struct {
	File string
	Err  error
}

// Error names the file.
func (e *FileError) Error() string { return "read " + e.File + ": " + e.Err.Error() }

// Unwrap is the cause.
func (e *FileError) Unwrap() error { return e.Err }

// Hint says how to go on.
func (e *FileError) Hint() string {
	return "put it right, or say what to run with --kind; carrel new --help lists the kinds"
}

// Look proposes apps for a folder, the likeliest first; none when nothing in it speaks for one. Files that cannot be read
// are passed over. It fails with ctx's error, when the folder itself cannot be read, and with a *FileError where nothing but
// a broken Dockerfile speaks for an app; where something else does, that is in its remarks.
func Look(ctx context.Context, folder fs.FS, o Options) ([]Spec, error) {
	l := looker{fs: folder, title: title(o.Name)}
	if err := l.walk(ctx); err != nil {
		return nil, err
	}
	var all []Spec
	for _, f := range []func() *Spec{l.docker, l.shiny, l.pythonApp, l.notebooks, l.rmarkdown, l.node, l.page, l.pythonScript, l.rScript} {
		if s := f(); s != nil {
			all = append(all, *s)
		}
	}
	if len(all) == 0 {
		if s := l.bare(); s != nil {
			all = append(all, *s)
		}
	}
	if l.broken != nil {
		if len(all) == 0 {
			return nil, l.broken
		}
		all[0].Remarks = append(all[0].Remarks, l.broken.Error())
	}
	for i := range all {
		l.leaves(&all[i])
	}
	return all, nil
}

// leaves adds to the remarks what of the folder an app does not take or use.
func (l *looker) leaves(s *Spec) {
	if s.Kind == Docker {
		return
	}
	used := []string{s.Requirements, s.Environment, s.Install, s.AptFile, s.PostBuild, s.Start}
	for _, f := range []string{"environment.yml", "environment.yaml", "requirements.txt", "install.R", "apt.txt", "postBuild", "start"} {
		for _, f := range []string{f, "binder/" + f} {
			if !l.has(f) || slices.Contains(used, f) {
				continue
			}
			text := f + " is not used for this kind of app"
			if strings.HasSuffix(f, "requirements.txt") && s.Environment != "" {
				text = f + " is not used: " + s.Environment + " says what to install"
			}
			s.Remarks = append(s.Remarks, text)
		}
	}
	if !s.Include || s.Folder == "" {
		return
	}
	entries, err := fs.ReadDir(l.fs, ".")
	if err != nil {
		return
	}
	var out []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") || slices.Contains(images, strings.ToLower(path.Ext(e.Name()))) {
			out = append(out, e.Name())
		}
	}
	if len(out) > 0 {
		more := ""
		if n := len(out) - 6; n > 0 {
			out, more = out[:6], fmt.Sprintf(" and %d more", n)
		}
		s.Remarks = append(s.Remarks, "hidden files and images stay out of the image: "+strings.Join(out, ", ")+more)
	}
}

// images are the endings of images of containers.
var images = []string{".sif", ".img", ".simg", ".sqsh"}

// Default is an app of a kind for a folder that does not ask for it by itself.
func Default(ctx context.Context, kind Kind, folder fs.FS, o Options) (s Spec, err error) {
	all, err := Look(ctx, folder, o)
	var broken *FileError
	if err != nil && !errors.As(err, &broken) {
		return Spec{}, err
	}
	for _, s := range all {
		if s.Kind == kind {
			return s, nil
		}
	}
	l := looker{fs: folder, title: title(o.Name)}
	if err := l.walk(ctx); err != nil {
		return Spec{}, err
	}
	s = Spec{Kind: kind, Title: l.title, Folder: "/work"}
	defer func() { l.leaves(&s) }()
	switch kind {
	case Notebook, RNotebook:
		s = l.notebook(kind == RNotebook)
	case Page:
		s = l.pageSpec()
	case Python:
		s.Command, s.Description, s.Include = "python3 script.py", "Runs a Python script", true
		l.python(&s)
	case PythonApp:
		s.Command, s.Port, s.Description, s.Include = "python3 app.py", 8000, "An app in Python, with its page", true
		l.python(&s)
	case Shiny:
		s = l.shinySpec()
	case R:
		s.Command, s.Description, s.Include = "Rscript --vanilla script.R", "Runs an R script", true
		s.Apt = []string{"r-base-core"}
		l.r(&s)
	case RMarkdown:
		s = l.markdownSpec("report.Rmd")
	case Node:
		s.Command, s.Port, s.Description, s.Include, s.Npm = "npm start --", 3000, "An app in JavaScript", true, true
	case Server:
		s.Command, s.Port, s.Description, s.Include = "./serve", 8080, "Serves what its command serves", true
		l.anything(&s)
	default:
		return s, fmt.Errorf("kind %q: there is no such kind of app", kind)
	}
	return s, nil
}

type looker struct {
	fs     fs.FS
	title  string
	broken *FileError // a Dockerfile
	files  []string   // paths, the top folder's first
}

// walk lists the files, three folders deep, hidden ones left out.
func (l *looker) walk(ctx context.Context) error {
	folders := []string{"."}
	for depth := 0; depth < 3 && len(l.files) < maxFiles; depth++ {
		var below []string
		for _, dir := range folders {
			if err := ctx.Err(); err != nil {
				return err
			}
			entries, err := fs.ReadDir(l.fs, dir)
			if err != nil && dir == "." {
				return fmt.Errorf("look at the folder: %w", err)
			}
			for _, e := range entries {
				name := path.Join(dir, e.Name())
				switch {
				case strings.HasPrefix(e.Name(), ".") || e.Name() == "node_modules" || e.Name() == "__pycache__":
				case e.IsDir():
					below = append(below, name)
				case e.Type().IsRegular() && len(l.files) < maxFiles:
					l.files = append(l.files, name)
				}
			}
		}
		folders = below
	}
	return nil
}

func (l *looker) has(name string) bool { return slices.Contains(l.files, name) }

// with are the files with an ending, any case.
func (l *looker) with(ext string) []string {
	var out []string
	for _, f := range l.files {
		if strings.EqualFold(path.Ext(f), ext) {
			out = append(out, f)
		}
	}
	return out
}

// read is the beginning of a file, empty when it cannot be read.
func (l *looker) read(name string) string {
	f, err := l.fs.Open(name)
	if err != nil {
		return ""
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxRead))
	if err != nil {
		return ""
	}
	return string(data)
}

// docker turns a Dockerfile into an app.
func (l *looker) docker() *Spec {
	for _, name := range []string{"Dockerfile", "Containerfile"} {
		if !l.has(name) {
			continue
		}
		r, err := dockerfile.ToDefinition(l.read(name), l.fs)
		s := Spec{Kind: Docker, Title: l.title, Description: "What the " + name + " describes", Why: "there is a " + name, Text: r.Text}
		if err != nil {
			l.broken = &FileError{File: name, Err: err}
			return nil
		}
		if !strings.Contains(s.Text, "org.opencontainers.image.title") {
			line := "    org.opencontainers.image.title " + oneLine(l.title) + "\n"
			if i := strings.Index(s.Text, "\n%labels\n"); i >= 0 {
				s.Text = s.Text[:i+9] + line + s.Text[i+9:]
			} else {
				s.Text += "\n%labels\n" + line
			}
		}
		for _, m := range r.Remarks {
			s.Remarks = append(s.Remarks, fmt.Sprintf("line %d: %s", m.Line, m.Text))
		}
		return &s
	}
	return nil
}

// notebooks proposes a notebook server in the language of the notebooks.
func (l *looker) notebooks() *Spec {
	books := l.with(".ipynb")
	if len(books) == 0 {
		return nil
	}
	r, python := 0, 0
	for _, b := range books[:min(20, len(books))] {
		var nb struct {
			Metadata struct {
				Kernelspec struct{ Language, Name string }
				Language   struct{ Name string } `json:"language_info"`
			}
		}
		if json.Unmarshal([]byte(l.read(b)), &nb) == nil && (strings.EqualFold(nb.Metadata.Kernelspec.Language, "r") || strings.EqualFold(nb.Metadata.Language.Name, "r") || nb.Metadata.Kernelspec.Name == "ir") {
			r++
		} else {
			python++
		}
	}
	s := l.notebook(r > python)
	s.Why = count(len(books), "notebook") + " in " + map[bool]string{true: "R", false: "Python"}[r > python]
	return &s
}

func (l *looker) notebook(r bool) Spec {
	s := Spec{Kind: Notebook, Title: l.title, Description: "Jupyter notebooks in Python", Folder: "/work", Port: 8888, Path: "/tree",
		Command: "jupyter-notebook --no-browser --ip=127.0.0.1 --port=8888 --notebook-dir=/work --NotebookApp.use_redirect_file=False",
		Apt:     []string{"jupyter-notebook", "python3-ipykernel"}}
	if r {
		s.Kind, s.Description, s.Apt = RNotebook, "Jupyter notebooks in R", []string{"jupyter-notebook", "r-base-core", "r-cran-irkernel"}
		l.r(&s)
		return s
	}
	l.python(&s)
	if s.Environment != "" {
		s.Apt, s.Pip = nil, append(s.Pip, "notebook")
		s.Command = strings.ReplaceAll(s.Command, "--NotebookApp.use_redirect_file=False", "--ServerApp.use_redirect_file=False")
		s.Command = strings.Replace(s.Command, "jupyter-notebook", "jupyter notebook", 1)
	}
	return s
}

// frameworks are how apps in Python are started, by what they import. %s is the file, %m its module.
var frameworks = []struct {
	name, word, command string
	port                int
	pip                 []string
}{
	{"streamlit", "Streamlit", "streamlit run %s --server.address=127.0.0.1 --server.port=8501 --server.headless=true --browser.gatherUsageStats=false --", 8501, []string{"streamlit"}},
	{"dash", "Dash", "gunicorn --bind 127.0.0.1:8050 %m:server", 8050, []string{"dash", "gunicorn"}},
	{"flask", "Flask", "python3 -m flask --app %m run --host 127.0.0.1 --port 5000", 5000, nil},
	{"fastapi", "FastAPI", "uvicorn --host 127.0.0.1 --port 8000 %m:app", 8000, []string{"fastapi", "uvicorn"}},
	{"gradio", "Gradio", "env GRADIO_SERVER_NAME=127.0.0.1 GRADIO_SERVER_PORT=7860 GRADIO_ANALYTICS_ENABLED=False python3 %s", 7860, []string{"gradio"}},
	{"bokeh", "Bokeh", "bokeh serve --address 127.0.0.1 --port 5006 --allow-websocket-origin='*' %s --args", 5006, []string{"bokeh"}},
	{"panel", "Panel", "panel serve --address 127.0.0.1 --port 5006 --allow-websocket-origin='*' %s --args", 5006, []string{"panel"}},
	{"voila", "Voilà", "voila --no-browser --Voila.ip=127.0.0.1 --port=8866 %s", 8866, []string{"voila"}},
}

// pythonApp finds a file that imports a framework for pages.
func (l *looker) pythonApp() *Spec {
	scripts := prefer(l.with(".py"), "app.py", "main.py", "server.py", "dashboard.py", "wsgi.py")
	for _, file := range scripts[:min(60, len(scripts))] {
		imports := pythonImports(l.read(file))
		for _, f := range frameworks {
			if !imports[f.name] {
				continue
			}
			module := strings.ReplaceAll(strings.TrimSuffix(file, path.Ext(file)), "/", ".")
			s := Spec{Kind: PythonApp, Title: l.title, Description: "An app with a page, made with " + f.word, Why: file + " uses " + f.word, Folder: "/work", Include: true,
				Port: f.port, Command: strings.NewReplacer("%s", quote(file), "%m", module).Replace(f.command)}
			l.python(&s)
			// A file that says what to install says it of the framework, but often not of what serves it.
			said := strings.ToLower(l.read(s.Requirements) + l.read(s.Environment))
			for _, p := range f.pip {
				if !slices.Contains(s.Pip, p) && !strings.Contains(said, p) {
					s.Pip = append(s.Pip, p)
				}
			}
			if f.name == "flask" && !strings.Contains(said, "flask") && s.Environment == "" {
				s.Apt = append(s.Apt, "python3-flask")
			}
			return &s
		}
	}
	return nil
}

func (l *looker) pythonScript() *Spec {
	scripts := prefer(topOnly(l.with(".py")), "main.py", "run.py", "analysis.py", "script.py")
	scripts = slices.DeleteFunc(scripts, func(f string) bool { return f == "setup.py" || strings.HasPrefix(path.Base(f), "test_") })
	if len(scripts) == 0 {
		return nil
	}
	s := Spec{Kind: Python, Title: l.title, Description: "Runs " + scripts[0], Why: "there is " + scripts[0], Folder: "/work", Include: true, Command: "python3 " + quote(scripts[0])}
	l.python(&s)
	return &s
}

func (l *looker) shiny() *Spec {
	if !l.has("app.R") && !(l.has("ui.R") && l.has("server.R")) {
		return nil
	}
	if l.has("app.R") && !strings.Contains(l.read("app.R"), "shiny") {
		return nil
	}
	s := l.shinySpec()
	s.Why = "there is app.R, or ui.R and server.R"
	return &s
}

func (l *looker) shinySpec() Spec {
	s := Spec{Kind: Shiny, Title: l.title, Description: "An interactive page in R", Folder: "/work", Include: true, ReadOnly: true, Port: 3838,
		Apt:     []string{"r-base-core", "r-cran-shiny"},
		Command: `Rscript --vanilla -e 'shiny::runApp("/work", port = 3838, host = "127.0.0.1", launch.browser = FALSE)'`}
	l.r(&s)
	return s
}

func (l *looker) rScript() *Spec {
	scripts := prefer(topOnly(l.with(".R")), "main.R", "run.R", "analysis.R")
	scripts = slices.DeleteFunc(scripts, func(f string) bool { return f == "install.R" || f == "app.R" || f == "ui.R" || f == "server.R" })
	if len(scripts) == 0 {
		return nil
	}
	s := Spec{Kind: R, Title: l.title, Description: "Runs " + scripts[0], Why: "there is " + scripts[0], Folder: "/work", Include: true, Apt: []string{"r-base-core"}, Command: "Rscript --vanilla " + quote(scripts[0])}
	l.r(&s)
	return &s
}

func (l *looker) rmarkdown() *Spec {
	files := prefer(append(topOnly(l.with(".Rmd")), topOnly(l.with(".qmd"))...), "index.Rmd", "report.Rmd", "paper.Rmd")
	if len(files) == 0 || strings.EqualFold(path.Ext(files[0]), ".qmd") {
		return nil
	}
	s := l.markdownSpec(files[0])
	s.Why = "there is " + files[0]
	return &s
}

// markdownSpec serves a report that is made anew when the app starts.
func (l *looker) markdownSpec(file string) Spec {
	s := Spec{Kind: RMarkdown, Title: l.title, Description: "The report " + file + ", made when the app starts", Folder: "/work", Include: true, ReadOnly: true, Port: 8080,
		Apt: []string{"r-base-core", "r-cran-rmarkdown", "r-cran-knitr", "pandoc", "python3"},
		Command: `sh -c 'out=$(mktemp -d) && Rscript --vanilla -e "rmarkdown::render(commandArgs(TRUE)[1], output_file = \"index.html\", output_dir = commandArgs(TRUE)[2], intermediates_dir = commandArgs(TRUE)[2])" "$0" "$out" && exec python3 -u -m http.server --bind 127.0.0.1 --directory "$out" 8080' ` +
			quote(file)}
	l.r(&s)
	return s
}

func (l *looker) page() *Spec {
	if !l.has("index.html") && !l.has("index.htm") {
		return nil
	}
	s := l.pageSpec()
	s.Why = "there is index.html"
	return &s
}

func (l *looker) pageSpec() Spec {
	return Spec{Kind: Page, Title: l.title, Description: "A folder of web pages", Folder: "/work", Include: true, ReadOnly: true, Port: 8080,
		Apt: []string{"python3"}, Command: "python3 -u -m http.server --bind 127.0.0.1 --directory /work 8080"}
}

func (l *looker) node() *Spec {
	if !l.has("package.json") {
		return nil
	}
	var p struct {
		Description string
		Scripts     map[string]string
	}
	if json.Unmarshal([]byte(l.read("package.json")), &p) != nil || p.Scripts["start"] == "" {
		return nil
	}
	s := Spec{Kind: Node, Title: l.title, Description: "An app in JavaScript", Why: "package.json has a start script", Folder: "/work", Include: true, Npm: true, Port: 3000, Command: "env HOST=127.0.0.1 PORT=3000 npm start --"}
	if p.Description != "" {
		s.Description = oneLine(p.Description)
	}
	if m := portInCommand.FindStringSubmatch(p.Scripts["start"]); m != nil {
		s.Port, _ = strconv.Atoi(m[1])
	}
	l.common(&s)
	return &s
}

var portInCommand = pattern.New(`(?:--port[= ]|-p |PORT=)(\d{2,5})`)

// bare is an environment without anything that says what to run in it: a notebook server, as repo2docker does.
func (l *looker) bare() *Spec {
	if len(l.with(".ipynb")) > 0 {
		return nil
	}
	for _, f := range []string{"environment.yml", "requirements.txt", "apt.txt", "install.R"} {
		if l.has(f) {
			s := l.notebook(f == "install.R" && !l.has("requirements.txt"))
			s.Why = "there is " + f
			return &s
		}
	}
	return nil
}

// prefer puts some names first, wherever they lie, then what lies highest.
func prefer(files []string, names ...string) []string {
	rank := func(f string) int {
		i := slices.Index(names, path.Base(f))
		if i < 0 {
			i = len(names)
		}
		return strings.Count(f, "/")*100 + i
	}
	slices.SortStableFunc(files, func(a, b string) int { return rank(a) - rank(b) })
	return files
}

func topOnly(files []string) []string {
	return slices.DeleteFunc(slices.Clone(files), func(f string) bool { return strings.Contains(f, "/") })
}

// title makes words of a folder's name.
func title(name string) string {
	name = strings.TrimSpace(strings.Map(func(r rune) rune {
		if r == '_' || r == '-' || r < ' ' {
			return ' '
		}
		return r
	}, name))
	if name == "" || name == "." || name == "/" {
		return "My app"
	}
	return strings.ToUpper(name[:1]) + name[1:]
}

func quote(s string) string {
	if !strings.ContainsAny(s, " \t'\"\\$`;&|<>()*?[]#~!{}") {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}

func sorted(m map[string]bool) []string {
	var all []string
	for k := range m {
		all = append(all, k)
	}
	slices.Sort(all)
	return all
}
