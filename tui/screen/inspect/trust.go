package inspect

import (
	"fmt"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"carrel/engine"
	"carrel/tui/screen"
	"carrel/tui/task"
	"carrel/tui/theme"
	"carrel/tui/widget"
)

// trust is the tab that says of what parts a file consists, and whether they are as they were written.
type trust struct {
	reading
	s        *Screen
	parts    engine.Parts
	known    bool
	err      error
	verified bool // everything was read and compared
	wrong    error
	asked    time.Time
	checking bool
}

type partsMsg struct {
	id     task.ID
	verify bool
	parts  engine.Parts
	err    error
}

func newTrust(s *Screen) *trust {
	p := &trust{s: s}
	p.t, p.text = s.d.Theme, p.lines
	return p
}

func (p *trust) show() tea.Cmd {
	if p.known || !p.asked.IsZero() {
		return nil
	}
	return p.ask(false)
}

func (p *trust) ask(verify bool) tea.Cmd {
	p.asked, p.checking = p.s.d.Now(), verify
	id, eng, ctx, name := p.s.id, p.s.d.Engine, p.s.life, p.s.name
	return task.Call(func() (engine.Parts, error) { return eng.Parts(ctx, name, verify) },
		func(x engine.Parts, err error) tea.Msg { return partsMsg{id, verify, x, err} })
}

func (p *trust) waits() (time.Time, string) {
	if p.checking {
		return p.asked, "Reading the whole file and comparing"
	}
	return p.asked, "Reading"
}

func (p *trust) update(msg tea.Msg) tea.Cmd {
	m, ok := msg.(partsMsg)
	if !ok {
		return nil
	}
	p.asked, p.checking = time.Time{}, false
	switch {
	case m.verify:
		p.verified, p.wrong = true, m.err
		if len(m.parts.Parts) > 0 {
			p.parts = m.parts
		}
	default:
		p.known, p.parts, p.err = true, m.parts, m.err
	}
	return nil
}

func (p *trust) actions() []screen.Action {
	not := ""
	switch {
	case p.err != nil:
		not = "this kind of image carries no checksums"
	case !p.asked.IsZero():
		not = "it is being read"
	}
	return []screen.Action{
		screen.Do(screen.On("v"), "check every byte", "Check that this image is as it was written", func() tea.Cmd { return p.ask(true) }).Unless(not),
	}
}

func (p *trust) lines(w int) []string {
	t := p.s.d.Theme
	switch {
	case p.err != nil:
		out := widget.Wrap("This kind of image carries no checksums and no signatures.", max(1, min(w, 80)))
		return append(out, "", t.Muted.Render(widget.Cut(widget.Clean(p.err.Error()), w)))
	case !p.known:
		return nil
	}
	var out []string
	say := func(sign, text, note string) {
		for i, l := range widget.Wrap(text, max(1, min(w-2, 80))) {
			if i > 0 {
				sign = " "
			}
			out = append(out, sign+" "+l)
		}
		for _, l := range widget.Wrap(note, max(1, min(w-2, 80))) {
			out = append(out, "  "+t.Muted.Render(l))
		}
		out = append(out, "")
	}
	checked := 0
	for _, x := range p.parts.Parts {
		if x.Checked != "" {
			checked++
		}
	}
	switch {
	case p.wrong != nil:
		say(t.Bad.Render(theme.Cross), "The content is not what was written.", widget.Sentence(p.wrong.Error()))
	case p.verified && checked > 0:
		say(t.OK.Render(theme.Check), "Every byte was read. "+fmt.Sprintf("%d of %d parts carry a checksum, and it is right.", checked, len(p.parts.Parts)), "")
	case p.verified:
		say(t.Warn.Render(theme.Note), "Everything could be read, but the file carries no checksums to compare with.", "")
	default:
		say(t.Muted.Render(theme.Ring), "Not checked yet.", "v reads the whole file and compares it with the checksums it carries.")
	}
	if p.parts.Signed {
		say(t.Accent.Render(theme.Dot), "Somebody signed it.", "Carrel compares what was signed with the content; who signed is not examined.")
	} else {
		say(t.Muted.Render(theme.Ring), "Nobody signed it.", "That is usual. What you can trust is then where you got it from.")
	}
	date := func(d time.Time) string {
		if d.IsZero() || d.Unix() == 0 {
			return ""
		}
		return d.Format("2 Jan 2006 15:04")
	}
	out = append(out, widget.Facts(t, w, [2]string{"identity", widget.Clean(p.parts.ID)}, [2]string{"made", date(p.parts.Created)}, [2]string{"changed", date(p.parts.Modified)},
		[2]string{"starts as", widget.Clean(p.parts.LaunchLine)})...)
	out = append(out, "", t.Title.Render("Parts of the file"))
	for _, x := range p.parts.Parts {
		mark := t.Muted.Render(theme.Ring)
		if x.Checked != "" {
			mark = t.OK.Render(theme.Check)
		}
		note := strings.Replace(widget.Clean(x.Checked), "digest", "checksum", 1)
		if note == "" {
			note = "no checksum"
			if !p.verified {
				note = ""
			}
		}
		out = append(out, mark+" "+partColumns.Row(max(0, min(w-2, 92)), fmt.Sprint(x.ID), partWords(x.Type), t.Muted.Render(widget.Clean(x.Name)), widget.Bytes(x.Size), t.Muted.Render(note)))
	}
	return out
}

// partWords say what a part of a file is. Tools for SIF write "FS (Squashfs/*System/amd64)".
func partWords(kind string) string {
	kind = widget.Clean(kind)
	name, of, _ := strings.Cut(kind, " (")
	words, ok := map[string]string{
		"Def.FILE": "definition file", "JSON.Generic": "notes (JSON)", "JSON.Labels": "labels", "Env. Vars": "variables", "Signature": "signature",
		"GenericInfo": "notes", "Generic/Raw": "data", "Cryptographic Message": "encrypted key", "SBOM": "list of software",
	}[name]
	switch parts := strings.Split(strings.TrimSuffix(of, ")"), "/"); {
	case ok:
		return words
	case name == "FS" && len(parts) == 3 && parts[1] == "Overlay":
		return "changes kept (" + parts[0] + ")"
	case name == "FS" && len(parts) == 3:
		return "all files (" + parts[0] + ", " + parts[2] + ")"
	}
	return kind
}

var partColumns = widget.Table{Gap: 2, Columns: []widget.Column{{Min: 2, Right: true}, {Min: 20, Flex: 2, Max: 34}, {Min: 14, Flex: 1, Drop: 2}, {Min: 7, Right: true}, {Min: 11, Drop: 1}}}
