package plain

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"carrel/engine"
	"carrel/tui/screen"
	"carrel/tui/screen/launch"
	"carrel/tui/widget"
)

// deps are what the screens' own parts are made with.
func (p *program) deps() screen.Deps {
	return screen.Deps{Life: p.ctx, Engine: p.Engine, Catalog: p.Catalog, Memory: p.Memory, Now: p.Now, Home: p.Home, Cwd: p.Cwd, Writable: true}
}

// launch asks what an app wants to know, builds it when it is not there yet, starts it, and waits until it answers.
func (p *program) launch(name string) error {
	q, err := launch.Ask(p.deps(), name)
	if err != nil {
		p.failed("Opening "+widget.Clean(name), err)
		return nil
	}
	p.say("%s. %s", strings.TrimSuffix(q.Title(), "."), widget.Sentence(q.Description()))
	if err := p.form(name, q); err != nil {
		return err
	}
	spec := q.Spec()
	if build, ok := q.Build(); ok {
		yes, err := p.yes(q.Title()+" is not on this computer yet. Building it takes a moment or some minutes, and mostly the network. Build it now?", true)
		if err != nil || !yes {
			return err
		}
		image, err := p.build(q.Title(), build)
		if err != nil {
			return err
		}
		if image == "" {
			return nil
		}
		spec.Image = image
	}
	return p.start(q.Title(), spec)
}

// form asks what the form of the screens asks: what everybody has to decide one by one, and the rest when it is wished for.
func (p *program) form(name string, q *launch.Questions) error {
	asked := map[string]bool{}
	for again := true; again; {
		again = false
		for _, f := range q.Fields() {
			if q.Seldom(f) || asked[f.ID] {
				continue
			}
			asked[f.ID] = true
			if f.Kind == widget.FolderKind && f.Value() == "" && name == "welcome" { // which is there to show one
				f.SetValue("~/carrel-welcome")
			}
			if err := p.field(q, f); err != nil {
				return err
			}
			if q.Preset(f) {
				q.Take(f.Value())
				again = true // the fields are others now
				break
			}
		}
	}
	for {
		p.say("%s", q.Sees())
		p.say("The same as a command: %s", widget.Clean(p.Engine.CommandLine(q.Spec())))
		n, err := p.choose("Go on?", []option{
			{name: "Yes"},
			{name: "More settings", note: "only reading, other folders, arguments, variables, limits, graphics, network, name"},
			{name: "No"},
		}, 0)
		if err != nil {
			return err
		}
		switch n {
		case 0:
			if err := q.Save(); err != nil {
				p.failed("Remembering your answers", err)
			}
			return nil
		case 2:
			return errBack
		}
		if err := p.more(q); err != nil {
			return err
		}
	}
}

// more asks for the settings that are asked for seldom, until the person has had enough.
func (p *program) more(q *launch.Questions) error {
	return p.menu(func() (string, []option) {
		var options []option
		for _, f := range q.Fields() {
			if q.Seldom(f) && q.Concerns(f) {
				options = append(options, option{f.Label, value(f), func() error { return p.field(q, f) }})
			}
		}
		return "Which setting?", append(options, option{name: "Back"})
	})
}

// value says what the answer to a question is.
func value(f *widget.Field) string {
	switch f.Kind {
	case widget.RadioKind, widget.ChoiceKind:
		if f.Choice >= 0 && f.Choice < len(f.Options) {
			return f.Options[f.Choice].Label
		}
	case widget.CheckKind:
		return f.Value()
	}
	return orElse(widget.Clean(f.Value()), orElse(f.Hint, "none"))
}

