package definition

import (
	"strings"
)

// Kind says what a token of a definition file is, for colouring.
type Kind uint8

// The kinds of tokens. What has no token is plain text.
const (
	KindKey      Kind = iota + 1 // a header key, with its colon
	KindValue                    // a header's, label's or argument's value
	KindSection                  // % and a section's name
	KindArgs                     // what follows a section's name
	KindName                     // the name of an app, label or argument
	KindComment                  // from # to the line's end
	KindString                   // a quoted text, or a line of a here-document
	KindVariable                 // $NAME, ${…}
	KindKeyword                  // a shell's word: if, done, exec …
	KindPath                     // a word of %files
	KindTemplate                 // {{ NAME }}
	KindInvalid                  // a section or key there is not
)

// String is a lower-case word for the kind.
func (k Kind) String() string {
	names := [...]string{"text", "key", "value", "section", "args", "name", "comment", "string", "variable", "keyword", "path", "template", "invalid"}
	if int(k) < len(names) {
		return names[k]
	}
	return names[0]
}

// Token is a piece of a line. Line and Col count from 1; Col and Len are bytes.
type Token struct {
	Line, Col, Len int
	Kind           Kind
}

// Tokens cuts the text of a definition file into pieces for colouring, in order and without overlaps; no token crosses a
// line's end. It takes any text, also one Parse refuses.
func Tokens(text string) []Token {
	var tokens []Token
	var p painter
	line := 0
	for l := range strings.Lines(text) {
		line++
		l = trimEOL(l)
		if line == 1 {
			if rest, ok := strings.CutPrefix(l, "\ufeff"); ok {
				l = "   " + rest // as long as the mark
			}
		}
		kinds := p.line(l, line)
		for i := 0; i < len(kinds); {
			start := i
			for i < len(kinds) && kinds[i] == kinds[start] {
				i++
			}
			if kinds[start] != 0 {
				tokens = append(tokens, Token{line, start + 1, i - start, kinds[start]})
			}
		}
	}
	return tokens
}

// painter gives every byte of a line its kind, from line to line.
type painter struct {
	section string // "" in the header
	known   bool
	open    bool // the header line before goes on
	docs    heredocs
	quote   byte // the shell's quote that is open
	kinds   []Kind
}

func (p *painter) line(text string, line int) []Kind {
	p.kinds = make([]Kind, len(text))
	trimmed := strings.TrimSpace(text)
	indent := strings.Index(text, trimmed)
	switch {
	case isSectionLine(text):
		p.name(text)
	case stagePattern().MatchString(text):
		*p = painter{kinds: p.kinds}
		p.header(text, trimmed, indent)
	case p.section == "":
		p.header(text, trimmed, indent)
	case p.section == "help" || p.section == "apphelp" || !p.known:
	case p.section == "files" || p.section == "appfiles":
		p.comment(text, func(s string) { p.words(s) })
	case p.section == "labels" || p.section == "applabels":
		p.comment(text, func(string) { p.pair(text, indent, strings.IndexAny(trimmed, " \t")) })
	case p.section == "arguments":
		p.comment(text, func(string) { p.pair(text, indent, strings.IndexByte(trimmed, '=')) })
	default:
		p.script(text, line)
	}
	hash := hashAt(text)
	for _, m := range templatePattern().FindAllStringIndex(text, -1) {
		if hash+1 >= m[0] {
			p.paint(m[0], m[1], KindTemplate)
		}
	}
	return p.kinds
}

func (p *painter) paint(from, to int, k Kind) {
	for i := from; i < to; i++ {
		p.kinds[i] = k
	}
}

// comment paints a line that is a comment, or hands it on.
func (p *painter) comment(text string, rest func(string)) {
	if trimmed := strings.TrimSpace(text); strings.HasPrefix(trimmed, "#") {
		p.paint(strings.IndexByte(text, '#'), len(text), KindComment)
	} else if trimmed != "" {
		rest(text)
	}
}

func (p *painter) name(text string) {
	start := strings.IndexByte(text, '%')
	after := len(text) - len(strings.TrimLeft(text[start:], "%"))
	end := after
	for end < len(text) && text[end] != ' ' && text[end] != '\t' {
		end++
	}
	name, known := resolveSection(text[after:end])
	*p = painter{section: name, known: known, kinds: p.kinds}
	if p.section == "" {
		p.section = "%"
	}
	kind := KindSection
	if !known || start > 0 {
		kind = KindInvalid
	}
	p.paint(start, end, kind)
	args := end + len(text[end:]) - len(strings.TrimLeft(text[end:], " \t"))
	if isAppSectionName(name) {
		to := args
		for to < len(text) && text[to] != ' ' && text[to] != '\t' {
			to++
		}
		p.paint(args, to, KindName)
		args = to
	}
	hash := len(text)
	if i := strings.IndexByte(text[args:], '#'); i >= 0 {
		hash = args + i
		p.paint(hash, len(text), KindComment)
	}
	p.paint(args, args+len(strings.TrimRight(text[args:hash], " \t")), KindArgs)
}

