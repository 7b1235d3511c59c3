package screen

import (
	"strings"

	"carrel/tui/syntax"
	"carrel/tui/theme"
	"carrel/tui/widget"
)

// ColorDefinition draws the lines of a definition file: sections and keys stand out, scripts have the colours of a shell.
func ColorDefinition(t *theme.Theme, text string) []string {
	all := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for i, l := range all {
		all[i] = widget.Clean(strings.ReplaceAll(l, "\t", "    "))
	}
	out := make([]string, len(all))
	for i, spans := range syntax.Highlight("definition", all) {
		out[i] = syntax.Draw(t, spans)
	}
	return out
}
