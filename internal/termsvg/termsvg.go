// Package termsvg draws the screen of a terminal as a picture (SVG 1.1), for documents. Lines and blocks are drawn as shapes, so
// that they meet whatever font is used; everything else is text, which can be searched and read out.
package termsvg

import (
	"fmt"
	"html"
	"image/color"
	"strings"

	uv "github.com/charmbracelet/ultraviolet"
)

// Screen is what is drawn: a terminal in memory (package x/vt).
type Screen interface {
	CellAt(x, y int) *uv.Cell
	Width() int
	Height() int
}

// Colours of a terminal that says nothing of its own.
var (
	background = color.RGBA{0x16, 0x18, 0x1d, 0xff}
	foreground = color.RGBA{0xd7, 0xda, 0xe0, 0xff}
)

// The size of a cell and the frame around the screen, in units of the picture.
const (
	cellW, cellH = 8.4, 18.0
	fontSize     = 14.0
	frame        = 14.0
)

// Draw makes the picture. title is read out by screen readers.
func Draw(s Screen, title string) []byte {
	var b strings.Builder
	w, h := float64(s.Width())*cellW+2*frame, float64(s.Height())*cellH+2*frame
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %g %g" width="%g" height="%g" role="img"><title>%s</title>`+"\n", w, h, w, h, html.EscapeString(title))
	fmt.Fprintf(&b, `<rect width="%g" height="%g" rx="8" fill="%s"/>`+"\n", w, h, hex(background))
	fmt.Fprintf(&b, `<g font-family="ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace" font-size="%g" xml:space="preserve">`+"\n", fontSize)
	for y := range s.Height() {
		row(&b, s, y)
	}
	b.WriteString("</g></svg>\n")
	return []byte(b.String())
}

// look is how a cell is drawn.
type look struct {
	fg, bg color.Color // bg is nil where it is the terminal's own
	attrs  uint8
	under  bool
}

func lookOf(c *uv.Cell) look {
	l := look{fg: foreground}
	if c == nil {
		return l
	}
	if c.Style.Fg != nil {
		l.fg = c.Style.Fg
	}
	l.bg, l.attrs, l.under = c.Style.Bg, c.Style.Attrs, c.Style.Underline != 0
	if l.attrs&uv.AttrReverse != 0 {
		bg := l.bg
		if bg == nil {
			bg = background
		}
		l.fg, l.bg = bg, l.fg
	}
	return l
}

// row draws backgrounds first, then shapes and runs of text of one look.
func row(b *strings.Builder, s Screen, y int) {
	top := frame + float64(y)*cellH
	for x := 0; x < s.Width(); {
		l := lookOf(s.CellAt(x, y))
		n := 1
		for x+n < s.Width() && same(lookOf(s.CellAt(x+n, y)).bg, l.bg) {
			n++
		}
		if l.bg != nil {
			fmt.Fprintf(b, `<rect x="%.1f" y="%g" width="%.1f" height="%g" fill="%s"/>`+"\n", frame+float64(x)*cellW, top, float64(n)*cellW, cellH, hex(l.bg))
		}
		x += n
	}
	for x := 0; x < s.Width(); {
		c := s.CellAt(x, y)
		if c == nil || c.Content == "" || c.Content == " " {
			x++
			continue
		}
		l := lookOf(c)
		if d := shape(c.Content, frame+float64(x)*cellW, top); d != "" {
			fmt.Fprintf(b, `<path d="%s" %s/>`+"\n", d, paint(c.Content, l.fg))
			x++
			continue
		}
		var text strings.Builder
		cells, last := 0, 0
		for x+cells < s.Width() {
			c := s.CellAt(x+cells, y)
			if c != nil && c.Width == 0 { // the second half of a wide one
				cells++
				continue
			}
			content := " "
			if c != nil && c.Content != "" {
				content = c.Content
			}
			if o := lookOf(c); content != " " && (!same(o.fg, l.fg) || o.attrs != l.attrs || o.under != l.under) || shape(content, 0, 0) != "" {
				break
			}
			text.WriteString(content)
			cells++
			if content != " " {
				last = text.Len()
			}
			if content == " " && text.Len()-last > 1 { // a gap: programs that draw pictures would close it
				break
			}
		}
		words := text.String()[:last]
		style := fmt.Sprintf(` fill="%s"`, hex(l.fg))
		if l.attrs&uv.AttrBold != 0 {
			style += ` font-weight="bold"`
		}
		if l.under {
			style += ` text-decoration="underline"`
		}
		n := 0
		for at := 0; at < cells && n < last; at++ { // cells up to the last sign
			if c := s.CellAt(x+at, y); c != nil && c.Content != "" {
				n += len(c.Content)
			} else {
				n++
			}
			if n >= last {
				fmt.Fprintf(b, `<text x="%.1f" y="%g" textLength="%.1f" lengthAdjust="spacingAndGlyphs"%s>%s</text>`+"\n",
					frame+float64(x)*cellW, top+cellH-5, float64(at+max(1, c.Width))*cellW, style, html.EscapeString(words))
			}
		}
		x += max(1, cells)
	}
}

