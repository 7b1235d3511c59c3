package propose

import (
	"fmt"
	"slices"
	"strings"
)

// Kind is what an app is.
type Kind string

// The kinds of apps that can be proposed.
const (
	Notebook  Kind = "notebook" // Jupyter notebooks in Python
	RNotebook Kind = "r-notebook"
	PythonApp Kind = "python-app" // something that serves
	Python    Kind = "python"     // a script that ends
	Shiny     Kind = "shiny"
	R         Kind = "r"
	RMarkdown Kind = "rmarkdown"
	Page      Kind = "page"
	Node      Kind = "node"
	Server    Kind = "server" // a command of the person's
	Docker    Kind = "dockerfile"
)

// Kinds are all of them with what they are, for a person who chooses, in the order of the question.
var Kinds = []struct {
	Kind Kind
	Text string
}{
	{Notebook, "a folder of Jupyter notebooks (Python)"},
	{RNotebook, "a folder of Jupyter notebooks (R)"},
	{Python, "a Python script that runs and ends"},
	{PythonApp, "an app in Python with a page (Flask, Streamlit, Dash, …)"},
	{Shiny, "a Shiny app in R"},
	{R, "an R script that runs and ends"},
	{RMarkdown, "an R Markdown report"},
	{Page, "a folder of web pages"},
	{Node, "an app in JavaScript (npm)"},
	{Server, "a command that serves something"},
}

// Spec is an app that can be changed value by value. Definition writes it.
type Spec struct {
	Kind        Kind   `json:"kind"`
	Title       string `json:"title"`
	Description string `json:"description"`
	// Why is what was seen that speaks for it.
	Why string `json:"why,omitempty"`

	// Command is what starts it, for the shell; it runs in the folder.
	Command string `json:"command"`
	// Port is what it listens on, 0 for something that does not serve; Path where its page begins.
	Port int    `json:"port,omitempty"`
	Path string `json:"path,omitempty"`

	// Folder is where the person's folder is inside. Include copies it into the image; otherwise it is shared when the app
	// is started.
	Folder  string `json:"folder,omitempty"`
	Include bool   `json:"include"`
	// ReadOnly says that the app does not change the folder.
	ReadOnly bool `json:"read_only,omitempty"`

	// Apt, Pip and R are packages; Requirements a file for pip, Environment one for conda, Install one for R.
	Apt          []string `json:"apt,omitempty"`
	Pip          []string `json:"pip,omitempty"`
	R            []string `json:"r,omitempty"`
	Requirements string   `json:"requirements,omitempty"`
	Environment  string   `json:"environment,omitempty"`
	Install      string   `json:"install,omitempty"`
	Npm          bool     `json:"npm,omitempty"`
	// AptFile names further packages, one a line; PostBuild is a script that is run at the end, Start one that starts.
	AptFile   string `json:"apt_file,omitempty"`
	PostBuild string `json:"post_build,omitempty"`
	Start     string `json:"start,omitempty"`

	// Text is a definition that is there as a whole, of a Dockerfile; the other values do not count then.
	Text string `json:"text,omitempty"`
	// Remarks are what a person should look at.
	Remarks []string `json:"remarks,omitempty"`
}

// jupyter are the lines that keep the notebook server from writing where it must not, whoever runs it.
const jupyter = `private=$(mktemp -d)
export JUPYTER_CONFIG_DIR="$private/config" JUPYTER_DATA_DIR="$private/data" JUPYTER_RUNTIME_DIR="$private/runtime"
export IPYTHONDIR="$private/ipython" MPLCONFIGDIR="$private/matplotlib"
[ -w "$HOME" ] || export HOME="$private"
[ "$(id -u)" -ne 0 ] || set -- --allow-root "$@"`

