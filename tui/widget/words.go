package widget

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"carrel/internal/amount"
)

// Bytes writes an amount of data as people do: 243 MB, 1.2 GB (powers of ten).
func Bytes(n int64) string {
	switch f := float64(n); {
	case n < 0:
		return ""
	case n < 1000:
		return fmt.Sprintf("%d B", n)
	case f < 999.5e3:
		return fmt.Sprintf("%.0f kB", f/1e3)
	case f < 999.5e6:
		return fmt.Sprintf("%.0f MB", f/1e6)
	case f < 9.95e9:
		return fmt.Sprintf("%.1f GB", f/1e9)
	case f < 999.5e9:
		return fmt.Sprintf("%.0f GB", f/1e9)
	default:
		return fmt.Sprintf("%.1f TB", f/1e12)
	}
}

// Capital writes the first letter of a text large.
func Capital(s string) string {
	r, n := utf8.DecodeRuneInString(s)
	if n == 0 {
		return s
	}
	return string(unicode.ToUpper(r)) + s[n:]
}

// Lasted writes how long something took or runs: 0.4 s, 12 s, 1 min 12 s, 2 h 04 min, 3 days.
func Lasted(d time.Duration) string { return amount.Lasted(d) }

// Roughly is Lasted in one unit, for a column: 12 s, 12 min, 2 h, 3 days.
func Roughly(d time.Duration) string {
	switch {
	case d < 0:
		return ""
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}

// Ago writes when something was: just now, 5 min ago, today, yesterday, 3 days ago, last week, 2 May 2024.
func Ago(at, now time.Time) string {
	if at.IsZero() {
		return ""
	}
	at = at.In(now.Location())
	d := now.Sub(at)
	days := int(dayOf(now).Sub(dayOf(at)).Hours()/24 + 0.5)
	switch {
	case d < time.Minute:
		return "just now"
	case d < time.Hour:
		return fmt.Sprintf("%d min ago", int(d.Minutes()))
	case days == 0:
		return "today"
	case days == 1:
		return "yesterday"
	case days < 7:
		return fmt.Sprintf("%d days ago", days)
	case days < 14:
		return "last week"
	case at.Year() == now.Year():
		return at.Format("2 Jan")
	}
	return at.Format("2 Jan 2006")
}

func dayOf(t time.Time) time.Time {
	y, m, d := t.Date()
	return time.Date(y, m, d, 0, 0, 0, 0, t.Location())
}

// Count writes a number and its noun: 1 file, 14 files.
func Count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return Thousands(n) + " " + many
}

// Tilde shortens a path below the home folder.
func Tilde(path, home string) string {
	if home == "" || home == "/" {
		return path
	}
	if path == home {
		return "~"
	}
	if rest, ok := strings.CutPrefix(path, strings.TrimSuffix(home, "/")+"/"); ok {
		return "~/" + rest
	}
	return path
}

// Sentence makes a whole sentence, safe to draw, of what an engine says: a capital at its beginning, a full stop at its end.
func Sentence(s string) string {
	s = strings.TrimSpace(Clean(s))
	r, n := utf8.DecodeRuneInString(s)
	if n == 0 {
		return ""
	}
	s = string(unicode.ToUpper(r)) + s[n:]
	if !strings.ContainsAny(s[len(s)-1:], ".?!") {
		s += "."
	}
	return s
}
