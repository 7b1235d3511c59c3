package definition

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// sectionLine reads the ith line, which begins with %. It returns the section that begins there, or nil when the line is
// to be read on as text of the current one.
func (s *stageParser) sectionLine(i int, cur *section) *section {
	text, line := s.texts[i], s.lines[i]
	trimmed := strings.TrimLeftFunc(text, unicode.IsSpace)
	indent := len(text) - len(trimmed)
	rest := strings.TrimLeft(trimmed, "%")
	percents := len(trimmed) - len(rest)
	doc := s.docAround(i, cur)

	written, args, tab := splitName(strings.TrimLeftFunc(rest, unicode.IsSpace))
	name, known := resolveSection(written)
	if indent > 0 || rest == "" || unicode.IsSpace(rune(rest[0])) {
		e := &Error{Line: line, Column: indent + 1, Section: sectionOf(cur), Rule: "section-indent",
			Msg: "white space before or after the % of a section's name"}
		if rest == "" {
			e.Msg = "a section without a name"
		}
		s.refuse(e, doc)
		if !known || doc > 0 {
			return nil
		}
		e.Suggestion = "%" + name
		e.hint = fmt.Sprintf("begin line %d with %%%s, without white space", line, name)
		return newSection(name, args, line)
	}
	if !known {
		e := &Error{Line: line, Column: 1, Section: written, Rule: "section-unknown", Msg: "unknown section %" + written}
		if guess := suggestSection(name); guess != "" {
			e.Suggestion = "%" + guess
		} else {
			e.hint = "the sections are %" + strings.Join(sectionNames, " %") + ", and %app… for apps"
		}
		s.refuse(e, doc)
		if doc > 0 {
			return nil
		}
		return &section{name: name, line: line, bad: true}
	}

	place := Finding{Severity: Warning, Line: line, Column: 1, Section: name}
	if tab {
		place.Rule, place.Column = "section-tab", percents+len(written)+1
		place.Message = "a tab follows %" + written + ", which Apptainer takes for a part of the name and refuses"
		place.Fix = strings.TrimRight("%"+name+" "+args, " ")
		s.find(place)
	}
	if lower := strings.ToLower(written); lower != name {
		place.Rule, place.Column = "section-name", percents+1
		place.Message = fmt.Sprintf("%%%s is read as %%%s; Apptainer refuses it", written, name)
		place.Fix = "%" + name
		s.find(place)
	} else if written != name && isAppSectionName(name) {
		place.Rule, place.Column = "section-case", percents+1
		place.Message = fmt.Sprintf("%%%s is read as %%%s; Apptainer refuses capitals in the sections of apps", written, name)
		place.Fix = "%" + name
		s.find(place)
	}
	if doc > 0 {
		place.Rule, place.Column = "section-in-heredoc", 1
		place.Message = fmt.Sprintf("%%%s ends the section, although the here-document begun in line %d goes on", written, doc)
		place.Fix = "write the line so that it does not begin with %, for instance with echo '%" + name + "'"
		s.find(place)
	}

	next := newSection(name, args, line)
	if !isAppSectionName(name) {
		return next
	}
	next.app, next.args, _ = splitName(stripComment(args))
	if next.app == "" {
		s.fail(&Error{Line: line, Column: 1, Section: name, Rule: "app-name", Msg: "%" + name + " without the name of its app",
			hint: fmt.Sprintf("write %%%s NAME", name)})
		next.bad = true
	} else if strings.Contains(next.app, "/") || strings.HasPrefix(next.app, ".") {
		s.find(Finding{Rule: "app-name", Severity: Warning, Line: line, Column: percents + len(written) + 2, Section: name,
			Message: "the app's name " + next.app + " is no plain folder name, and an app is a folder below /scif/apps",
			Fix:     "use letters, digits, - and _"})
	}
	return next
}

func newSection(name, args string, line int) *section {
	return &section{name: name, args: args, line: line}
}

// refuse records an error about a line that begins with %, which may have been meant as text of a here-document.
func (s *stageParser) refuse(e *Error, doc int) {
	if doc > 0 {
		e.Msg += fmt.Sprintf(" (in the here-document begun in line %d)", doc)
		e.Suggestion = ""
		e.hint = "a line that begins with % begins a section, in here-documents too: write it with echo '…' or printf instead"
	} else if e.Rule == "section-indent" {
		e.hint = "a line that begins with % begins a section: if it is text, write it with echo '…' or printf instead"
	}
	s.fail(e)
}

