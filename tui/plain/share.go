package plain

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"carrel/engine"
	"carrel/tui/screen/share"
	"carrel/tui/widget"
)

// linkTime is how long a link holds, unless it is ended before.
const linkTime = time.Hour

// share hands an image to somebody else: as a file, as its definition, over the network, or through a registry.
func (p *program) share(name string) error {
	target, err := p.Engine.Resolve(p.ctx, name)
	if err != nil {
		p.failed("Sharing it", err)
		return nil
	}
	file := widget.Clean(filepath.Base(target.Path))
	if st, err := os.Stat(target.Path); err == nil && st.IsDir() {
		p.say("This image is a folder. A file is easier to hand over; make one with: carrel build %s.sif %s", file, widget.Clean(widget.Tilde(target.Path, p.Home)))
	}
	def, _ := p.Engine.Definition(p.ctx, name) // an image without one is shared as a file only
	return p.menu(func() (string, []option) {
		options := []option{{"Hand over the image file", "everything is in it: it runs the same on their computer or on a cluster", func() error {
			p.say("The file is: %s", widget.Clean(target.Path))
			p.say("Send it as you send any large file. They run it with: carrel run %s", file)
			p.say("Or with: apptainer run %s", file)
			sum, err := share.Checksum(p.ctx, target.Path)
			if err != nil {
				p.failed("Working out its checksum", err)
				return nil
			}
			p.say("Its checksum, SHA-256: %s", sum)
			return nil
		}}}
		if def != "" && p.SaveFile != nil {
			options = append(options, option{"Hand over the definition file", "a short text that anybody can read; they build the same app from it, with newer software perhaps", func() error {
				path, err := p.SaveFile(strings.TrimSuffix(target.Name, filepath.Ext(target.Name))+".def", def)
				if err != nil {
					p.failed("Saving the definition", err)
				} else {
					p.say("Saved as %s.", widget.Clean(widget.Tilde(path, p.Home)))
				}
				return nil
			}})
		}
		return "How do you want to share " + widget.Clean(target.Name) + "?", append(options,
			option{"Send it over this network", "a link for a colleague in the room", func() error { return p.handOut(name) }},
			option{"Push it to a registry", "a server from which everybody can take it by name", func() error { return p.push(name) }},
			option{name: "Back"})
	})
}

// handOut serves an image by a link until the person has had enough, or the input has ended and somebody took it.
func (p *program) handOut(name string) error {
	ctx, cancel := context.WithCancel(p.ctx)
	defer cancel()
	news := make(chan engine.ShareEvent, 100)
	spec := engine.ShareSpec{Image: name, For: linkTime, Event: func(e engine.ShareEvent) {
		if e.Kind != engine.ShareAmount {
			select {
			case news <- e:
			case <-ctx.Done():
			}
		}
	}}
	if !p.Person {
		spec.Times = 1
	}
	h, err := p.Engine.Share(ctx, spec)
	if err != nil {
		p.failed("Sending it", err)
		return nil
	}
	defer h.Close()
	p.say("On their computer, in a terminal: carrel pull %s", widget.Clean(h.URL))
	p.say("Who has the link can have the file; nobody else. It holds for an hour, or until you end it.")
	if p.Person {
		p.say("An empty line ends it.")
	}
	p.say("In a browser, they open: %s", widget.Clean(h.Page))
	lines := p.typed()
	for {
		select {
		case e := <-news:
			switch e.Kind {
			case engine.ShareBegun:
				p.say("%s downloads it.", widget.Clean(e.From))
			case engine.ShareTaken:
				p.say("%s has all of it.", widget.Clean(e.From))
			case engine.ShareLeft:
				p.say("%s went away before the end.", widget.Clean(e.From))
			}
		case <-h.Done():
			if err := h.Err(); err != nil {
				p.failed("Sending it", err)
			} else {
				p.say("The link holds no longer.")
			}
			return nil
		case s, ok := <-lines:
			if !ok {
				lines = nil
				continue
			}
			p.say("The link holds no longer.")
			_, err := word(s, ok)
			return err
		case <-ctx.Done():
			return errLeave
		}
	}
}

// push sends an image to a registry.
func (p *program) push(name string) error {
	ref, err := p.text("Where to? Such as oras://ghcr.io/you/name:1, which keeps the very file, or docker://ghcr.io/you/name:1, which Docker and Podman can run too. If it asks who you are, log in first, in another window: carrel login REGISTRY", "", func(s string) string {
		if s == "" {
			return "Write an address, or back."
		}
		return ""
	})
	if err != nil {
		return err
	}
	told := p.Now()
	done, err := p.Engine.Push(p.ctx, name, ref, func(e engine.Event) {
		if now := p.Now(); e.Total > 0 && now.Sub(told) > patience {
			told = now
			p.say("%s of %s are sent.", widget.Bytes(e.Done), widget.Bytes(e.Total))
		}
	})
	if err != nil {
		p.failed("Pushing it", err)
		return nil
	}
	p.say("%s is there. Everybody who may read it runs it with: carrel run %s", widget.Clean(done.Ref), widget.Clean(done.Ref))
	p.say("For a paper, name its exact content: %s", done.Digest)
	return nil
}

// sources lists where the apps of the catalog come from.
func (p *program) sources() error {
	return p.menu(func() (string, []option) {
		all, err := p.Catalog.Sources(p.ctx)
		if err != nil {
			p.failed("Listing the sources", err)
		}
		var options []option
		for _, s := range all {
			note := fmt.Sprintf("%s, %s", widget.Clean(s.Kind), widget.Count(s.Apps, "app", "apps"))
			if s.Address != "" {
				note += ", from " + widget.Clean(s.Address)
			}
			if s.Problem != "" {
				note += ". " + widget.Sentence(widget.Clean(s.Problem))
			}
			if s.Added {
				options = append(options, option{widget.Clean(s.Name), note, func() error { return p.source(s.Name) }})
			} else {
				p.say("%s: %s.", widget.Clean(s.Name), note)
			}
		}
		return "Where apps come from. What would you like to do?", append(options, option{"Add a source", "a folder, a git repository or an index", p.addSource}, option{name: "Back"})
	})
}

func (p *program) addSource() error {
	address, err := p.text("Which address? A folder, or an address such as https://example.org/apps.git. Apps from there are built only after you have agreed.", "", func(s string) string {
		if s == "" {
			return "Write an address, or back."
		}
		return ""
	})
	if err != nil {
		return err
	}
	s, err := p.Catalog.AddSource(p.ctx, address)
	if err != nil {
		p.failed("Adding it", err)
		return nil
	}
	p.say("%s was added, with %s.", widget.Clean(s.Name), widget.Count(s.Apps, "app", "apps"))
	return nil
}

func (p *program) source(name string) error {
	n, err := p.choose("What about "+widget.Clean(name)+"?", []option{{name: "Bring it up to date"}, {name: "Remove it", note: "images built from it stay"}, {name: "Back"}}, -1)
	if err != nil {
		return err
	}
	switch n {
	case 0:
		said, err := p.Catalog.UpdateSource(p.ctx, name)
		if err != nil {
			p.failed("Bringing it up to date", err)
			return nil
		}
		p.say("%s", widget.Clean(said))
	case 1:
		ok, err := p.yes(widget.Clean(name)+" is taken out of the catalog, and its copy here is deleted. Do that?", false)
		if err != nil || !ok {
			return err
		}
		if err := p.Catalog.RemoveSource(p.ctx, name); err != nil {
			p.failed("Removing it", err)
			return nil
		}
		p.say("It was removed.")
	}
	return nil
}
