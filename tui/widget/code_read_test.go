package widget

import (
	"image"
	"image/color"
	"strings"
	"testing"

	"github.com/charmbracelet/x/ansi"
	"github.com/makiuchi-d/gozxing"
	"github.com/makiuchi-d/gozxing/qrcode"

	"carrel/tui/theme"
)

// photograph is what a camera sees of a code in a terminal: a cell is one module wide and two high, or two cells are a module
// in ASCII. bright tells that letters are brighter than what is behind them.
func photograph(rows []string, ascii, bright bool) image.Image {
	const size = 4
	var grid [][]bool // letters' colour
	for _, r := range rows {
		var top, low []bool
		for i, c := range []rune(ansi.Strip(r)) {
			switch {
			case ascii && i%2 == 0:
				top = append(top, c == '#')
			case !ascii:
				top, low = append(top, c == '█' || c == '▀'), append(low, c == '█' || c == '▄')
			}
		}
		grid = append(grid, top)
		if !ascii {
			grid = append(grid, low)
		}
	}
	img := image.NewGray(image.Rect(0, 0, len(grid[0])*size, len(grid)*size))
	for y := range len(grid) * size {
		for x := range len(grid[0]) * size {
			light := grid[y/size][x/size] == bright
			img.SetGray(x, y, map[bool]color.Gray{true: {Y: 255}, false: {}}[light])
		}
	}
	return img
}

// A code says the text it was made of, to somebody else's reader, in every theme and with every quiet zone.
func TestCodeIsRead(t *testing.T) {
	for _, text := range []string{
		"http://127.0.0.1:8888/", "http://192.0.2.7:36497/Vf60AM9Y3mVTTkAbiScBag/", "x",
		"http://127.0.0.1:8888/tree?token=" + strings.Repeat("5f3a90c2", 8) + "&carrel=GEADI4M2DFWFVVLTRTBAXYGNAK",
		"http://host.example/宽/é?" + strings.Repeat("longer and longer ", 40),
	} {
		for _, o := range []theme.Options{{}, {Background: theme.Light}, {NoColor: true}, {NoColor: true, Background: theme.Light},
			{NoColor: true, ASCII: true}, {ASCII: true}, {NoColor: true, ASCII: true, Background: theme.Light}} {
			for quiet := quietLeast; quiet <= quietWanted; quiet++ {
				rows := NewCode("Code", text, "").rows(theme.New(o), quiet)
				bright := o.NoColor && o.Background != theme.Light // else they are black on white
				bitmap, err := gozxing.NewBinaryBitmapFromImage(photograph(rows, o.ASCII, bright))
				if err != nil {
					t.Fatal(err)
				}
				got, err := qrcode.NewQRCodeReader().Decode(bitmap, map[gozxing.DecodeHintType]any{gozxing.DecodeHintType_PURE_BARCODE: true})
				if err != nil {
					t.Errorf("%+v, quiet %d: %.40q cannot be read: %v", o, quiet, text, err)
					continue
				}
				if got.GetText() != text {
					t.Errorf("%+v, quiet %d: read %q, want %q", o, quiet, got.GetText(), text)
				}
			}
		}
	}
}
