package plain

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"carrel/engine"
	"carrel/engine/progress"
	"carrel/tui/task"
	"carrel/tui/widget"
)

// launch asks what an app wants to know, builds it when it is not there yet, starts it, and waits until it answers.
func (p *program) launch(name string) error {
	target, err := p.Engine.Resolve(p.ctx, name)
	if err != nil {
		p.failed("Finding "+widget.Clean(name), err)
		return nil
	}
	build := engine.BuildSpec{Definition: target.Name, Target: target.Path, Force: true}
	var card task.Card
	if target.Kind == engine.TargetRemote {
		build.Definition = target.Ref
	}
	if target.Kind == engine.TargetImage {
		if _, c, err := task.Definition(target.Path); err == nil {
			card, target.Built = c, false
			build.Definition, build.Target = target.Path, ""
		} else if !errors.Is(err, task.ErrNoDefinition) {
			p.failed("Reading the definition", err)
			return nil
		}
	}
	if build.Target != "" {
		if card, err = p.Engine.Card(p.ctx, name); err != nil && target.Kind != engine.TargetRemote {
			p.failed("Reading what it says of itself", err)
			return nil
		}
	}
	title := widget.Clean(card.Title)
	if title == "" {
		title = widget.Clean(target.Name)
	}
	p.say("%s. %s", strings.TrimSuffix(title, "."), widget.Sentence(widget.Clean(card.Description)))
	spec, err := p.form(name, target.Name, card)
	if err != nil {
		return err
	}
	if !target.Built {
		ok, err := p.yes(title+" is not on this computer yet. Building it takes a moment or some minutes, and mostly the network. Build it now?", true)
		if err != nil || !ok {
			return err
		}
		image, err := p.build(title, build)
		if err != nil {
			return err
		}
		if image == "" {
			return nil
		}
		spec.Image = image
	}
	return p.start(title, spec)
}

