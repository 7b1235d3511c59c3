package inspect

import (
	"strings"

	"carrel/internal/pattern"
	"carrel/tui/syntax"
	"carrel/tui/theme"
	"carrel/tui/widget"
)

// markdown makes a document of Markdown (CommonMark, as far as people use it in README files): headings without their signs,
// lists, quotations and code set off, words in the line emphasised, paragraphs filled.
func markdown(source string) []row {
	var out []row
	var para []string
	flush := func() {
		if len(para) > 0 {
			out = append(out, row{spans: inline(strings.Join(para, " ")), wrap: true})
			para = nil
		}
	}
	all := strings.Split(strings.TrimSuffix(source, "\n"), "\n")
	if len(all) > maxLines {
		all = all[:maxLines]
	}
	for i := 0; i < len(all); i++ {
		l := widget.Clean(all[i])
		text := strings.TrimSpace(l)
		indent := len(l) - len(strings.TrimLeft(l, " "))
		switch {
		case strings.HasPrefix(text, "```") || strings.HasPrefix(text, "~~~"):
			flush()
			fence := text[:3]
			language := syntax.Language("x."+strings.Trim(strings.TrimLeft(text, "`~"), "{} ,"), "")
			var code []string
			for i++; i < len(all) && !strings.HasPrefix(strings.TrimSpace(all[i]), fence); i++ {
				code = append(code, widget.Clean(all[i]))
			}
			for _, spans := range syntax.Highlight(language, code) {
				out = append(out, row{lead: theme.Wall + " ", spans: spans})
			}
		case i == 0 && text == "---" && len(all) > 2: // a head in YAML
			var head []string
			for i++; i < len(all) && strings.TrimSpace(all[i]) != "---"; i++ {
				head = append(head, widget.Clean(all[i]))
			}
			for _, spans := range syntax.Highlight("YAML", head) {
				out = append(out, row{lead: theme.Wall + " ", spans: spans})
			}
		case text == "":
			flush()
			if n := len(out); n > 0 && len(out[n-1].spans) > 0 {
				out = append(out, row{})
			}
		case strings.HasPrefix(text, "#") && strings.HasPrefix(strings.TrimLeft(text, "#"), " "):
			flush()
			out = append(out, row{spans: []syntax.Span{{Kind: syntax.Heading, Text: strings.TrimSpace(strings.Trim(text, "#"))}}, wrap: true})
		case len(para) == 1 && (strings.Trim(text, "=") == "" || strings.Trim(text, "-") == ""):
			out, para = append(out, row{spans: []syntax.Span{{Kind: syntax.Heading, Text: para[0]}}, wrap: true}), nil
		case len(text) >= 3 && (strings.Trim(text, "- ") == "" || strings.Trim(text, "* ") == "" || strings.Trim(text, "_ ") == ""):
			flush()
			out = append(out, note(strings.Repeat(theme.Rule, 24)))
		case strings.HasPrefix(text, "|"):
			flush()
			out = append(out, row{spans: []syntax.Span{{Text: text}}})
		case strings.HasPrefix(text, ">"):
			flush()
			out = append(out, row{lead: theme.Wall + " ", spans: inline(strings.TrimSpace(strings.TrimLeft(text, "> "))), wrap: true})
		case strings.HasPrefix(text, "<") && strings.HasSuffix(text, ">") && len(para) == 0:
			out = append(out, row{spans: syntax.Highlight("HTML", []string{l})[0]})
		case indent >= 4 && len(para) == 0 && !isItem(text):
			out = append(out, row{lead: theme.Wall + " ", spans: []syntax.Span{{Text: l[4:]}}})
		case isItem(text):
			flush()
			sign, rest, _ := strings.Cut(text, " ")
			if len(sign) == 1 {
				sign = theme.Sep
			}
			rest = strings.NewReplacer("[ ] ", theme.Ring+" ", "[x] ", theme.Check+" ", "[X] ", theme.Check+" ").Replace(rest)
			lead := strings.Repeat(" ", min(indent, 12)) + sign + " "
			for i+1 < len(all) { // lines that go on
				next := strings.TrimSpace(widget.Clean(all[i+1]))
				if next == "" || isItem(next) || strings.HasPrefix(next, "#") || strings.HasPrefix(next, "```") || !strings.HasPrefix(all[i+1], " ") {
					break
				}
				rest += " " + next
				i++
			}
			out = append(out, row{spans: append([]syntax.Span{{Text: lead}}, inline(rest)...), wrap: true, hang: strings.Repeat(" ", widget.Width(lead))})
		default:
			para = append(para, text)
			if strings.HasSuffix(all[i], "  ") { // a line break
				flush()
			}
		}
	}
	flush()
	return out
}

// isItem tells whether a line begins an item of a list.
func isItem(text string) bool {
	if len(text) > 2 && strings.ContainsRune("-*+", rune(text[0])) && text[1] == ' ' {
		return true
	}
	n := strings.IndexAny(text, ".)")
	return n > 0 && n < 4 && len(text) > n+1 && text[n+1] == ' ' && strings.Trim(text[:n], "0123456789") == ""
}

// inlined finds what is emphasised in a line: code, pictures, links, bold, italic, addresses.
var inlined = pattern.New("`([^`]+)`|!\\[([^\\]]*)\\]\\(([^)]*)\\)|\\[([^\\]]+)\\]\\(([^)]*)\\)|\\*\\*([^*]+)\\*\\*|__([^_]+)__|\\*([^* ][^*]*)\\*|<(https?://[^>]+)>")

// inline is a line's text in pieces, without the signs that emphasise.
func inline(text string) []syntax.Span {
	var out []syntax.Span
	add := func(k syntax.Kind, s string) {
		if s != "" {
			out = append(out, syntax.Span{Kind: k, Text: s})
		}
	}
	at := 0
	for _, m := range inlined.FindAllStringSubmatchIndex(text, -1) {
		add(syntax.Ordinary, text[at:m[0]])
		at = m[1]
		group := func(n int) string {
			if m[2*n] < 0 {
				return ""
			}
			return text[m[2*n]:m[2*n+1]]
		}
		switch {
		case m[2] >= 0:
			add(syntax.Name, group(1))
		case m[4] >= 0:
			add(syntax.Comment, "(picture: "+orDash(group(2), group(3))+")")
		case m[8] >= 0:
			add(syntax.Strong, group(4))
			if url := group(5); url != "" && url != group(4) && !strings.HasPrefix(url, "#") {
				add(syntax.Comment, " ("+url+")")
			}
		case m[18] >= 0:
			add(syntax.Name, group(9))
		default:
			add(syntax.Strong, group(6)+group(7)+group(8))
		}
	}
	add(syntax.Ordinary, text[at:])
	return out
}
