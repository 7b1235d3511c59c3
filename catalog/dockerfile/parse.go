package dockerfile

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// MaxSize bounds a Dockerfile, in bytes.
const MaxSize = 1 << 20

// ErrNotDockerfile is a text that is none.
var ErrNotDockerfile = errors.New("not a Dockerfile")

// Error is what is wrong with a line.
type Error struct {
	Line    int
	Message string
}

// Error names the line.
func (e *Error) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Message) }

// Unwrap is ErrNotDockerfile.
func (e *Error) Unwrap() error { return ErrNotDockerfile }

// Instruction is one instruction, its continuation lines joined.
type Instruction struct {
	// Name is in capitals: RUN.
	Name string
	// Line is where it begins, counted from 1.
	Line int
	// Flags are what comes first with two dashes, "--from=build" as {"from", "build"}.
	Flags [][2]string
	// Text is the rest; of continuation lines the line ends are kept, so that a long command stays readable.
	Text string
	// Args are the strings of the exec form, nil for the shell form.
	Args []string
	// Documents are the here-documents, in order.
	Documents []Document
}

// Document is a here-document.
type Document struct {
	Name string
	Text string
	// Expand tells that variables are replaced in it: its name was not quoted.
	Expand bool
}

// Flag is the value of a flag, and whether it is there.
func (i *Instruction) Flag(name string) (string, bool) {
	for _, f := range i.Flags {
		if f[0] == name {
			return f[1], true
		}
	}
	return "", false
}

// known are the instructions there are.
var known = map[string]bool{
	"ADD": true, "ARG": true, "CMD": true, "COPY": true, "ENTRYPOINT": true, "ENV": true, "EXPOSE": true, "FROM": true,
	"HEALTHCHECK": true, "LABEL": true, "MAINTAINER": true, "ONBUILD": true, "RUN": true, "SHELL": true, "STOPSIGNAL": true,
	"USER": true, "VOLUME": true, "WORKDIR": true,
}

// parse reads the instructions of a Dockerfile.
func parse(text string) ([]Instruction, error) {
	if len(text) > MaxSize {
		return nil, &Error{1, fmt.Sprintf("it has more than %d bytes", MaxSize)}
	}
	text = strings.ReplaceAll(strings.TrimPrefix(text, "\ufeff"), "\r\n", "\n")
	lines := strings.Split(text, "\n")
	escape := byte('\\')
	for _, l := range lines { // directives stand before everything else
		rest, ok := strings.CutPrefix(strings.TrimSpace(l), "#")
		key, value, eq := strings.Cut(rest, "=")
		if !ok || !eq {
			break
		}
		if strings.EqualFold(strings.TrimSpace(key), "escape") && strings.TrimSpace(value) == "`" {
			escape = '`'
		}
	}
	var all []Instruction
	for n := 0; n < len(lines); {
		line := strings.TrimSpace(lines[n])
		if line == "" || line[0] == '#' {
			n++
			continue
		}
		in, next, err := instruction(lines, n, escape)
		if err != nil {
			return nil, err
		}
		all = append(all, in)
		n = next
	}
	if len(all) == 0 {
		return nil, &Error{1, "it has no instructions"}
	}
	return all, nil
}

