package widget

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	_ "image/gif"  // formats that pictures in images have
	_ "image/jpeg" //
	_ "image/png"  //
	"strings"

	"carrel/tui/theme"
)

// Picture is an image, small enough to be drawn in a terminal.
type Picture struct {
	Format string
	W, H   int // of the original, in pixels
	small  *image.NRGBA
}

// maxPixels is how large a picture may be that is decoded: some 100 MB of memory.
const maxPixels = 25_000_000

// maxSide is the longer side that is kept: more than the dots of any terminal.
const maxSide = 400

// ErrPicture is data that is no picture, or one that is too large.
var ErrPicture = errors.New("no picture that can be shown")

// ReadPicture decodes a PNG, JPEG or GIF. It takes a while, so it must not run on the loop.
func ReadPicture(data []byte) (*Picture, error) {
	c, format, err := image.DecodeConfig(bytes.NewReader(data))
	if err != nil || c.Width <= 0 || c.Height <= 0 || c.Width > maxPixels/c.Height {
		return nil, ErrPicture
	}
	img, _, err := image.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPicture, err)
	}
	w, h := within(c.Width, c.Height, maxSide, maxSide)
	return &Picture{Format: format, W: c.Width, H: c.Height, small: shrink(img, w, h)}, nil
}

// within scales a size down to a box, never up.
func within(w, h, bw, bh int) (int, int) {
	if w > bw {
		w, h = bw, max(1, h*bw/w)
	}
	if h > bh {
		w, h = max(1, w*bh/h), bh
	}
	return w, h
}

// shrink averages the pixels of an image that fall on each one of a smaller image.
func shrink(img image.Image, w, h int) *image.NRGBA {
	b := img.Bounds()
	out := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		y0, y1 := b.Min.Y+y*b.Dy()/h, b.Min.Y+(y+1)*b.Dy()/h
		for x := range w {
			x0, x1 := b.Min.X+x*b.Dx()/w, b.Min.X+(x+1)*b.Dx()/w
			out.SetNRGBA(x, y, average(img, image.Rect(x0, y0, max(x0+1, x1), max(y0+1, y1))))
		}
	}
	return out
}

// average looks at no more than 8 by 8 pixels of an area.
func average(img image.Image, area image.Rectangle) color.NRGBA {
	var r, g, b, a, n uint64
	for y := area.Min.Y; y < area.Max.Y; y += max(1, area.Dy()/8) {
		for x := area.Min.X; x < area.Max.X; x += max(1, area.Dx()/8) {
			cr, cg, cb, ca := img.At(x, y).RGBA()
			r, g, b, a, n = r+uint64(cr), g+uint64(cg), b+uint64(cb), a+uint64(ca), n+1
		}
	}
	if n == 0 || a == 0 {
		return color.NRGBA{}
	}
	return color.NRGBA{uint8(r * 255 / a), uint8(g * 255 / a), uint8(b * 255 / a), uint8(a / n >> 8)}
}

// ramp are characters from empty to full, for terminals without colours.
const ramp = " .:-=+*#%@"

// Lines is how many lines View draws in w by h cells.
func (p *Picture) Lines(w, h int) int {
	if w <= 0 || h <= 0 {
		return 0
	}
	_, ph := within(p.small.Bounds().Dx(), p.small.Bounds().Dy(), w, 2*h)
	return (ph + 1) / 2
}

// View draws the picture in at most w by h cells: two pixels in each cell, or one character for its lightness where there
// are no colours.
func (p *Picture) View(t *theme.Theme, w, h int) []string {
	if w <= 0 || h <= 0 {
		return nil
	}
	b := p.small.Bounds()
	pw, ph := within(b.Dx(), b.Dy(), w, 2*h)
	img := p.small
	if pw != b.Dx() || ph != b.Dy() {
		img = shrink(p.small, pw, ph)
	}
	plain := t.Options.NoColor || t.Options.ASCII || t.Options.Basic
	var out []string
	for y := 0; y < ph; y += 2 {
		var s strings.Builder
		for x := range pw {
			top, low := img.NRGBAAt(x, y), color.NRGBA{}
			if y+1 < ph {
				low = img.NRGBAAt(x, y+1)
			}
			if plain {
				s.WriteByte(ramp[(lightness(top)+lightness(low))*(len(ramp)-1)/510])
				continue
			}
			s.WriteString(cell(top, low))
		}
		if !plain {
			s.WriteString("\x1b[m")
		}
		out = append(out, s.String())
	}
	return out
}

// lightness is 0 to 255; what is transparent is dark.
func lightness(c color.NRGBA) int {
	return (299*int(c.R) + 587*int(c.G) + 114*int(c.B)) / 1000 * int(c.A) / 255
}

// cell is one character with a pixel above and one below; a transparent one leaves the terminal's own background.
func cell(top, low color.NRGBA) string {
	fg := func(c color.NRGBA) string { return fmt.Sprintf("38;2;%d;%d;%d", c.R, c.G, c.B) }
	switch {
	case top.A < 128 && low.A < 128:
		return "\x1b[m "
	case top.A < 128:
		return "\x1b[0;" + fg(low) + "m▄"
	case low.A < 128:
		return "\x1b[0;" + fg(top) + "m▀"
	}
	return fmt.Sprintf("\x1b[%s;48;2;%d;%d;%dm▀", fg(top), low.R, low.G, low.B)
}
