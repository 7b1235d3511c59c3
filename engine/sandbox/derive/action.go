package derive

import (
	"errors"
	"fmt"
	"path"
	"sort"
	"strings"

	"carrel/engine/sandbox/plan"
)

const (
	envDir = "/.singularity.d/env"
	// DefaultPath is PATH where neither image nor caller sets it.
	DefaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
)

// Error is an action that cannot be carried out with this image.
type Error struct {
	Op, Target string
	Err        error
}

func (e *Error) Error() string {
	if e.Target == "" {
		return e.Op + ": " + e.Err.Error()
	}
	return e.Op + " " + e.Target + ": " + e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// Process makes the command line and the environment of a process. Without an Action they are the plan's; with one they
// follow from the image, in the order of Singularity's action script: the image's environment scripts, then what the
// caller passes on and the image did not set, then what the caller forces. No arguments are an action of which the image
// has nothing to start. What a person should know goes to note.
func (r Root) Process(p *plan.Process, note func(string)) (args, env []string, err error) {
	a := p.Action
	if a == nil {
		return p.Args, p.Env, nil
	}
	vars, err := r.source(p.Env, r.envFiles(), note)
	if err != nil {
		return nil, nil, err
	}
	set := func(k, v string) { vars[k] = v }
	for _, kv := range a.Host {
		if k, v, ok := strings.Cut(kv, "="); ok {
			if _, taken := vars[k]; !taken {
				set(k, v)
			}
		}
	}
	for _, kv := range a.Force {
		if k, v, ok := strings.Cut(kv, "="); ok {
			set(k, v)
		}
	}
	if vars["PATH"] == "" {
		set("PATH", DefaultPath)
	}
	if a.PrependPath != "" {
		set("PATH", a.PrependPath+":"+vars["PATH"])
	}
	if a.AppendPath != "" {
		set("PATH", vars["PATH"]+":"+a.AppendPath)
	}
	if a.Prompt != "" && vars["PS1"] == "" {
		set("PS1", a.Prompt)
	}
	// An interactive bash sets its own prompt at the start, but looks here before it shows it.
	if ps1 := vars["PS1"]; ps1 != "" && vars["PROMPT_COMMAND"] == "" && harmless(ps1) {
		set("PROMPT_COMMAND", `PS1="`+ps1+`"; unset PROMPT_COMMAND`)
	}
	args, err = r.command(a, vars["PATH"], note)
	return args, environ(vars), err
}

// harmless tells whether a text means itself between quotes of a shell.
func harmless(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool {
		return r < ' ' || strings.ContainsRune("\"'`$\\!", r)
	}) < 0
}

// envFiles lists the image's environment scripts in the order in which they are sourced; images of before 2017 have one.
func (r Root) envFiles() []string {
	files := r.scripts(envDir)
	if len(files) == 0 && r.exists("/environment") {
		return []string{"/environment"}
	}
	sort.Strings(files)
	return files
}

func environ(vars map[string]string) []string {
	out := make([]string, 0, len(vars))
	for k, v := range vars {
		out = append(out, k+"="+v)
	}
	sort.Strings(out)
	return out
}

// command finds what an action starts.
func (r Root) command(a *plan.Action, search string, note func(string)) ([]string, error) {
	d := "/.singularity.d"
	if a.App != "" {
		d = path.Join("/scif/apps", a.App, "scif")
		if !r.exists(d) {
			return nil, &Error{Op: "start app", Target: a.App, Err: errors.New("the image has no app of that name")}
		}
	}
	with := func(script string) []string { return append([]string{script}, a.Args...) }
	switch a.Name {
	case "exec":
		if len(a.Args) == 0 {
			return nil, &Error{Op: "start", Err: errors.New("no command is given")}
		}
		return a.Args, nil
	case "run":
		if s := r.firstFile(d+"/runscript", legacy(a.App, "/singularity")); s != "" {
			return with(s), nil
		}
		if a.App != "" {
			return nil, &Error{Op: "start app", Target: a.App, Err: errors.New("the app has no runscript")}
		}
		sh, err := r.shell(a.Shell, search)
		if err != nil {
			return nil, &Error{Op: "run", Err: errors.New("the image has neither a runscript nor a shell; start one of its programs by: carrel exec IMAGE PROGRAM")}
		}
		note("the image has no runscript; starting a shell instead")
		return append(sh, a.Args...), nil
	case "start":
		if s := r.firstFile(d + "/startscript"); s != "" {
			return with(s), nil
		}
		return nil, nil
	case "test":
		if s := r.firstFile(d+"/test", legacy(a.App, "/.test")); s != "" {
			return with(s), nil
		}
		note("the image has no test")
		return nil, nil
	case "shell":
		sh, err := r.shell(a.Shell, search)
		if err != nil {
			return nil, err
		}
		return append(sh, a.Args...), nil
	}
	return nil, &Error{Op: "start", Err: fmt.Errorf("unknown action %q", a.Name)}
}

func legacy(app, file string) string {
	if app != "" {
		return ""
	}
	return file
}

func (r Root) firstFile(names ...string) string {
	for _, n := range names {
		if n != "" && r.isFile(n) {
			return n
		}
	}
	return ""
}

// shell is an interactive shell of the image: the one asked for, by a path or a name, else bash, else sh.
func (r Root) shell(wanted, search string) ([]string, error) {
	if wanted != "" && !strings.Contains(wanted, "/") {
		for dir := range strings.SplitSeq(search, ":") {
			if file := path.Join("/", dir, wanted); r.firstFile(file) != "" {
				return []string{file}, nil
			}
		}
	}
	if wanted != "" {
		if r.firstFile(wanted) == "" {
			return nil, &Error{Op: "start shell", Target: wanted, Err: errors.New("the image does not have it")}
		}
		return []string{wanted}, nil
	}
	if r.firstFile("/bin/bash") != "" {
		return []string{"/bin/bash", "--norc"}, nil
	}
	if r.firstFile("/bin/sh") != "" {
		return []string{"/bin/sh"}, nil
	}
	return nil, &Error{Op: "start shell", Err: errors.New("the image has no shell")}
}
