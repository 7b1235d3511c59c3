package definition

import (
	"fmt"
	"strings"
)

// legacyPattern is the one command every recipe of Singularity 2.0 and 2.1 has.
var legacyPattern = lazy(`^\s*DistType\b`)

// header reads the lines above the first section: KEY: VALUE, comments from "#", and "\" at a line's end.
func (s *stageParser) header(texts []string) {
	if s.first && s.refuseForeign(texts) {
		return
	}
	var key, value string // of a line that goes on
	var keyLine int
	open := false
	loose := false // a comment stands between the "\" and here
	skipped := 0   // its line
	for i, text := range texts {
		line := s.lines[i]
		trimmed := strings.TrimSpace(text)
		if trimmed == "" {
			if open {
				s.endOfContinuation(key, value, keyLine, line)
			}
			open, loose = false, false
			continue
		}
		if strings.HasPrefix(trimmed, "#") {
			if open && !loose {
				loose, skipped = true, line
			}
			continue
		}
		trimmed, comment, _ := strings.Cut(trimmed, "#")
		if comment != "" && !strings.HasSuffix(trimmed, " ") && !strings.HasSuffix(trimmed, "\t") {
			s.find(Finding{Rule: "header-comment", Severity: Warning, Line: line, Column: strings.IndexByte(text, '#') + 1, Section: "header",
				Message: "everything from # on is a comment, also in the middle of a word", Fix: "put a space before the # or remove it"})
		}
		trimmed = strings.TrimSpace(trimmed)
		k, v, hasKey := strings.Cut(trimmed, ":")
		k, v = strings.TrimSpace(k), strings.TrimSpace(v)
		if open && loose && hasKey && isHeaderName(strings.ToLower(k)) {
			s.endOfContinuation(key, value, keyLine, skipped)
			open, loose = false, false
		}
		switch {
		case open:
			value += trimmed
			if loose {
				s.note(keyLine, skipped)
				loose = false
			}
		case !hasKey:
			s.noValue(trimmed, line, text)
			continue
		default:
			key, value, keyLine = k, v, line
		}
		if rest, ok := strings.CutSuffix(value, `\`); ok {
			value, open = rest, true
			if rest, ok := strings.CutSuffix(value, `\n`); ok {
				value = rest + "\n"
			}
			continue
		}
		open = false
		s.field(key, value, keyLine)
	}
	if open {
		s.endOfContinuation(key, value, keyLine, keyLine)
	}
	if s.inDoc > 0 && len(s.lines) > 0 {
		s.find(Finding{Rule: "stage-in-heredoc", Severity: Warning, Line: s.lines[0], Column: 1, Section: "header",
			Message: fmt.Sprintf("Bootstrap: at the start of a line begins a stage, although the here-document begun in line %d goes on", s.inDoc),
			Fix:     "put white space before it"})
	}
}

// endOfContinuation stores a value whose "\" nothing follows.
func (s *stageParser) endOfContinuation(key, value string, keyLine, line int) {
	s.note(keyLine, line)
	s.field(key, value, keyLine)
}

func (s *stageParser) note(keyLine, line int) {
	s.find(Finding{Rule: "header-continuation", Severity: Warning, Line: keyLine, Column: 1, Section: "header",
		Message: fmt.Sprintf("a comment, a blank line or nothing follows the \\ (line %d); Apptainer crashes on it or loses the value", line),
		Fix:     "remove the \\ or what follows it"})
}

// field stores a key and its value.
func (s *stageParser) field(key, value string, line int) {
	lower := strings.ToLower(key)
	switch {
	case lower == "token":
		s.find(Finding{Rule: "header-legacy", Severity: Note, Line: line, Column: 1, Section: "header",
			Message: key + ": is of 2016 and without effect; Apptainer refuses it", Fix: "remove the line"})
	case !isHeaderName(lower):
		s.unknownKey(key, line)
		return
	}
	value = strings.TrimSpace(value)
	if i, ok := s.keys[lower]; ok {
		s.find(Finding{Rule: "header-duplicate", Severity: Warning, Line: line, Column: 1, Section: "header",
			Message: fmt.Sprintf("%s: of line %d is replaced (Singularity of 2016 took the first)", key, s.stage.Header[i].Line), Fix: "keep one of them"})
		s.stage.Header[i] = Field{Key: key, Value: value, Line: line}
		return
	}
	s.keys[lower] = len(s.stage.Header)
	s.stage.Header = append(s.stage.Header, Field{Key: key, Value: value, Line: line})
}

// retiredKeys are keys some release knew and none knows today, with what to do instead.
var retiredKeys = map[string]string{
	"metalink":    "give a mirror with MirrorURL: instead",
	"exclude":     "\"Bootstrap: self\" is gone; build from a folder with \"Bootstrap: localimage\"",
	"disttype":    "write Bootstrap: and the agent's name",
	"osbuild":     "write Bootstrap: and the agent's name",
	"ostype":      "write Bootstrap: and the agent's name",
	"fingerprint": "write Fingerprints: instead",
	"maintainer":  "make it a line of %labels: org.opencontainers.image.authors NAME",
	"author":      "make it a line of %labels: org.opencontainers.image.authors NAME",
	"name":        "make it a line of %labels: org.opencontainers.image.title NAME",
	"version":     "make it a line of %labels: org.opencontainers.image.version VERSION",
	"description": "make it a line of %labels: org.opencontainers.image.description TEXT",
}

func (s *stageParser) unknownKey(key string, line int) {
	e := &Error{Line: line, Column: 1, Section: "header", Rule: "header-unknown", Msg: fmt.Sprintf("unknown header key %q", key),
		hint: retiredKeys[strings.ToLower(key)]}
	if e.hint == "" {
		if guess := nearest(key, headerNames); guess != "" {
			e.Suggestion = guess + ":"
		}
	}
	s.headerError(e)
}

func (s *stageParser) noValue(trimmed string, line int, text string) {
	word := trimmed
	if i := strings.IndexAny(word, " \t"); i > 0 {
		word = word[:i]
	}
	e := &Error{Line: line, Column: 1 + len(text) - len(strings.TrimLeft(text, " \t")), Section: "header", Rule: "header-form",
		Msg: fmt.Sprintf("%q is not \"Key: value\"", clip(trimmed))}
	if name := strings.ToLower(word); isHeaderName(name) {
		e.Suggestion = headerSpelling(name) + ": " + strings.TrimSpace(strings.TrimPrefix(trimmed, word))
	} else if isSectionName(name) {
		e.Suggestion = "%" + name
	}
	s.headerError(e)
}

// headerError records an error of the header, with its cause where "Bootstrap:" in a here-document made a header of text.
func (s *stageParser) headerError(e *Error) {
	if s.inDoc > 0 {
		e.Suggestion = ""
		e.hint = fmt.Sprintf("Bootstrap: at the start of line %d begins a stage, also in the here-document begun in line %d: put white space before it",
			s.lines[0], s.inDoc)
	}
	s.fail(e)
}

// refuseForeign recognises files that are something else, and says what.
func (s *stageParser) refuseForeign(texts []string) bool {
	for i, text := range texts {
		trimmed := strings.TrimSpace(text)
		e := &Error{Line: s.lines[i], Column: 1, Section: "header", Rule: "foreign"}
		switch {
		case legacyPattern().MatchString(text):
			e.Msg = "this is a recipe of Singularity 2.0 or 2.1: shell commands such as DistType, Bootstrap and RunCmd"
			e.hint = "write a header (\"Bootstrap: debootstrap\", \"OSVersion: …\", \"MirrorURL: …\"), and what RunCmd and InstallPkgs do as commands below %post"
		case trimmed == "" || strings.HasPrefix(trimmed, "#"):
			continue
		case isField(trimmed):
			return false // what is wrong below has its own message
		case strings.HasPrefix(trimmed, "FROM ") || strings.HasPrefix(trimmed, "ARG "):
			e.Msg = "this is a Dockerfile"
			e.hint = "a definition file begins with \"Bootstrap: docker\" and \"From: IMAGE\"; RUN commands go below %post"
		case strings.HasPrefix(trimmed, "{"):
			e.Msg = "this is JSON, no definition file"
		default:
			// An old recipe may have other commands above its first of these.
			continue
		}
		s.fail(e)
		return true
	}
	return false
}

// isField tells whether a line is a known key with a value.
func isField(line string) bool {
	key, _, ok := strings.Cut(line, ":")
	return ok && isHeaderName(strings.ToLower(strings.TrimSpace(key)))
}

// clip shortens a text for a message.
func clip(s string) string {
	if len(s) <= 40 {
		return s
	}
	return strings.ToValidUTF8(s[:40], "") + "…"
}
