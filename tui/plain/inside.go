package plain

import (
	"fmt"
	"path"
	"strings"

	"carrel/engine"
	"carrel/tui/widget"
)

// page is how much is read out at once.
const page = 30

// inside looks into an image that need not run.
func (p *program) inside(name string) error {
	in, err := p.Engine.Inspect(p.ctx, name)
	if err != nil {
		p.failed("Looking inside", err)
		return nil
	}
	card, err := p.Engine.Card(p.ctx, name)
	if err != nil {
		p.failed("Reading what it says of itself", err)
	}
	p.say("%s. %s", orElse(widget.Clean(card.Title), widget.Clean(in.Name)), widget.Sentence(widget.Clean(card.Description)))
	p.say("The file %s, %s, made %s.", widget.Clean(widget.Tilde(in.Path, p.Home)), widget.Bytes(in.Size), widget.Ago(in.ModTime, p.Now()))
	for _, f := range [][2]string{{"By", card.Authors}, {"Cite", card.Cite}, {"Version", card.Version}, {"Licence", card.Licenses}} {
		if f[1] != "" {
			p.say("%s: %s", f[0], widget.Clean(f[1]))
		}
	}
	return p.menu(func() (string, []option) {
		return "What would you like to know? Back goes back.", []option{
			{"What it runs", "", func() error {
				return p.read(orElse(in.Runscript, "It has no script of its own: starting it opens a shell."))
			}},
			{"Definition", "the text it was built from", func() error {
				text, err := p.Engine.Definition(p.ctx, name)
				if err != nil {
					p.failed("Reading the definition", err)
					return nil
				}
				return p.read(orElse(text, "It holds no definition."))
			}},
			{"Files", "list folders, read files, copy them out", func() error { return p.files(name, "/") }},
			{"Find a file", "by a part of its name", func() error { return p.find(name) }},
			{"Software", "packages and their versions", func() error { return p.software(name) }},
			{"Size", "what takes the space", func() error { return p.sizes(name, "/") }},
			{"Changes", "what differs from another image, an earlier one for example", func() error { return p.changes(name) }},
			{"Trust", "checksums and signatures", func() error { return p.trust(name) }},
			{"Share", "", func() error { return p.share(name) }},
			{name: "Back"},
		}
	})
}

// read reads a text out, page by page.
func (p *program) read(text string) error {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for at := 0; at < len(lines); at += page {
		for _, l := range lines[at:min(len(lines), at+page)] {
			p.say("  %s", widget.Clean(l))
		}
		if left := len(lines) - at - page; left > 0 {
			if more, err := p.yes(fmt.Sprintf("%s more. Go on?", widget.Lines(left)), true); err != nil || !more {
				return err
			}
		}
	}
	return nil
}

// files lists a folder and asks for one of its entries.
func (p *program) files(name, dir string) error {
	for {
		list, err := p.Engine.Files(p.ctx, name, dir)
		if err != nil {
			p.failed("Opening "+widget.Clean(dir), err)
			return nil
		}
		p.say("%s has %s.", widget.Clean(dir), widget.Count(len(list), "entry", "entries"))
		var text strings.Builder
		for _, f := range list {
			text.WriteString(widget.Clean(f.Name) + ", " + what(f) + "\n")
		}
		if err := p.read(text.String()); err != nil {
			return err
		}
		answer, err := p.text("Which one? Its name; up for the folder above; back ends this.", "", nil)
		if err != nil {
			return err
		}
		switch answer {
		case "":
			continue
		case "up":
			dir = path.Dir(dir)
			continue
		}
		at := path.Join(dir, answer)
		if path.IsAbs(answer) {
			at = path.Clean(answer)
		}
		found, err := p.Engine.Files(p.ctx, name, at)
		switch {
		case err != nil:
			p.failed("Opening "+widget.Clean(at), err)
		case len(found) == 1 && found[0].Type != "dir" && found[0].Name == path.Base(at):
			if err := p.file(name, at, found[0]); err != nil {
				return err
			}
		default:
			dir = at
		}
	}
}

