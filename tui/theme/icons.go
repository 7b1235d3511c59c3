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

// Finish is the last thing that happens to a frame: on a terminal that shows only ASCII, the signs above become ASCII
// wherever they stand. Letters of other scripts, which come from files and programs, stay as they are.
func (t *Theme) Finish(frame string) string {
	if !t.Options.ASCII {
		return frame
	}
	return plain.Replace(frame)
}
