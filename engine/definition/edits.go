package definition

import (
	"slices"
	"strings"

	"carrel/internal/near"
)

// editor knows the edit that answers a finding. It looks at the text as written, where templates are not filled in, and
// answers nothing where that is not what the finding speaks of.
type editor struct {
	lines []string // without their ends
	eol   string
	text  string
}

func newEditor(text string) *editor {
	e := &editor{text: text, eol: "\n"}
	for l := range strings.Lines(text) {
		e.lines = append(e.lines, trimEOL(l))
	}
	if strings.Contains(text, "\r\n") {
		e.eol = "\r\n"
	}
	return e
}

// replace is an edit within a line; start and end are indexes.
func replace(line, start, end int, text string) []Edit {
	return []Edit{{Line: line, Column: start + 1, EndLine: line, EndColumn: end + 1, Text: text}}
}

// edits are what to do about a finding; nil when a person has to decide.
func (e *editor) edits(f Finding) []Edit {
	if f.Rule == "bom" {
		return replace(1, 0, len("\ufeff"), "")
	}
	if f.Line < 1 || f.Line > len(e.lines) || strings.HasPrefix(e.text, "\ufeff") {
		return nil // columns are those behind the mark, which goes first
	}
	line := e.lines[f.Line-1]
	switch f.Rule {
	case "nul":
		return e.zeros()
	case "section-tab", "section-name", "section-case", "section-unknown", "section-indent":
		return sectionEdit(f, line)
	case "header-order":
		return e.order(f)
	case "header-legacy":
		return replace(f.Line, 0, 0, "# ")
	case "header-unknown", "header-form", "bootstrap-unknown":
		return headerEdit(f, line)
	case "header-continuation":
		return e.continuation(f)
	case "label-tab":
		if m := labelTab().FindStringSubmatchIndex(line); m != nil {
			return replace(f.Line, m[2], m[3], " ")
		}
	case "label-equals":
		if m := labelEquals().FindStringSubmatchIndex(line); m != nil {
			return replace(f.Line, m[2], m[3], " ")
		}
	case "files-quotes":
		return quotesEdit(f.Line, line)
	case "files-comment":
		return e.fileComment(f, line)
	case "install-asks":
		return e.agree(f)
	case "post-sudo":
		return e.withoutSudo(f)
	}
	return nil
}

var (
	labelTab      = lazy(`^\s*[^\s#]+(\t[ \t]*)\S`)
	labelEquals   = lazy(`^\s*[^\s#=]+(=)\S+\s*$`)
	sectionParts  = lazy(`^(\s*)(%+)(\s*)([^\s%]\S*)([ \t]*)(.*)$`)
	headerParts   = lazy(`^(\s*)([^\s:#]+)(\s*:?\s*)([^#]*?)\s*(#.*)?$`)
	singleQuoted  = lazy(`(?:^|\s)('[^'"{}\\%]*')(?:\s|$)`)
	fileWithWords = lazy(`^(\s*)(\S+)([ \t]+)(#.*)$`)
)

// zeros takes all zero bytes out.
func (e *editor) zeros() []Edit {
	var all []Edit
	for i, line := range e.lines {
		for at := range len(line) {
			if line[at] == 0 {
				all = append(all, replace(i+1, at, at+1, "")...)
			}
		}
	}
	return all
}

// sectionEdit writes the line of a section's name as it should be. An unknown name is replaced by one that is nearly the
// same; not by the likely word of another tool.
func sectionEdit(f Finding, line string) []Edit {
	m := sectionParts().FindStringSubmatchIndex(line)
	if m == nil {
		return nil
	}
	part := func(n int) string { return line[m[2*n]:m[2*n+1]] }
	written := part(4)
	name, known := resolveSection(written)
	switch f.Rule {
	case "section-tab":
		gap := " "
		if strings.TrimSpace(part(6)) == "" {
			gap = ""
		}
		if known {
			return replace(f.Line, m[2*5], m[2*5+1], gap)
		}
	case "section-name", "section-case":
		if known && name != written {
			return replace(f.Line, m[2*4], m[2*4+1], name)
		}
	case "section-unknown":
		if _, other := sectionGuesses[strings.ToLower(written)]; other || len(written) < 4 {
			return nil
		}
		if guess := onlyNearest(written, slices.Concat(sectionNames, appSectionNames)); guess != "" && strings.HasSuffix(f.Message, "did you mean %"+guess+"?") {
			return replace(f.Line, m[2*4], m[2*4+1], guess)
		}
	case "section-indent":
		rest := strings.Fields(part(6))
		if known && (isSectionName(name) && len(rest) == 0 || isAppSectionName(name) && len(rest) == 1) && !strings.Contains(f.Message, "here-document") {
			return replace(f.Line, 0, m[2*4], "%")
		}
	}
	return nil
}

