package definition

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Format writes the file anew, with all leniencies resolved, so that Apptainer reads it too and with the same meaning.
// Comments outside sections and templates are lost; the exact text is File.Raw. Reading the result gives the same file
// again, but for lines and warnings.
func (f *File) Format() string {
	var b strings.Builder
	for _, s := range f.Stages {
		s.format(&b)
	}
	return b.String()
}

// Format is File.Format of one stage.
func (s *Stage) Format() string {
	var b strings.Builder
	s.format(&b)
	return b.String()
}

func (s *Stage) format(b *strings.Builder) {
	header := slices.Clone(s.Header)
	slices.SortStableFunc(header, func(x, y Field) int { return cmp.Compare(headerRank(x.Key), headerRank(y.Key)) })
	for _, f := range header {
		if strings.EqualFold(f.Key, "token") {
			continue // of 2016, refused since
		}
		// A line end within a value is written as it is read: "\n" and a continuation.
		fmt.Fprintf(b, "%s: %s\n", f.Key, strings.ReplaceAll(f.Value, "\n", "\\n\\\n"))
	}

	// A blank line would be a part of the section above it, so there are only those that do not count.
	type written struct {
		line  int
		text  string
		blank bool // a blank line may follow
	}
	var all []written
	add := func(line int, name, args, body string) {
		head := "%" + name
		if args != "" {
			head += " " + args
		}
		if body != "" && !strings.HasSuffix(body, "\n") {
			body += "\n"
		}
		blank := strings.HasSuffix(name, "labels") || strings.HasSuffix(name, "files")
		all = append(all, written{line, head + "\n" + body, blank && !strings.HasSuffix(body, "\n\n")})
	}
	for name, sec := range s.Sections {
		switch name {
		case "files":
		case "labels":
			add(sec.Line, name, sec.Args, formatLabels(s.Labels))
		default:
			add(sec.Line, name, sec.Args, sec.Body)
		}
	}
	for i := 0; i < len(s.Files); {
		from, start := s.Files[i].From, i
		for i < len(s.Files) && s.Files[i].From == from {
			i++
		}
		args := ""
		if from != "" {
			args = "from " + from
		}
		add(s.Files[start].Line, "files", args, formatFiles(s.Files[start:i]))
	}
	for _, a := range s.Apps {
		for name, sec := range a.Sections {
			body := sec.Body
			switch name {
			case "labels":
				body = formatLabels(a.Labels)
			case "files":
				body = formatFiles(a.Files)
			}
			add(sec.Line, "app"+name, strings.TrimSpace(a.Name+" "+sec.Args), body)
		}
	}
	slices.SortStableFunc(all, func(x, y written) int { return cmp.Or(cmp.Compare(x.line, y.line), cmp.Compare(x.text, y.text)) })
	if len(header) > 0 {
		b.WriteByte('\n')
	}
	for _, w := range all {
		b.WriteString(w.text)
		if w.blank {
			b.WriteByte('\n')
		}
	}
}

// headerRank puts Bootstrap first, From and Stage behind it, the others as they are.
func headerRank(key string) int {
	switch strings.ToLower(key) {
	case "bootstrap":
		return 0
	case "from":
		return 1
	case "stage":
		return 2
	default:
		return 3
	}
}

func formatLabels(labels []Label) string {
	var b strings.Builder
	for _, l := range labels {
		b.WriteString("    " + strings.TrimSpace(l.Key+" "+l.Value) + "\n")
	}
	return b.String()
}

func formatFiles(files []FileCopy) string {
	var b strings.Builder
	for _, f := range files {
		b.WriteString("    " + quoteWord(f.Src))
		if f.Dst != "" {
			b.WriteString(" " + quoteWord(f.Dst))
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// quoteWord is a name as a word of %files.
func quoteWord(s string) string {
	if words, single := splitWords(s); len(words) == 1 && words[0] == (word{s, false}) && !single && !words[0].comment() && !strings.ContainsAny(s, "'%") {
		return s
	}
	return `"` + s + `"`
}