func (p *painter) header(text, trimmed string, indent int) {
	hash := strings.IndexByte(text, '#')
	if hash < 0 {
		hash = len(text)
	}
	p.paint(hash, len(text), KindComment)
	if trimmed == "" {
		p.open = false
	}
	body := strings.TrimRight(text[:hash], " \t")
	if strings.TrimSpace(body) == "" {
		return
	}
	value := indent
	if colon := strings.IndexByte(body, ':'); !p.open {
		kind := KindKey
		key := strings.ToLower(strings.TrimSpace(body[:max(colon, 0)]))
		if colon < 0 {
			colon, kind = len(body)-1, KindInvalid
		} else if !isHeaderName(key) && key != "token" {
			kind = KindInvalid
		}
		p.paint(indent, colon+1, kind)
		value = colon + 1
		for value < len(body) && (body[value] == ' ' || body[value] == '\t') {
			value++
		}
	}
	p.paint(value, len(body), KindValue)
	p.open = strings.HasSuffix(body, `\`)
}

// words paints the first two words of a %files line.
func (p *painter) words(text string) {
	at := 0
	for range 2 {
		for at < len(text) && (text[at] == ' ' || text[at] == '\t') {
			at++
		}
		end := at
		if at < len(text) && (text[at] == '"' || text[at] == '\'') {
			if i := strings.IndexByte(text[at+1:], text[at]); i >= 0 {
				end = at + i + 2
			}
		}
		for end == at || end < len(text) && text[end-1] != '"' && text[end] != ' ' && text[end] != '\t' {
			if end >= len(text) {
				break
			}
			if n := templateAt(text[end:]); n > 0 {
				end += n
			} else {
				end++
			}
		}
		if at < len(text) && text[at] == '#' {
			break
		}
		p.paint(at, min(end, len(text)), KindPath)
		at = min(end, len(text))
	}
	if rest := strings.TrimLeft(text[at:], " \t"); strings.HasPrefix(rest, "#") {
		p.paint(len(text)-len(rest), len(text), KindComment)
	}
}

// pair paints a name, and a value behind the separator at cut, counted from indent; -1 for none.
func (p *painter) pair(text string, indent, cut int) {
	end := len(strings.TrimRight(text, " \t"))
	if cut < 0 {
		p.paint(indent, end, KindName)
		return
	}
	p.paint(indent, indent+cut, KindName)
	value := indent + cut + 1
	for value < end && (text[value] == ' ' || text[value] == '\t') {
		value++
	}
	p.paint(value, end, KindValue)
}

// shellWords are the words painted as keywords where a command may stand.
var shellWords = map[string]bool{
	"if": true, "then": true, "else": true, "elif": true, "fi": true, "for": true, "while": true, "until": true, "do": true, "done": true,
	"case": true, "esac": true, "in": true, "function": true, "return": true, "exit": true, "export": true, "exec": true, "set": true,
	"unset": true, "local": true, "cd": true, "source": true, ".": true, "shift": true, "break": true, "continue": true, "trap": true,
}

// script paints a line of shell.
func (p *painter) script(text string, line int) {
	if p.docs.inside() {
		p.docs.next(text, line)
		p.paint(0, len(text), KindString)
		return
	}
	shell := 0 // where a quote of an earlier line has ended
	if p.quote != 0 {
		shell = len(text)
		if i := strings.IndexByte(text, p.quote); i >= 0 {
			shell = i + 1
		}
	}
	p.docs.next(text[shell:], line)
	command := true // a command may begin here
	for i := 0; i < len(text); {
		c := text[i]
		start := i
		switch {
		case p.quote != 0:
			for i < len(text) && text[i] != p.quote {
				if p.quote == '"' && text[i] == '$' {
					if n := variableLen(text[i:]); n > 1 {
						p.paint(start, i, KindString)
						p.paint(i, i+n, KindVariable)
						i += n
						start = i
						continue
					}
				}
				if p.quote == '"' && text[i] == '\\' && i+1 < len(text) {
					i++
				}
				i++
			}
			if i < len(text) {
				i++
				p.quote = 0
			}
			p.paint(start, i, KindString)
		case c == '\'' || c == '"':
			p.quote = c
			p.kinds[i] = KindString
			i++
			command = false
		case c == '\\':
			i = min(i+2, len(text))
		case c == '#' && (i == 0 || strings.IndexByte(" \t;(", text[i-1]) >= 0):
			p.paint(i, len(text), KindComment)
			return
		case c == '$':
			n := variableLen(text[i:])
			if n > 1 {
				p.paint(i, i+n, KindVariable)
			}
			i += n
			command = false
		case strings.IndexByte(";&|(){}`", c) >= 0:
			i++
			command = true
		case c == ' ' || c == '\t':
			i++
		default:
			for i < len(text) && strings.IndexByte(" \t;&|(){}`'\"$\\", text[i]) < 0 {
				i++
			}
			w := text[start:i]
			switch {
			case (command || w == "in" || w == "do") && shellWords[w]:
				p.paint(start, i, KindKeyword)
				command = w != "for" && w != "case" && w != "in"
			case w != "!" && !strings.Contains(w, "="):
				command = false
			}
		}
	}
}

// variableLen is the length of the variable at the start of s, which begins with $; 1 when there is none.
func variableLen(s string) int {
	if len(s) < 2 {
		return 1
	}
	if s[1] == '{' {
		if i := strings.IndexByte(s, '}'); i > 0 {
			return i + 1
		}
		return 1
	}
	if strings.IndexByte("@*#?$!-0123456789", s[1]) >= 0 {
		return 2
	}
	i := 1
	for i < len(s) && (s[i] == '_' || s[i] >= '0' && s[i] <= '9' || s[i]|0x20 >= 'a' && s[i]|0x20 <= 'z') {
		i++
	}
	return i
}
