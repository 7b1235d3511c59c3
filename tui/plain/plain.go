package plain

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"time"

	"carrel/engine"
	"carrel/internal/remote"
	"carrel/tui/task"
	"carrel/tui/widget"
)

// Options are all that is needed. Engine, Catalog, Memory, In and Out must be there.
type Options struct {
	Engine  task.Engine
	Catalog task.Catalog
	Memory  task.Memory
	In      io.Reader
	Out     io.Writer
	// Person: somebody types the answers, and may type while something goes on. From a file or pipe all is an answer to a question.
	Person bool

	Home, Cwd string
	Self      string                                  // path of this program, for shells inside containers; empty: there are none
	Editor    []string                                // the person's editor and its arguments; nil: there is none
	SaveFile  func(name, text string) (string, error) // writes a text to a new file for the person and returns its path; nil: cannot
	New       bool                                    // the person has not seen the introduction
	Welcomed  func()                                  // called when they have; may be nil
	Remote    *remote.Place
	Now       func() time.Time // nil: time.Now
}

// program is what the journeys share.
type program struct {
	Options
	*talk
	ctx  context.Context
	term *terminal // nil: it cannot be handed to another program
}

// Run asks and answers until the person leaves, the input ends, or ctx does. Apps go on running. It fails when nothing can be
// written, and with an UnansweredError when the input ends within something that was begun.
func Run(ctx context.Context, o Options) error {
	if o.Now == nil {
		o.Now = time.Now
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p := &program{Options: o, ctx: ctx, talk: &talk{ctx: ctx, out: o.Out}}
	if o.Person {
		p.term = newTerminal(o.In)
	}
	if p.term != nil {
		o.In = p.term
	}
	p.lines = listen(ctx, o.In)
	p.say("Carrel runs notebooks, experiments and result pages in containers, with your own folder in them.")
	p.say("Answer with a number or a word, and press Enter. An empty answer takes what stands in brackets. Back goes back, leave ends Carrel.")
	p.say("")
	var err error
	if o.New {
		err = p.introduction()
		if o.Welcomed != nil && (err == nil || errors.Is(err, errBack)) {
			o.Welcomed()
		}
	}
	for err == nil || errors.Is(err, errBack) {
		if err = p.menu(p.desk); err == nil {
			p.say("This is the beginning: leave ends Carrel.")
		}
	}
	p.goodbye()
	if p.lost != nil {
		return p.lost
	}
	if errors.Is(err, errEnded) && p.asked != beginning {
		return &UnansweredError{p.asked}
	}
	if errors.Is(err, errLeave) || errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// beginning is what is asked first; the input may end there.
const beginning = "What would you like to do?"

// desk is what is running, what is there, and what can be started.
func (p *program) desk() (string, []option) {
	apps, err := p.Engine.Instances(p.ctx)
	if err != nil {
		p.failed("Listing what runs", err)
	}
	live := 0
	for i := range apps {
		if apps[i].State.Live() {
			live++
			p.say("%s", p.status(&apps[i]))
		}
	}
	if live == 0 {
		p.say("Nothing is running.")
	}
	images, err := p.Engine.Images(p.ctx)
	if err != nil {
		p.failed("Listing your images", err)
	}
	options := []option{
		{"Start an app from the catalog", "notebooks, experiments, pages", p.catalog},
		{"Start from a file", "an image or a definition that somebody gave you", p.fromFile},
		{"Make an app of my own folder", "notebooks, scripts, pages", p.own},
	}
	if len(images) > 0 {
		options = append(options, option{"My images", widget.Count(len(images), "image", "images") + " to start, look into or delete", p.images})
	}
	if len(apps) > 0 {
		options = append(options, option{"Running apps", "addresses, logs, stop; " + widget.Count(len(apps), "app is", "apps are") + " listed", p.running})
	}
	return beginning, append(options,
		option{"Where apps come from", "the sources of the catalog: add one, bring one up to date, remove one", p.sources},
		option{"Check this computer", "what can run here, and what to ask an administrator for", p.doctor},
		option{"Introduction", "what Carrel is", p.introduction},
		option{"Leave", "apps keep running", func() error { return errLeave }},
	)
}

// introduction is for somebody who is here for the first time.
func (p *program) introduction() error {
	p.say("Carrel runs apps in containers: sealed boxes that hold everything an app needs. Your files stay on your computer; you choose which folder an app may see.")
	bad := 0
	for _, c := range p.Engine.Doctor(p.ctx) {
		if c.Status != engine.StatusOK {
			bad++
			p.say("Note: %s %s", widget.Sentence(widget.Clean(c.Title)), widget.Clean(c.Advice))
		}
	}
	if bad == 0 {
		p.say("This computer can do all that is needed.")
	}
	ways := []option{
		{"Just looking", "starts a small app that shows a folder of yours", func() error { return p.launch("welcome") }},
		{"A notebook", "", func() error { return p.entries("notebook") }},
		{"An experiment", "something people click through, with results in your folder", func() error { return p.entries("experiment") }},
		{"Show my results on a page", "", func() error { return p.entries("page") }},
		{"Files of mine", "an app is made of a folder", p.own},
		{"I was given a container", "a file from a colleague", p.fromFile},
		{"Go to the list of everything", "", nil},
	}
	n, err := p.choose("What brings you here?", ways, 0)
	if err != nil || ways[n].do == nil {
		return err
	}
	return ways[n].do()
}

// goodbye says what goes on.
func (p *program) goodbye() {
	apps, err := p.Engine.Instances(context.WithoutCancel(p.ctx))
	if err != nil {
		return
	}
	for _, a := range apps {
		if a.State.Live() {
			p.say("%s keeps running. Stop it with: carrel stop %s", widget.Clean(a.Name), widget.Clean(a.Name))
		}
	}
}

func (p *program) doctor() error {
	for _, c := range p.Engine.Doctor(p.ctx) {
		word := map[engine.Status]string{engine.StatusOK: "Good", engine.StatusNote: "Note"}[c.Status]
		if word == "" {
			word = "Problem"
		}
		p.say("%s: %s %s", word, widget.Sentence(widget.Clean(c.Title)), widget.Clean(c.Detail))
		if c.Advice != "" {
			p.say("  %s", widget.Clean(c.Advice))
		}
		if c.Admin != "" {
			p.say("  An administrator would run: %s", widget.Clean(c.Admin))
		}
	}
	return nil
}

// catalog searches and lists the apps that can be started by their name.
func (p *program) catalog() error { return p.entries("") }

func (p *program) entries(category string) error {
	all, err := p.Catalog.Entries(p.ctx)
	if err != nil {
		p.failed("Reading the catalog", err)
		return nil
	}
	for {
		words := ""
		if category == "" {
			if words, err = p.text("What are you looking for? Some words, or an empty line for everything.", "", nil); err != nil {
				return err
			}
		}
		var options []option
		for _, e := range all {
			if e.Err == nil && (category == "" || e.Card.Category == category) && fits(e, words) {
				title := widget.Clean(e.Card.Title)
				if title == "" {
					title = widget.Clean(e.Name)
				}
				options = append(options, option{title, widget.Clean(e.Card.Description), func() error { return p.entry(e) }})
			}
		}
		if len(options) == 0 {
			p.say("Nothing in the catalog fits.")
			if category != "" {
				return nil
			}
			continue
		}
		n, err := p.choose(widget.Count(len(options), "app fits.", "apps fit.")+" Which one?", options, -1)
		if errors.Is(err, errBack) && category == "" {
			continue
		}
		if err != nil {
			return err
		}
		return options[n].do()
	}
}

func fits(e task.Entry, words string) bool {
	hay := strings.ToLower(strings.Join(append([]string{e.Name, e.Card.Title, e.Card.Description, e.Card.Category}, e.Card.Keywords...), " "))
	for w := range strings.FieldsSeq(strings.ToLower(words)) {
		if !strings.Contains(hay, w) {
			return false
		}
	}
	return true
}

// entry is one app of the catalog: what somebody else wrote is built only when the person agrees.
func (p *program) entry(e task.Entry) error {
	if len(e.Ask) > 0 {
		for _, s := range e.Ask {
			p.say("%s", widget.Clean(s))
		}
		ok, err := p.yes("Do you agree that it is built here?", false)
		if err != nil || !ok {
			return err
		}
		if err := p.Catalog.Allow(p.ctx, e); err != nil {
			p.failed("Remembering that", err)
		}
	}
	return p.launch(e.Name)
}

func (p *program) fromFile() error {
	name, err := p.text("Which file? The path of an image or a definition file, or an address such as docker://alpine.", "", func(s string) string {
		if s == "" {
			return "Write the path of the file, or back."
		}
		return ""
	})
	if err != nil {
		return err
	}
	return p.launch(p.expand(name))
}

// expand makes a path of what was written; what is no path stays.
func (p *program) expand(s string) string {
	switch {
	case s == "~" || strings.HasPrefix(s, "~/"):
		return filepath.Join(p.Home, strings.TrimPrefix(s, "~"))
	case strings.Contains(s, "://") || filepath.IsAbs(s) || s == "":
		return s
	}
	if st := p.Engine.Folder(filepath.Dir(filepath.Join(p.Cwd, s))); st.Exists {
		return filepath.Join(p.Cwd, s)
	}
	return s
}

func (p *program) images() error {
	return p.menu(func() (string, []option) {
		list, err := p.Engine.Images(p.ctx)
		if err != nil {
			p.failed("Listing your images", err)
			return "", nil
		}
		var options []option
		for _, i := range list {
			note := widget.Bytes(i.Size) + ", last started " + widget.Ago(i.LastRun, p.Now())
			if i.LastRun.IsZero() {
				note = widget.Bytes(i.Size) + ", not yet run here"
			}
			if i.Problem != "" {
				note = "cannot run, " + widget.Clean(i.Problem)
			}
			options = append(options, option{widget.Clean(i.Name), note, func() error { return p.image(i) }})
		}
		return "Which image? Back goes back.", options
	})
}

func (p *program) image(i engine.ImageInfo) error {
	options := []option{
		{"Look inside", "what it says of itself, files, software", func() error { return p.inside(i.Path) }},
		{"Share", "hand it over as a file, by a link, or through a registry", func() error { return p.share(i.Path) }},
		{"Delete", "", func() error {
			ok, err := p.yes("The file "+widget.Clean(i.Path)+" of "+widget.Bytes(i.Size)+" is deleted for good. Do that?", false)
			if err == nil && ok {
				if err := p.Engine.RemoveImage(p.ctx, i.Path); err != nil {
					p.failed("Deleting it", err)
				} else {
					p.say("It was deleted.")
				}
			}
			return err
		}},
	}
	if i.Problem == "" {
		options = append([]option{{"Start", "", func() error { return p.launch(i.Path) }}}, options...)
	}
	n, err := p.choose("What about "+widget.Clean(i.Name)+"?", options, 0)
	if err != nil {
		return err
	}
	return options[n].do()
}
