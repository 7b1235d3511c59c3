package singularity

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"
)

// variables are those that are forced inside: of files first, then by --env.
func (l *launch) variables(c *Config) (map[string]string, error) {
	out := map[string]string{}
	for _, file := range l.envFiles {
		vars, err := readEnvFile(absolute(file, c.User.Cwd), c.User.Env)
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

// envFileTime bounds the evaluation of an environment file, which may hold loops.
const envFileTime = 2 * time.Second

// readEnvFile reads assignments as a shell does, as Apptainer documents them ("Environment and Metadata", --env-file): with
// quotes and the caller's variables, but without starting programs and opening files: such a file may come from others.
func readEnvFile(name string, env []string) (map[string]string, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("environment file: %w", err)
	}
	defer f.Close()
	prog, err := syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(io.LimitReader(f, 1<<20), name)
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
	ctx, cancel := context.WithTimeout(context.Background(), envFileTime)
	defer cancel()
	if err := runner.Run(ctx, prog); err != nil {
		return nil, fmt.Errorf("environment file %s: %w", name, err)
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("environment file %s: it does not come to an end", name)
	}
	before := map[string]string{}
	for _, kv := range env {
		k, v, _ := strings.Cut(kv, "=")
		before[k] = v
	}
	out := map[string]string{}
	for k, v := range runner.Vars {
		if old, had := before[k]; v.IsSet() && v.Kind == expand.String && !shellOwn[k] && (!had || old != v.Str) {
			out[k] = v.Str
		}
	}
	return out, nil
}

// shellOwn are variables that every shell sets.
var shellOwn = map[string]bool{"HOME": true, "PWD": true, "OLDPWD": true, "IFS": true, "OPTIND": true, "UID": true, "EUID": true, "GID": true, "PPID": true, "SHLVL": true, "_": true}
