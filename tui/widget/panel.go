package widget

import (
	"strings"

	"charm.land/lipgloss/v2"

	"carrel/tui/theme"
)

// Panel draws a frame of exactly w by h cells around content, with a title and a remark in its upper edge. Below 4 by 2
// cells there is no frame.
func Panel(t *theme.Theme, w, h int, title, right, content string, focused bool) string {
	if w < 4 || h < 2 {
		return Box(content, w, h)
	}
	edge := t.Faint
	if focused {
		edge = t.Accent
	}
	lines := strings.Split(Box(content, w-4, h-2), "\n")
	out := make([]string, 0, h)
	out = append(out, upperEdge(edge, w, title, right))
	if h > 2 {
		for _, l := range lines {
			out = append(out, edge.Render(theme.Wall)+" "+l+" "+edge.Render(theme.Wall))
		}
	}
	out = append(out, edge.Render(theme.CornerBL+strings.Repeat(theme.Rule, w-2)+theme.CornerBR))
	return strings.Join(out, "\n")
}

func upperEdge(edge lipgloss.Style, w int, title, right string) string {
	room := w - 4
	right = oneLine(right)
	if title != "" && room > 2 {
		title = " " + Cut(title, room-2) + " "
	} else {
		title = ""
	}
	room -= Width(title)
	if right != "" && room > Width(right)+4 {
		right = " " + right + " "
	} else {
		right = ""
	}
	fill := max(0, w-4-Width(title)-Width(right))
	return edge.Render(theme.CornerTL+theme.Rule) + title + edge.Render(strings.Repeat(theme.Rule, fill)) + right +
		edge.Render(theme.Rule+theme.CornerTR)
}

// Centered returns where a block of bw by bh cells begins so that it is in the middle of w by h cells.
func Centered(w, h, bw, bh int) (x, y int) {
	return max(0, (w-bw)/2), max(0, (h-bh)/2)
}
