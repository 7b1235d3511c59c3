package definition

import "strings"

// heredocs follows the here-documents of a shell script from line to line (POSIX.1-2024, XCU 2.7.4). It knows quotes and
// arithmetic within a line only, which is enough to say "this line is text, not a command" in a message.
type heredocs struct {
	open []heredoc
}

// maxHeredocs is how many here-documents of one line are followed.
const maxHeredocs = 16

type heredoc struct {
	end  string
	tabs bool // <<-
	line int
}

// inside tells whether the next line is text of a here-document.
func (h *heredocs) inside() bool { return len(h.open) > 0 }

// next takes the next line of the script, with its line in the file.
func (h *heredocs) next(text string, line int) {
	if h.inside() {
		if h.open[0].ends(text) {
			h.open = h.open[1:]
		}
		return
	}
	var quote byte
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case quote != 0:
			if c == '\\' && quote == '"' {
				i++
			} else if c == quote {
				quote = 0
			}
		case c == '\\':
			i++
		case c == '\'' || c == '"':
			quote = c
		case c == '#' && (i == 0 || text[i-1] == ' ' || text[i-1] == '\t'):
			return
		case strings.HasPrefix(text[i:], "(("):
			if end := strings.Index(text[i:], "))"); end > 0 {
				i += end + 1
			}
		case strings.HasPrefix(text[i:], "<<<"):
			i += 2
		case strings.HasPrefix(text[i:], "<<"):
			i += 2
			doc := heredoc{line: line}
			if i < len(text) && text[i] == '-' {
				doc.tabs = true
				i++
			}
			word, n := heredocWord(text[i:])
			if word != "" && len(h.open) < maxHeredocs {
				doc.end = word
				h.open = append(h.open, doc)
			}
			i += n - 1
		}
	}
}

func (d heredoc) ends(text string) bool {
	if d.tabs {
		text = strings.TrimLeft(text, "\t")
	}
	return text == d.end
}

// heredocWord is the delimiter at the start of s without its quotes, and how many bytes it takes.
func heredocWord(s string) (string, int) {
	i := len(s) - len(strings.TrimLeft(s, " \t"))
	var b strings.Builder
	var quote byte
	for ; i < len(s); i++ {
		c := s[i]
		switch {
		case quote != 0:
			if c == quote {
				quote = 0
			} else {
				b.WriteByte(c)
			}
		case c == '\'' || c == '"':
			quote = c
		case c == '\\':
		case strings.IndexByte(" \t;&|<>()", c) >= 0:
			return b.String(), i
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), i
}