// field asks one question.
func (p *program) field(q *launch.Questions, f *widget.Field) error {
	question := strings.TrimSpace(widget.Sentence(f.Label) + " " + f.Help)
	switch f.Kind {
	case widget.FolderKind:
		return p.folder(q, f)
	case widget.NumberKind:
		return p.port(q, f)
	case widget.CheckKind:
		on, err := p.yes(question, f.On)
		if err == nil {
			f.On = on
		}
		return err
	case widget.RadioKind, widget.ChoiceKind:
		var options []option
		for _, o := range f.Options {
			options = append(options, option{name: o.Label, note: o.Help})
		}
		n, err := p.choose(question, options, f.Choice)
		if err == nil {
			f.Choice = n
		}
		return err
	}
	if f.Hint != "" {
		question += " For example: " + f.Hint + "."
	}
	if f.Value() != "" {
		question += " None: leave it empty."
	}
	_, err := p.text(question, f.Value(), func(s string) string {
		if strings.EqualFold(s, "none") {
			s = ""
		}
		f.SetValue(s)
		return q.Wrong(f)
	})
	return err
}

// folder asks for a folder, and makes it when it is not there.
func (p *program) folder(q *launch.Questions, f *widget.Field) error {
	dest, readOnly := q.Folder(f)
	question := widget.Sentence(f.Label)
	if readOnly {
		question += " The app can only read it."
	}
	def := f.Value()
	if !q.Required(f) {
		question += " None: no folder."
		if def == "" {
			def = "none"
		}
	}
	path := ""
	_, err := p.text(question, def, func(s string) string {
		path = ""
		switch {
		case !q.Required(f) && (s == "" || strings.EqualFold(s, "none")):
			return ""
		case s == "":
			return "The app needs a folder to work in. Write the path of one."
		}
		path = p.expand(s)
		r := screen.FolderRemarks(p.Engine.Folder(path), dest, readOnly)
		if len(r) > 0 && r[0].Tone == widget.Error {
			return r[0].Text
		}
		return ""
	})
	if err != nil {
		return err
	}
	f.SetValue("")
	if path == "" {
		return nil
	}
	st := p.Engine.Folder(path)
	if screen.MissingFolder(st) {
		ok, err := p.yes(widget.Clean(widget.Tilde(path, p.Home))+" is not there yet. Make it?", true)
		if err != nil {
			return err
		}
		if !ok {
			return errBack
		}
		if err := os.MkdirAll(path, 0o777); err != nil { // less the umask, as mkdir does
			p.failed("Making the folder", err)
			return errBack
		}
	}
	f.SetValue(widget.Tilde(path, p.Home))
	if st.Exists {
		for _, r := range screen.FolderRemarks(st, dest, readOnly) {
			p.say("%s", r.Text)
		}
	}
	if hides := q.Hides(f); hides != "" {
		p.say("%s", hides)
	}
	return nil
}

// port asks for a port of this computer.
func (p *program) port(q *launch.Questions, f *widget.Field) error {
	want, err := strconv.Atoi(f.Value())
	if err == nil {
		if st := p.Engine.Port(want); !st.Free {
			p.say("Port %d is taken by %s.", want, holder(st))
			if st.NextOne > 0 {
				f.SetValue(strconv.Itoa(st.NextOne))
			}
		}
	}
	question := "Port on this computer?"
	if !strings.HasPrefix(f.Label, "Port on") && !strings.HasPrefix(f.Label, "Address in") {
		question = "Port on this computer for " + f.Label + "?"
	}
	_, err = p.text(question+" "+f.Help, f.Value(), func(s string) string {
		n, err := strconv.Atoi(s)
		if err != nil || n < 0 || n > 65535 {
			return "A port is a number from 1 to 65535; 0 takes any that is free."
		}
		if n > 0 {
			if st := p.Engine.Port(n); !st.Free {
				return strings.TrimSpace(fmt.Sprintf("Port %d is taken by %s. %s", n, holder(st), next(st)))
			}
		}
		f.SetValue(strconv.Itoa(n))
		return ""
	})
	return err
}

func holder(st engine.PortState) string { return orElse(widget.Clean(st.Holder), "another program") }