// shape is the path of a line or block; empty for everything that is text.
func shape(content string, x, y float64) string {
	mx, my, r, low := x+cellW/2, y+cellH/2, x+cellW, y+cellH
	line := func(parts ...float64) string {
		var b strings.Builder
		for i := 0; i+3 < len(parts); i += 4 {
			fmt.Fprintf(&b, "M%.1f %.1fL%.1f %.1f", parts[i], parts[i+1], parts[i+2], parts[i+3])
		}
		return b.String()
	}
	box := func(x0, y0, x1, y1 float64) string {
		return fmt.Sprintf("M%.1f %.1fH%.1fV%.1fH%.1fZ", x0, y0, x1, y1, x0)
	}
	arc := func(x0, y0, x1, y1 float64) string {
		return fmt.Sprintf("M%.1f %.1fQ%.1f %.1f %.1f %.1f", x0, y0, mx, my, x1, y1)
	}
	switch content {
	case "─", "━":
		return line(x, my, r, my)
	case "│", "┃":
		return line(mx, y, mx, low)
	case "╭":
		return arc(mx, low, r, my)
	case "╮":
		return arc(x, my, mx, low)
	case "╰":
		return arc(mx, y, r, my)
	case "╯":
		return arc(x, my, mx, y)
	case "├":
		return line(mx, y, mx, low, mx, my, r, my)
	case "┤":
		return line(mx, y, mx, low, x, my, mx, my)
	case "┬":
		return line(x, my, r, my, mx, my, mx, low)
	case "┴":
		return line(x, my, r, my, mx, y, mx, my)
	case "▌":
		return box(x, y, mx, low)
	case "█":
		return box(x, y, r, low)
	case "▀":
		return box(x, y, r, my)
	case "▄":
		return box(x, my, r, low)
	}
	if i := strings.Index("▁▂▃▅▆▇", content); i >= 0 && len(content) == 3 {
		eighths := []float64{1, 2, 3, 5, 6, 7}[i/3]
		return box(x, low-cellH*eighths/8, r-0.6, low)
	}
	return ""
}

// paint is how a shape is filled: lines are drawn, blocks are filled.
func paint(content string, fg color.Color) string {
	switch content {
	case "━", "┃":
		return fmt.Sprintf(`stroke="%s" stroke-width="3" fill="none"`, hex(fg))
	}
	if strings.Contains("▌█▀▄▁▂▃▅▆▇", content) {
		return fmt.Sprintf(`fill="%s"`, hex(fg))
	}
	return fmt.Sprintf(`stroke="%s" fill="none"`, hex(fg))
}

func same(a, b color.Color) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return hex(a) == hex(b)
}

func hex(c color.Color) string {
	r, g, b, _ := c.RGBA()
	return fmt.Sprintf("#%02x%02x%02x", r>>8, g>>8, b>>8)
}
