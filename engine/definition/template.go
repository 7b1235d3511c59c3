package definition

import (
	"regexp"
	"strings"
)

// templatePattern is a template: a name of word characters in double braces, white space (line ends too) around it.
// Anything else in double braces is text, as in "{{ a.b }}".
var templatePattern = regexp.MustCompile(`{{\s*(\w+)\s*}}`)

// templateAt is the length of the template at the start of a text, 0 when there is none.
func templateAt(s string) int {
	if !strings.HasPrefix(s, "{{") {
		return 0
	}
	return len(templateStart.FindString(s))
}

var templateStart = regexp.MustCompile(`^{{\s*\w+\s*}}`)

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
	return templatePattern.ReplaceAllStringFunc(s, func(t string) string {
		inner := templatePattern.FindStringSubmatch(t)[1]
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
	for _, m := range templatePattern.FindAllStringSubmatchIndex(text, -1) {
		lineStart := strings.LastIndexByte(text[:m[0]], '\n') + 1
		before := text[max(lineStart, copied):m[0]]
		name := text[m[2]:m[3]]
		value, ok := v.value(name)
		if afterHash(before) {
			if ok && !commentStart(before) {
				out.findings = append(out.findings, Finding{
					Rule: "template-comment", Severity: Warning,
					Line: line + strings.Count(text[:m[0]], "\n"), Column: m[0] - lineStart + 1,
					Message: "{{ " + name + " }} is not filled in because a # stands before it in the line",
					Fix:     "put the value into a shell variable in a line of its own, and use that",
				})
			}
			continue
		}
		v.used[name] = true
		if !ok {
			if !strings.HasPrefix(strings.TrimSpace(text[lineStart:m[0]]), "#") && !missing[name] {
				missing[name] = true
				out.undefined = append(out.undefined, Undefined{
					Name: name, Line: line + strings.Count(text[:m[0]], "\n"), Column: m[0] - lineStart + 1,
				})
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

// afterHash tells whether a "#" in the text has anything but "!" behind it.
func afterHash(s string) bool {
	for i := 0; i+1 < len(s); i++ {
		if s[i] == '#' && s[i+1] != '!' {
			return true
		}
	}
	return false
}

// commentStart tells whether a shell would take a "#" in the text for the start of a comment.
func commentStart(s string) bool {
	for i := range len(s) {
		if s[i] == '#' && (i == 0 || s[i-1] == ' ' || s[i-1] == '\t') {
			return true
		}
	}
	return false
}
