package theme

import "strings"

// The signs Carrel draws with. Each takes one cell in every terminal that shows it at all.
const (
	Brand    = "◗"
	Bar      = "▌" // before the row the cursor is on
	Check    = "✓"
	Cross    = "✗"
	Note     = "!"
	Dot      = "●" // something runs, or is chosen
	Ring     = "○" // not yet, or not chosen
	Crumb    = "›"
	Arrow    = "→"
	Folded   = "▸"
	Unfolded = "▾"
	Ellipsis = "…"
	Sep      = "·"
	Rule     = "─"
	Wall     = "│"
	Track    = "│"
	Thumb    = "┃"
	Full     = "━"
	Rest     = "─"
	CornerTL = "╭"
	CornerTR = "╮"
	CornerBL = "╰"
	CornerBR = "╯"
)

// Sparks are eight heights of a small graph, from low to high.
var Sparks = []rune("▁▂▃▄▅▆▇█")

var (
	turning = []string{"◐", "◓", "◑", "◒"}
	slashes = []string{"|", "/", "-", "\\"}
)

// Spinner is the sign of something that works, at a frame of the shared clock.
func (t *Theme) Spinner(frame int) string {
	frames := turning
	if t.Options.ASCII {
		frames = slashes
	}
	if frame < 0 {
		frame = -frame
	}
	return frames[frame/2%len(frames)]
}

// plain gives each sign an ASCII one of the same width, so that no layout changes.
var plain = strings.NewReplacer(
	Brand, "(", Bar, ">", Check, "+", Cross, "x", Dot, "*", Ring, "o",
	Crumb, ">", Arrow, ">", Folded, ">", Unfolded, "v", Ellipsis, ".", Sep, "-",
	Rule, "-", Wall, "|", Thumb, "#", Full, "=",
	CornerTL, "+", CornerTR, "+", CornerBL, "+", CornerBR, "+",
	"├", "+", "┤", "+", "┬", "+", "┴", "+", "◐", "%", "◓", "%", "◑", "%", "◒", "%", "▁", "_", "▂", "_", "▃", "-", "▄", "-", "▅", "=", "▆", "=", "▇", "#", "█", "#",
	"↑", "^", "↓", "v", "←", "<", "’", "'", "“", "\"", "”", "\"", "–", "-", "—", "-", "×", "x",
)

// keep takes those links out of a frame that the terminal shall not get.
func (l Links) keep(frame string) string {
	const start = "\x1b]8;"
	if l == AllLinks || !strings.Contains(frame, start) {
		return frame
	}
	var b strings.Builder
	b.Grow(len(frame))
	out := false // in a link that is taken out
	for {
		before, after, ok := strings.Cut(frame, start)
		b.WriteString(before)
		if !ok {
			return b.String()
		}
		end := strings.IndexByte(after, 7) // all links are drawn with BEL
		if end < 0 {
			return b.String()
		}
		_, to, _ := strings.Cut(after[:end], ";")
		drop := l == NoLinks || strings.HasPrefix(to, "file:") || to == "" && out
		if !drop {
			b.WriteString(start + after[:end+1])
		}
		out = to != "" && drop
		frame = after[end+1:]
	}
}

// Finish is the last thing that happens to a frame: links are taken out that the terminal shall not get; on a terminal that shows only ASCII, the signs above become ASCII
// wherever they stand. Letters of other scripts, which come from files and programs, stay as they are.
func (t *Theme) Finish(frame string) string {
	frame = t.Options.Links.keep(frame)
	if !t.Options.ASCII {
		return frame
	}
	return plain.Replace(frame)
}
