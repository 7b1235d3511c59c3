package screen

import (
	"strings"

	"carrel/tui/theme"
	"carrel/tui/widget"
)

// ColorDefinition draws the lines of a definition file: sections and header keys stand out, comments stand back.
func ColorDefinition(t *theme.Theme, text string) []string {
	var out []string
	section := ""
	for _, l := range strings.Split(strings.TrimRight(text, "\n"), "\n") {
		l = widget.Clean(strings.ReplaceAll(l, "\t", "    "))
		trimmed := strings.TrimSpace(l)
		switch {
		case strings.HasPrefix(l, "%"):
			section = l
			out = append(out, t.Title.Render(l))
		case strings.HasPrefix(trimmed, "#"):
			out = append(out, t.Muted.Render(l))
		case section == "":
			if k, v, ok := strings.Cut(l, ":"); ok {
				out = append(out, t.Accent.Render(k+":")+v)
				continue
			}
			out = append(out, l)
		case strings.HasPrefix(section, "%labels"):
			name := strings.TrimSpace(l)
			key, rest, _ := strings.Cut(name, " ")
			out = append(out, "    "+t.Accent.Render(key)+" "+strings.TrimSpace(rest))
		default:
			out = append(out, l)
		}
	}
	return out
}
