package derive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime/metrics"
	"strings"
	"time"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"
)

// ErrImpure: an environment script asks for more than variables, which only a process inside the container can answer.
var ErrImpure = errors.New("the environment script depends on the container")

// source runs shell scripts one after the other on a starting environment and returns the variables that are exported in
// the end. They run in an interpreter of our own, so that it needs no shell in the image and accepts what bash accepts.
// A script that fails or cannot be read is remarked on and left out. The error is ErrImpure.
func (r Root) source(env, files []string, note func(string)) (map[string]string, error) {
	vars := map[string]string{}
	for _, kv := range env {
		if k, v, ok := strings.Cut(kv, "="); ok {
			vars[k] = v
		}
	}
	parser := syntax.NewParser(syntax.Variant(syntax.LangBash))
	for _, name := range files {
		f, err := r.Open(name)
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
		runner, err := r.run(vars, prog)
		if errors.Is(err, ErrImpure) {
			return nil, err
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
	return vars, nil
}

// run runs one script. For a Root that is looked at from outside, the error is ErrImpure when the script did anything but
// compute with variables.
func (r Root) run(vars map[string]string, prog *syntax.File) (*interp.Runner, error) {
	env := interp.Env(expand.ListEnviron(environ(vars)...))
	if !r.Outside {
		runner, err := interp.New(env, interp.StdIO(nil, os.Stderr, os.Stderr))
		if err == nil {
			err = runner.Run(context.Background(), prog)
		}
		return runner, err
	}
	if !pure(prog) {
		return nil, ErrImpure
	}
	w := &watch{}
	runner, err := interp.New(env, interp.Dir("/"), interp.StdIO(nil, w, w),
		interp.CallHandler(func(_ context.Context, args []string) ([]string, error) { return args, w.call(args[0]) }),
		interp.ExecHandlers(func(interp.ExecHandlerFunc) interp.ExecHandlerFunc {
			return func(context.Context, []string) error { return w.fail() }
		}),
		interp.OpenHandler(func(context.Context, string, int, os.FileMode) (io.ReadWriteCloser, error) { return nil, w.fail() }),
		interp.ReadDirHandler2(func(context.Context, string) ([]fs.DirEntry, error) { return nil, w.fail() }),
		interp.StatHandler(func(context.Context, string, bool) (fs.FileInfo, error) { return nil, w.fail() }),
		interp.AccessHandler(func(context.Context, string, interp.AccessMode) error { return w.fail() }))
	if err == nil {
		ctx, stop := bounded()
		defer stop()
		if err = runner.Run(ctx, prog); ctx.Err() != nil {
			return nil, ErrImpure // an init runs it as long as it takes, with the container's memory
		}
	}
	if w.impure {
		return nil, ErrImpure
	}
	return runner, err
}

// What a script of an image may take of the process that looks at it from outside. Real ones end within a millisecond.
const (
	boundTime   = 2 * time.Second
	boundMemory = 64 << 20
	boundTick   = 2 * time.Millisecond
)

// bounded is a context that ends when too much time has passed, or this process holds much more memory than now.
func bounded() (context.Context, context.CancelFunc) {
	ctx, stop := context.WithTimeout(context.Background(), boundTime)
	watch := time.AfterFunc(boundTick, func() {
		heap := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		metrics.Read(heap)
		first := heap[0].Value.Uint64()
		tick := time.NewTicker(boundTick)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				if metrics.Read(heap); heap[0].Value.Uint64() > first+boundMemory {
					stop()
					return
				}
			}
		}
	})
	return ctx, func() { watch.Stop(); stop() }
}

// watch notices what a script does besides computing with variables.
type watch struct{ impure bool }

func (w *watch) fail() error {
	w.impure = true
	return ErrImpure
}

// Write takes what a script prints.
func (w *watch) Write(p []byte) (int, error) { return len(p), w.fail() }

// call allows the commands of the shell itself that need nothing but variables.
func (w *watch) call(name string) error {
	switch name {
	case ":", "true", "false", "test", "[", "set", "unset", "shift":
		return nil
	}
	return w.fail()
}

// pure tells whether a script has nothing that would have to be run at the place to be known: other processes, and the
// names that the interpreter itself answers from its own process.
func pure(prog *syntax.File) bool {
	ok := true
	syntax.Walk(prog, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.CmdSubst, *syntax.ProcSubst, *syntax.CoprocClause, *syntax.FuncDecl, *syntax.TimeClause:
			ok = false
		case *syntax.Redirect:
			// "echo … >&2", of a message that is hardly ever printed. When it is, watch notices.
			to := n.Word.Lit()
			ok = ok && n.Op == syntax.DplOut && n.N == nil && (to == "1" || to == "2")
		case *syntax.Stmt:
			ok = ok && !n.Background && !n.Coprocess
		case *syntax.BinaryCmd:
			ok = ok && (n.Op == syntax.AndStmt || n.Op == syntax.OrStmt)
		case *syntax.ParamExp:
			if n.Param == nil {
				ok = false
				break
			}
			switch n.Param.Value {
			case "UID", "EUID", "GID", "PWD", "OLDPWD", "RANDOM", "SRANDOM", "SECONDS", "LINENO", "HOSTNAME", "PPID", "BASHPID", "$", "!", "0", "-":
				ok = false
			}
		case *syntax.Lit:
			for _, c := range n.Value {
				ok = ok && c != '~'
			}
		}
		return ok
	})
	return ok
}
