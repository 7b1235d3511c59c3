// Package near finds what a misspelt word was meant to be.
package near

import (
	"slices"
	"strings"
)

// Distance is the number of single-byte insertions, deletions, replacements and swaps of neighbours that turn a into b
// (optimal string alignment), or limit when it is not less.
func Distance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return min(last[len(b)], limit)
}

// Names are at most three of the candidates that a name may have been meant for, the nearest first, each once: those that
// are a slip or two of the fingers away, and those that begin with it or that it begins with. Capitals do not matter.
func Names(name string, candidates []string) []string {
	word := strings.ToLower(name)
	limit := 3
	if len(word) <= 3 {
		limit = 2
	}
	const begins = 3 // counts as far as what is further than every slip
	away := map[string]int{}
	for _, c := range candidates {
		other := strings.ToLower(c)
		d := Distance(word, other, limit)
		switch {
		case d < limit && d < len(other):
			away[c] = d
		case len(word) >= 2 && len(other) >= 2 && (strings.HasPrefix(other, word) || strings.HasPrefix(word, other)):
			away[c] = begins
		}
	}
	var out []string
	for c := range away {
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b string) int {
		if away[a] != away[b] {
			return away[a] - away[b]
		}
		return strings.Compare(a, b)
	})
	return out[:min(3, len(out))]
}
