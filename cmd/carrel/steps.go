package main

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"carrel/engine"
	"carrel/engine/progress"
)

// steps shows a build: on a terminal one line for each step, with the last line of its log below the one that runs, drawn
// anew ten times a second; elsewhere, or when asked for everything, every line as it comes.
type steps struct {
	t       terminal
	write   func(string)
	live    bool
	quiet   bool
	now     func() time.Time
	started time.Time

	mu    sync.Mutex
	steps []*step
	queue []string // lines to be written above the steps, or, when not live, all there is
	tail  []string // last lines of the step that runs
	drawn int      // lines that the last drawing took

	wake chan struct{}
	stop chan struct{}
	done chan struct{}
}

type step struct {
	progress.Planned
	stage       string
	state       progress.Kind // "", Start, Done, Failed
	begin, end  time.Time
	text        string
	amount      *engine.Event // the last one
	currentLine string
}

// tailLines is how much of a failed step's log is shown.
const tailLines = 20

// redraw is how often a terminal is drawn anew: often enough to be alive, seldom enough to be calm.
const redraw = 100 * time.Millisecond

// newSteps begins to show a build on standard error. close must be called.
func (a *app) newSteps() *steps {
	s := &steps{
		t: a.screen, live: a.screen.is && !a.verbose, quiet: a.quiet, now: time.Now,
		write: func(text string) { fmt.Fprint(a.err, text) },
		wake:  make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}),
	}
	s.started = s.now()
	go s.loop()
	return s
}