// instruction reads the one that begins at line n and returns the line after it.
func instruction(lines []string, n int, escape byte) (Instruction, int, error) {
	in := Instruction{Line: n + 1}
	var parts []string
	for ; n < len(lines); n++ {
		trimmed := strings.TrimSpace(lines[n])
		if len(parts) > 0 && (trimmed == "" || trimmed[0] == '#') {
			continue // remarks and empty lines between continuation lines are dropped
		}
		l := strings.TrimRight(lines[n], " \t")
		if strings.HasSuffix(l, string(escape)) {
			parts = append(parts, strings.TrimRight(strings.TrimSuffix(l, string(escape)), " \t"))
			continue
		}
		parts = append(parts, l)
		n++
		break
	}
	first := strings.TrimLeft(parts[0], " \t")
	name, rest, _ := strings.Cut(strings.ReplaceAll(first, "\t", " "), " ")
	in.Name = strings.ToUpper(name)
	if !known[in.Name] {
		return in, n, &Error{in.Line, fmt.Sprintf("there is no instruction %q", name)}
	}
	parts[0] = rest
	if in.Name == "RUN" {
		for i := range parts[:len(parts)-1] {
			parts[i] += ` \`
		}
		in.Text = strings.TrimSpace(strings.Join(parts, "\n"))
	} else {
		for i := range parts {
			parts[i] = strings.TrimSpace(parts[i])
		}
		in.Text = strings.TrimSpace(strings.Join(parts, " "))
	}
	for strings.HasPrefix(in.Text, "--") && in.Name != "CMD" && in.Name != "ENTRYPOINT" {
		flag, rest, _ := strings.Cut(in.Text, " ")
		k, v, _ := strings.Cut(strings.TrimPrefix(flag, "--"), "=")
		in.Flags = append(in.Flags, [2]string{strings.ToLower(k), v})
		in.Text = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(rest), "\\\n"))
	}
	if strings.HasPrefix(in.Text, "[") {
		var args []string
		if json.Unmarshal([]byte(in.Text), &args) == nil {
			in.Args = args
			if in.Args == nil {
				in.Args = []string{}
			}
		}
	}
	if in.Args == nil && (in.Name == "RUN" || in.Name == "COPY" || in.Name == "ADD") {
		names := documents(in.Text)
		for _, d := range names {
			var body []string
			found := false
			for ; n < len(lines) && !found; n++ {
				l := lines[n]
				if d.tabs {
					l = strings.TrimLeft(l, "\t")
				}
				if found = l == d.name; !found {
					body = append(body, l)
				}
			}
			if !found {
				return in, n, &Error{in.Line, fmt.Sprintf("the here-document %s has no end", d.name)}
			}
			text := strings.Join(body, "\n")
			if text != "" {
				text += "\n"
			}
			in.Documents = append(in.Documents, Document{Name: d.name, Text: text, Expand: !d.quoted})
		}
	}
	return in, n, nil
}

// heredoc is the beginning of a here-document.
type heredoc struct {
	name         string
	quoted, tabs bool
}

// documents finds the here-documents that a line begins.
func documents(text string) []heredoc {
	var all []heredoc
	for rest := text; ; {
		i := strings.Index(rest, "<<")
		if i < 0 {
			return all
		}
		if i > 0 && rest[i-1] == '<' || strings.HasPrefix(rest[i:], "<<<") {
			rest = strings.TrimLeft(rest[i:], "<") // a here-string
			continue
		}
		rest = rest[i+2:]
		var d heredoc
		if r, ok := strings.CutPrefix(rest, "-"); ok {
			d.tabs, rest = true, r
		}
		if rest == "" {
			return all
		}
		if q := rest[0]; q == '"' || q == '\'' {
			name, after, ok := strings.Cut(rest[1:], string(q))
			if !ok {
				return all
			}
			d.name, d.quoted, rest = name, true, after
		} else {
			end := strings.IndexFunc(rest, func(r rune) bool {
				return r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
			})
			if end < 0 {
				end = len(rest)
			}
			d.name, rest = rest[:end], rest[end:]
		}
		if d.name != "" {
			all = append(all, d)
		}
	}
}

// words splits a text as the builder does for COPY, ENV and the like: blanks separate, quotes and backslashes keep together.
func words(text string) []string {
	var out []string
	var b strings.Builder
	in, quote := false, byte(0)
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '\\' && quote != '\'' && i+1 < len(text):
			i++
			if text[i] == '$' {
				b.WriteByte('\\') // it stays a dollar sign when a shell reads the value
			}
			b.WriteByte(text[i])
			in = true
		case quote != 0:
			if c == quote {
				quote = 0
			} else {
				b.WriteByte(c)
			}
		case c == '"' || c == '\'':
			quote, in = c, true
		case c == ' ' || c == '\t' || c == '\n':
			if in {
				out = append(out, b.String())
				b.Reset()
				in = false
			}
		default:
			b.WriteByte(c)
			in = true
		}
	}
	if in {
		out = append(out, b.String())
	}
	return out
}

// pairs are the names and values of ENV, LABEL and ARG; the old form "ENV NAME the rest" is one pair.
func pairs(in Instruction) [][2]string {
	ws := words(in.Text)
	if len(ws) == 0 {
		return nil
	}
	if in.Name != "ARG" && !strings.Contains(ws[0], "=") {
		name, value, _ := strings.Cut(in.Text, " ")
		return [][2]string{{name, strings.TrimSpace(value)}}
	}
	var out [][2]string
	for _, w := range ws {
		k, v, _ := strings.Cut(w, "=")
		out = append(out, [2]string{k, v})
	}
	return out
}
