package screen

// Tier says how much fits on the terminal.
type Tier int

// The tiers, by the size of the whole terminal.
const (
	TooSmall Tier = iota // one message
	One                  // one pane, from 50×14
	Two                  // two panes or one above the other, from 80×20
	Three                // list and details side by side, from 110×30
)

// The smallest size in which Carrel can be used.
const (
	MinWidth  = 50
	MinHeight = 14
)

// TierOf is the tier of a terminal of w by h cells.
func TierOf(w, h int) Tier {
	switch {
	case w >= 110 && h >= 30:
		return Three
	case w >= 80 && h >= 20:
		return Two
	case w >= MinWidth && h >= MinHeight:
		return One
	}
	return TooSmall
}

// Split divides w cells into a left part and a right one with gap cells between them. The right part is 0 when it would get
// fewer than minRight cells.
func Split(w, share, gap, minRight int) (left, right int) {
	right = w - w*share/100 - gap
	if right < minRight {
		return w, 0
	}
	return w - right - gap, right
}
