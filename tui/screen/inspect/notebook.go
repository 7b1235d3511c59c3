package inspect

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"

	"carrel/tui/syntax"
	"carrel/tui/theme"
	"carrel/tui/widget"
)

// notebookFile is what is shown of a Jupyter notebook (nbformat 4).
type notebookFile struct {
	Meta struct {
		Language struct {
			Name string `json:"name"`
		} `json:"language_info"`
		Kernel struct {
			Language string `json:"language"`
		} `json:"kernelspec"`
	} `json:"metadata"`
	Cells []struct {
		Type    string `json:"cell_type"`
		Source  text   `json:"source"`
		Count   *int   `json:"execution_count"`
		Outputs []struct {
			Type string          `json:"output_type"`
			Text text            `json:"text"`
			Data map[string]text `json:"data"`
			Name string          `json:"ename"`
			Says string          `json:"evalue"`
			Path []string        `json:"traceback"`
		} `json:"outputs"`
	} `json:"cells"`
}

// text is a string, or a list of lines; other values are taken as none.
type text string

func (t *text) UnmarshalJSON(data []byte) error {
	var one string
	var many []string
	if json.Unmarshal(data, &one) == nil {
		*t = text(one)
	} else if json.Unmarshal(data, &many) == nil {
		*t = text(strings.Join(many, ""))
	}
	return nil
}

// notebook draws cells: text as a document, code in colours behind a bar, what it printed and drew below.
func notebook(data []byte) ([]row, int, error) {
	var n notebookFile
	if err := json.Unmarshal(data, &n); err != nil {
		return nil, 0, err
	}
	language := map[string]string{"r": "R", "julia": "Julia", "bash": "shell", "javascript": "JavaScript"}[strings.ToLower(orDash(n.Meta.Language.Name, n.Meta.Kernel.Language))]
	if language == "" {
		language = "Python"
	}
	var out []row
	for _, c := range n.Cells {
		if len(out) > maxLines {
			out = append(out, note("The rest is not shown."))
			break
		}
		if len(out) > 0 {
			out = append(out, row{})
		}
		switch c.Type {
		case "code":
		case "raw":
			out = append(out, lines(string(c.Source), "")...)
			continue
		default:
			out = append(out, markdown(string(c.Source))...)
			continue
		}
		mark := "In [ ]"
		if c.Count != nil {
			mark = fmt.Sprintf("In [%d]", *c.Count)
		}
		out = append(out, note(mark))
		for _, r := range lines(string(c.Source), language) {
			r.num, r.lead = 0, theme.Wall+" "
			out = append(out, r)
		}
		for _, o := range c.Outputs {
			switch {
			case o.Name != "":
				out = append(out, row{spans: []syntax.Span{{Kind: syntax.Strong, Text: widget.Clean(o.Name) + ": "}, {Text: widget.Clean(o.Says)}}})
				continue
			case o.Text != "":
				out = append(out, printed(o.Text)...)
				continue
			}
			shown := false
			for _, kind := range []string{"image/png", "image/jpeg", "image/gif"} {
				if pic := drawn(o.Data[kind]); pic != nil && !shown {
					for i := range picRows {
						out = append(out, row{pic: pic, part: i})
					}
					shown = true
				}
			}
			switch {
			case shown:
			case o.Data["text/markdown"] != "":
				out = append(out, markdown(string(o.Data["text/markdown"]))...)
			case o.Data["text/plain"] != "":
				out = append(out, printed(o.Data["text/plain"])...)
			}
			for kind := range o.Data {
				if strings.HasPrefix(kind, "image/") && !shown {
					out = append(out, note("(a picture)"))
					break
				}
			}
		}
	}
	for i := range out { // so that numbers of cells' own lines are not taken for those of the file
		out[i].num = 0
	}
	return out, len(n.Cells), nil
}

// printed are the lines a cell printed.
func printed(s text) []row {
	out := lines(strings.TrimRight(string(s), "\n"), "")
	for i := range out {
		out[i].num = 0
	}
	return out
}

// drawn is the picture of a cell's output, nil when there is none that can be read.
func drawn(data text) *widget.Picture {
	raw, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(string(data)), ""))
	if err != nil || len(raw) == 0 {
		return nil
	}
	pic, err := widget.ReadPicture(raw)
	if err != nil {
		return nil
	}
	return pic
}
