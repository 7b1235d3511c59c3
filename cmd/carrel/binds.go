package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"carrel/engine"
	"carrel/engine/network"
)

// parseBinds reads what -B was given: SRC[:DEST[:ro|rw]], several of them with commas between. A colon or comma that
// belongs to a path has a backslash before it.
func parseBinds(texts []string, s settings) ([]engine.Bind, error) {
	const form = "write -B SOURCE:DESTINATION, or -B SOURCE:DESTINATION:ro for only reading"
	var out []engine.Bind
	for _, text := range texts {
		for _, one := range splitEscaped(text, ',') {
			if one == "" {
				continue
			}
			parts := splitEscaped(one, ':')
			for i := range parts {
				parts[i] = unescape(parts[i])
			}
			if parts[0] == "" {
				return nil, usage(form, "bind %q: no source", one)
			}
			b := engine.Bind{Source: absolute(parts[0], s)}
			b.Dest = b.Source
			if len(parts) > 1 && parts[1] != "" {
				b.Dest = parts[1]
			}
			if !path.IsAbs(b.Dest) {
				return nil, usage("the place in the container is a whole path: -B "+parts[0]+":/"+strings.TrimPrefix(b.Dest, "./"), "bind %q: destination %q does not begin with /", one, b.Dest)
			}
			b.Dest = path.Clean(b.Dest)
			if len(parts) > 2 {
				switch parts[2] {
				case "ro":
					b.ReadOnly = true
				case "rw", "":
				default:
					return nil, usage(form, "bind %q: option %q is neither ro nor rw", one, parts[2])
				}
			}
			if len(parts) > 3 {
				return nil, usage(form+`; a colon in a name is written \:`, "bind %q: too many colons", one)
			}
			out = append(out, b)
		}
	}
	return out, nil
}

// splitEscaped splits at a separator that has no backslash before it; backslashes stay.
func splitEscaped(s string, sep byte) []string {
	var out []string
	start := 0
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s):
			i++
		case s[i] == sep:
			out = append(out, s[start:i])
			start = i + 1
		}
	}
	return append(out, s[start:])
}

// unescape takes away the backslash before colons, commas and backslashes.
func unescape(s string) string {
	return strings.NewReplacer(`\\`, `\`, `\:`, `:`, `\,`, `,`).Replace(s)
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
	var out []engine.Port
	for _, text := range texts {
		all, err := network.ParseMapping(text)
		if err != nil {
			return nil, &usageError{err, engine.Hint(err)}
		}
		for _, m := range all {
			p := engine.Port{Host: int(m.HostPort), Container: int(m.ContainerPort), Fixed: !m.Wish, UDP: m.UDP}
			if m.HostIP.IsValid() {
				p.HostIP = m.HostIP.String()
			}
			out = append(out, p)
		}
	}
	return out, nil
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