// docAround is the line of the here-document the ith line is text of, or 0. It asks for the document's end below, so that
// a "<<" that is none does no harm.
func (s *stageParser) docAround(i int, cur *section) int {
	if cur == nil || !s.docs.inside() {
		return 0
	}
	doc := s.docs.open[0]
	if s.ends.doc != doc {
		s.ends = docEnd{doc: doc, at: -1}
		if n := slices.IndexFunc(s.texts[i+1:], doc.ends); n >= 0 {
			s.ends.at = i + 1 + n
		}
	}
	if s.ends.at < 0 {
		return 0
	}
	return doc.line
}

// splitName cuts a section line's text (without %) into name and arguments, and tells whether a tab parts them.
func splitName(text string) (name, args string, tab bool) {
	i := strings.IndexAny(text, " \t")
	if i < 0 {
		return text, "", false
	}
	return text[:i], strings.TrimSpace(text[i:]), text[i] == '\t'
}

// resolveSection is the section a name stands for, and whether it stands for one beyond doubt.
func resolveSection(written string) (string, bool) {
	name := strings.ToLower(written)
	if isSectionName(name) || isAppSectionName(name) {
		return name, true
	}
	bare := strings.TrimSuffix(name, ":")
	if alias, ok := sectionAliases[bare]; ok {
		return alias, true
	}
	if isSectionName(bare) || isAppSectionName(bare) {
		return bare, true
	}
	return name, false
}

func sectionOf(cur *section) string {
	if cur == nil {
		return "header"
	}
	return cur.name
}

// finish puts a section where it belongs and reads those whose lines mean something to the build.
func (s *stageParser) finish(cur *section) {
	if cur == nil || cur.bad {
		return
	}
	if size := cur.text.Len() + len(cur.name) + len(cur.args) + 3; size >= apptainerSection {
		s.find(Finding{Rule: "section-long", Severity: Warning, Line: cur.line, Column: 1, Section: cur.name,
			Message: fmt.Sprintf("the section is %d bytes long; Apptainer stops at %d", size, apptainerSection),
			Fix:     "move a part of it into a file and bring that in with %files"})
	}
	if cur.app == "" {
		s.store(s.stage.Sections, cur.name, cur)
		switch cur.name {
		case "files":
			s.stage.Files = append(s.stage.Files, s.files(cur)...)
		case "labels":
			s.stage.Labels = s.labels(s.stage.Labels, cur)
		case "arguments":
			s.arguments(cur)
		}
		return
	}
	app := s.apps[cur.app]
	if app == nil {
		app = &App{Name: cur.app, Line: cur.line, Sections: map[string]*Section{}}
		s.stage.Apps = append(s.stage.Apps, app)
		s.apps[cur.app] = app
	}
	s.store(app.Sections, strings.TrimPrefix(cur.name, "app"), cur)
	switch cur.name {
	case "appfiles":
		app.Files = append(app.Files, s.files(cur)...)
	case "applabels":
		app.Labels = s.labels(app.Labels, cur)
	}
}

// store adds a section to those of its name.
func (s *stageParser) store(sections map[string]*Section, name string, cur *section) {
	sec := sections[name]
	if sec == nil {
		sec = &Section{Name: name, Line: cur.line}
		sections[name] = sec
	}
	if cur.args != "" {
		sec.Args = cur.args
	}
	if len(cur.at) == 0 {
		return
	}
	first := 0
	if n := len(sec.parts); n > 0 {
		first = sec.parts[n-1].first + len(sec.parts[n-1].lines)
	}
	sec.parts = append(sec.parts, part{first: first, lines: cur.at})
	sec.texts = append(sec.texts, cur.text.String())
}

// content calls yield with each line of a section that is neither blank nor a comment, trimmed, and its line in the file.
func (c *section) content(yield func(text string, line int)) {
	i := 0
	for l := range strings.Lines(c.text.String()) {
		if text := strings.TrimSpace(l); text != "" && !strings.HasPrefix(text, "#") {
			yield(text, c.at[i])
		}
		i++
	}
}

func stripComment(s string) string {
	s, _, _ = strings.Cut(s, "#")
	return strings.TrimSpace(s)
}

