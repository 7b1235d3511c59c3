package main

import (
	"strings"
	"time"

	"carrel/engine"
)

// logPage prints a log as the app wrote it, byte for byte, where nothing else was asked for; on a terminal without what could
// steer that, colours aside.
type logPage struct {
	a     *app
	times bool   // before each line
	open  string // the stream whose unfinished line the output ends with
}

func (p *logPage) print(batch []engine.LogLine) error {
	var b strings.Builder
	now := time.Now()
	for _, l := range batch {
		if p.open != "" && p.open != l.Stream {
			b.WriteByte('\n')
		}
		if p.open != l.Stream {
			b.WriteString(p.head(l, now))
		}
		text := l.Text
		if p.a.page.is {
			text = clean(text)
		}
		if l.Stream == "carrel" {
			text = p.a.page.paint(muted, text)
		}
		b.WriteString(text)
		p.open = l.Stream
		if !l.Partial {
			b.WriteByte('\n')
			p.open = ""
		}
	}
	return p.a.print(b.String())
}

// head is what stands before a line. The day is told where it is not today.
func (p *logPage) head(l engine.LogLine, now time.Time) string {
	text := ""
	if p.times {
		at, layout := l.Time.In(now.Location()), "15:04:05.000"
		if at.YearDay() != now.YearDay() || at.Year() != now.Year() {
			layout = "2006-01-02 " + layout
		}
		text = p.a.page.paint(muted, at.Format(layout)) + " "
	}
	if l.Stream == "carrel" {
		text += p.a.page.paint(muted, "carrel: ")
	}
	return text
}