func what(f engine.ImageFile) string {
	switch f.Type {
	case "dir":
		return "a folder"
	case "link":
		return "a link to " + widget.Clean(f.Link)
	case "file":
		return widget.Bytes(f.Size)
	}
	return "a " + f.Type
}

// readLimit is the largest file that is read out.
const readLimit = 1 << 20

// file reads one file, or copies it out.
func (p *program) file(name, at string, f engine.ImageFile) error {
	options := []option{{"Read it", "", func() error {
		data, err := p.Engine.ReadFile(p.ctx, name, at, readLimit)
		switch {
		case err != nil:
			p.failed("Reading it", err)
		case strings.ContainsRune(string(data[:min(len(data), 8192)]), 0):
			p.say("It is no text.")
		default:
			return p.read(string(data))
		}
		return nil
	}}, {"Copy it to my computer", "", func() error {
		to, err := p.text("Where to? A folder, or a new name.", "~/"+path.Base(at), nil)
		if err != nil {
			return err
		}
		to = p.expand(to)
		there := p.Engine.Folder(to)
		if there.IsDir {
			there = p.Engine.Folder(path.Join(to, path.Base(at)))
		}
		if there.Exists {
			if ok, err := p.yes(widget.Clean(widget.Tilde(there.Path, p.Home))+" exists already. Replace it?", false); err != nil || !ok {
				return err
			}
		}
		did, err := p.Engine.CopyOut(p.ctx, name, at, to)
		if err != nil {
			p.failed("Copying it", err)
			return nil
		}
		p.say("Copied to %s.", widget.Clean(widget.Tilde(did.Path, p.Home)))
		return nil
	}}, {name: "Back"}}
	n, err := p.choose(widget.Clean(at)+", "+what(f)+".", options, 0)
	if err != nil || options[n].do == nil {
		return err
	}
	return options[n].do()
}

func (p *program) find(name string) error {
	words, err := p.text("Which words are in its name?", "", nil)
	if err != nil || words == "" {
		return err
	}
	list, more, err := p.Engine.Find(p.ctx, name, "/", words, 200)
	if err != nil {
		p.failed("Searching", err)
		return nil
	}
	var text strings.Builder
	for _, f := range list {
		text.WriteString("/" + widget.Clean(f.Name) + ", " + what(f) + "\n")
	}
	switch {
	case len(list) == 0:
		p.say("Nothing is called so.")
		return nil
	case more:
		p.say("These are the first %d.", len(list))
	}
	return p.read(text.String())
}

func (p *program) software(name string) error {
	all, err := p.Engine.Packages(p.ctx, name)
	if err != nil {
		p.failed("Listing the software", err)
		return nil
	}
	p.say("%s.", widget.Count(len(all.Packages), "package", "packages"))
	p.unread(all.Unread)
	words, err := p.text("Which ones? A part of the name, or an empty line for all.", "", nil)
	if err != nil {
		return err
	}
	var text strings.Builder
	for _, x := range all.Packages {
		if strings.Contains(strings.ToLower(x.Name), strings.ToLower(words)) {
			fmt.Fprintf(&text, "%s %s, %s\n", widget.Clean(x.Name), widget.Clean(x.Version), widget.Clean(x.Manager))
		}
	}
	if text.Len() == 0 {
		p.say("None is called so.")
		return nil
	}
	return p.read(text.String())
}

// unread says what an answer is without.
func (p *program) unread(u engine.Unread) {
	if err := u.Err(); err != nil {
		p.say("Note: %s.", widget.Clean(err.Error()))
	}
}