// files reads the lines of %files and %appfiles.
func (s *stageParser) files(c *section) []FileCopy {
	from := ""
	if c.name == "files" {
		switch words := strings.Fields(stripComment(c.args)); {
		case len(words) == 2 && words[0] == "from":
			from = words[1]
		case len(words) == 2 && strings.EqualFold(words[0], "from"):
			from = words[1]
		case len(words) > 0:
			s.find(Finding{Rule: "files-args", Severity: Warning, Line: c.line, Column: 1, Section: c.name,
				Message: "only \"from STAGE\" can follow %files; the files are taken from the definition's folder, and not at all by Apptainer",
				Fix:     "write %files or %files from STAGE"})
		}
	}
	var all []FileCopy
	c.content(func(text string, line int) {
		place := Finding{Severity: Warning, Line: line, Column: 1, Section: c.name}
		words, single := splitWords(text)
		if single {
			place.Rule = "files-quotes"
			place.Message = "single quotes are read as quotes; Apptainer takes them for a part of the name"
			place.Fix = "use double quotes"
			s.find(place)
		}
		if len(words) > 1 && words[1].comment() {
			place.Rule = "files-comment"
			place.Message = "a comment behind a file name is skipped; Apptainer takes it for the destination"
			place.Fix = "put the comment into a line of its own"
			s.find(place)
			words = words[:1]
		}
		if len(words) > 2 && !words[2].comment() {
			place.Rule = "files-words"
			place.Message = "only the first two words count: what to copy, and where to"
			place.Fix = "put names with spaces into double quotes"
			s.find(place)
		}
		if len(words) == 0 || words[0].text == "" {
			place.Rule = "files-empty"
			place.Message = "nothing to copy is named"
			place.Fix = "remove the line"
			s.find(place)
			return
		}
		f := FileCopy{From: from, Src: words[0].text, Line: line}
		if len(words) > 1 {
			f.Dst = words[1].text
		}
		all = append(all, f)
	})
	return all
}

// word is a word of a %files line.
type word struct {
	text   string
	quoted bool
}

func (w word) comment() bool { return !w.quoted && strings.HasPrefix(w.text, "#") }

// splitWords cuts a line of %files at white space. Double quotes keep white space together and end a word on both sides,
// as in Apptainer; single quotes do so where a word begins and they are closed. A template is never cut.
func splitWords(text string) (words []word, single bool) {
	for {
		text = strings.TrimLeftFunc(text, unicode.IsSpace)
		if text == "" {
			return words, single
		}
		if q := text[0]; q == '"' || q == '\'' {
			if end := strings.IndexByte(text[1:], q); end >= 0 {
				words = append(words, word{text[1 : 1+end], true})
				single = single || q == '\''
				text = text[end+2:]
				continue
			}
			if q == '"' {
				text = text[1:]
				continue
			}
		}
		end := 0
		for end < len(text) && text[end] != '"' {
			if n := templateAt(text[end:]); n > 0 {
				end += n
				continue
			}
			if c := text[end]; c == ' ' || c == '\t' || c == '\v' || c == '\f' || c == '\r' {
				break
			}
			end++
		}
		words = append(words, word{text[:end], false})
		text = text[end:]
	}
}

// labels reads the lines of %labels and %applabels: a name and, behind white space, a value.
func (s *stageParser) labels(labels []Label, c *section) []Label {
	c.content(func(text string, line int) {
		place := Finding{Severity: Warning, Line: line, Column: 1, Section: c.name}
		key, value := text, ""
		if i := strings.IndexAny(text, " \t"); i >= 0 {
			key, value = text[:i], strings.TrimSpace(text[i:])
			if text[i] == '\t' {
				place.Rule = "label-tab"
				place.Message = "a tab parts the label " + key + " from its value; Apptainer takes it for a part of the name"
				place.Fix = key + " " + value
				s.find(place)
			}
		} else if k, v, ok := strings.Cut(text, "="); ok && k != "" {
			place.Rule = "label-equals"
			place.Message = "the label is named " + text + " and has no value: a space, not =, parts name and value"
			place.Fix = k + " " + v
			s.find(place)
		}
		if i, ok := s.place[c.app][key]; ok {
			place.Rule, place.Severity = "label-duplicate", Note
			place.Message = fmt.Sprintf("the label %s of line %d is replaced", key, labels[i].Line)
			place.Fix = "keep one of them"
			s.find(place)
			labels[i] = Label{key, value, line}
			return
		}
		if s.place[c.app] == nil {
			s.place[c.app] = map[string]int{}
		}
		s.place[c.app][key] = len(labels)
		labels = append(labels, Label{key, value, line})
	})
	return labels
}

// arguments reads the lines of %arguments, NAME=DEFAULT.
func (s *stageParser) arguments(c *section) {
	c.content(func(text string, line int) {
		name, value, ok := strings.Cut(text, "=")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		if !ok || name == "" {
			s.find(Finding{Rule: "argument-form", Severity: Warning, Line: line, Column: 1, Section: c.name,
				Message: "the line is skipped: it is not NAME=DEFAULT", Fix: "write NAME=DEFAULT"})
			return
		}
		if i, ok := s.args[name]; ok {
			s.stage.Arguments[i] = Argument{name, value, line}
			return
		}
		s.args[name] = len(s.stage.Arguments)
		s.stage.Arguments = append(s.stage.Arguments, Argument{name, value, line})
	})
}
