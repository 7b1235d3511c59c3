package plain

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"carrel/engine"
	"carrel/tui/screen"
	"carrel/tui/widget"
)

// status says in a sentence or two how an app is.
func (p *program) status(a *engine.Instance) string {
	s := fmt.Sprintf("%s is %s", screen.AppTitle(a), screen.AppWords(a))
	if widget.Clean(a.Name) != screen.AppTitle(a) {
		s = fmt.Sprintf("%s, called %s, is %s", screen.AppTitle(a), widget.Clean(a.Name), screen.AppWords(a))
	}
	switch a.State {
	case engine.StateExited:
		s = strings.Replace(s, " is ", " has ", 1)
	case engine.StateLost:
		s = strings.Replace(s, " is lost", " was lost", 1)
	}
	if a.State.Live() && a.State != engine.StateStarting {
		s += ", up for " + spoken(p.Now().Sub(a.Started))
	}
	s += "."
	if a.Problem != "" {
		s += " " + widget.Sentence(widget.Clean(a.Problem))
	}
	if a.Hint != "" {
		s += " " + widget.Sentence(widget.Clean(a.Hint))
	}
	if ad := screen.AppAddress(a); ad != nil && ad.Ready && a.State.Live() { // last: a full stop behind it would be copied along
		if ad.Guarded {
			s += " The link is yours alone and good once."
		}
		s += " Address: " + widget.Clean(ad.URL)
	}
	return s
}

// spoken is a time as it is said: "2 hours".
func spoken(d time.Duration) string {
	switch {
	case d < time.Minute:
		return widget.Count(max(1, int(d.Seconds())), "second", "seconds")
	case d < time.Hour:
		return widget.Count(int(d.Minutes()), "minute", "minutes")
	case d < 48*time.Hour:
		return widget.Count(int(d.Hours()), "hour", "hours")
	}
	return widget.Count(int(d.Hours()/24), "day", "days")
}

func (p *program) running() error {
	return p.menu(func() (string, []option) {
		apps, err := p.Engine.Instances(p.ctx)
		if err != nil {
			p.failed("Listing what runs", err)
			return "", nil
		}
		if len(apps) == 0 {
			p.say("Nothing is running.")
		}
		var options []option
		for i := range apps {
			a := &apps[i]
			options = append(options, option{widget.Clean(a.Name), p.status(a), func() error { return p.app(a.Name) }})
		}
		return "Which app? Back goes back.", options
	})
}

// grace is how long an app has to end by itself after it was asked to.
const grace = 10 * time.Second

// app is what can be done with one app.
func (p *program) app(name string) error {
	return p.menu(func() (string, []option) {
		a, err := p.Engine.Instance(p.ctx, name)
		if err != nil {
			return "", nil // no longer listed
		}
		p.say("%s", p.status(&a))
		ad := screen.AppAddress(&a)
		if p.Remote != nil && ad != nil && ad.Host != 0 && a.State.Live() {
			if line := p.Remote.Tunnel(ad.Host); line != "" {
				p.say("On your own computer, run this first: %s", line)
			}
		}
		if !a.State.Live() {
			for _, l := range a.LastLines {
				p.say("  %s", widget.Clean(l))
			}
		}
		cause, explained := a.Cause(nil)
		if explained {
			p.explain(cause, a.Problem)
		}
		back := ""
		if a.State.Live() {
			back = "it keeps running"
		}
		options := []option{{"Ask again", "how it is, and at which address", func() error { return nil }},
			{"Log", fmt.Sprintf("the last %d lines", tailed), func() error { return p.log(name) }}}
		if a.State.Live() {
			options = append(options, option{"Stop", "", func() error { return p.stop(&a) }})
		}
		if explained {
			if next, ok := engine.Amend(a.Spec, cause); ok && cause.Fix != engine.FixRetry {
				options = append(options, option{screen.MendWords(cause, next), "and start it again", func() error {
					next.Name = name
					return p.start(screen.AppTitle(&a), next)
				}})
			}
		}
		options = append(options,
			option{"Start again", "with the same folders and ports", func() error {
				if a.State.Live() {
					if ok, err := p.yes("What it holds only in memory is lost. Start it again?", false); err != nil || !ok {
						return err
					}
				}
				if _, err := p.Engine.Restart(p.ctx, name); err != nil {
					p.failed("Starting it again", err)
					return nil
				}
				return p.await(name)
			}},
			option{"Look inside", "", func() error { return p.inside(a.Image) }},
			option{"Share", "", func() error { return p.share(a.Image) }})
		if !a.State.Live() {
			options = append(options, option{"Remove from the list", "its log goes with it", func() error {
				if err := p.Engine.Forget(p.ctx, name); err != nil {
					p.failed("Removing it", err)
				}
				return nil
			}})
		} else if p.canLend() {
			options = append(options, option{"Terminal inside", "a shell in the container", func() error { return p.shell("shell", name) }})
		} else {
			p.say("For a terminal inside, run in another window: carrel shell %s", widget.Clean(name))
		}
		return "What about " + widget.Clean(name) + "?", append(options, option{name: "Back", note: back})
	})
}

func (p *program) stop(a *engine.Instance) error {
	ok, err := p.yes(strings.Join(screen.StopWords(a), " ")+" Stop it?", false)
	if err != nil || !ok {
		return err
	}
	if err := p.Engine.Stop(p.ctx, a.Name, grace); err != nil {
		p.failed("Stopping it", err)
		return nil
	}
	p.say("%s has stopped.", widget.Clean(a.Name))
	return nil
}

// log reads the end of an app's log.
func (p *program) log(name string) error {
	any := false
	err := p.Engine.Logs(p.ctx, name, engine.LogOptions{Tail: tailed}, func(lines []engine.LogLine) error {
		for _, l := range lines[max(0, len(lines)-tailed):] {
			any = true
			p.say("  %s", widget.Clean(l.Text))
		}
		return nil
	})
	switch {
	case err != nil && !errors.Is(err, context.Canceled):
		p.failed("Reading its log", err)
	case !any:
		p.say("It has written nothing.")
	}
	return nil
}