// onlyNearest is the candidate that a word nearly is, when there is no second one as near.
func onlyNearest(word string, candidates []string) string {
	best := nearest(word, candidates)
	if best == "" {
		return ""
	}
	least := near.Distance(strings.ToLower(word), strings.ToLower(best), 9)
	for _, c := range candidates {
		if c != best && near.Distance(strings.ToLower(word), strings.ToLower(c), 9) <= least {
			return ""
		}
	}
	return best
}

// headerEdit writes a key or an agent that is nearly one as that, and puts a colon behind a key.
func headerEdit(f Finding, line string) []Edit {
	m := headerParts().FindStringSubmatchIndex(line)
	if m == nil {
		return nil
	}
	word, colon, value := line[m[4]:m[5]], line[m[6]:m[7]], line[m[8]:m[9]]
	switch f.Rule {
	case "header-unknown":
		if isHeaderName(strings.ToLower(word)) && value != "" && !strings.Contains(colon, ":") { // "From debian:12"
			return replace(f.Line, m[6], m[7], ": ")
		}
		if guess := onlyNearest(word, headerNames); guess != "" && strings.HasSuffix(f.Message, "did you mean "+guess+":?") {
			return replace(f.Line, m[4], m[5], guess)
		}
	case "header-form":
		if lower := strings.ToLower(word); isHeaderName(lower) && value != "" && !strings.Contains(colon, ":") {
			return replace(f.Line, m[6], m[7], ": ")
		} else if isSectionName(lower) && value == "" && !strings.Contains(colon, ":") {
			return replace(f.Line, 0, m[5], "%"+lower)
		}
	case "bootstrap-unknown":
		if guess := onlyNearest(value, agents()); guess != "" && strings.EqualFold(word, "bootstrap") {
			return replace(f.Line, m[8], m[9], guess)
		}
	}
	return nil
}

