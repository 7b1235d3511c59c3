package termsvg

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/charmbracelet/x/vt"
)

func TestDraw(t *testing.T) {
	e := vt.NewEmulator(40, 4)
	if _, err := e.WriteString("\x1b[1;38;2;175;175;255mTitle\x1b[m <&> 宽 x\r\n╭──╮ █▀ ▂\r\n\x1b[7mreverse\x1b[m  \x1b[4mlink\x1b[m\r\n      far     apart"); err != nil {
		t.Fatal(err)
	}
	svg := string(Draw(e, "A <screen>"))
	d := xml.NewDecoder(strings.NewReader(svg))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("not well-formed: %v\n%s", err, svg)
		}
	}
	for _, want := range []string{"<title>A &lt;screen&gt;</title>", `font-weight="bold">Title</text>`, "&lt;&amp;&gt; 宽 x</text>", `text-decoration="underline">link<`, ">far</text>", ">apart</text>", `fill="#16181d">reverse<`} {
		if !strings.Contains(svg, want) {
			t.Errorf("%q is not in it:\n%s", want, svg)
		}
	}
	if strings.ContainsAny(svg, "╭─╮█▀▂") {
		t.Error("lines and blocks are written, not drawn")
	}
}
