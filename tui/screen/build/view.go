package build

import (
	"fmt"
	"strings"
	"time"

	"carrel/engine/progress"
	"carrel/internal/pattern"
	"carrel/tui/theme"
	"carrel/tui/widget"
)

// Resize remembers the size, for the keys that move by pages.
func (s *Screen) Resize(w, h int) {
	s.w, s.h = w, h
	head := s.head(max(0, w-4), h)
	s.log.Resize(max(0, w-2), max(0, h-len(head)))
}

// View draws the build.
func (s *Screen) View(w, h int) string {
	t := s.d.Theme
	head := s.head(max(0, w-4), h)
	logH := max(0, h-len(head))
	out := widget.Indent(head, 2)
	if logH > 0 {
		pane := s.log.View(t, max(0, w-2), logH, s.logTitle(), "Nothing was written yet.")
		out = append(out, widget.Indent(strings.Split(pane, "\n"), 1)...)
	}
	return widget.Rows(out, w, h)
}

func (s *Screen) logTitle() string {
	for _, st := range s.steps {
		if st.state == active && st.step == progress.StepInstall {
			return "%post"
		}
	}
	return "Log"
}

var stepTable = widget.Table{Gap: 2, Columns: []widget.Column{
	{Min: 24, Max: 30, Flex: 1}, {Min: 12, Flex: 9, Drop: 1}, {Min: 10, Right: true},
}}

// head is what stands above the log: the steps, and how it ended.
func (s *Screen) head(w, h int) []string {
	t := s.d.Theme
	if w <= 0 {
		return nil
	}
	small := h < 16
	var out []string
	if !small {
		out = append(out, "")
	}
	out = append(out, widget.Spread(s.sentence(), t.Muted.Render(s.time()), w))
	if !small {
		out = append(out, "")
	}
	steps := s.steps
	room := max(1, h/2-len(out))
	if len(steps) > room { // the ones around the active one
		at := 0
		for i, st := range steps {
			if st.state == active || st.state == broken {
				at = i
			}
		}
		from := min(max(0, at-room/2), len(steps)-room)
		steps = steps[from : from+room]
	}
	for i := range steps {
		out = append(out, s.stepLine(&steps[i], w))
	}
	out = append(out, s.ending(w, small)...)
	if !small {
		out = append(out, "")
	}
	if limit := max(0, h-3); len(out) > limit {
		out = out[:limit]
	}
	return out
}

func (s *Screen) elapsed() time.Duration {
	if !s.to.IsZero() {
		return s.to.Sub(s.from)
	}
	return max(0, s.now.Sub(s.from))
}

// time says how long it has taken, and how long it still takes where that can be told: in the last step that takes long.
func (s *Screen) time() string {
	text := widget.Lasted(s.elapsed())
	if s.state != building {
		return text
	}
	for i := len(s.steps) - 1; i >= 0; i-- {
		switch st := &s.steps[i]; {
		case st.state == active && st.left > 0:
			return text + " " + theme.Sep + " " + left(st.left)
		case st.step != stepStart && st.step != progress.StepTest:
			return text
		}
	}
	return text
}

// left writes how long something still takes, no more exactly than it is known.
func left(d time.Duration) string {
	switch {
	case d < 5*time.Second:
		return "a few seconds left"
	case d < time.Minute:
		return fmt.Sprintf("about %d s left", int((d+5*time.Second-1)/(5*time.Second))*5)
	case d < 100*time.Minute:
		return fmt.Sprintf("about %d min left", int((d+time.Minute/2)/time.Minute))
	}
	return fmt.Sprintf("about %d h left", int((d+time.Hour/2)/time.Hour))
}

func (s *Screen) sentence() string {
	t := s.d.Theme
	switch s.state {
	case starting:
		return t.Accent.Render(t.Spinner(s.frame)) + t.Strong.Render(" Starting "+s.Name())
	case finished:
		return t.OK.Render(theme.Check) + t.Strong.Render(" "+s.Name()+" is built.") + t.Muted.Render("  "+widget.Bytes(s.image.Size))
	case failed:
		if s.image.Path != "" {
			return t.Bad.Bold(true).Render(theme.Cross + " " + s.Name() + " is built, but could not be started.")
		}
		return t.Bad.Bold(true).Render(theme.Cross + " " + s.Name() + " could not be built.")
	case cancelled:
		if s.image.Path != "" {
			return t.Warn.Render(theme.Note) + t.Strong.Render(" "+s.Name()+" is built; starting it was cancelled.")
		}
		return t.Warn.Render(theme.Note) + t.Strong.Render(" Building "+s.Name()+" was cancelled.")
	}
	return t.Accent.Render(t.Spinner(s.frame)) + t.Strong.Render(" Building "+s.Name())
}

