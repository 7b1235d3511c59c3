package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"carrel/engine/definition"
)

func (a *app) lintCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "lint [OPTION …] DEFINITION …", Short: "Check definition files without building", GroupID: groupImages,
		Long: "A folder means the file named Singularity in it, - means standard input. The exit\nstatus is 1 when a file cannot be built from.",
		Args: between(1, -1, "DEFINITION"),
	}
	c.Flags().BoolVar(&a.json, "json", false, "print as JSON")
	c.RunE = func(_ *cobra.Command, names []string) error {
		valid := true
		reports := []definition.Report{}
		for _, name := range names {
			r, err := a.lint(name)
			if err != nil {
				return err
			}
			valid = valid && r.Valid
			reports = append(reports, r)
		}
		var err error
		if a.json {
			err = a.printLines(reports)
		} else {
			err = a.print(a.page.text(a.findings(reports)))
		}
		if err == nil && !valid {
			err = quietExit(1)
		}
		return err
	}
	return c
}

// printLines prints one JSON object a line.
func (a *app) printLines(reports []definition.Report) error {
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

func (a *app) lint(name string) (definition.Report, error) {
	if name == "-" {
		return definition.Lint(a.in, definition.Options{Name: "standard input"})
	}
	if st, err := os.Stat(name); err == nil && st.IsDir() {
		name = filepath.Join(name, "Singularity")
	}
	f, err := os.Open(name)
	if err != nil {
		return definition.Report{}, fmt.Errorf("check definition: %w", err)
	}
	defer f.Close()
	return definition.Lint(io.Reader(f), definition.Options{Name: name})
}

func (a *app) findings(reports []definition.Report) string {
	t := a.page
	styles := map[definition.Severity]string{definition.Note: muted, definition.Warning: warn, definition.Failure: bad}
	var b strings.Builder
	for _, r := range reports {
		for _, f := range r.Findings {
			where := clean(r.File)
			if f.Line > 0 {
				where += fmt.Sprintf(":%d", f.Line)
			}
			b.WriteString(where + ": " + t.paint(styles[f.Severity], f.Severity.String()) + ": " + clean(f.Message) + "\n")
			if f.Fix != "" {
				b.WriteString("  → " + clean(strings.ReplaceAll(f.Fix, "\n", " ")) + "\n")
			}
		}
		if len(r.Findings) == 0 {
			b.WriteString(clean(r.File) + ": " + t.paint(good, "✓") + " nothing to remark\n")
		}
	}
	return b.String()
}
