package card

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Bounds of what is taken from a stranger's labels: bytes of a text, and entries of a list.
const (
	maxText    = 4096
	maxEntries = 256
)

const (
	ociPrefix    = "org.opencontainers.image."
	carrelPrefix = "carrel."
)

// Parse reads labels. Warnings are ordered by label.
func Parse(labels map[string]string) (Card, []Warning) {
	p := parser{args: map[int]string{}, binds: map[string]string{}, ports: map[int]string{}}
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		p.label, p.display = name, Clean(name)
		value := labels[name]
		if fact, ok := strings.CutPrefix(name, ociPrefix); ok {
			p.oci(fact, value)
		} else if fact, ok := strings.CutPrefix(name, carrelPrefix); ok {
			p.carrel(fact, p.clean(value))
		}
	}
	p.card.sort()
	return p.card, p.warnings
}

// Clean makes a stranger's text one printable line: control and formatting characters (Unicode Cc, Cf but the joiners of
// scripts and emoji, Zl, Zp) are taken out, line ends and tabs become spaces, what is not UTF-8 the replacement
// character; white space at the ends goes.
func Clean(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\u2028' || r == '\u2029':
			return ' '
		case r == '\u200c' || r == '\u200d':
			return r
		case unicode.Is(unicode.Cc, r) || unicode.Is(unicode.Cf, r):
			return -1
		default:
			return r
		}
	}, strings.ToValidUTF8(s, "\ufffd")))
}

type parser struct {
	card     Card
	warnings []Warning
	label    string // as written
	display  string // for messages

	// The labels numbers and destinations were told by: two spellings can mean the same.
	args, ports map[int]string
	binds       map[string]string
}

func (p *parser) warn(format string, args ...any) {
	p.warnings = append(p.warnings, Warning{Label: p.display, Message: fmt.Sprintf(format, args...)})
}

// clean is Clean, with the length bounded.
func (p *parser) clean(s string) string {
	if len(s) > 4*maxText {
		s = s[:4*maxText]
	}
	s = Clean(s)
	if len(s) <= maxText {
		return s
	}
	p.warn("cut to %d bytes", maxText)
	cut := maxText
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut]
}

// room tells whether a list may grow.
func (p *parser) room(n int) bool {
	if n >= maxEntries {
		p.warn("skipped: more than %d of a kind", maxEntries)
		return false
	}
	return true
}

func (p *parser) oci(fact, value string) {
	var to *string
	c := &p.card
	switch fact {
	case "title":
		to = &c.Title
	case "description":
		to = &c.Description
	case "authors":
		to = &c.Authors
	case "url":
		to = &c.URL
	case "documentation":
		to = &c.Documentation
	case "source":
		to = &c.Source
	case "version":
		to = &c.Version
	case "licenses":
		to = &c.Licenses
	default:
		return
	}
	value = p.clean(value)
	// Definition files keep the quotes people put around a value.
	if len(value) >= 2 && value[0] == '"' && value[len(value)-1] == '"' {
		value = strings.TrimSpace(value[1 : len(value)-1])
	}
	*to = value
}

func (p *parser) carrel(fact, value string) {
	kind, rest, _ := strings.Cut(fact, ".")
	switch kind {
	case "category":
		if word := strings.ToLower(value); slices.Contains(Categories, word) {
			p.card.Category = word
		} else {
			p.warn("%q is no category (%s)", value, strings.Join(Categories, ", "))
		}
	case "keywords":
		p.keywords(value)
	case "port":
		p.port(rest, value)
	case "bind":
		p.bind(rest, value)
	case "arg":
		p.arg(rest, value)
	case "choice":
		p.choice(rest, value)
	case "env":
		p.env(rest, value)
	case "ready":
		p.ready(value)
	case "writable":
		switch word := strings.ToLower(value); word {
		case Keep, Discard, Ask:
			p.card.Writable = word
		default:
			p.warn("%q is none of keep, discard, ask", value)
		}
	case "stop":
		p.stop(value)
	case "workdir":
		if !path.IsAbs(value) {
			p.warn("%q is no absolute path", value)
			return
		}
		p.card.Workdir = path.Clean(value)
	case "user":
		p.user(value)
	case "cite":
		p.card.Cite = value
	case "example":
		p.card.Example = value
	}
}

