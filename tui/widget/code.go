package widget

import (
	"fmt"
	"strings"

	"rsc.io/qr"

	"carrel/tui/theme"
)

// Code shows a text as a QR code (ISO/IEC 18004), over a screen.
type Code struct {
	Title string
	Text  string
	Note  string
	code  *qr.Code // nil: the text is too long
}

// NewCode makes the code of a text.
func NewCode(title, text, note string) *Code {
	c := &Code{Title: title, Text: text, Note: note}
	if code, err := qr.Encode(text, qr.L); err == nil {
		c.code = code
	}
	return c
}

// The quiet zone around a code is four modules wide; readers are content with two.
const (
	quietWanted = 4
	quietLeast  = 2
)

// rows draws the code with a quiet zone: two modules in one cell, or one in two where there is only ASCII.
func (c *Code) rows(t *theme.Theme, quiet int) []string {
	n := c.code.Size
	dark := func(x, y int) bool { return x >= 0 && y >= 0 && x < n && y < n && c.code.Black(x, y) }
	// Without colours a block is as bright as text: that is light on a dark terminal.
	invert := t.Options.NoColor && t.Options.Background != theme.Light
	var out []string
	if t.Options.ASCII {
		for y := -quiet; y < n+quiet; y++ {
			var b strings.Builder
			for x := -quiet; x < n+quiet; x++ {
				if dark(x, y) != invert {
					b.WriteString("##")
				} else {
					b.WriteString("  ")
				}
			}
			out = append(out, t.Code.Render(b.String()))
		}
		return out
	}
	for y := -quiet; y < n+quiet; y += 2 {
		var b strings.Builder
		for x := -quiet; x < n+quiet; x++ {
			top, low := dark(x, y) != invert, dark(x, y+1) != invert
			switch {
			case top && low:
				b.WriteString("█")
			case top:
				b.WriteString("▀")
			case low:
				b.WriteString("▄")
			default:
				b.WriteByte(' ')
			}
		}
		out = append(out, t.Code.Render(b.String()))
	}
	return out
}

// View draws the code, no larger than w by h cells.
func (c *Code) View(t *theme.Theme, w, h int) string {
	var body []string
	cw := 0
	if c.code != nil {
		for quiet := quietWanted; quiet >= quietLeast; quiet-- {
			rows := c.rows(t, quiet)
			if cw = Width(rows[0]); len(rows)+4 <= h && cw+4 <= w {
				body = rows
				break
			}
		}
	}
	inner := max(0, min(w-4, max(cw, 56)))
	lines := make([]string, 0, len(body)+4)
	for _, r := range body {
		lines = append(lines, Center(r, inner))
	}
	switch {
	case c.code == nil:
		lines = append(lines, Wrap("This is too long for a code.", inner)...)
	case body == nil:
		need := c.rows(t, quietLeast)
		lines = append(lines, Wrap(fmt.Sprintf("The window is too small for the code: it needs %d columns and %d lines.", Width(need[0])+6, len(need)+6), inner)...)
	}
	if len(lines)+3 <= h {
		lines = append(lines, Center(Link(t.Link, c.Text, CutMiddle(Clean(c.Text), inner)), inner))
	}
	for _, l := range Wrap(c.Note, inner) {
		if len(lines)+3 <= h {
			lines = append(lines, Center(t.Muted.Render(l), inner))
		}
	}
	return Panel(t, min(w, inner+4), min(h, len(lines)+2), t.Title.Render(c.Title), t.Muted.Render("any key closes"), strings.Join(lines, "\n"), true)
}

// QRCode is the code of a text for a plain terminal, empty when it is too long for one.
func QRCode(text string, o theme.Options) string {
	c := NewCode("", text, "")
	if c.code == nil {
		return ""
	}
	return strings.Join(c.rows(theme.New(o), quietLeast), "\n") + "\n"
}