// Definition is the text of the definition file.
func (s Spec) Definition() string {
	if s.Text != "" {
		return s.Text
	}
	var b strings.Builder
	section := func(name string, lines ...string) {
		if len(lines) == 0 {
			return
		}
		b.WriteString("\n%" + name + "\n")
		for _, l := range lines {
			for _, one := range strings.Split(l, "\n") {
				if one != "" {
					one = "    " + one
				}
				b.WriteString(one + "\n")
			}
		}
	}
	if s.Environment != "" {
		b.WriteString("Bootstrap: docker\nFrom: mambaorg/micromamba:2\n")
	} else {
		b.WriteString("Bootstrap: debootstrap\nOSVersion: bookworm\n")
	}
	section("help", s.help()...)
	section("labels", s.labels()...)
	section("files", s.files()...)
	section("environment", s.environment()...)
	section("post", s.post()...)
	section("runscript", s.run()...)
	section("startscript", `exec /.singularity.d/runscript "$@"`)
	return b.String()
}

func (s Spec) help() []string {
	lines := []string{s.Title + ". " + strings.TrimSuffix(s.Description, ".") + "."}
	if example := s.example(); example != "" {
		lines = append(lines, "", "    "+example)
	}
	return lines
}

func (s Spec) example() string {
	text := "carrel run"
	if s.Port > 0 {
		text += fmt.Sprintf(" -p %d", s.Port)
	}
	if !s.Include && s.Folder != "" {
		text += " -B .:" + s.Folder
	}
	return text + " IMAGE"
}

func (s Spec) labels() []string {
	category := map[Kind]string{Notebook: "notebook", RNotebook: "notebook", Page: "page", Shiny: "analysis", PythonApp: "analysis", R: "analysis", Python: "analysis", RMarkdown: "page"}[s.Kind]
	if category == "" {
		category = "tool"
	}
	lines := []string{
		"org.opencontainers.image.title " + oneLine(s.Title),
		"org.opencontainers.image.description " + oneLine(s.Description),
		"carrel.category " + category,
	}
	if s.Port > 0 {
		p := s.Path
		if p == "" {
			p = "/"
		}
		lines = append(lines, fmt.Sprintf("carrel.port.%d http %s %s", s.Port, p, oneLine(s.Title)))
		ready := p
		if s.Kind == Notebook || s.Kind == RNotebook {
			ready = "/api"
		}
		lines = append(lines, fmt.Sprintf("carrel.ready %d %s 90s", s.Port, ready))
	}
	if s.Folder != "" {
		mode, text := "rw", "The folder you want to work in"
		if s.ReadOnly {
			mode, text = "ro", "The folder with your files"
		}
		if s.Include {
			text += " (without one, the files inside the image)"
		} else {
			mode += " required"
		}
		lines = append(lines, fmt.Sprintf("carrel.bind.%s %s %s", s.Folder, mode, text))
	}
	lines = append(lines, "carrel.example "+s.example())
	return lines
}

func (s Spec) files() []string {
	var lines []string
	if s.Include && s.Folder != "" {
		return []string{". " + s.Folder}
	}
	for _, f := range []string{s.Requirements, s.Environment, s.Install, s.AptFile, s.PostBuild, s.Start} {
		if f != "" {
			lines = append(lines, f+" /opt/setup/"+f)
		}
	}
	return lines
}

// setup is the folder in which the files that say what to install are while it is built.
func (s Spec) setup() string {
	if s.Include {
		return s.Folder
	}
	return "/opt/setup"
}

func (s Spec) environment() []string {
	lines := []string{"export LC_ALL=C.UTF-8"}
	switch {
	case s.Environment != "":
		lines = append(lines, `export PATH="/opt/conda/bin:$PATH"`, "export PYTHONNOUSERSITE=1")
	case s.pip():
		lines = append(lines, `export PATH="/opt/env/bin:$PATH"`, "export PYTHONNOUSERSITE=1")
	case s.isPython():
		lines = append(lines, "export PYTHONNOUSERSITE=1")
	}
	if s.isR() || slices.Contains(s.Apt, "r-base-core") {
		lines = append(lines, "# What the image has, and no packages that happen to lie in the user's home.", "export R_LIBS_USER=/nonexistent")
	}
	return lines
}

func (s Spec) pip() bool      { return len(s.Pip) > 0 || s.Requirements != "" }
func (s Spec) isPython() bool { return s.Kind == Notebook || s.Kind == Python || s.Kind == PythonApp }
func (s Spec) isR() bool {
	return s.Kind == R || s.Kind == RNotebook || s.Kind == Shiny || s.Kind == RMarkdown
}

