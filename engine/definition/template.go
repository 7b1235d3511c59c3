package definition

import (
	"strings"
)

// templatePattern is a template: a name of word characters in double braces, white space (line ends too) around it.
// Anything else in double braces is text, as in "{{ a.b }}".
var templatePattern = lazy(`{{\s*(\w+)\s*}}`)

// templateAt is the length of the template at the start of a text, 0 when there is none.
func templateAt(s string) int {
	if !strings.HasPrefix(s, "{{") {
		return 0
	}
	return len(templateStart().FindString(s))
}

var templateStart = lazy(`^{{\s*\w+\s*}}`)

// values are what templates of one stage are filled with.
type values struct {
	build    map[string]string // --build-arg; these win
	defaults map[string]string // the stage's own %arguments
	used     map[string]bool   // names asked for, added to
}

func (v values) lookup(name string) (string, bool) {
	if s, ok := v.build[name]; ok {
		return s, true
	}
	s, ok := v.defaults[name]
	return s, ok
}

// value is a name's value, with the templates in it filled in once.
func (v values) value(name string) (string, bool) {
	s, ok := v.lookup(name)
	if !ok {
		return "", false
	}
	return templatePattern().ReplaceAllStringFunc(s, func(t string) string {
		inner := templatePattern().FindStringSubmatch(t)[1]
		if r, ok := v.lookup(inner); ok {
			v.used[inner] = true
			return r
		}
		return t
	}), true
}

// filled is a text with its templates filled in.
type filled struct {
	text string
	// lines are the lines of the source the lines of text come from.
	lines     []int
	undefined []Undefined
	findings  []Finding
}

// fill replaces the templates of a text that begins in the given line of the file. Templates without a value stay.
//
// A template stays too when a "#" with something behind it (but not "#!") stands before it in its line: that is how
// Apptainer knows comments, also where a shell would see none, as in "s#x#{{ V }}#"; then there is a finding.
func fill(text string, line int, v values) filled {
	var out filled
	var b strings.Builder
	copied := 0 // everything before is written
	at := line  // the source line at copied
	out.lines = []int{line}
	write := func(s string, source bool) {
		b.WriteString(s)
		for range strings.Count(s, "\n") {
			if source {
				at++
			}
			out.lines = append(out.lines, at)
		}
	}
	missing := map[string]bool{}
	cur := cursor{text: text, line: line}
	for _, m := range templatePattern().FindAllStringSubmatchIndex(text, -1) {
		cur.to(m[0], copied)
		name := text[m[2]:m[3]]
		value, ok := v.value(name)
		if cur.hash {
			if ok && !cur.comment {
				out.findings = append(out.findings, Finding{
					Rule: "template-comment", Severity: Warning, Line: cur.line, Column: m[0] - cur.lineStart + 1,
					Message: "{{ " + name + " }} is not filled in because a # stands before it in the line",
					Fix:     "put the value into a shell variable in a line of its own, and use that",
				})
			}
			continue
		}
		v.used[name] = true
		if !ok {
			if !cur.hashFirst && !missing[name] {
				missing[name] = true
				out.undefined = append(out.undefined, Undefined{Name: name, Line: cur.line, Column: m[0] - cur.lineStart + 1})
			}
			continue
		}
		write(text[copied:m[0]], true)
		write(value, false)
		at += strings.Count(text[m[0]:m[1]], "\n")
		copied = m[1]
	}
	write(text[copied:], true)
	out.text = b.String()
	return out
}

// cursor goes through a text once and knows what stands in the line before it.
type cursor struct {
	text      string
	at        int
	line      int // the line at is in
	lineStart int
	hashFirst bool // the line's first visible byte is #
	visible   bool // a visible byte has been seen in the line

	from    int  // hash and comment are about what follows this
	hash    bool // a # with something but "!" behind it
	comment bool // a # a shell would begin a comment at
}

// to moves on to a place; what stands before copied does not count for hash and comment.
func (c *cursor) to(place, copied int) {
	for ; c.at < place; c.at++ {
		b := c.text[c.at]
		if b == '\n' {
			c.line++
			c.lineStart, c.hashFirst, c.visible = c.at+1, false, false
			c.from, c.hash, c.comment = c.at+1, false, false
			continue
		}
		if !c.visible && b != ' ' && b != '\t' {
			c.visible, c.hashFirst = true, b == '#'
		}
		if c.from < copied && c.at >= copied {
			c.from, c.hash, c.comment = copied, false, false
		}
		if c.at > c.from && c.text[c.at-1] == '#' && b != '!' {
			c.hash = true
		}
		if b == '#' {
			c.comment = c.comment || c.at == c.from || c.text[c.at-1] == ' ' || c.text[c.at-1] == '\t'
		}
	}
	if c.from < copied && c.at >= copied {
		c.from, c.hash, c.comment = copied, false, false
	}
}

// hashAt is the place of the first "#" with anything but "!" behind it, from which on templates are not filled in; the
// text's length when there is none.
func hashAt(s string) int {
	for i := 0; i+1 < len(s); i++ {
		if s[i] == '#' && s[i+1] != '!' {
			return i
		}
	}
	return len(s)
}