func (s *Screen) stepLine(st *step, w int) string {
	t := s.d.Theme
	title := st.title
	if st.stage != "" {
		title += " " + theme.Sep + " " + st.stage
	}
	title = widget.Clean(title)
	text, took := widget.Clean(st.text), ""
	sign, style := t.Faint.Render(theme.Ring), t.Muted
	switch st.state {
	case active:
		sign, style = t.Accent.Render(t.Spinner(s.frame)), t.Strong
		took = widget.Lasted(max(0, s.now.Sub(st.from)))
		if a := amount(st); a != "" {
			if st.left > 0 { // what comes and goes stands behind what stays
				text = strings.TrimSpace(text + "  " + left(st.left))
			}
			text = strings.TrimRight(a+"  "+text, " ")
			if st.total > 0 && w >= 90 {
				text = widget.Bar(t, 12, st.done, st.total) + "  " + t.Muted.Render(text)
			}
		}
	case done:
		sign, style = t.OK.Render(theme.Check), t.Text
		took = widget.Lasted(st.to.Sub(st.from))
	case broken:
		sign, style = t.Bad.Render(theme.Cross), t.Bad.Bold(true)
		if s.state == cancelled {
			sign, style = t.Warn.Render(theme.Note), t.Text
		}
		took = widget.Lasted(st.to.Sub(st.from))
	}
	return sign + " " + stepTable.Row(max(0, w-2), style.Render(title), t.Muted.Render(text), t.Muted.Render(took))
}

// amount writes how far a step is.
func amount(st *step) string {
	if st.done == 0 && st.total == 0 {
		return ""
	}
	one := func(n int64) string {
		if st.unit == "bytes" {
			return widget.Bytes(n)
		}
		return fmt.Sprint(n)
	}
	speed := ""
	if st.rate > 0 && st.unit == "bytes" { // of files it says little: one is not like the other
		speed = "  " + widget.Right(widget.Bytes(st.rate)+"/s", 9)
	} else if st.unit == "bytes" && st.total > 0 {
		speed = strings.Repeat(" ", 11) // its place
	}
	unit := ""
	if st.unit != "bytes" && st.unit != "" {
		unit = " " + st.unit
		if st.total <= 1 && st.done == 1 {
			unit = strings.TrimSuffix(unit, "s")
		}
	}
	if st.total > 0 {
		w := widget.Width(one(st.total))
		if st.unit == "bytes" {
			w = 7 // of whatever size
		}
		return widget.Right(one(st.done), w) + " of " + one(st.total) + unit + speed
	}
	return one(st.done) + unit + speed
}

// ending says how it ended, and what to do.
func (s *Screen) ending(w int, small bool) []string {
	t := s.d.Theme
	var out []string
	if !small {
		out = append(out, "")
	}
	add := func(style func(...string) string, text string, limit int) {
		for i, l := range widget.Wrap(widget.Clean(text), w) {
			if i < limit {
				out = append(out, style(l))
			}
		}
	}
	switch s.state {
	case failed:
		msg := ""
		if s.err != nil {
			msg = s.err.Error()
		}
		add(t.Bad.Render, msg, 3)
		lines := s.telling()
		if s.image.Path != "" { // what the build wrote says nothing about the start
			lines = nil
		}
		if s.known && s.cause.Why != "" {
			add(t.Strong.Render, s.cause.Why, 2)
			if s.cause.Evidence != "" {
				lines = []string{widget.Clean(s.cause.Evidence)}
			}
		}
		if !small {
			for _, l := range lines {
				out = append(out, t.Muted.Render(theme.Wall+" ")+widget.Cut(l, w-2))
			}
		}
		hint := s.hint
		if s.known && s.cause.Hint != "" {
			hint = s.cause.Hint
		}
		if hint != "" {
			if !small {
				out = append(out, "")
			}
			add(t.Text.Render, widget.Sentence(hint), 3)
		}
		if s.logFile != "" {
			out = append(out, widget.Cut(t.Muted.Render("The whole log: ")+widget.PathLink(t.Text, s.logFile, s.d.Home, max(8, w-30))+t.Muted.Render("   ")+t.Accent.Render("l")+t.Muted.Render(" opens it"), w))
		}
	case cancelled:
		if s.image.Path != "" {
			out = append(out, t.Muted.Render("r starts it. The image stays: the desk lists it."))
		} else {
			out = append(out, t.Muted.Render("Nothing was left behind. r tries again."))
		}
	case finished:
		out = append(out, widget.PathLink(t.Muted, s.image.Path, s.d.Home, w))
	default:
		return nil
	}
	return out
}

// telltale are words that lines of output hold when something went wrong.
var telltale = pattern.New(`(?i)^(e:|err\b)|\berror\b|\bfatal\b|unable to|not found|cannot |failed|no such|denied|no space`)

// telling are the lines of the log that matter after a failure: those that speak of errors among the last ones, else the
// last ones.
func (s *Screen) telling() []string {
	last := s.log.Log.Last(30)
	var out []string
	for _, l := range last {
		if telltale.MatchString(l) {
			out = append(out, strings.TrimSpace(l))
		}
	}
	if len(out) == 0 {
		out = last
	}
	if len(out) > 3 {
		out = out[len(out)-3:]
	}
	return out
}
