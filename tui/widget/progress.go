package widget

import (
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

// Spark is a small graph of the last w values between 0 and top; a top of 0 takes the largest.
func Spark(t *theme.Theme, w int, values []float64, top float64) string {
	if w <= 0 {
		return ""
	}
	if len(values) > w {
		values = values[len(values)-w:]
	}
	if top <= 0 {
		for _, v := range values {
			top = max(top, v)
		}
	}
	var b strings.Builder
	b.WriteString(strings.Repeat(" ", w-len(values)))
	for _, v := range values {
		i := 0
		if top > 0 {
			i = int(v / top * float64(len(theme.Sparks)-1))
		}
		b.WriteRune(theme.Sparks[min(max(i, 0), len(theme.Sparks)-1)])
	}
	return t.Muted.Render(b.String())
}
