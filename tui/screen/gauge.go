package screen

import (
	"fmt"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"carrel/engine"
	"carrel/tui/task"
	"carrel/tui/theme"
	"carrel/tui/widget"
)

// Measuring is how often what an app uses is measured, while somebody looks at it.
const Measuring = 2 * time.Second

// measures is how many measurements are kept.
const measures = 24

// Gauge is what one app uses, lately: processor, memory, and what it reads and writes. The zero value belongs to no app.
type Gauge struct {
	id     task.ID // of the measurement that is on its way
	busy   bool
	of     string // the app
	at     time.Time
	last   engine.Usage
	cpu    []float64 // processors, in parts of one
	memory []float64 // bytes
	flow   []float64 // bytes read and written in a second
}

// Measured is the answer to a measurement; the gauge that asked takes it.
type Measured struct {
	id   task.ID
	name string
	at   time.Time
	use  engine.Usage
	err  error
}

// Ask measures what an app that runs uses: once at a time, and not again before it is due.
func (g *Gauge) Ask(d Deps, a *engine.Instance, now time.Time) tea.Cmd {
	if a == nil || !a.State.Live() || g.busy || g.of == a.Name && now.Sub(g.at) < Measuring*3/4 {
		return nil
	}
	g.busy, g.id = true, task.NewID()
	id, name, eng, clock, life := g.id, a.Name, d.Engine, d.Now, d.Life
	return task.Call(func() (engine.Usage, error) { return eng.Usage(life, name) },
		func(u engine.Usage, err error) tea.Msg { return Measured{id, name, clock(), u, err} })
}

// Take takes the answer to Ask, and tells whether it was this gauge's.
func (g *Gauge) Take(m Measured) bool {
	if m.id != g.id || !g.busy {
		return false
	}
	g.busy = false
	if m.err != nil {
		g.at = m.at
		return true
	}
	if g.of != m.name {
		*g = Gauge{of: m.name}
	} else if dt := m.at.Sub(g.at); dt > 0 {
		g.cpu = keep(g.cpu, float64(m.use.CPU-g.last.CPU)/float64(dt))
		g.memory = keep(g.memory, float64(m.use.Memory))
		g.flow = keep(g.flow, float64(m.use.Read+m.use.Written-g.last.Read-g.last.Written)/dt.Seconds())
	}
	g.last, g.at = m.use, m.at
	return true
}

// keep adds a measurement; what is less than nothing, because a process went, is nothing.
func keep(values []float64, v float64) []float64 {
	values = append(values, max(0, v))
	return values[max(0, len(values)-measures):]
}

// Lines are what an app uses in ever fewer words, each of one line; none while nothing is known of it.
func (g *Gauge) Lines(t *theme.Theme, name string) []string {
	if g.of != name || len(g.cpu) == 0 {
		return nil
	}
	cpu := fmt.Sprintf("%4.0f %%", g.cpu[len(g.cpu)-1]*100) // of all processors together: 6400 % of 64
	memory := widget.Right(widget.Bytes(g.last.Memory), 7)
	flow := widget.Right(widget.Bytes(int64(g.flow[len(g.flow)-1]))+"/s", 9)
	label := func(l string) string { return t.Muted.Render(l + " ") }
	two := func(n, m int) string {
		return label("CPU") + widget.Spark(t, n, g.cpu, 1) + cpu + "   " + label("memory") + widget.Spark(t, m, g.memory, 0) + memory
	}
	long := func(n int) string { return two(n, n) + "   " + label("files") + widget.Spark(t, n, g.flow, 0) + flow }
	return []string{
		long(12), long(8), long(5), two(8, 6), two(5, 4),
		label("CPU") + cpu + "   " + label("memory") + memory,
		strings.TrimSpace(cpu) + "   " + strings.TrimSpace(memory),
	}
}

// Line is the longest of Lines that fits into w cells; empty for none.
func (g *Gauge) Line(t *theme.Theme, name string, w int) string {
	for _, l := range g.Lines(t, name) {
		if widget.Width(l) <= w {
			return l
		}
	}
	return ""
}
