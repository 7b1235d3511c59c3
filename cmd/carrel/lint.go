package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aymanbagabas/go-udiff"
	"github.com/spf13/cobra"

	"carrel/engine/card"
	"carrel/engine/definition"
	"carrel/internal/atomicfile"
	"carrel/internal/textfile"
)

// lintReport is what --json prints of a file.
type lintReport struct {
	definition.Report
	// Fixed are the findings that --fix has answered.
	Fixed []definition.Finding `json:"fixed,omitempty"`
}

func (a *app) lintCommand() *cobra.Command {
	var fix bool
	c := &cobra.Command{
		Use: "lint [OPTION …] DEFINITION …", Short: "Check definition files without building", GroupID: groupImages,
		Long: "A folder means the file named Singularity in it, - means standard input. The exit\nstatus is 1 when a file cannot be built from.\n\n" +
			"--fix writes what a machine can put right: misspelt names, tabs, the order of the\nheader, questions nobody answers. It shows what it changes, keeps comments, and never\nspoils a file that can be read. With - the result goes to standard output.",
		Example: "  carrel lint Singularity\n  carrel lint --fix Singularity",
		Args:    between(1, -1, "DEFINITION"),
	}
	c.Flags().BoolVar(&a.json, "json", false, "print as JSON, one line a file")
	c.Flags().BoolVar(&fix, "fix", false, "put right what a machine can, in the file itself")
	c.RunE = func(cmd *cobra.Command, names []string) error {
		valid := true
		reports := []lintReport{}
		text := false      // standard output is a definition's
		var unread []error // files that say nothing of the others
		for _, name := range names {
			file := definitionFile(name)
			r, err := a.lint(cmd.Context(), file)
			if err != nil && cmd.Context().Err() != nil {
				return err
			}
			if err != nil {
				unread = append(unread, err)
				continue
			}
			if fix {
				text = text || name == "-"
				if r, err = a.fix(file, r); err != nil {
					unread = append(unread, err)
					continue
				}
			}
			valid = valid && r.Valid && r.Builds
			reports = append(reports, r.lintReport)
		}
		var err error
		switch {
		case text:
			fmt.Fprint(a.err, a.screen.text(a.findings(a.screen, reports)))
		case a.json:
			err = a.printLines(reports)
		default:
			err = a.print(a.page.text(a.findings(a.page, reports)))
		}
		switch {
		case err != nil:
			return err
		case len(unread) > 0:
			for _, e := range unread[1:] {
				a.finish(e)
			}
			return unread[0]
		case !valid:
			return quietExit(1)
		}
		return nil
	}
	return c
}

// definitionFile is the file that an argument means.
func definitionFile(name string) string {
	if st, err := os.Stat(name); err == nil && st.IsDir() {
		return filepath.Join(name, "Singularity")
	}
	return name
}

// printLines prints one JSON object a line.
func (a *app) printLines(reports []lintReport) error {
	var b strings.Builder
	for _, r := range reports {
		data, err := json.Marshal(r)
		if err != nil {
			return err
		}
		b.Write(append(data, '\n'))
	}
	return a.print(b.String())
}

// linted is a report with the text it is about.
type linted struct {
	lintReport
	text string
}

func (a *app) lint(ctx context.Context, name string) (linted, error) {
	opts := definition.Options{Name: name}
	in := io.Reader(a.in)
	if name == "-" {
		opts.Name = "standard input"
	} else {
		f, err := textfile.Open(ctx, name)
		if err != nil {
			return linted{}, fmt.Errorf("check definition: %w", err)
		}
		defer f.Close()
		in = f
	}
	var text strings.Builder
	r, err := definition.Lint(io.TeeReader(in, &text), opts)
	if err == nil {
		r.Findings = withLabels(r.Findings, text.String(), opts)
	}
	return linted{lintReport{Report: r}, text.String()}, err
}

// withLabels adds labels whose value says nothing (package card) to the findings of a text.
func withLabels(findings []definition.Finding, text string, opts definition.Options) []definition.Finding {
	opts.AllowUndefined = true
	f, err := definition.ParseString(text, opts)
	if err != nil {
		return findings
	}
	last := f.Final()
	_, warnings := card.Parse(last.LabelMap())
	lines := map[string]int{}
	for _, l := range last.Labels {
		lines[card.Clean(l.Key)] = l.Line
	}
	for _, w := range warnings {
		findings = append(findings, definition.Finding{Rule: "label-value", Severity: definition.Warning, Line: lines[w.Label], Column: 1, Section: "labels",
			Message: w.String(), Fix: "write the label as its grammar has it: carrel help labels"})
	}
	slices.SortStableFunc(findings, func(a, b definition.Finding) int { return cmp.Compare(a.Line, b.Line) })
	return findings
}