// stop reads the name of a signal, with or without SIG (signal(7)).
func (p *parser) stop(value string) {
	name := strings.ToUpper(value)
	if !strings.HasPrefix(name, "SIG") {
		name = "SIG" + name
	}
	for _, c := range name {
		if (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '+' && c != '-' {
			p.warn("%q is no signal such as SIGINT", value)
			return
		}
	}
	p.card.Stop = name
}

// user reads NAME|NUMBER[:GROUP|NUMBER], as an OCI configuration has it (image-spec, config.md, "User").
func (p *parser) user(value string) {
	user, group, hasGroup := strings.Cut(value, ":")
	if user == "" || hasGroup && group == "" || strings.ContainsAny(value, " /\\") || strings.Contains(group, ":") {
		p.warn("%q is no user such as jovyan or 1000:100", value)
		return
	}
	p.card.User = value
}

func (p *parser) keywords(value string) {
	for word := range strings.SplitSeq(value, ",") {
		if word = strings.TrimSpace(word); word == "" || slices.Contains(p.card.Keywords, word) {
			continue
		}
		if !p.room(len(p.card.Keywords)) {
			return
		}
		p.card.Keywords = append(p.card.Keywords, word)
	}
}

// PROTO [PATH] [TEXT…]
func (p *parser) port(number, value string) {
	n, ok := portNumber(number)
	if !ok {
		p.warn("%q is no port from 1 to 65535", Clean(number))
		return
	}
	if other, ok := p.ports[n]; ok {
		p.warn("port %d is told by %s already", n, other)
		return
	}
	proto, rest := word(value)
	port := Port{Container: n, Proto: strings.ToLower(proto)}
	switch port.Proto {
	case HTTP, HTTPS:
		port.Path = "/"
		if strings.HasPrefix(rest, "/") {
			port.Path, rest = word(rest)
		}
	case TCP:
	default:
		p.warn("%q is no protocol (http, https, tcp)", proto)
		return
	}
	port.Text = rest
	if p.room(len(p.card.Ports)) {
		p.ports[n] = p.display
		p.card.Ports = append(p.card.Ports, port)
	}
}

// MODE [required] [TEXT…]
func (p *parser) bind(dest, value string) {
	if !path.IsAbs(dest) || Clean(dest) != dest || len(dest) > maxText {
		p.warn("%q is no absolute path", Clean(dest))
		return
	}
	dest = path.Clean(dest)
	if dest == "/" {
		p.warn("a folder cannot take the place of the whole image")
		return
	}
	if other, ok := p.binds[dest]; ok {
		p.warn("%s is told by %s already", dest, other)
		return
	}
	mode, rest := word(value)
	b := Bind{Dest: dest, Mode: strings.ToLower(mode)}
	if b.Mode != ReadWrite && b.Mode != ReadOnly {
		p.warn("%q is no mode (rw, ro)", mode)
		return
	}
	if w, behind := word(rest); w == "required" {
		b.Required, rest = true, behind
	}
	b.Text = rest
	if p.room(len(p.card.Binds)) {
		p.binds[dest] = p.display
		p.card.Binds = append(p.card.Binds, b)
	}
}

// NAME [CHOICE|CHOICE…] [TEXT…]
func (p *parser) arg(number, value string) {
	n, err := strconv.Atoi(number)
	if err != nil || n < 1 || n > 9999 {
		p.warn("%q is no number of an argument, from 1", Clean(number))
		return
	}
	if other, ok := p.args[n]; ok {
		p.warn("argument %d is told by %s already", n, other)
		return
	}
	name, rest := word(value)
	if name == "" {
		p.warn("the argument has no name")
		return
	}
	a := Arg{N: n, Name: name}
	if choices, behind := word(rest); strings.Contains(choices, "|") {
		for c := range strings.SplitSeq(choices, "|") {
			if c != "" && !slices.Contains(a.Choices, c) {
				a.Choices = append(a.Choices, c)
			}
		}
		rest = behind
	}
	a.Text = rest
	if p.room(len(p.card.Args)) {
		p.args[n] = p.display
		p.card.Args = append(p.card.Args, a)
	}
}

// TEXT…
func (p *parser) choice(name, value string) {
	if name = Clean(name); name == "" || value == "" || !p.room(len(p.card.Choices)) {
		return
	}
	if p.card.Choices == nil {
		p.card.Choices = map[string]string{}
	}
	p.card.Choices[name] = value
}

// [=DEFAULT] [TEXT…]
func (p *parser) env(name, value string) {
	if !isVariable(name) {
		p.warn("%q is no name of a variable", Clean(name))
		return
	}
	e := Env{Name: name}
	if after, ok := strings.CutPrefix(value, "="); ok {
		e.HasDefault = true
		if quoted, ok := strings.CutPrefix(after, `"`); ok && strings.Contains(quoted, `"`) {
			e.Default, value, _ = strings.Cut(quoted, `"`)
			value = strings.TrimSpace(value)
		} else if strings.HasPrefix(after, " ") {
			value = strings.TrimSpace(after) // an empty default, and a text
		} else {
			e.Default, value = word(after)
		}
	}
	e.Text = value
	if p.room(len(p.card.Env)) {
		p.card.Env = append(p.card.Env, e)
	}
}

// PORT PATH [TIMEOUT]
func (p *parser) ready(value string) {
	number, rest := word(value)
	n, ok := portNumber(number)
	if !ok {
		p.warn("%q is no port from 1 to 65535", number)
		return
	}
	r := Ready{Port: n}
	if strings.HasPrefix(rest, "/") {
		r.Path, rest = word(rest)
	}
	if rest != "" {
		d, err := time.ParseDuration(rest)
		if seconds, atoi := strconv.Atoi(rest); err != nil && atoi == nil && seconds < 1<<30 {
			d, err = time.Duration(seconds)*time.Second, nil
		}
		if err != nil || d <= 0 {
			p.warn("%q is no duration such as 60s", rest)
		} else {
			r.Timeout = d
		}
	}
	p.card.Ready = &r
}

// word is the first word of a text, and what follows it.
func word(s string) (first, rest string) {
	s = strings.TrimSpace(s)
	i := strings.IndexFunc(s, unicode.IsSpace)
	if i < 0 {
		return s, ""
	}
	return s[:i], strings.TrimSpace(s[i:])
}

func portNumber(s string) (int, bool) {
	n, err := strconv.ParseUint(s, 10, 16)
	return int(n), err == nil && n > 0
}

// isVariable tells whether a name is one a shell can set (POSIX.1-2024, XBD 3.216).
func isVariable(s string) bool {
	for i, c := range []byte(s) {
		if c != '_' && (c|0x20 < 'a' || c|0x20 > 'z') && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != "" && len(s) <= maxText
}
