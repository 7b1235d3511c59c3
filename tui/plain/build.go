package plain

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"carrel/engine"
	"carrel/engine/progress"
	"carrel/tui/screen"
	"carrel/tui/task"
	"carrel/tui/widget"
)

// told keeps what a build tells until it is said.
type told struct {
	mu    sync.Mutex
	news  []string
	log   []string // the last lines of the log
	doing string
	step  int
	steps int
	began map[progress.Step]time.Time
	title map[progress.Step]string
	wake  chan struct{}
}

// tailed is how many lines of a log are read out, wholeLog how many of a build can be saved.
const (
	tailed   = 20
	wholeLog = 100_000
)

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
		if b.log = append(b.log, widget.Clean(e.Text)); len(b.log) > 2*wholeLog {
			b.log = append([]string(nil), b.log[len(b.log)-wholeLog:]...)
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
	return news, append([]string(nil), b.log[max(0, len(b.log)-tailed):]...), b.doing
}

// whole is the log.
func (b *told) whole() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string(nil), b.log...)
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

// build builds an image, and returns its path; empty when it was cancelled or given up. A failure is explained, and what can
// be done about it is asked.
func (p *program) build(title string, spec engine.BuildSpec) (string, error) {
	for {
		image, log, err := p.tryBuild(title, spec)
		if image != "" || err == nil || errors.Is(err, errLeave) || p.ctx.Err() != nil {
			return image, p.ctx.Err()
		}
		again, err := p.afterFailure(title, &spec, log, err)
		if err != nil || !again {
			return "", err
		}
	}
}

// afterFailure explains why a build failed and asks what to do, until that is to try again or to give up.
func (p *program) afterFailure(title string, spec *engine.BuildSpec, log string, failure error) (again bool, err error) {
	c, known := engine.Explain(failure)
	if known && c.Why != "" { // else its hint was said
		p.explain(c, failure.Error())
	}
	kept := ""
	if be, ok := errors.AsType[*engine.BuildError](failure); ok && be.Kept {
		kept = be.Target
	}
	done := false
	try := func(resume bool) func() error {
		return func() error { spec.Resume, again, done = resume, true, true; return errBack }
	}
	err = p.menu(func() (string, []option) {
		if done {
			return "", nil
		}
		var options []option
		add := func(name, note string, do func() error) { options = append(options, option{name, note, do}) }
		if errors.Is(failure, engine.ErrExists) && !spec.Force {
			add("Replace the image", "the one that is there is lost", func() error { spec.Force = true; return try(false)() })
		}
		if kept != "" {
			add("Try again from the step that failed", "", try(true))
		}
		add("Try again from the beginning", "", try(false))
		if kept != "" && p.canLend() {
			add("Terminal", "a shell where the build failed", func() error { return p.shell("debug", kept) })
		}
		if filepath.IsAbs(spec.Definition) && len(p.Editor) > 0 && p.term != nil {
			add("Edit the definition", "then try again", func() error { return p.edit(spec.Definition) })
		}
		if p.SaveFile != nil && log != "" {
			add("Save the log to a file", "", func() error {
				path, err := p.SaveFile(title+"-build.log", log)
				if err != nil {
					p.failed("Saving it", err)
				} else {
					p.say("Saved as %s.", widget.Clean(widget.Tilde(path, p.Home)))
				}
				return nil
			})
		}
		switch {
		case known && c.Fix == engine.FixDoctor:
			add("Check this computer", "", p.doctor)
		case known && c.Fix == engine.FixSpace:
			p.say("What takes the space: carrel cache. To free it: carrel cache prune.")
		}
		if kept != "" && !p.canLend() {
			p.say("For a terminal where it failed, run in another window: carrel debug %s", widget.Clean(kept))
		}
		if filepath.IsAbs(spec.Definition) && (len(p.Editor) == 0 || p.term == nil) {
			p.say("The definition can be changed meanwhile: %s", widget.Clean(widget.Tilde(spec.Definition, p.Home)))
		}
		return "What now?", append(options, option{name: "Give up"})
	})
	return again, err
}

// explain says why something failed: what happened, the line that says so when it was not said yet, and what to do.
func (p *program) explain(c engine.Cause, said string) {
	why := screen.Why(c, said)
	for i, s := range why {
		switch {
		case i == 0 && c.Why != "":
			p.say("The reason: %s", s)
		case i == len(why)-1 && c.Hint != "":
			p.say("What to do: %s", s)
		default:
			p.say("It said: %s", s)
		}
	}
}

// tryBuild builds an image once. It returns its path, or the log and why it failed; neither when it was cancelled.
func (p *program) tryBuild(title string, spec engine.BuildSpec) (path, log string, failure error) {
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
				return e.image.Path, "", nil
			case ctx.Err() != nil:
				p.say("The build was cancelled. What it has fetched is kept for the next time.")
				return "", "", nil
			}
			for _, l := range tail[max(0, len(tail)-8):] {
				p.say("  %s", l)
			}
			p.failed("Building "+title, e.err)
			return "", strings.Join(b.whole(), "\n") + "\n", e.err
		}
	}
}
