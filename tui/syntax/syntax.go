// Package syntax tells the pieces of programs and data files apart, so that they can be shown in colours: comments, strings, words of
// the language, numbers, keys. It knows just as much of each language as that needs, allocates nothing before it is asked, and
// never changes what is read. It draws nothing but lines.
package syntax

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"charm.land/lipgloss/v2"

	"carrel/tui/theme"
)

// Kind is what a piece of a program's text is.
type Kind byte

// The kinds of pieces. Colours tell them apart, but nothing has to be known by colour: the text is there as it is.
const (
	Ordinary Kind = iota
	Comment
	Quoted  // strings
	Keyword // words of the language
	Number
	Name    // keys of data, tags, sections, variables of a shell
	Heading // of a document
	Strong  // emphasis of a document
)

// Span is a piece of a line.
type Span struct {
	Kind Kind
	Text string
}

// Style is how a kind is drawn.
func (k Kind) Style(t *theme.Theme) lipgloss.Style {
	switch k {
	case Comment:
		return t.Muted
	case Quoted:
		return t.OK
	case Keyword:
		return t.Accent
	case Number:
		return t.Warn
	case Name:
		return t.Accent
	case Heading:
		return t.Title
	case Strong:
		return t.Strong
	}
	return t.Text
}

// Draw draws a line.
func Draw(t *theme.Theme, spans []Span) string {
	var b strings.Builder
	for _, s := range spans {
		if s.Kind == Ordinary {
			b.WriteString(s.Text)
		} else {
			b.WriteString(s.Kind.Style(t).Render(s.Text))
		}
	}
	return b.String()
}

// grammar is as much of a language as colours need.
type grammar struct {
	line   []string    // what begins a comment to the end of the line
	block  [][2]string // what begins and ends a longer one
	quotes []quote     // longer ones before shorter ones
	words  map[string]bool
	fold   bool // words are the same in upper and lower case
	keys   string
	vars   bool // $NAME and ${NAME} are names
	tags   bool // <name attribute="…">
	begin  bool // a comment's sign counts only at the beginning of a word, as in a shell
}

type quote struct {
	open, close string
	long        bool // may go over several lines
	raw         bool // a backslash is a backslash
}

// Highlight tells the pieces of each line of a text in a language. The lines must be clean; their text is not changed.
func Highlight(language string, lines []string) [][]Span {
	if language == "definition" {
		return highlightDefinition(lines)
	}
	g := grammarOf(language)
	out := make([][]Span, len(lines))
	p := painter{g: g}
	for i, l := range lines {
		if g == nil || len(l) > 4000 {
			out[i] = []Span{{Ordinary, l}}
			continue
		}
		out[i] = p.paint(l)
	}
	return out
}

// highlightDefinition colours a definition file: its header and sections, and shell where sections are scripts.
func highlightDefinition(lines []string) [][]Span {
	out := make([][]Span, len(lines))
	shell := painter{g: grammarOf("shell")}
	section := ""
	for i, l := range lines {
		trimmed := strings.TrimSpace(l)
		indent := l[:len(l)-len(strings.TrimLeft(l, " "))]
		switch {
		case strings.HasPrefix(l, "%"):
			section, _, _ = strings.Cut(l, " ")
			out[i] = []Span{{Heading, l}}
			shell.inside, shell.until = Ordinary, ""
		case section == "" || section == "%labels" || section == "%arguments" || section == "%files":
			key, rest, sep := trimmed, "", ""
			if section == "" {
				key, rest, sep = cutAt(trimmed, ":")
			} else if section != "%files" {
				key, rest, sep = cutAt(trimmed, " \t=")
			}
			switch {
			case strings.HasPrefix(trimmed, "#"):
				out[i] = []Span{{Comment, l}}
			case section == "%files" || sep == "" && section == "":
				out[i] = []Span{{Ordinary, l}}
			default:
				out[i] = []Span{{Ordinary, indent}, {Name, key + sep}, {Ordinary, rest}}
				if tail := len(l) - len(indent) - len(trimmed); tail > 0 {
					out[i] = append(out[i], Span{Ordinary, l[len(l)-tail:]})
				}
			}
		case section == "%help":
			out[i] = []Span{{Ordinary, l}}
		default:
			out[i] = shell.paint(l)
		}
	}
	return out
}

// cutAt cuts a text behind the first of some characters.
func cutAt(s, any string) (before, after, sep string) {
	if i := strings.IndexAny(s, any); i >= 0 {
		return s[:i], s[i+1:], s[i : i+1]
	}
	return s, "", ""
}

// painter goes through the lines of a text; a comment or string may go on in the next one.
type painter struct {
	g      *grammar
	inside Kind
	until  string
	raw    bool

	out   []Span
	start int // of what is not yet in out
	line  string
}

// to adds all up to a place as ordinary text, and what follows up to end as a kind.
func (p *painter) to(at, end int, k Kind) {
	if at > p.start {
		p.out = append(p.out, Span{Ordinary, p.line[p.start:at]})
	}
	if end > at {
		p.out = append(p.out, Span{k, p.line[at:end]})
	}
	p.start = max(at, end)
}

// partOfPath tells whether a word stands in a path or an option: /usr/local is no word of the shell, nor is --test.
func (p *painter) partOfPath(at, end int) bool {
	return at > 0 && strings.IndexByte("/-.=:@", p.line[at-1]) >= 0 || end < len(p.line) && strings.IndexByte("/-.=:", p.line[end]) >= 0
}

