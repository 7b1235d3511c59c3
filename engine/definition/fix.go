package definition

import (
	"slices"
	"strings"
)

// Edit replaces a piece of a definition file's text. Lines and columns count from 1, columns in bytes; the piece ends before
// EndLine and EndColumn. Where both places are one, the text is put in there.
type Edit struct {
	Line      int    `json:"line"`
	Column    int    `json:"column"`
	EndLine   int    `json:"end_line"`
	EndColumn int    `json:"end_column"`
	Text      string `json:"text"`
}

// Fixed is a definition file after its findings' edits were made.
type Fixed struct {
	// Text is the file as it should be; as it was, when there was nothing to do.
	Text string
	// Made are the findings whose edits were made, in the order they were.
	Made []Finding
	// Report is what is to be said about Text.
	Report Report
}

// maxRounds is how often the text is read again after edits. One finding can hide another: a byte order mark stands before
// everything else, an unknown section's contents are not looked at.
const maxRounds = 40

// maxSingly is how many edits of one round are tried each for itself, when they are refused together.
const maxSingly = 200

// Fix makes the edits of a file's findings (Finding.Edits). Comments, indentation and the kind of line ends stay. A file that
// can be read means the same as before, but for what the finding says is to be changed; it can always be read afterwards.
// Fixing twice changes nothing more. The error is ErrTooLarge.
func Fix(text string, opts Options) (Fixed, error) {
	fixed := Fixed{Text: text}
	for range maxRounds {
		report, err := Lint(strings.NewReader(fixed.Text), opts)
		if err != nil {
			return fixed, err
		}
		fixed.Report = report
		next, made := round(fixed.Text, report, opts)
		if len(made) == 0 {
			break
		}
		fixed.Text, fixed.Made = next, append(fixed.Made, made...)
	}
	var err error
	fixed.Report, err = Lint(strings.NewReader(fixed.Text), opts)
	return fixed, err
}

// round makes the edits that one reading of the text suggests, all together or, when that spoils something, those that do not.
func round(text string, report Report, opts Options) (string, []Finding) {
	before := meaningOf(text, report.Valid, opts)
	var todo []Finding
	for _, f := range report.Findings {
		if len(f.Edits) > 0 {
			todo = append(todo, f)
		}
	}
	if next, made := apply(text, todo); len(made) > 0 && before.kept(next, made, opts) {
		return next, made
	}
	var made []Finding
	for _, f := range todo[:min(len(todo), maxSingly)] {
		if next, one := apply(text, []Finding{f}); len(one) > 0 && before.kept(next, one, opts) {
			made = append(made, f)
		}
	}
	next, made := apply(text, made)
	if len(made) > 0 && before.kept(next, made, opts) {
		return next, made
	}
	// What is right one by one is not together: make the first, and read again.
	if len(made) > 0 {
		return apply(text, made[:1])
	}
	return text, nil
}

// apply makes edits that do not touch each other; of two that do, the first one is made. The findings whose edits were made
// are returned; a finding's edits are made all or not at all.
func apply(text string, findings []Finding) (string, []Finding) {
	places := placesOf(text)
	var all []span
	var made []Finding
	for _, f := range findings {
		next, fits := all, len(f.Edits) > 0
		if len(f.Edits) > 1 {
			next = slices.Clone(all)
		}
		for _, e := range f.Edits {
			s := span{places.at(e.Line, e.Column), places.at(e.EndLine, e.EndColumn), e.Text}
			i, _ := slices.BinarySearchFunc(next, s.start, func(o span, at int) int { return o.start - at })
			if s.start < 0 || s.end < s.start || text[s.start:s.end] == s.text ||
				i > 0 && next[i-1].end >= s.start || i < len(next) && next[i].start <= s.end {
				fits = false
				break
			}
			next = slices.Insert(next, i, s)
		}
		if fits {
			all, made = next, append(made, f)
		}
	}
	var b strings.Builder
	at := 0
	for _, s := range all {
		b.WriteString(text[at:s.start])
		b.WriteString(s.text)
		at = s.end
	}
	b.WriteString(text[at:])
	return b.String(), made
}

// span is an edit by indexes of the text.
type span struct {
	start, end int
	text       string
}

// places are the indexes at which a text's lines begin, and that behind its end.
type places struct {
	starts []int
	end    int
}

func placesOf(text string) places {
	p := places{starts: []int{0}, end: len(text)}
	for i := range len(text) {
		if text[i] == '\n' {
			p.starts = append(p.starts, i+1)
		}
	}
	return p
}

// at is the index of a place, or -1 where there is none. The line behind the last one is the text's end.
func (p places) at(line, column int) int {
	n := len(p.starts)
	if line == n+1 && column == 1 {
		return p.end
	}
	if line < 1 || line > n || column < 1 {
		return -1
	}
	next := p.end + 1
	if line < n {
		next = p.starts[line]
	}
	if at := p.starts[line-1] + column - 1; at < next {
		return at
	}
	return -1
}

// meaning is what a text says, to be compared.
type meaning struct {
	valid     bool
	errors    int
	undefined int
	form      string // Format, for a valid text
}

func meaningOf(text string, valid bool, opts Options) meaning {
	file, errs := parse(text, opts)
	m := meaning{valid: valid, errors: len(errs), undefined: len(file.Undefined)}
	if valid {
		m.form = file.Format()
	}
	return m
}

// changing are the rules whose edits change what is built, and not only how it is written.
var changing = []string{"install-asks", "post-sudo", "label-equals", "bootstrap-unknown", "nul", "label-duplicate"}

// kept tells whether a text says what the one before said, but for what the findings are about.
func (m meaning) kept(text string, made []Finding, opts Options) bool {
	after, errs := parse(text, opts)
	if !m.valid {
		return len(errs) < m.errors || len(errs) == m.errors && !slices.ContainsFunc(made, func(f Finding) bool { return f.Severity == Failure })
	}
	if len(errs) > 0 || len(after.Undefined) > m.undefined {
		return false
	}
	if slices.ContainsFunc(made, func(f Finding) bool { return slices.Contains(changing, f.Rule) }) {
		return true
	}
	return after.Format() == m.form
}
