package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"carrel/engine"
)

// parseBinds reads what -B was given: SRC[:DEST[:OPTIONS]], several of them with commas between. A colon or comma that
// belongs to a path has a backslash before it; ~ is the home folder.
func parseBinds(texts []string, s settings) ([]engine.Bind, error) {
	out, err := engine.ParseBinds(texts, func(p string) string { return absolute(p, s) })
	return out, usageOf(err)
}

// usageOf makes a bind or a port that is not understood an error of the command line.
func usageOf(err error) error {
	if e, ok := errors.AsType[*engine.TextError](err); ok {
		return &usageError{e, e.Hint()}
	}
	return err
}

// needSources makes sure that what is to be bound is there; on a terminal it offers to create a folder that is not.
func (a *app) needSources(binds []engine.Bind) error {
	for _, b := range binds {
		_, err := os.Stat(b.Source)
		if !errors.Is(err, fs.ErrNotExist) {
			continue // other troubles are for the engine to tell
		}
		if isTerminal(a.in) && a.screen.is && a.ask("The folder "+clean(b.Source)+" is not there. Create it?") {
			if err := os.MkdirAll(b.Source, 0o777); err != nil { // less the umask, as mkdir does
				return fmt.Errorf("create folder: %w", err)
			}
			continue
		}
		return hinted(fmt.Errorf("bind %s: no such file or folder", b.Source), "create it: mkdir -p "+quote(b.Source))
	}
	return nil
}

// quote writes a word so that a shell reads it back.
func quote(w string) string {
	if w != "" && strings.IndexFunc(w, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:=@%+,", r))
	}) < 0 {
		return w
	}
	return "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
}

// parsePorts reads what -p was given.
func parsePorts(texts []string) ([]engine.Port, error) {
	out, err := engine.ParsePorts(texts)
	return out, usageOf(err)
}

// parseGuard reads what --guard was given.
func parseGuard(text string) (engine.GuardMode, error) {
	mode := engine.GuardMode(text)
	if text != "" && !slices.Contains(engine.GuardModes, mode) {
		return "", usage("write --guard, --guard=off or --guard=auto", "guard %q is not known", text)
	}
	return mode, nil
}

// parseEnv reads NAME=VALUE, or NAME for the value it has here.
func parseEnv(texts []string, lookup func(string) (string, bool)) (map[string]string, error) {
	out := map[string]string{}
	for _, text := range texts {
		name, value, ok := strings.Cut(text, "=")
		if name == "" {
			return nil, usage("write --env NAME=VALUE", "variable %q has no name", text)
		}
		if !ok {
			if value, ok = lookup(name); !ok {
				return nil, usage("write --env "+name+"=VALUE", "variable %s is not set here", name)
			}
		}
		out[name] = value
	}
	return out, nil
}

// parseHome reads --home SRC[:DEST].
func parseHome(text string, s settings) string {
	if text == "" {
		return ""
	}
	src, dest, ok := strings.Cut(text, ":")
	src = absolute(src, s)
	if !ok {
		return src
	}
	return src + ":" + filepath.Clean(dest)
}