func (p *painter) paint(line string) []Span {
	g := p.g
	p.out, p.start, p.line = nil, 0, line
	at := 0
	if p.until != "" {
		at = p.end(0)
		p.to(0, at, p.inside)
	}
	if p.g.tags && p.until == "" {
		return p.markup(at)
	}
	if strings.HasPrefix(line, "[") && g.keys == "=" {
		p.to(0, len(line), Heading)
		at = len(line)
	}
next:
	for at < len(line) {
		rest := line[at:]
		for _, b := range g.block {
			if strings.HasPrefix(rest, b[0]) {
				at = p.open(at, len(b[0]), Comment, b[1], true)
				continue next
			}
		}
		for _, c := range g.line {
			if strings.HasPrefix(rest, c) && (!g.begin || at == 0 || line[at-1] == ' ' || line[at-1] == '\t' || line[at-1] == ';') && !(g.keys == "=" && c == ";" && strings.TrimSpace(line[:at]) != "") {
				p.to(at, len(line), Comment)
				break next
			}
		}
		for _, q := range g.quotes {
			if !strings.HasPrefix(rest, q.open) {
				continue
			}
			begin := at
			at = p.open(at, len(q.open), Quoted, q.close, q.raw)
			if p.until != "" && !q.long {
				p.until = "" // it was an apostrophe, or a mistake: it ends with the line
			}
			if p.until == "" && g.keys != "" && p.isKey(at) && len(p.out) > 0 && p.out[len(p.out)-1].Text == line[begin:at] {
				p.out[len(p.out)-1].Kind = Name
			}
			continue next
		}
		r, size := utf8.DecodeRuneInString(rest)
		switch {
		case g.vars && r == '$':
			end := at + 1
			if end < len(line) && line[end] == '{' {
				if i := strings.IndexByte(line[end:], '}'); i > 0 {
					end += i + 1
				}
			} else {
				end += wordLen(line[end:])
			}
			p.to(at, end, Name)
			at = max(end, at+1)
		case r >= '0' && r <= '9' && (at == 0 || !isWord(rune(line[at-1]))):
			end := at
			for end < len(line) && (line[end] < utf8.RuneSelf && isWord(rune(line[end])) || line[end] == '.') {
				end++
			}
			p.to(at, end, Number)
			at = end
		case isWord(r) || strings.ContainsRune("#@!.[]~-", r):
			end := at + max(size, wordLen(rest))
			if !isWord(r) {
				end = at + size
				for end < len(line) && line[end] < utf8.RuneSelf && (isWord(rune(line[end])) || rune(line[end]) == r) {
					end++
				}
			}
			word := line[at:end]
			if g.fold {
				word = strings.ToLower(word)
			}
			switch {
			case g.words[word] && !(g.keys != "" && p.isKey(end)) && !(g.begin && p.partOfPath(at, end)):
				p.to(at, end, Keyword)
			case g.keys != "" && isWord(r) && p.isKey(end) && strings.Trim(line[:at], " \t-{,") == "":
				p.to(at, end, Name)
			}
			at = end
		default:
			at += size
		}
	}
	p.to(len(line), 0, Ordinary)
	return p.out
}

// isKey tells whether what ends at a place is followed by the sign that makes it a key.
func (p *painter) isKey(at int) bool {
	rest := strings.TrimLeft(p.line[at:], " ")
	return rest != "" && strings.ContainsRune(p.g.keys, rune(rest[0])) && !strings.HasPrefix(rest, "://")
}

// open begins something that ends with a mark, and returns where it ends in this line.
func (p *painter) open(at, n int, k Kind, until string, raw bool) int {
	p.inside, p.until, p.raw = k, until, raw
	end := p.end(at + n)
	p.to(at, end, k)
	return end
}

// end finds where what is open ends in this line; it stays open when it does not.
func (p *painter) end(at int) int {
	for i := at; i < len(p.line); i++ {
		if p.line[i] == '\\' && !p.raw {
			i++
			continue
		}
		if strings.HasPrefix(p.line[i:], p.until) {
			i += len(p.until)
			p.until = ""
			return i
		}
	}
	return len(p.line)
}

// markup paints tags; text between them is ordinary.
func (p *painter) markup(at int) []Span {
	for at < len(p.line) {
		i := strings.IndexByte(p.line[at:], '<')
		if i < 0 {
			break
		}
		at += i
		if strings.HasPrefix(p.line[at:], "<!--") {
			at = p.open(at, 4, Comment, "-->", true)
			continue
		}
		end := at + 1
		for end < len(p.line) && !strings.ContainsRune(" >\t", rune(p.line[end])) {
			end++
		}
		p.to(at, end, Name)
		for at = end; at < len(p.line) && p.line[at] != '>'; {
			if c := p.line[at]; c == '"' || c == '\'' {
				n := strings.IndexByte(p.line[at+1:], c)
				if n < 0 {
					n = len(p.line) - at - 2
				}
				p.to(at, min(len(p.line), at+n+2), Quoted)
				at += n + 2
				continue
			}
			at++
		}
		if at < len(p.line) {
			p.to(at, at+1, Name)
			at++
		}
	}
	p.to(len(p.line), 0, Ordinary)
	return p.out
}

func isWord(r rune) bool {
	return r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= 0x80 && unicode.IsLetter(r)
}

// wordLen is how many bytes of a text are its first word.
func wordLen(s string) int {
	for i, r := range s {
		if !isWord(r) {
			return i
		}
	}
	return len(s)
}