// form asks for folders, ports and arguments.
func (p *program) form(name, short string, card task.Card) (engine.RunSpec, error) {
	spec := engine.RunSpec{Image: name, Action: engine.ActionRun, Profile: engine.ProfileSafe}
	answers := map[string]string{}
	key := "plain " + short
	if p.Memory != nil {
		for k, v := range p.Memory.Load(key) {
			answers[k] = v
		}
	}
	for _, b := range card.Binds {
		id := "folder " + b.Dest
		def := answers[id]
		if def == "" && (b.Required || short == "welcome") { // which is there to show one
			def = filepath.Join(p.Home, "carrel-"+short)
		}
		question := widget.Clean(b.Text)
		if question == "" {
			question = "Which folder of yours should the app see?"
		}
		question = widget.Sentence(question)
		if b.Mode == task.BindReadOnly {
			question += " The app can only read it."
		} else {
			question += " The app can read and change the files in it."
		}
		if !b.Required {
			question += " None: no folder."
			if def == "" {
				def = "none"
			}
		}
		var path string
		_, err := p.text(question, widget.Tilde(def, p.Home), func(s string) string {
			path = ""
			if !b.Required && (s == "" || strings.EqualFold(s, "none")) {
				return ""
			}
			path = p.expand(s)
			st := p.Engine.Folder(path)
			switch {
			case !st.Exists && filepath.IsAbs(path):
				return ""
			case st.Problem != "":
				return widget.Sentence(widget.Clean(st.Problem))
			case b.Mode != task.BindReadOnly && !st.Writable:
				return "You may not write into that folder. Choose another one."
			}
			return ""
		})
		if err != nil {
			return spec, err
		}
		if path == "" {
			continue
		}
		if st := p.Engine.Folder(path); !st.Exists {
			ok, err := p.yes(widget.Tilde(path, p.Home)+" is not there yet. Make it?", true)
			if err != nil {
				return spec, err
			}
			if !ok {
				return spec, errBack
			}
			if err := os.MkdirAll(path, 0o777); err != nil { // less the umask, as mkdir does
				p.failed("Making the folder", err)
				return spec, errBack
			}
		}
		answers[id] = path
		spec.Binds = append(spec.Binds, engine.Bind{Source: path, Dest: b.Dest, ReadOnly: b.Mode == task.BindReadOnly})
	}
	for _, port := range card.Ports {
		want := port.Container
		if want < 1024 { // which a person without rights cannot have
			want += 8000
		}
		st := p.Engine.Port(want)
		if !st.Free {
			p.say("Port %d is taken by %s.", want, widget.Clean(st.Holder))
			want = st.NextOne
		}
		text, err := p.text("Port on this computer for "+orElse(widget.Clean(port.Text), "its page")+"?", strconv.Itoa(want), func(s string) string {
			n, err := strconv.Atoi(s)
			if err != nil || n < 1024 || n > 65535 {
				return "A port is a number from 1024 to 65535."
			}
			if st := p.Engine.Port(n); !st.Free {
				return fmt.Sprintf("Port %d is taken by %s. The next free one is %d.", n, widget.Clean(st.Holder), st.NextOne)
			}
			return ""
		})
		if err != nil {
			return spec, err
		}
		n, _ := strconv.Atoi(text) // checked above
		spec.Ports = append(spec.Ports, engine.Port{Host: n, Container: port.Container})
	}
	for _, a := range card.Args {
		question := widget.Sentence(orElse(widget.Clean(a.Text), widget.Clean(a.Name)))
		if len(a.Choices) > 0 {
			var options []option
			for _, c := range a.Choices {
				options = append(options, option{name: widget.Clean(c)})
			}
			n, err := p.choose(question, options, 0)
			if err != nil {
				return spec, err
			}
			spec.Args = append(spec.Args, a.Choices[n])
			continue
		}
		s, err := p.text(question, answers["arg "+a.Name], nil)
		if err != nil {
			return spec, err
		}
		if answers["arg "+a.Name] = s; s != "" {
			spec.Args = append(spec.Args, s)
		}
	}
	for _, v := range card.Env {
		s, err := p.text(widget.Sentence(orElse(widget.Clean(v.Text), widget.Clean(v.Name)))+" An empty answer leaves it as it is.", "", nil)
		if err != nil {
			return spec, err
		}
		if s != "" {
			if spec.Env == nil {
				spec.Env = map[string]string{}
			}
			spec.Env[v.Name] = s
		}
	}
	p.say("The same as a command: %s", widget.Clean(p.Engine.CommandLine(spec)))
	ok, err := p.yes("Go on?", true)
	if err != nil {
		return spec, err
	}
	if !ok {
		return spec, errBack
	}
	if p.Memory != nil {
		if err := p.Memory.Save(key, answers); err != nil {
			p.failed("Remembering your answers", err)
		}
	}
	return spec, nil
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// told keeps what a build tells until it is said.
type told struct {
	mu    sync.Mutex
	news  []string
	tail  []string // last lines of the log
	doing string
	step  int
	steps int
	began map[progress.Step]time.Time
	title map[progress.Step]string
	wake  chan struct{}
}

// tailed is how many lines of a log are read out.
const tailed = 20

func (b *told) take(e engine.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	title := widget.Clean(orElse(b.title[e.Step], string(e.Step)))
	switch e.Kind {
	case progress.Plan:
		b.steps = len(e.Plan)
		for _, s := range e.Plan {
			b.title[s.Step] = s.Title
		}
		return
	case progress.Start:
		if e.Step == "" {
			return
		}
		b.step++
		b.began[e.Step] = e.Time
		of := ""
		if b.steps > 0 {
			of = fmt.Sprintf(" of %d", max(b.steps, b.step))
		}
		b.doing = title
		b.news = append(b.news, strings.TrimSpace(fmt.Sprintf("Step %d%s: %s. %s", b.step, of, title, widget.Sentence(widget.Clean(e.Text)))))
	case progress.Done:
		if e.Step == "" {
			return
		}
		b.news = append(b.news, strings.TrimSpace(fmt.Sprintf("%s is done after %s. %s", title, spoken(e.Time.Sub(b.began[e.Step])), widget.Sentence(widget.Clean(e.Text)))))
	case progress.Notice:
		b.news = append(b.news, "Note: "+widget.Sentence(widget.Clean(e.Text)))
	case progress.Failed:
		if e.Step == "" {
			return
		}
		b.news = append(b.news, title+" has failed.")
	case progress.Amount:
		b.doing = strings.TrimSpace(title + ", " + widget.Clean(e.Text))
		if e.Total > 0 && e.Unit == "bytes" {
			b.doing += fmt.Sprintf(", %s of %s", widget.Bytes(e.Done), widget.Bytes(e.Total))
		} else if e.Total > 0 {
			b.doing += fmt.Sprintf(", %d of %d %s", e.Done, e.Total, e.Unit)
		}
		return
	case progress.Line:
		if b.tail = append(b.tail, widget.Clean(e.Text)); len(b.tail) > tailed {
			b.tail = b.tail[1:]
		}
		return
	}
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

func (b *told) read() (news, tail []string, doing string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	news, b.news = b.news, nil
	return news, append([]string(nil), b.tail...), b.doing
}

// patience is how long nothing is said while something goes on.
const patience = 15 * time.Second

// typed are the lines that somebody types while something goes on.
func (p *program) typed() chan string {
	if p.Person {
		return p.lines
	}
	return nil
}

// build builds an image, and returns its path; empty when it was cancelled or failed, which was said then.
func (p *program) build(title string, spec engine.BuildSpec) (string, error) {
	p.say("Building %s.", title)
	if p.Person {
		p.say("While it goes on: log reads the last lines, cancel ends it.")
	}
	ctx, cancel := context.WithCancel(p.ctx)
	defer cancel()
	b := &told{began: map[progress.Step]time.Time{}, title: map[progress.Step]string{}, wake: make(chan struct{}, 1)}
	type end struct {
		image engine.ImageInfo
		err   error
	}
	ended := make(chan end, 1)
	go func() {
		var e end
		defer func() {
			if r := recover(); r != nil {
				e.err = &task.PanicError{Value: r}
			}
			ended <- e
		}()
		e.image, e.err = p.Engine.Build(ctx, spec, b.take)
	}()
	lines := p.typed()
	still := time.NewTicker(patience)
	defer still.Stop()
	said := false
	for {
		select {
		case <-b.wake:
			news, _, _ := b.read()
			for _, s := range news {
				p.say("%s", s)
				said = true
			}
		case <-still.C:
			if _, _, doing := b.read(); !said && doing != "" {
				p.say("Still working: %s.", doing)
			}
			said = false
		case s, ok := <-lines:
			if !ok {
				lines = nil // a pipe that has ended does not cancel what it began
				continue
			}
			switch strings.ToLower(s) {
			case "log":
				_, tail, _ := b.read()
				for _, l := range tail {
					p.say("%s", l)
				}
			case "cancel", "c", "back", "leave", "quit":
				p.say("Cancelling.")
				cancel()
			default:
				p.say("It is still being built. Answer log or cancel.")
			}
		case e := <-ended:
			news, tail, _ := b.read()
			for _, s := range news {
				p.say("%s", s)
			}
			switch {
			case e.err == nil:
				p.say("%s is built, %s.", title, widget.Bytes(e.image.Size))
				return e.image.Path, nil
			case ctx.Err() != nil:
				p.say("The build was cancelled. What it has fetched is kept for the next time.")
				return "", p.ctx.Err()
			}
			for _, l := range tail[max(0, len(tail)-8):] {
				p.say("  %s", l)
			}
			p.failed("Building "+title, e.err)
			return "", nil
		}
	}
}

// start starts an app and waits until it answers.
func (p *program) start(title string, spec engine.RunSpec) error {
	in, err := p.Engine.Start(p.ctx, spec)
	var left *engine.UnsavedError
	if errors.As(err, &left) {
		keep, aerr := p.yes("The last time it was ended by force, before it could save what had changed inside. It is all still there. Go on with it? No deletes it for good.", true)
		if aerr != nil {
			return aerr
		}
		if spec.Leftovers = engine.LeftoversDiscard; keep {
			spec.Leftovers = engine.LeftoversKeep
		}
		in, err = p.Engine.Start(p.ctx, spec)
	}
	if err != nil {
		p.failed("Starting "+title, err)
		return nil
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
