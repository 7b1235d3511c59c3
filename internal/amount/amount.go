// Package amount reads and writes amounts of memory and lengths of time as people type them: 4G, 1.5 GB, 90m, 1d12h.
package amount

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// ErrNone is a text that is no amount.
var ErrNone = errors.New("no amount")

// Bytes reads an amount of memory; K, M, G and T are powers of 1024: 512M, 4G, 2GiB, 1.5G, 1000000.
func Bytes(text string) (int64, error) {
	t := strings.ToLower(strings.ReplaceAll(text, " ", ""))
	t = strings.TrimSuffix(strings.TrimSuffix(t, "b"), "i")
	unit := 1.0
	if t != "" {
		if i := strings.IndexByte("kmgt", t[len(t)-1]); i >= 0 {
			unit, t = math.Pow(1024, float64(i+1)), t[:len(t)-1]
		}
	}
	n, err := strconv.ParseFloat(t, 64)
	if err != nil || math.IsNaN(n) || n < 0 || n*unit >= 1<<62 {
		return 0, ErrNone
	}
	return int64(n * unit), nil
}

// FormatBytes is the shortest text that Bytes reads as n.
func FormatBytes(n int64) string {
	for i, unit := range []string{"T", "G", "M", "K"} {
		if size := int64(1) << (40 - 10*i); n >= size && n%size == 0 {
			return strconv.FormatInt(n/size, 10) + unit
		}
	}
	return strconv.FormatInt(n, 10)
}

// Span reads a length of time: what time.ParseDuration reads, and days: 1d, 1d12h.
func Span(text string) (time.Duration, error) {
	days := time.Duration(0)
	if head, rest, ok := strings.Cut(text, "d"); ok {
		n, err := strconv.ParseUint(head, 10, 16)
		if err != nil {
			return 0, err
		}
		if days, text = time.Duration(n)*24*time.Hour, rest; rest == "" {
			return days, nil
		}
	}
	d, err := time.ParseDuration(text)
	return days + d, err
}

// FormatSpan is a text that Span reads as d, without the parts that are zero: 2h, 1h30m.
func FormatSpan(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// Lasted is how long something took or has lasted, for a person, rounded down as a clock does: 0.4 s, 12 s, 2 min 03 s, 1 h 02 min,
// 3 days; empty for what lies ahead.
func Lasted(d time.Duration) string {
	switch {
	case d < 0:
		return ""
	case d < 9950*time.Millisecond:
		tenths := d / (100 * time.Millisecond)
		return fmt.Sprintf("%d.%d s", tenths/10, tenths%10)
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min %02d s", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h %02d min", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}
