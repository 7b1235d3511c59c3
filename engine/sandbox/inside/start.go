package inside

import (
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"carrel/engine/sandbox/derive"
	"carrel/engine/sandbox/plan"
)

// launch is a process ready to be started: its program found, its arguments and environment complete.
type launch struct {
	path string
	args []string
	env  []string
}

// prepare finds out what to start, enters the working directory, and sets the umask. A nil launch is an action of which
// the image has nothing to start.
func prepare(p *plan.Process, ctl *control) (*launch, error) {
	args, env, err := derive.Here().Process(p, ctl.note)
	var de *derive.Error
	if errors.As(err, &de) {
		return nil, opError{op: de.Op, target: de.Target, err: de.Err}
	}
	if err != nil || len(args) == 0 {
		return nil, err
	}
	if err := enterDir(p, ctl); err != nil {
		return nil, err
	}
	env = setPWD(env)
	path, err := find(args[0], env)
	if err != nil {
		return nil, opError{op: "start", target: args[0], err: err}
	}
	return &launch{path: path, args: args, env: env}, nil
}

func enterDir(p *plan.Process, ctl *control) error {
	if p.Dir == "" {
		return nil
	}
	err := unix.Chdir(p.Dir)
	if err == nil {
		return nil
	}
	if p.DirFallback == "" {
		return opError{op: "enter folder", target: p.Dir, err: err}
	}
	if p.DirFallback != p.Dir {
		ctl.note(fmt.Sprintf("the folder %s cannot be entered inside the container (%v); starting in %s", p.Dir, err, p.DirFallback))
	}
	if err := unix.Chdir(p.DirFallback); err != nil {
		return opError{op: "enter folder", target: p.DirFallback, err: err}
	}
	return nil
}

func setPWD(env []string) []string {
	wd, err := unix.Getwd()
	if err != nil {
		return env
	}
	out := make([]string, 0, len(env)+1)
	for _, kv := range env {
		if !strings.HasPrefix(kv, "PWD=") {
			out = append(out, kv)
		}
	}
	return append(out, "PWD="+wd)
}

// find looks a program up as execvp(3) does, in the PATH of env.
func find(name string, env []string) (string, error) {
	if strings.Contains(name, "/") {
		return name, executable(name)
	}
	search := derive.DefaultPath
	for _, kv := range env {
		if v, ok := strings.CutPrefix(kv, "PATH="); ok {
			search = v
		}
	}
	var denied error
	for _, dir := range filepath.SplitList(search) {
		if dir == "" {
			dir = "."
		}
		p := dir + "/" + name
		switch err := executable(p); {
		case err == nil:
			return p, nil
		case errors.Is(err, unix.EACCES):
			denied = err
		}
	}
	if denied != nil {
		return "", denied
	}
	return "", unix.ENOENT
}

func executable(name string) error {
	st, err := os.Stat(name)
	if err != nil {
		return err
	}
	if st.IsDir() {
		return unix.EISDIR
	}
	return unix.Access(name, unix.X_OK)
}

// explain turns an exec error into one that says what is missing: ENOENT of a file that exists means its interpreter.
func explain(l *launch, err error) error {
	if errors.Is(err, unix.ENOENT) {
		if in := interpreter(l.path); in != "" {
			return opError{op: "start", target: l.path, err: fmt.Errorf("it needs %s, which the image does not have", in)}
		}
	}
	return opError{op: "start", target: l.path, err: err}
}

// interpreter is the program that a file needs to be started and that is not there, or "": what a script's first line
// names, or the loader of a dynamically linked program.
func interpreter(name string) string {
	f, err := os.Open(name)
	if err != nil {
		return ""
	}
	defer f.Close()
	needs := ""
	buf := make([]byte, 256)
	n, _ := io.ReadFull(f, buf)
	line, _, _ := strings.Cut(string(buf[:n]), "\n")
	if rest, ok := strings.CutPrefix(line, "#!"); ok {
		if fields := strings.Fields(rest); len(fields) > 0 {
			needs = fields[0]
		}
	} else if e, err := elf.NewFile(f); err == nil {
		for _, p := range e.Progs {
			if p.Type == elf.PT_INTERP && p.Filesz < 4096 {
				path := make([]byte, p.Filesz)
				if _, err := p.ReadAt(path, 0); err == nil {
					needs = strings.TrimRight(string(path), "\x00")
				}
			}
		}
	}
	if needs == "" {
		return ""
	}
	if _, err := os.Stat(needs); err == nil {
		return ""
	}
	return needs
}

// viaShell is l started by /bin/sh, as shells start a file without a first line that names an interpreter (execvp(3)).
func viaShell(l *launch) *launch {
	return &launch{path: "/bin/sh", args: append([]string{"/bin/sh", l.path}, l.args[1:]...), env: l.env}
}

// become replaces init by the process; it returns only an error.
func become(p *plan.Plan, ctl *control) error {
	if err := dropPrivileges(&p.Process, false, ctl.note); err != nil {
		return err
	}
	if err := hide(); err != nil { // programs that the image's environment scripts start run beside it
		return err
	}
	l, err := prepare(&p.Process, ctl)
	if err != nil {
		return err
	}
	if l == nil {
		os.Exit(0)
	}
	if p.Process.Umask >= 0 {
		unix.Umask(p.Process.Umask)
	}
	setLimits(0, p.Process.Limits, ctl.note)
	err = syscall.Exec(l.path, l.args, l.env)
	if errors.Is(err, unix.ENOEXEC) {
		l = viaShell(l)
		err = syscall.Exec(l.path, l.args, l.env)
	}
	return explain(l, err)
}
