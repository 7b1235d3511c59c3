package session

import (
	"slices"
	"strings"

	tea "charm.land/bubbletea/v2"

	"carrel/tui/screen"
	"carrel/tui/widget"
)

// The smallest pane among several, its gap to the next one included.
const (
	minPaneW = 50
	minPaneH = 8
)

// mark says how the title of a pane is drawn.
type mark int

const (
	noMark mark = iota // the only pane
	marked             // has the keys
	unmarked
)

// cell is a pane and where it stands on the screen.
type cell struct {
	*pane
	mark       mark
	x, y, w, h int
}

// shape says how the screen is divided.
type shape struct {
	list  int  // width of the list of apps at the left, 0 for none
	strip bool // a line with the apps at the top
	cells []cell
}

// shape divides w by h cells: panes beside each other while each has room, then under each other; where not all have room
// the one that has the keys is among those that are shown.
func (s *Screen) shape(w, h int) shape {
	var sh shape
	n := len(s.panes)
	if len(s.apps) > 1 {
		if w >= wide && (n == 1 || (w-31)/n >= minPaneW+8) {
			sh.list = 30
		} else {
			sh.strip = n == 1 && h >= 8
		}
	}
	x, y := 0, 0
	if sh.list > 0 {
		x = sh.list + 1
	}
	if n == 1 {
		if sh.strip {
			y = 1
		}
		sh.cells = []cell{{s.pane, noMark, x, y, max(0, w-x), max(0, h-y)}}
		return sh
	}
	cols := min(n, max(1, (w-x)/minPaneW))
	rows := min((n+cols-1)/cols, max(1, h/minPaneH))
	if rows*cols < n && h >= 8 {
		sh.strip, y = true, 1
		rows = min(rows, max(1, (h-1)/minPaneH))
	}
	shown := min(n, rows*cols)
	first := min(max(0, slices.Index(s.panes, s.pane)-shown/2), n-shown)
	panes := s.panes[first : first+shown]
	for r := range rows {
		inRow := min(cols, len(panes))
		rh := (h - y) / (rows - r)
		cx := x
		for c := range inRow {
			cw := (w - cx) / (inRow - c)
			m := unmarked
			if panes[c] == s.pane {
				m = marked
			}
			sh.cells = append(sh.cells, cell{panes[c], m, cx, y, cw, rh})
			cx += cw
		}
		panes = panes[inRow:]
		y += rh
	}
	return sh
}

// of is the screen with the keys in another pane.
func (s *Screen) of(c cell) *Screen {
	o := *s
	o.pane, o.mark = c.pane, c.mark
	return &o
}

// parts says how a pane is divided.
type parts struct {
	w, pad     int
	head       []string
	logW, logX int
	logH, logY int
}

func (s *Screen) parts(w, h int) parts {
	p := parts{w: w, pad: 2}
	if w < 60 {
		p.pad = 1
	}
	inner := max(0, w-2*p.pad)
	p.head = s.head(inner, h)
	p.logY = len(p.head)
	p.logH = max(0, h-p.logY)
	p.logW = inner + 2
	if p.pad < 2 {
		p.logW = inner
	}
	p.logX = max(0, (w-p.logW)/2)
	return p
}

// Resize remembers the size, for the keys that move by pages.
func (s *Screen) Resize(w, h int) {
	s.w, s.h = w, h
	s.list.Resize(max(0, h-2))
	for _, c := range s.shape(w, h).cells {
		p := s.of(c).parts(c.w, c.h)
		c.log.Resize(p.logW, p.logH)
	}
}

// View draws the screen.
func (s *Screen) View(w, h int) string {
	t := s.d.Theme
	if s.app() == nil {
		return s.empty(w, h)
	}
	sh := s.shape(w, h)
	var rows []string // blocks under each other
	for i := 0; i < len(sh.cells); {
		y, row := sh.cells[i].y, []string(nil)
		for ; i < len(sh.cells) && sh.cells[i].y == y; i++ {
			c := sh.cells[i]
			row = append(row, s.of(c).one(c.w, c.h))
		}
		rows = append(rows, widget.Beside(row...))
	}
	main := widget.Stack(rows...)
	if sh.strip {
		main = widget.Stack(widget.Box(s.strip(w), w, min(1, h)), main)
	}
	if sh.list > 0 {
		main = widget.Beside(s.side(sh.list, h), screen.Wall(t, h), main)
	}
	return widget.Box(main, w, h)
}

// one draws the pane that has the keys in exactly w by h cells.
func (s *Screen) one(w, h int) string {
	p := s.parts(w, h)
	main := widget.Rows(widget.Indent(p.head, p.pad), w, min(h, p.logY))
	if p.logH <= 0 {
		return main
	}
	log := s.log // what is drawn is not changed by that
	log.Lit = s.mark == marked
	pane := log.View(s.d.Theme, p.logW, p.logH, "Log", s.noLog())
	return widget.Stack(main, widget.Rows(widget.Indent(strings.Split(pane, "\n"), p.logX), w, p.logH))
}

// Mouse scrolls a log, and chooses an app or a pane.
func (s *Screen) Mouse(m screen.Mouse) tea.Cmd {
	if s.app() == nil {
		return nil
	}
	sh := s.shape(m.W, m.H)
	if m.X < sh.list {
		if m.Wheel != 0 {
			s.list.Scroll(m.Wheel * 3)
		} else if s.list.SelectAt(m.Y-2, m.H-2) {
			it, _ := s.list.Selected()
			return s.Show(it.ID)
		}
		return nil
	}
	if sh.strip && m.Y == 0 && m.Wheel == 0 {
		_, places := s.stripped(m.W)
		for i, x := range places {
			if x >= 0 && m.X >= x && m.X < x+widget.Width(widget.Clean(s.apps[i].Name))+4 {
				return s.Show(s.apps[i].Name)
			}
		}
		return nil
	}
	for _, c := range sh.cells {
		if m.X < c.x || m.X >= c.x+c.w || m.Y < c.y || m.Y >= c.y+c.h {
			continue
		}
		if m.Wheel != 0 {
			c.log.Log.ScrollBy(m.Wheel * 3)
			return nil
		}
		s.pane = c.pane
		s.list.Select(s.name)
	}
	return nil
}