// sink takes the build's events; it never waits for the terminal.
func (s *steps) sink() engine.Sink {
	return func(e engine.Event) {
		s.mu.Lock()
		s.take(e)
		s.mu.Unlock()
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
}

// take is called with the lock held.
func (s *steps) take(e engine.Event) {
	switch e.Kind {
	case progress.Plan:
		for _, p := range e.Plan {
			st := s.find(p.Step, e.Stage)
			st.Title = p.Title
		}
		return
	case progress.Notice:
		s.say("  " + s.t.paint(warn, "! ") + clean(e.Text))
		return
	}
	if e.Step == "" {
		return // the whole job's own end is told by who called it
	}
	st := s.find(e.Step, e.Stage)
	switch e.Kind {
	case progress.Start:
		st.state, st.begin, st.text = progress.Start, e.Time, e.Text
		s.tail = nil
		s.plain("%s", s.title(st))
	case progress.Amount:
		st.amount = &e
	case progress.Line:
		line := clean(lastLine(e.Text))
		st.currentLine = line
		if s.tail = append(s.tail, clean(strings.TrimRight(e.Text, "\r"))); len(s.tail) > tailLines {
			s.tail = s.tail[1:]
		}
		s.plain("    %s", clean(e.Text))
	case progress.Done:
		st.state, st.end, st.text, st.currentLine, st.amount = progress.Done, e.Time, e.Text, "", nil
		s.plain("  %s %s", s.t.text("✓"), s.line(st))
	case progress.Failed:
		st.state, st.end, st.currentLine = progress.Failed, e.Time, ""
		s.plain("  %s %s", s.t.text("✗"), s.title(st))
	}
}

// titles are those of steps that begin before the plan is known.
var titles = map[progress.Step]string{
	progress.StepRead: "Read definition", progress.StepFetch: "Fetch base", progress.StepSetup: "Prepare (%setup)", progress.StepFiles: "Copy files (%files)",
	progress.StepInstall: "Install software (%post)", progress.StepApps: "Install apps", progress.StepPack: "Pack image", progress.StepTest: "Test (%test)",
}

func (s *steps) find(name progress.Step, stage string) *step {
	for _, st := range s.steps {
		if st.Step == name && st.stage == stage {
			return st
		}
	}
	title := titles[name]
	if title == "" {
		title = string(name)
	}
	st := &step{Planned: progress.Planned{Step: name, Title: title}, stage: stage}
	s.steps = append(s.steps, st)
	return st
}

// say queues a line in either mode, plain only where every line is shown.
func (s *steps) say(line string) {
	if !s.quiet {
		s.queue = append(s.queue, line)
	}
}

func (s *steps) plain(format string, args ...any) {
	if !s.live {
		s.say(fmt.Sprintf(format, args...))
	}
}

func (s *steps) title(st *step) string {
	title := clean(st.Title)
	if st.stage != "" {
		title += " [" + clean(st.stage) + "]"
	}
	if st.text != "" {
		title += "  " + clean(st.text)
	}
	return title
}

// line is a step with the time it took.
func (s *steps) line(st *step) string {
	if st.begin.IsZero() || st.end.IsZero() {
		return s.title(st)
	}
	return s.title(st) + "  " + lasting(st.end.Sub(st.begin))
}

// The least and the most cells that a bar takes.
const (
	shortBar = 8
	longBar  = 24
)

// amounts says how far a step is, how fast it goes, and how long it still takes, with a bar where the end is known and
// there are cells left for it.
func (s *steps) amounts(e engine.Event, cells int) string {
	text := doneOf(e)
	if e.Rate > 0 && e.Unit == "bytes" {
		text += "  " + bytes(e.Rate) + "/s"
	}
	if left, ok := e.Left(); ok && e.Done < e.Total {
		text += "  " + roughly(left) + " left"
	}
	if n := min(cells-len(text)-2, longBar); e.Total > 0 && n >= shortBar {
		full := int(float64(n) * min(1, max(0, float64(e.Done)/float64(e.Total))))
		text = s.t.text(strings.Repeat("━", full)+strings.Repeat("╌", n-full)) + "  " + text
	}
	return text
}

// roughly is a time that nobody knows exactly: "7 s", "3 min", "2 h 10 min".
func roughly(d time.Duration) string {
	if d = max(d.Round(time.Second), time.Second); d < 90*time.Second {
		return fmt.Sprintf("%d s", int(d.Seconds()))
	}
	if minutes := int(d.Round(time.Minute).Minutes()); minutes >= 60 {
		return fmt.Sprintf("%d h %02d min", minutes/60, minutes%60)
	}
	return fmt.Sprintf("%d min", int(d.Round(time.Minute).Minutes()))
}

// doneOf writes how much of a step is done.
func doneOf(e engine.Event) string {
	switch {
	case e.Unit == "bytes" && e.Total > 0:
		return bytes(e.Done) + " of " + bytes(e.Total)
	case e.Unit == "bytes":
		return bytes(e.Done)
	case e.Total > 0:
		return fmt.Sprintf("%d of %d %s", e.Done, e.Total, e.Unit)
	case e.Done > 0:
		return fmt.Sprintf("%d %s", e.Done, e.Unit)
	}
	return clean(e.Text)
}

// lastLine is what a terminal would show of a line with carriage returns in it.
func lastLine(text string) string {
	text = strings.TrimRight(text, "\r")
	return text[strings.LastIndexByte(text, '\r')+1:]
}

func (s *steps) loop() {
	defer close(s.done)
	tick := time.NewTicker(redraw)
	defer tick.Stop()
	for {
		if !s.live {
			select {
			case <-s.wake:
			case <-s.stop:
				s.flush(true)
				return
			}
			s.flush(false)
			continue
		}
		select {
		case <-tick.C:
			s.flush(false)
		case <-s.stop:
			s.flush(true)
			return
		}
	}
}

// flush writes what there is to write.
func (s *steps) flush(last bool) {
	s.mu.Lock()
	var b strings.Builder
	if s.live && s.drawn > 0 {
		// up to the first line of the steps, which are drawn anew (ECMA-48: CPL, ED)
		fmt.Fprintf(&b, "\x1b[%dF\x1b[J", s.drawn)
	}
	for _, l := range s.queue {
		b.WriteString(l + "\n")
	}
	s.queue = nil
	if s.live && !s.quiet {
		drawing := s.draw(last)
		s.drawn = len(drawing)
		for _, l := range drawing {
			b.WriteString(s.t.fit(l, s.t.width()-1) + "\n")
		}
	}
	s.mu.Unlock()
	if b.Len() > 0 {
		s.write(b.String())
	}
}

// draw is the steps as lines; the last drawing stays on the screen and has only what was done.
func (s *steps) draw(last bool) []string {
	var out []string
	for _, st := range s.steps {
		title, extra := clean(st.Title), clean(st.text)
		if st.stage != "" {
			title += " [" + clean(st.stage) + "]"
		}
		took := ""
		sign, style := s.t.text("○"), muted
		switch st.state {
		case progress.Start:
			sign, style = s.t.text("●"), accent
			if took = lasting(s.now().Sub(st.begin)); st.amount != nil {
				extra = s.amounts(*st.amount, s.t.width()-len(title)-len(took)-12)
			}
		case progress.Done:
			sign, style = s.t.text("✓"), good
			took = lasting(st.end.Sub(st.begin))
		case progress.Failed:
			sign, style = s.t.text("✗"), bad
			took = lasting(st.end.Sub(st.begin))
		default:
			if last {
				continue
			}
			title = s.t.paint(muted, title)
		}
		line := "  " + s.t.paint(style, sign) + " " + title
		if extra != "" {
			line += "  " + s.t.paint(muted, extra)
		}
		if took != "" {
			line += "  " + s.t.paint(muted, took)
		}
		out = append(out, line)
		if st.state == progress.Start && st.currentLine != "" && !last {
			out = append(out, "      "+s.t.paint(muted, st.currentLine))
		}
		if st.state == progress.Failed && last {
			for _, l := range s.tail {
				out = append(out, "      "+l)
			}
		}
	}
	if most := s.t.height() - 2; !last && len(out) > most && most > 0 {
		out = out[len(out)-most:] // lines that have left the screen cannot be drawn anew
	}
	return out
}

// close writes what is left and ends the display.
func (s *steps) close() {
	close(s.stop)
	<-s.done
}