// fix puts a file right, and shows what it changes.
func (a *app) fix(name string, r linted) (linted, error) {
	fixed, err := definition.Fix(r.text, definition.Options{Name: r.File})
	if err != nil {
		return r, err
	}
	changed := fixed.Text != r.text
	if changed && name != "-" {
		if err := replaceText(name, fixed.Text); err != nil {
			return r, fmt.Errorf("fix definition: %w", err)
		}
	}
	if name == "-" {
		if err := a.print(fixed.Text); err != nil {
			return r, err
		}
	} else if changed && !a.json {
		if err := a.print(a.page.text(a.diff(r.File, r.text, fixed.Text))); err != nil {
			return r, err
		}
	}
	fixed.Report.Findings = withLabels(fixed.Report.Findings, fixed.Text, definition.Options{Name: r.File})
	return linted{lintReport{Report: fixed.Report, Fixed: fixed.Made}, fixed.Text}, nil
}

// replaceText gives a file another text in one step, behind links, and with the permissions it has.
func replaceText(name, text string) error {
	target, err := filepath.EvalSymlinks(name)
	if err != nil {
		return err
	}
	// Who may not write the file could still replace it in a folder that is theirs.
	f, err := os.OpenFile(target, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	if !st.Mode().IsRegular() {
		return fmt.Errorf("%s is no file that can be replaced", name)
	}
	return atomicfile.WriteFile(target, []byte(text), st.Mode().Perm())
}

// diff shows what became of a text, with one line around each change.
func (a *app) diff(name, before, after string) string {
	edits := udiff.Lines(before, after)
	text, err := udiff.ToUnified(clean(name), clean(name)+" (fixed)", before, edits, 1)
	if err != nil {
		return "" // only of edits that do not fit the text
	}
	var b strings.Builder
	for l := range strings.Lines(text) {
		l = strings.TrimSuffix(l, "\n")
		style := muted
		switch {
		case strings.HasPrefix(l, "---") || strings.HasPrefix(l, "+++"):
		case strings.HasPrefix(l, "-"):
			style = bad
		case strings.HasPrefix(l, "+"):
			style = good
		}
		b.WriteString(a.page.paint(style, visible(l)) + "\n")
	}
	return b.String()
}

// visible shows what cannot be seen: tabs as →, a byte order mark as [BOM]; other control characters are left out.
func visible(l string) string {
	return clean(strings.NewReplacer("\t", "→", "\ufeff", "[BOM]", "\r", "").Replace(l))
}

func (a *app) findings(t terminal, reports []lintReport) string {
	styles := map[definition.Severity]string{definition.Note: muted, definition.Warning: warn, definition.Failure: bad}
	var b strings.Builder
	for _, r := range reports {
		for _, f := range r.Fixed {
			b.WriteString(clean(r.File) + ": " + t.paint(good, "fixed") + ": " + clean(f.Message) + " (" + f.Rule + ")\n")
		}
		edits := 0
		for _, f := range r.Findings {
			if len(f.Edits) > 0 {
				edits++
			}
			where := clean(r.File)
			if f.Line > 0 {
				where += fmt.Sprintf(":%d", f.Line)
			}
			b.WriteString(where + ": " + t.paint(styles[f.Severity], f.Severity.String()) + ": " + clean(f.Message) + " " + t.paint(muted, "("+f.Rule+")") + "\n")
			if f.Fix != "" {
				b.WriteString("  → " + clean(strings.ReplaceAll(f.Fix, "\n", " ")) + "\n")
			}
		}
		switch {
		case len(r.Findings) == 0 && len(r.Fixed) == 0:
			b.WriteString(clean(r.File) + ": " + t.paint(good, "✓") + " nothing to remark\n")
		case len(r.Findings) == 0:
			b.WriteString(clean(r.File) + ": " + t.paint(good, "✓") + " nothing else to remark\n")
		case edits > 0 && len(r.Fixed) == 0:
			b.WriteString("carrel lint --fix puts right what a machine can\n")
		}
	}
	return b.String()
}
