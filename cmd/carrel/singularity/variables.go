package singularity

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/metrics"
	"strings"
	"time"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"

	"carrel/internal/textfile"
)

// variables are those that are forced inside: of files first, then by --env.
func (l *launch) variables(ctx context.Context, c *Config) (map[string]string, error) {
	out := map[string]string{}
	for _, file := range l.envFiles {
		vars, err := readEnvFile(ctx, absolute(file, c.User.Cwd), c.User.Env)
		if err != nil {
			return nil, err
		}
		for k, v := range vars {
			out[k] = v
		}
	}
	for k, v := range l.env {
		if k == "" {
			return nil, usage("write --env NAME=VALUE", "a variable without a name")
		}
		out[k] = v
	}
	return out, nil
}

var (
	errPrograms = errors.New("programs are not started from an environment file")
	errFiles    = errors.New("other files are not opened from an environment file")
)

// What bounds the evaluation of an environment file, which may hold loops, and words that are made of one another: time, the
// bytes of the file, the bytes that one command may make of its variables, and those that it may leave behind for a while.
const (
	envFileTime   = 2 * time.Second
	envFileSize   = 256 << 10
	envFileWord   = 64 << 20
	envFileMemory = 256 << 20
)

var errLarge = errors.New("its values grow too large")

// readEnvFile reads assignments as a shell does, as Apptainer documents them ("Environment and Metadata", --env-file): with
// quotes and the caller's variables, but without starting programs and opening files: such a file may come from others.
func readEnvFile(ctx context.Context, name string, env []string) (map[string]string, error) {
	f, err := textfile.Open(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("environment file: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, envFileSize+1))
	if err != nil {
		return nil, fmt.Errorf("environment file: %w", err)
	}
	if len(text) > envFileSize {
		return nil, fmt.Errorf("environment file %s: larger than %d kB", name, envFileSize>>10)
	}
	prog, err := syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(bytes.NewReader(text), name)
	if err != nil {
		return nil, fmt.Errorf("environment file: %w", err)
	}
	refuse := func(interp.ExecHandlerFunc) interp.ExecHandlerFunc {
		return func(context.Context, []string) error { return errPrograms }
	}
	open := func(ctx context.Context, path string, flag int, perm os.FileMode) (io.ReadWriteCloser, error) {
		if path == os.DevNull {
			return interp.DefaultOpenHandler()(ctx, path, flag, perm)
		}
		return nil, errFiles
	}
	runner, err := interp.New(interp.Env(expand.ListEnviron(env...)), interp.ExecHandlers(refuse), interp.OpenHandler(open), interp.StdIO(nil, io.Discard, io.Discard))
	if err != nil {
		return nil, fmt.Errorf("environment file %s: %w", name, err)
	}
	if err := runBounded(ctx, runner, prog, env); err != nil {
		return nil, fmt.Errorf("environment file %s: %w", name, err)
	}
	before := map[string]string{}
	for _, kv := range env {
		k, v, _ := strings.Cut(kv, "=")
		before[k] = v
	}
	assigned := map[string]bool{} // also to what the caller has already: a clean environment has not
	syntax.Walk(prog, func(n syntax.Node) bool {
		if a, ok := n.(*syntax.Assign); ok && a.Name != nil {
			assigned[a.Name.Value] = true
		}
		return true
	})
	out := map[string]string{}
	for k, v := range runner.Vars {
		if old, had := before[k]; v.IsSet() && v.Kind == expand.String && !shellOwn[k] && (!had || old != v.Str || assigned[k]) {
			out[k] = v.Str
		}
	}
	return out, nil
}

// runBounded runs the commands of a file one by one, within bounds of time and memory.
func runBounded(ctx context.Context, runner *interp.Runner, prog *syntax.File, env []string) error {
	ctx, done := context.WithTimeoutCause(ctx, envFileTime, errors.New("it does not come to an end"))
	defer done()
	ctx, stop := context.WithCancelCause(ctx)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		watchHeap(ctx, stop)
	}()
	defer func() { stop(nil); <-watched }()
	longest := 0
	var last error // the status of a file is that of its last command
	for _, kv := range env {
		longest = max(longest, len(kv))
	}
	for _, stmt := range prog.Stmts {
		words := 0
		syntax.Walk(stmt, func(n syntax.Node) bool {
			if _, ok := n.(*syntax.ParamExp); ok {
				words++
			}
			return true
		})
		for _, v := range runner.Vars {
			longest = max(longest, len(v.Str))
		}
		if int64(words)*int64(longest) > envFileWord {
			return errLarge
		}
		err := runner.Run(ctx, stmt)
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		var status interp.ExitStatus
		if last = err; err != nil && !errors.As(err, &status) {
			return err
		}
		if runner.Exited() {
			break
		}
	}
	return last
}

// watchHeap ends what ctx is for when the program holds much more than at first.
func watchHeap(ctx context.Context, stop context.CancelCauseFunc) {
	heap := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(heap)
	first := heap[0].Value.Uint64()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if metrics.Read(heap); heap[0].Value.Uint64() > first+envFileMemory {
				stop(errLarge)
				return
			}
		}
	}
}

// shellOwn are variables that every shell sets.
var shellOwn = map[string]bool{"HOME": true, "PWD": true, "OLDPWD": true, "IFS": true, "OPTIND": true, "UID": true, "EUID": true, "GID": true, "PPID": true, "SHLVL": true, "_": true}
