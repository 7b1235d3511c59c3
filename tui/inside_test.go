package tui

import (
	"encoding/base64"
	"strings"
	"testing"

	"carrel/tui/tuitest"
)

// A file is found by a part of its name wherever it lies, can be looked at, and Esc goes back to the folder.
func TestFindAnywhere(t *testing.T) {
	drive(t, 120, 36, nil, func(d *driver) {
		d.press(inside("shift+tab", "shift+tab", "shift+tab", "shift+tab", "shift+tab")...)
		d.press("F", ":csv", "enter")
		d.sees("Found: csv")
		d.sees("/data/semicolons.csv")
		d.sees("2 places")
		d.sees("Versuchsperson") // beside the list
		d.press("down", "enter")
		d.sees("incongruent")
		d.press("esc")
		d.sees("Found: csv")
		d.press("esc")
		d.sees("README.md")
		d.press("F", ":no such", "enter")
		d.sees("Nothing in this image is called so.")
		d.press("esc", "esc")
		d.misses("Found:")
	})
}

// Notebooks show their pictures, documents and programs what they mean.
func TestPreviews(t *testing.T) {
	was := tuitest.Inside
	tuitest.Inside = map[string][]byte{
		"/a.ipynb": []byte(`{"metadata":{"language_info":{"name":"R"}},"cells":[{"cell_type":"markdown","source":"## Results\n\nMany **important** words that go on and on and on, further than any window is wide, and then some more of them."},` +
			`{"cell_type":"code","source":"plot(x)","outputs":[{"output_type":"display_data","data":{"text/plain":"<Figure>","image/png":"` + base64.StdEncoding.EncodeToString(was["/data/stripes.png"]) + `"}}]}]}`),
		"/b.md": []byte("Title\n=====\n\nA [link](http://a.example) and `code`.\n\n- one\n- two that is so long that it has to go on in the next line, which begins below its first word\n  and goes on\n\n```python\nif x:\n    pass\n```\n\n| a | b |\n"),
		"/c.sh": []byte("#!/bin/sh\necho \x1b[31mred\n"),
	}
	defer func() { tuitest.Inside = was }()
	drive(t, 80, 34, nil, func(d *driver) {
		d.press(inside("shift+tab", "shift+tab", "shift+tab", "shift+tab", "shift+tab")...)
		d.press("enter")
		d.misses("##")
		d.misses("**")
		d.sees("important words")
		d.sees("and then some more of them.")
		d.misses("<Figure>")
		if n := strings.Count(d.screen(), "▀"); n < 100 {
			t.Errorf("the picture is not there:\n%s", d.screen())
		}
		d.press("esc", "down", "enter")
		d.misses("=====")
		d.sees("A link (http://a.example) and code.")
		d.sees("│ if x:")
		d.sees("· one")
		d.sees("    below its first word and goes on")
		d.press("esc", "down", "enter")
		d.sees("1  #!/bin/sh")
		d.sees("echo red")
	})
}