func (s Spec) post() []string {
	apt := append([]string{}, s.Apt...)
	var lines []string
	if s.Include && s.Folder != "" {
		lines = append(lines, "# Hidden files (.git, .env …) and images of containers stay out of the image.",
			"find "+s.Folder+` -mindepth 1 \( -name '.*' -o -name '*`+strings.Join(images, `' -o -name '*`)+`' \) -prune -exec rm -rf {} +`)
	}
	if s.Environment != "" {
		lines = append(lines, "export MAMBA_ROOT_PREFIX=/opt/conda", "micromamba install -y -n base -f "+s.setup()+"/"+s.Environment)
		if s.pip() {
			lines = append(lines, "/opt/conda/bin/python -m pip install"+s.pipArguments())
		}
		if len(apt) > 0 || s.AptFile != "" {
			lines = append(lines, s.install(apt)...)
		}
	} else {
		if s.pip() {
			apt = append(apt, "python3-venv", "python3-pip", "ca-certificates")
		}
		if len(s.R) > 0 || s.Install != "" {
			apt = append(apt, "build-essential", "ca-certificates", "r-base-dev")
		}
		if s.Npm {
			apt = append(apt, "nodejs", "npm", "ca-certificates")
		}
		lines = append(lines, s.install(apt)...)
		if s.pip() {
			lines = append(lines, "python3 -m venv --system-site-packages /opt/env", "/opt/env/bin/pip install"+s.pipArguments())
			if s.Kind == Notebook {
				lines = append(lines, "# Debian's kernel is /usr/bin/python3, which does not see what pip installed.",
					"/opt/env/bin/python -m ipykernel install --prefix=/usr --name python3")
			}
		}
	}
	if len(s.R) > 0 { // where packages come from stands in Debian's /etc/R/Rprofile.site
		lines = append(lines, `Rscript --no-save -e 'p <- c("`+strings.Join(s.R, `", "`)+`"); install.packages(p); stopifnot(p %in% rownames(installed.packages()))'`)
	}
	if s.Install != "" {
		lines = append(lines, "cd "+s.setup(), "Rscript --no-save -e 'source(\""+s.Install+"\")'")
	}
	if s.Npm {
		lines = append(lines, "cd "+s.Folder, "if [ -f package-lock.json ]; then npm ci; else npm install; fi")
	}
	if s.PostBuild != "" {
		lines = append(lines, "cd "+s.setup(), "chmod +x ./"+s.PostBuild, "./"+s.PostBuild)
	}
	switch {
	case s.Include && s.Folder != "":
		lines = append(lines, "chmod -R a+rX "+s.Folder)
	case s.Folder != "":
		lines = append(lines, "mkdir -p "+s.Folder)
	}
	return lines
}

func (s Spec) install(apt []string) []string {
	if len(apt) == 0 && s.AptFile == "" {
		return nil
	}
	text := "apt-get -y install --no-install-recommends"
	seen := map[string]bool{}
	for _, p := range apt {
		if !seen[p] {
			text += " " + p
		}
		seen[p] = true
	}
	if s.AptFile != "" {
		text += " $(grep -v '^ *#' " + s.setup() + "/" + s.AptFile + ")"
	}
	return []string{"apt-get update", text, "apt-get clean", "rm -rf /var/lib/apt/lists/*"}
}

func (s Spec) pipArguments() string {
	text := ""
	if s.Requirements != "" {
		text += " -r " + s.setup() + "/" + s.Requirements
	}
	for _, p := range s.Pip {
		text += " " + p
	}
	return text
}

func (s Spec) run() []string {
	var lines []string
	if s.Kind == Notebook || s.Kind == RNotebook {
		lines = append(lines, jupyter)
	}
	if s.Folder != "" {
		lines = append(lines, "cd "+s.Folder)
	}
	command := s.Command
	if s.Start != "" {
		at := "./" + s.Start
		if !s.Include {
			at = "/opt/setup/" + s.Start
		}
		command = "sh " + at + " " + command
	}
	return append(lines, "exec "+command+` "$@"`)
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
