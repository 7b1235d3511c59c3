package main

import (
	"fmt"
	"math"
	"slices"
	"strconv"
)

// A unit is what a figure is counted in.
type unit int

const (
	seconds unit = iota
	megabytesPerSecond
	megabytes
	percent // of one processor
)

// higherIsBetter tells which way is up.
func (u unit) higherIsBetter() bool { return u == megabytesPerSecond }

// format writes a figure with three digits, and its unit.
func (u unit) format(v float64) string {
	switch u {
	case seconds:
		if v < 0.9995 {
			return digits(v*1000) + " ms"
		}
		return digits(v) + " s"
	case megabytesPerSecond:
		return digits(v) + " MB/s"
	case megabytes:
		return digits(v) + " MB"
	default:
		return digits(v) + " %"
	}
}

// digits writes a number with three significant digits, without an exponent.
func digits(v float64) string {
	abs := math.Abs(v)
	places := 0
	switch {
	case abs == 0:
	case abs < 0.995:
		places = 2
	case abs < 9.995:
		places = 2
	case abs < 99.95:
		places = 1
	}
	return strconv.FormatFloat(v, 'f', places, 64)
}

// median is the middle of some figures, or the mean of the two in the middle; NaN for none.
func median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	s := slices.Sorted(slices.Values(values))
	n := len(s)
	if n%2 == 1 {
		return s[n/2]
	}
	return (s[n/2-1] + s[n/2]) / 2
}

// best is the least of some figures, or the greatest where more is better; NaN for none.
func best(u unit, values []float64) float64 {
	switch {
	case len(values) == 0:
		return math.NaN()
	case u.higherIsBetter():
		return slices.Max(values)
	}
	return slices.Min(values)
}

// level is how far apart two medians may be that are called equal.
const level = 1.05

// gain tells how many times better ours is than a peer's: above 1 it is better, below 1 worse. It is 0 when it cannot be told.
func gain(u unit, ours, peer float64) float64 {
	if !(ours > 0) || !(peer > 0) {
		return 0
	}
	if u.higherIsBetter() {
		return ours / peer
	}
	return peer / ours
}

// verdict says in words how ours compares with a peer's.
func verdict(u unit, ours, peer float64) string {
	g := gain(u, ours, peer)
	better, worse := "faster", "slower"
	if u == megabytes || u == percent {
		better, worse = "less", "more"
	}
	switch {
	case g == 0:
		return ""
	case g > level:
		return times(g) + " " + better
	case g < 1/level:
		return times(1/g) + " " + worse
	}
	return "level"
}

// times writes a factor.
func times(f float64) string {
	if f < 9.95 {
		return fmt.Sprintf("%.2g×", f)
	}
	return fmt.Sprintf("%.0f×", f)
}