func next(st engine.PortState) string {
	if st.NextOne == 0 {
		return ""
	}
	return fmt.Sprintf("The next free one is %d.", st.NextOne)
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// start starts an app and waits until it answers. Of a start that does not work the reason is said, and what does away with
// it is asked for.
func (p *program) start(title string, spec engine.RunSpec) error {
	in, err := p.Engine.Start(p.ctx, spec)
	var left *engine.UnsavedError
	var busy *engine.BusyError
	var locked *engine.ReadOnlyImageError
	switch {
	case errors.As(err, &left):
		keep, aerr := p.yes("The last time it could not save what had changed inside. It is all still there. Go on with it? No deletes it for good.", true)
		if aerr != nil {
			return aerr
		}
		if spec.Leftovers = engine.LeftoversDiscard; keep {
			spec.Leftovers = engine.LeftoversKeep
		}
		return p.start(title, spec)
	case errors.As(err, &busy), errors.As(err, &locked):
		p.failed("Starting "+title, err)
		fresh, aerr := p.yes("Start it fresh instead? What it changes inside the container is then thrown away when it ends.", false)
		if aerr != nil || !fresh {
			return aerr
		}
		spec.Writable = false
		return p.start(title, spec)
	case err != nil:
		p.failed("Starting "+title, err)
		c, ok := engine.Explain(err)
		if !ok {
			return nil
		}
		next, again, err := p.mend(c, spec, err.Error())
		if err != nil || !again {
			return err
		}
		return p.start(title, next)
	}
	p.say("%s is starting.", title)
	if p.Person {
		p.say("An empty line ends the waiting.")
	}
	if err := p.await(in.Name); err != nil {
		return err
	}
	return p.app(in.Name)
}

// mend explains a cause and asks whether what does away with it is to be done. again says that next is to be started then.
func (p *program) mend(c engine.Cause, spec engine.RunSpec, said string) (next engine.RunSpec, again bool, err error) {
	if c.Why != "" { // else its hint was said
		p.explain(c, said)
	}
	switch {
	case c.Fix == engine.FixDoctor:
		ok, err := p.yes("Check this computer?", true)
		if err == nil && ok {
			err = p.doctor()
		}
		return spec, false, err
	case c.Fix == engine.FixSpace:
		p.say("What takes the space: carrel cache. To free it: carrel cache prune.")
		return spec, false, nil
	case c.Fix == engine.FixFolder && c.Path != "":
		ok, err := p.yes("Create the folder "+widget.Clean(c.Path)+" and start it again?", true)
		if err != nil || !ok {
			return spec, false, err
		}
		if err := os.MkdirAll(c.Path, 0o777); err != nil { // less the umask, as mkdir does
			p.failed("Making the folder", err)
			return spec, false, nil
		}
		return spec, true, nil
	}
	next, can := engine.Amend(spec, c)
	if !can {
		return spec, false, nil
	}
	ok, err := p.yes(screen.MendWords(c, next)+"?", true)
	return next, ok, err
}

// await waits until an app answers or has ended, and says so.
func (p *program) await(name string) error {
	ctx, cancel := context.WithCancel(p.ctx)
	defer cancel()
	changes, err := p.Engine.Watch(ctx)
	if err != nil {
		p.failed("Watching it", err)
		return nil
	}
	lines := p.typed()
	still := time.NewTicker(patience)
	defer still.Stop()
	for {
		a, err := p.Engine.Instance(p.ctx, name)
		if err != nil {
			p.failed("Watching it", err)
			return nil
		}
		if a.State != engine.StateStarting {
			return nil
		}
		select {
		case _, ok := <-changes:
			if !ok {
				return p.ctx.Err()
			}
		case <-still.C:
			p.say("It is still starting, for %s now.", spoken(p.Now().Sub(a.Started)))
		case s, ok := <-lines:
			if ok {
				_, err := word(s, ok)
				return err
			}
			lines = nil
		}
	}
}
