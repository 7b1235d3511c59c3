package cattest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"carrel/internal/browser"
)

// shows is true when the page has a text.
func shows(text string) string {
	return fmt.Sprintf(`document.body?.innerText.includes(%q)`, text)
}

// docs is documentation in one of the ways that are understood: its files, and the one with the words "First version" in it.
type docs struct {
	files   map[string]string
	changed string
}

var (
	inSphinx = docs{map[string]string{
		"docs/conf.py":   "project = 'Trial'\nextensions = ['myst_parser']\nhtml_theme = 'furo'\n",
		"docs/index.rst": "Trial\n=====\n\nFirst version.\n\n.. toctree::\n\n   more\n",
		"docs/more.md":   "# More\n\nText.\n",
	}, "docs/index.rst"}
	inMkDocs = docs{map[string]string{
		"mkdocs.yml":    "site_name: Trial\ntheme: {name: material, font: false}\n",
		"docs/index.md": "# Trial\n\nFirst version. [More](more.md)\n",
		"docs/more.md":  "# More\n\nText.\n",
	}, "docs/index.md"}
	inMarkdown = docs{map[string]string{
		"README.md": "# Trial\n\nFirst version. [More](more.md)\n",
		"more.md":   "# More\n\nText.\n",
	}, "README.md"}
)

// example wants the documentation inside the image.
func example(ctx context.Context, b *browser.Browser, app App) error {
	if err := b.Open(ctx, app.URL); err != nil {
		return err
	}
	if err := waitFor(ctx, b, 20*time.Second, shows("A manual, as you write it")); err != nil {
		return err
	}
	return picture(ctx, b, app, "page")
}

// use opens the page of an empty folder, writes the first version, changes it, and never loads the page by hand.
func (d docs) use(ctx context.Context, b *browser.Browser, app App) error {
	if err := b.Open(ctx, app.URL); err != nil {
		return err
	}
	if err := waitFor(ctx, b, 20*time.Second, shows("There is no documentation here yet")); err != nil {
		return err
	}
	if err := write(app.Folder, d.files); err != nil {
		return err
	}
	if err := waitFor(ctx, b, time.Minute, shows("First version.")); err != nil {
		return err
	}
	text := strings.ReplaceAll(d.files[d.changed], "First version", "Second version, saved just now")
	if err := write(app.Folder, map[string]string{d.changed: text}); err != nil {
		return err
	}
	if err := waitFor(ctx, b, time.Minute, shows("Second version, saved just now.")); err != nil {
		return err
	}
	if err := picture(ctx, b, app, "page"); err != nil {
		return err
	}
	if err := b.Run(ctx, `document.querySelector("a[href*=more]").click()`, nil); err != nil {
		return err
	}
	if err := waitFor(ctx, b, 20*time.Second, shows("More")+` && location.pathname.includes("more")`); err != nil {
		return err
	}
	return nothingBut(app.Folder, d.files)
}

// nothingBut wants a folder to have no other files than those that were written.
func nothingBut(folder string, files map[string]string) error {
	return filepath.WalkDir(folder, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		name, err := filepath.Rel(folder, path)
		if err != nil {
			return err
		}
		if _, mine := files[name]; !mine {
			return fmt.Errorf("%s was written to the user's folder", name)
		}
		return nil
	})
}

// report looks at the example of R Markdown.
func report(ctx context.Context, b *browser.Browser, app App) error {
	if err := b.Open(ctx, app.URL); err != nil {
		return err
	}
	if err := waitFor(ctx, b, 3*time.Minute, shows("36 bean plants in 6 beds")+` && document.querySelector("img[src^='data:image/png']")?.naturalWidth > 300`); err != nil {
		return err
	}
	return picture(ctx, b, app, "page")
}

// ownReport writes a report while the page is open, changes its data, makes a mistake, and mends it.
func ownReport(ctx context.Context, b *browser.Browser, app App) error {
	if err := b.Open(ctx, app.URL); err != nil {
		return err
	}
	if err := waitFor(ctx, b, 20*time.Second, shows("There is no report here yet")); err != nil {
		return err
	}
	const head = "---\ntitle: Trial\noutput: html_document\n---\n\nThe mean is `r mean(read.csv(\"values.csv\")$x)`.\n\n"
	const plot = "```{r}\nplot(1:3)\n```\n"
	files := map[string]string{"values.csv": "x\n1\n2\n", "trial.Rmd": head + plot}
	if err := write(app.Folder, files); err != nil {
		return err
	}
	for _, s := range []struct{ what, file, text, until string }{
		{"first version", "", "", shows("The mean is 1.5.") + ` && document.querySelector("img[src^='data:image/png']")`},
		{"other data", "values.csv", "x\n1\n2\n6\n", shows("The mean is 3.")},
		{"a mistake", "trial.Rmd", head + "```{r}\nplot(nothing)\n```\n", shows("object 'nothing' not found") + ` && ` + shows("plot(nothing)") + ` && ` + shows("The mean is 3.")},
		{"mended", "trial.Rmd", head + "Mended.\n\n" + plot, shows("Mended.") + ` && !document.querySelector("#report-error")`},
	} {
		if s.file != "" {
			if err := write(app.Folder, map[string]string{s.file: s.text}); err != nil {
				return err
			}
		}
		if err := waitFor(ctx, b, 2*time.Minute, s.until); err != nil {
			return fmt.Errorf("%s: %w", s.what, err)
		}
		if err := picture(ctx, b, app, strings.ReplaceAll(s.what, " ", "-")); err != nil {
			return err
		}
	}
	if err := nothingBut(app.Folder, files); err != nil {
		return err
	}
	// Two documents are a list.
	files["second.R"] = "#' ---\n#' title: A script\n#' ---\n#' It says\ncat('the answer is', 6 * 7)\n"
	if err := write(app.Folder, files); err != nil {
		return err
	}
	if err := b.Open(ctx, app.URL); err != nil {
		return err
	}
	if err := waitFor(ctx, b, 20*time.Second, `document.querySelectorAll("li a").length === 2 && `+shows("A script")); err != nil {
		return err
	}
	if err := b.Run(ctx, `document.querySelector('a[href="/second.R"]').click()`, nil); err != nil {
		return err
	}
	return waitFor(ctx, b, 2*time.Minute, shows("the answer is 42"))
}
