package tui

import "carrel/tui/screen"

// frame says which lines of the terminal hold what.
type frame struct {
	tier         screen.Tier
	w, h         int
	rules        bool // a line above and one below the screen
	bodyY, bodyH int
	footY        int
}

// layout divides a terminal of w by h cells. It is a pure function of the size.
func layout(w, h int) frame {
	f := frame{tier: screen.TierOf(w, h), w: w, h: h}
	if f.tier == screen.TooSmall {
		return f
	}
	f.rules = h >= 20
	f.bodyY = 1
	f.bodyH = h - 2
	if f.rules {
		f.bodyY = 2
		f.bodyH = h - 4
	}
	f.footY = h - 1
	return f
}