// order moves the line of Bootstrap up to the keys above it.
func (e *editor) order(f Finding) []Edit {
	for n := f.Line; n < len(e.lines); n++ {
		l := e.lines[n]
		if !stagePattern().MatchString(l) {
			continue
		}
		if strings.HasSuffix(strings.TrimSpace(l), `\`) || n+1 == len(e.lines) && !strings.HasSuffix(e.text, "\n") {
			return nil
		}
		return []Edit{
			{Line: f.Line, Column: 1, EndLine: f.Line, EndColumn: 1, Text: l + e.eol},
			{Line: n + 1, Column: 1, EndLine: n + 2, EndColumn: 1},
		}
	}
	return nil
}

// continuation removes the "\" of a value behind which nothing comes, or the blank line or comment that stands between it
// and what comes; a comment moves above the key.
func (e *editor) continuation(f Finding) []Edit {
	last := f.Line
	for last <= len(e.lines) && strings.HasSuffix(strings.TrimSpace(e.lines[last-1]), `\`) {
		if last == len(e.lines) {
			break
		}
		last++
	}
	// last is the line that does not go on: the blank line or the comment, or the last line of the file.
	if l := e.lines[last-1]; strings.HasSuffix(strings.TrimSpace(l), `\`) {
		at := strings.LastIndexByte(l, '\\')
		return replace(last, at, len(l), "")
	}
	l := strings.TrimSpace(e.lines[last-1])
	if last < 2 || l != "" && !strings.HasPrefix(l, "#") {
		return nil
	}
	before := e.lines[last-2]
	at := strings.LastIndexByte(before, '\\')
	if l == "" || last == len(e.lines) {
		return replace(last-1, at, len(before), "")
	}
	var comments []string
	end := last
	for end <= len(e.lines) && strings.HasPrefix(strings.TrimSpace(e.lines[end-1]), "#") {
		comments = append(comments, e.lines[end-1])
		end++
	}
	if end > len(e.lines) || strings.TrimSpace(e.lines[end-1]) == "" || isSectionLine(e.lines[end-1]) || isField(strings.TrimSpace(e.lines[end-1])) {
		return replace(last-1, at, len(before), "")
	}
	return []Edit{
		{Line: f.Line, Column: 1, EndLine: f.Line, EndColumn: 1, Text: strings.Join(comments, e.eol) + e.eol},
		{Line: last, Column: 1, EndLine: end, EndColumn: 1},
	}
}

// quotesEdit makes double quotes of single ones.
func quotesEdit(n int, line string) []Edit {
	m := singleQuoted().FindStringSubmatchIndex(line)
	if m == nil || strings.Contains(line[:m[2]], `"`) {
		return nil
	}
	return replace(n, m[2], m[3], `"`+line[m[2]+1:m[3]-1]+`"`)
}

// fileComment moves a comment behind a file's name to a line above it.
func (e *editor) fileComment(f Finding, line string) []Edit {
	m := fileWithWords().FindStringSubmatchIndex(line)
	if m == nil || strings.ContainsAny(line[m[4]:m[5]], `"'`) {
		return nil
	}
	indent, comment := line[m[2]:m[3]], line[m[8]:m[9]]
	return replace(f.Line, m[2], len(line), indent+strings.TrimRight(comment, " \t")+e.eol+indent+line[m[4]:m[5]])
}

// command is a command of a script, in one of its lines.
type command struct {
	line, start int
	text        string
	whole       string // with what stands in the lines it goes on in
}

// commands cuts the lines of a command line, which begins in line n, into commands.
func (e *editor) commands(n int) []command {
	var all []command
	for ; n <= len(e.lines); n++ {
		l := e.lines[n-1]
		body := strings.TrimRight(l, " \t")
		body, more := strings.CutSuffix(body, `\`)
		start := 0
		ends := commandEnd().FindAllStringIndex(body, -1)
		for _, m := range append(ends, []int{len(body), len(body)}) {
			all = append(all, command{line: n, start: start, text: body[start:m[0]], whole: body[start:m[0]]})
			start = m[1]
		}
		if !more {
			break
		}
	}
	// A command goes on until the next one begins.
	for i := len(all) - 2; i >= 0; i-- {
		if next := all[i+1]; next.line > all[i].line && next.start == 0 {
			all[i].whole += " " + next.whole
		}
	}
	return all
}

// quoted tells whether a place in a line is within quotes, as far as the line tells.
func quoted(line string, at int) bool {
	before := line[:at]
	return strings.Count(before, "'")%2 == 1 || strings.Count(before, `"`)%2 == 1 || strings.Count(before, "`")%2 == 1
}

// agree puts -y behind the verb of commands that install.
func (e *editor) agree(f Finding) []Edit {
	var all []Edit
	for _, c := range e.commands(f.Line) {
		m := installPattern().FindStringSubmatchIndex(c.text)
		if m == nil || quoted(e.lines[c.line-1], c.start+m[2]) || !asks(c.whole) {
			continue
		}
		all = append(all, replace(c.line, c.start+m[5], c.start+m[5], " -y")...)
	}
	return all
}

var sudoWord = lazy(`^(\s*)(sudo[ \t]+)(\w[\w./+-]*|/[\w./+-]+)(?:[ \t]|$)`)

// withoutSudo takes sudo away where it stands before a plain command.
func (e *editor) withoutSudo(f Finding) []Edit {
	var all []Edit
	for _, c := range e.commands(f.Line) {
		m := sudoWord().FindStringSubmatchIndex(c.text)
		if m == nil || quoted(e.lines[c.line-1], c.start+m[4]) || notForSudo().MatchString(c.text[m[6]:m[7]]) {
			continue
		}
		all = append(all, replace(c.line, c.start+m[4], c.start+m[5], "")...)
	}
	return all
}

// notForSudo are words that mean something else to a shell than to sudo.
var notForSudo = lazy(`^(if|then|else|elif|fi|for|while|until|do|done|case|esac|in|time|exit|return|exec|set|test|cd|su|sudo)$`)
