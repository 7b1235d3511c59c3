package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// A report is all that was measured, and on what.
type report struct {
	date     time.Time
	took     time.Duration
	machine  []string // lines
	versions []string // of Carrel and of the peers that were there
	absent   []string // peers that are not installed
	skipped  []string // rows that could not be measured, with the reason
	quick    bool
	results  []result
}

// fprintTable writes one table for a terminal.
func fprintTable(w io.Writer, results []result) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for _, r := range results {
		fmt.Fprintf(t, "\t\t\t\t\t\n%s\tmedian\t%s\truns\tCarrel is\t\n", r.title(), extreme(r.question.unit))
		ours := r.reference()
		first := true
		for _, w := range r.rows {
			if len(w.values) == 0 {
				fmt.Fprintf(t, "  %s\t–\t\t\t%s\t\n", w.name, shorten(reason(w), 70))
				continue
			}
			m := median(w.values)
			words := verdict(r.question.unit, ours, m)
			if w.ours && first {
				words, first = "", false
			} else if w.ours {
				words = beside(r.question.unit, ours, m)
			}
			fmt.Fprintf(t, "  %s\t%s\t%s\t%d\t%s\t%s\n", w.name, r.question.unit.format(m), r.question.unit.format(best(r.question.unit, w.values)), len(w.values), words, w.note)
		}
	}
	return t.Flush()
}

// beside says how another way of ours compares with the first one.
func beside(u unit, first, other float64) string {
	if v := verdict(u, other, first); v != "level" && v != "" {
		return "(" + v + ")"
	}
	return ""
}

func reason(w row) string {
	if w.err == nil {
		return "not measured: the time was up"
	}
	return w.err.Error()
}

func shorten(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:n-1]) + "…"
}

// slower lists where a peer is better than the best of ours in the question, the worst first.
func slower(results []result) []string {
	type item struct {
		factor float64
		text   string
	}
	var items []item
	for _, r := range results {
		ours := r.reference()
		if math.IsNaN(ours) {
			continue
		}
		for _, w := range r.rows {
			if w.ours || len(w.values) == 0 {
				continue
			}
			u := r.question.unit
			m := median(w.values)
			g := gain(u, ours, m)
			if g == 0 || g >= 1/level {
				continue
			}
			text := fmt.Sprintf("%s: %s beside %s of %s: %s", r.title(), u.format(ours), u.format(m), w.name, verdict(u, ours, m))
			if w.less != "" {
				text += " (" + w.less + ")"
			}
			items = append(items, item{g, text})
		}
	}
	slices.SortStableFunc(items, func(a, b item) int {
		switch {
		case a.factor < b.factor:
			return -1
		case a.factor > b.factor:
			return 1
		}
		return 0
	})
	out := make([]string, len(items))
	for i, it := range items {
		out[i] = it.text
	}
	return out
}

// fprintMarkdown writes the document.
func (rep report) fprintMarkdown(w io.Writer) error {
	var b strings.Builder
	b.WriteString("# Benchmarks\n\n")
	b.WriteString("Written by `make bench`; do not edit. Carrel beside every peer that was installed on the computer, in the same run, whole\n" +
		"processes in turns, medians and the least. Absolute figures differ between computers and hours: compare within a table only.\n\n")
	fmt.Fprintf(&b, "%s, in %s", rep.date.UTC().Format("2006-01-02 15:04 UTC"), rep.took.Round(time.Second))
	if rep.quick {
		b.WriteString(", with few runs (`BENCH=quick`)")
	}
	b.WriteString(".\n\n")
	list(&b, "## The computer", rep.machine, "")
	list(&b, "## Versions", rep.versions, "")
	list(&b, "## Where a peer is better", slower(rep.results), "Nowhere.")
	for _, r := range rep.results {
		r.markdown(&b)
	}
	list(&b, "## Not measured", append(slices.Clone(rep.absent), rep.skipped...), "Everything was.")
	_, err := io.WriteString(w, strings.TrimRight(b.String(), "\n")+"\n")
	return err
}

func list(b *strings.Builder, title string, lines []string, none string) {
	b.WriteString(title + "\n\n")
	if len(lines) == 0 {
		b.WriteString(none + "\n")
	}
	for _, l := range lines {
		b.WriteString("- " + l + "\n")
	}
	b.WriteString("\n")
}

func (r result) markdown(b *strings.Builder) {
	u := r.question.unit
	fmt.Fprintf(b, "## %s\n\n", r.title())
	if r.question.about != "" {
		b.WriteString(r.question.about + "\n\n")
	}
	fmt.Fprintf(b, "| | %s | %s | runs | Carrel is | |\n|---|--:|--:|--:|---|---|\n", "median", extreme(u))
	ours := r.reference()
	first := true
	var commands []string
	for _, w := range r.rows {
		if len(w.values) == 0 {
			if w.missing == "" {
				fmt.Fprintf(b, "| %s | – | | | | %s |\n", cell(w.name), cell(reason(w)))
			}
			continue
		}
		m := median(w.values)
		name, words := cell(w.name), verdict(u, ours, m)
		if w.ours {
			name = "**" + name + "**"
			words = beside(u, ours, m)
			if first {
				words, first = "", false
			}
		}
		fmt.Fprintf(b, "| %s | %s | %s | %d | %s | %s |\n", name, u.format(m), u.format(best(u, w.values)), len(w.values), words, cell(remark(w)))
		if w.how != "" {
			commands = append(commands, fmt.Sprintf("%s: `%s`", w.name, w.how))
		}
	}
	b.WriteString("\n")
	if len(commands) > 0 {
		b.WriteString("<details><summary>Commands</summary>\n\n")
		for _, c := range commands {
			b.WriteString("- " + c + "\n")
		}
		b.WriteString("\n</details>\n\n")
	}
}

func extreme(u unit) string {
	if u.higherIsBetter() {
		return "greatest"
	}
	return "least"
}

// remark joins what is to be said of a row.
func remark(w row) string {
	switch {
	case w.note == "":
		return w.less
	case w.less == "":
		return w.note
	}
	return w.note + "; " + w.less
}

// cell keeps a text within a cell of a table.
func cell(s string) string {
	return strings.NewReplacer("|", "\\|", "\n", " ").Replace(s)
}
