package widget

import (
	"math"
	"strings"

	"carrel/tui/theme"
)

// Bar is a progress bar of w cells. A total of 0 is not known and draws an empty one.
func Bar(t *theme.Theme, w int, done, total int64) string {
	if w <= 0 {
		return ""
	}
	n := 0
	if total > 0 {
		n = int(float64(w) * float64(min(max(done, 0), total)) / float64(total))
	}
	return t.Accent.Render(strings.Repeat(theme.Full, n)) + t.Faint.Render(strings.Repeat(theme.Rest, w-n))
}

// Spark is a small graph of the last w values between 0 and top; a top of 0 takes twice the largest, so that what does not
// change stands in the middle. Where nothing was measured yet there are dots, and where a value is no number, a gap.
func Spark(t *theme.Theme, w int, values []float64, top float64) string {
	if w <= 0 {
		return ""
	}
	if len(values) > w {
		values = values[len(values)-w:]
	}
	if top <= 0 {
		for _, v := range values {
			if v > top && !math.IsInf(v, 1) { // which nothing is that is no number
				top = v
			}
		}
		top *= 2
	}
	var b strings.Builder
	for _, v := range values {
		if math.IsNaN(v) {
			b.WriteByte(' ')
			continue
		}
		i := 0
		if top > 0 {
			i = int(min(max(v/top, 0), 1) * float64(len(theme.Sparks)-1))
		}
		b.WriteRune(theme.Sparks[i])
	}
	return t.Faint.Render(strings.Repeat(theme.Sep, w-len(values))) + t.Muted.Render(b.String())
}
