package inside

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"

	"carrel/engine/sandbox/plan"
)

const (
	envDir      = "/.singularity.d/env"
	defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
)

// resolve makes the command line and the environment of a process. It runs inside the new root. Without an Action they
// are the plan's; with one they follow from the image, in the order of Singularity's action script: the image's
// environment scripts, then what the caller passes on and the image did not set, then what the caller forces.
func resolve(p *plan.Process, note func(string)) (args, env []string, err error) {
	a := p.Action
	if a == nil {
		return p.Args, p.Env, nil
	}
	vars := source(p.Env, envFiles(), note)
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
		set("PATH", defaultPath)
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
	args, err = command(a, note)
	return args, environ(vars), err
}

// envFiles lists the image's environment scripts in the order in which they are sourced; images of before 2017 have one.
func envFiles() []string {
	files, _ := filepath.Glob(envDir + "/*.sh")
	if len(files) == 0 {
		if _, err := os.Stat("/environment"); err == nil {
			return []string{"/environment"}
		}
	}
	sort.Strings(files)
	return files
}

// source runs shell scripts one after the other on a starting environment and returns the variables that are exported in
// the end. They run in an interpreter of our own, so that it needs no shell in the image and accepts what bash accepts.
// A script that fails or cannot be read is remarked on and left out.
func source(env, files []string, note func(string)) map[string]string {
	vars := map[string]string{}
	for _, kv := range env {
		if k, v, ok := strings.Cut(kv, "="); ok {
			vars[k] = v
		}
	}
	parser := syntax.NewParser(syntax.Variant(syntax.LangBash))
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			note(fmt.Sprintf("the image's environment script %s cannot be read: %v", name, err))
			continue
		}
		prog, err := parser.Parse(io.LimitReader(f, 1<<20), name)
		f.Close()
		if err != nil {
			note(fmt.Sprintf("the image's environment script %v is left out", err))
			continue
		}
		if len(prog.Stmts) == 0 {
			continue
		}
		runner, err := interp.New(interp.Env(expand.ListEnviron(environ(vars)...)), interp.StdIO(nil, os.Stderr, os.Stderr))
		if err == nil {
			err = runner.Run(context.Background(), prog)
		}
		var status interp.ExitStatus
		if err != nil && !errors.As(err, &status) {
			note(fmt.Sprintf("the image's environment script %s: %v", name, err))
		}
		if runner == nil {
			continue
		}
		for k, v := range runner.Vars {
			switch {
			case !v.IsSet():
				delete(vars, k)
			case v.Exported && v.Kind == expand.String:
				vars[k] = v.Str
			}
		}
	}
	for _, k := range []string{"_", "IFS", "OPTIND", "PWD", "OLDPWD", "SHLVL", "UID", "EUID", "GID"} {
		delete(vars, k) // the interpreter's own
	}
	return vars
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
func command(a *plan.Action, note func(string)) ([]string, error) {
	d := "/.singularity.d"
	if a.App != "" {
		d = path.Join("/scif/apps", a.App, "scif")
		if _, err := os.Stat(d); err != nil {
			return nil, opError{op: "start app", target: a.App, err: errors.New("the image has no app of that name")}
		}
	}
	with := func(script string) []string { return append([]string{script}, a.Args...) }
	switch a.Name {
	case "exec":
		if len(a.Args) == 0 {
			return nil, opError{op: "start", err: errors.New("no command is given")}
		}
		return a.Args, nil
	case "run":
		if s := firstFile(d+"/runscript", legacy(a.App, "/singularity")); s != "" {
			return with(s), nil
		}
		if a.App != "" {
			return nil, opError{op: "start app", target: a.App, err: errors.New("the app has no runscript")}
		}
		sh, err := shell(a.Shell)
		if err != nil {
			return nil, opError{op: "run", err: errors.New("the image has neither a runscript nor a shell; start one of its programs by: carrel exec IMAGE PROGRAM")}
		}
		note("the image has no runscript; starting a shell instead")
		return append(sh, a.Args...), nil
	case "start":
		if s := firstFile(d + "/startscript"); s != "" {
			return with(s), nil
		}
		return nil, nil
	case "test":
		if s := firstFile(d+"/test", legacy(a.App, "/.test")); s != "" {
			return with(s), nil
		}
		note("the image has no test")
		return nil, nil
	case "shell":
		sh, err := shell(a.Shell)
		if err != nil {
			return nil, err
		}
		return append(sh, a.Args...), nil
	}
	return nil, opError{op: "start", err: fmt.Errorf("unknown action %q", a.Name)}
}

func legacy(app, file string) string {
	if app != "" {
		return ""
	}
	return file
}

func firstFile(names ...string) string {
	for _, n := range names {
		if st, err := os.Stat(n); n != "" && err == nil && st.Mode().IsRegular() {
			return n
		}
	}
	return ""
}

// shell is an interactive shell of the image: the one asked for, else bash, else sh.
func shell(wanted string) ([]string, error) {
	if wanted != "" {
		if firstFile(wanted) == "" {
			return nil, opError{op: "start shell", target: wanted, err: errors.New("the image does not have it")}
		}
		return []string{wanted}, nil
	}
	if firstFile("/bin/bash") != "" {
		return []string{"/bin/bash", "--norc"}, nil
	}
	if firstFile("/bin/sh") != "" {
		return []string{"/bin/sh"}, nil
	}
	return nil, opError{op: "start shell", err: errors.New("the image has no shell")}
}