// sizes says what takes the space, the largest first.
func (p *program) sizes(name, dir string) error {
	for {
		z, err := p.Engine.Sizes(p.ctx, name, dir)
		if err != nil {
			p.failed("Adding up", err)
			return nil
		}
		p.say("%s takes %s in %s.", widget.Clean(dir), widget.Bytes(z.Total.Size), widget.Count(int(z.Total.Files), "file", "files"))
		p.unread(z.Unread)
		for i, u := range z.Entries {
			if i == 12 {
				p.say("And %d smaller ones.", len(z.Entries)-12)
				break
			}
			kind := ""
			if u.Dir {
				kind = ", a folder"
			}
			p.say("  %s, %s%s", widget.Clean(u.Name), widget.Bytes(u.Size), kind)
		}
		answer, err := p.text("Which folder next? Its name; up for the folder above; back ends this.", "", nil)
		switch {
		case err != nil:
			return err
		case answer == "up":
			dir = path.Dir(dir)
		case answer != "":
			dir = path.Join(dir, answer)
		}
	}
}

// changes says what differs between another image and this one.
func (p *program) changes(name string) error {
	with, err := p.text("Compare with which image? A file, or the name of an app. What is listed is what changed from that one to this.", "", func(s string) string {
		if s == "" {
			return "Write the path of an image, or back."
		}
		return ""
	})
	if err != nil {
		return err
	}
	d, err := p.Engine.Diff(p.ctx, p.expand(with), name)
	if err != nil {
		p.failed("Comparing", err)
		return nil
	}
	var text strings.Builder
	for _, x := range d.Packages {
		switch {
		case x.Old == "":
			fmt.Fprintf(&text, "software added: %s %s\n", widget.Clean(x.Name), widget.Clean(x.New))
		case x.New == "":
			fmt.Fprintf(&text, "software removed: %s %s\n", widget.Clean(x.Name), widget.Clean(x.Old))
		default:
			fmt.Fprintf(&text, "software changed: %s, from %s to %s\n", widget.Clean(x.Name), widget.Clean(x.Old), widget.Clean(x.New))
		}
	}
	for _, x := range d.Files {
		fmt.Fprintf(&text, "%s: %s", x.Kind, widget.Clean(x.Path))
		if x.Files > 0 {
			fmt.Fprintf(&text, ", a folder with %s", widget.Count(int(x.Files), "file", "files"))
		}
		if len(x.What) > 0 {
			fmt.Fprintf(&text, ", %s", strings.Join(x.What, ", "))
		}
		text.WriteString("\n")
	}
	p.unread(d.Unread)
	for _, n := range d.Notes {
		p.say("Note: %s", widget.Sentence(widget.Clean(n)))
	}
	if text.Len() == 0 {
		p.say("Nothing differs.")
		return nil
	}
	p.say("%s of software and %s of files.", widget.Count(len(d.Packages), "change", "changes"), widget.Count(len(d.Files), "change", "changes"))
	return p.read(text.String())
}

// trust says what checksums and signatures an image carries, and compares them with its content.
func (p *program) trust(name string) error {
	x, err := p.Engine.Parts(p.ctx, name, false)
	if err != nil {
		p.say("This kind of image carries no checksums and no signatures.")
		return nil
	}
	if x.Signed {
		p.say("Somebody signed it. Carrel compares what was signed with the content; who signed is not examined.")
	} else {
		p.say("Nobody signed it. That is usual. What you can trust is then where you got it from.")
	}
	p.say("It consists of %s.", widget.Count(len(x.Parts), "part", "parts"))
	for _, o := range x.Parts {
		p.say("  %s, %s, %s", widget.Clean(o.Type), orElse(widget.Clean(o.Name), "without a name"), widget.Bytes(o.Size))
	}
	ok, err := p.yes("Read the whole file and compare it with the checksums it carries?", false)
	if err != nil || !ok {
		return err
	}
	x, err = p.Engine.Parts(p.ctx, name, true)
	if err != nil {
		p.say("The content is not what was written: %s", widget.Sentence(widget.Clean(err.Error())))
		return nil
	}
	checked := 0
	for _, o := range x.Parts {
		if o.Checked != "" {
			checked++
		}
	}
	if checked == 0 {
		p.say("Everything could be read, but the file carries no checksums to compare with.")
	} else {
		p.say("Every byte was read. %d of %d parts carry a checksum, and it is right.", checked, len(x.Parts))
	}
	return nil
}
