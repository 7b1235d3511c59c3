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

// refine opens the example of OpenRefine and merges the spellings of the species, as people do with a text facet and its clusters.
func refine(ctx context.Context, b *browser.Browser, app App) error {
	if err := b.Open(ctx, app.URL); err != nil {
		return err
	}
	const tab = `[...document.querySelectorAll(".action-area-tab")].find((n) => n.innerText.includes("Open"))`
	const project = `[...document.querySelectorAll("a.project-name")].find((n) => n.innerText.includes("Bird counts"))`
	if err := steps(ctx, b,
		step{"the start page", "", tab},
		step{"the projects", tab + `.click()`, project},
		step{"the example", `location.href = ` + project + `.href`, shows("Erithacus rubecula") + ` && ` + shows("167 rows")},
	); err != nil {
		return err
	}
	return merge(ctx, b, app)
}

// merge makes a text facet of the column with species, asks for clusters, and merges them all.
func merge(ctx context.Context, b *browser.Browser, app App) error {
	const button = `[...document.querySelectorAll("button")].find((n) => n.offsetParent && n.innerText.includes(%q))`
	press := func(text string) string { return fmt.Sprintf(button, text) + ".click()" }
	const choices = `Number(document.body.innerText.match(/(\d+) choices/)?.[1])`
	var before, after int
	if err := steps(ctx, b,
		step{"a text facet", `ui.browsingEngine.addFacet("list", {name: "species", columnName: "species", expression: "value"}, {})`, choices + ` > 10`},
	); err != nil {
		return err
	}
	if err := b.Run(ctx, `return `+choices, &before); err != nil {
		return err
	}
	if err := steps(ctx, b, step{"its clusters", press("Cluster"), `document.querySelectorAll(".clustering-dialog-entry-table tr").length > 3`}); err != nil {
		return err
	}
	if err := picture(ctx, b, app, "clusters"); err != nil {
		return err
	}
	if err := steps(ctx, b,
		step{"all of them", press("Select all"), `document.querySelectorAll(".clustering-dialog-entry-table input[type=checkbox]:checked").length >= 3`},
		step{"merged", press("Merge selected & Close"), `!document.querySelector(".dialog-container") && ` + choices + fmt.Sprintf(` < %d`, before)},
	); err != nil {
		return err
	}
	if err := b.Run(ctx, `return `+choices, &after); err != nil {
		return err
	}
	// The parts of a name in another order, other case, other spaces: four at least of the spellings are gone.
	if after > before-4 {
		return fmt.Errorf("of %d spellings %d are left", before, after)
	}
	return picture(ctx, b, app, "merged")
}

// ownTable brings a table to OpenRefine, and finds it saved in the folder that was bound.
func ownTable(ctx context.Context, b *browser.Browser, app App) error {
	if err := b.Open(ctx, app.URL); err != nil {
		return err
	}
	if err := waitFor(ctx, b, time.Minute, `document.querySelector(".action-area-tab")`); err != nil {
		return err
	}
	var at string
	if err := b.Run(ctx, `
		return fetch("/command/core/get-csrf-token").then((r) => r.json()).then(({token}) => {
			const form = new FormData();
			form.append("project-file", new File([arguments[0]], "mine.csv", {type: "text/csv"}));
			form.append("project-name", "Mine");
			form.append("format", "text/line-based/*sv");
			form.append("options", JSON.stringify({separator: ",", headerLines: 1}));
			return fetch("/command/core/create-project-from-upload?csrf_token=" + encodeURIComponent(token), {method: "POST", body: form});
		}).then((r) => r.url)`, &at, "species,count\nParus major,1\nparus major,2\nMajor Parus,3\n"); err != nil {
		return err
	}
	_, id, found := strings.Cut(at, "project=")
	if !found {
		return fmt.Errorf("no project was made, the answer came from %s", at)
	}
	if err := steps(ctx, b, step{"my table", fmt.Sprintf(`location.href = "/project?project=%s"`, id), shows("3 rows") + ` && ` + shows("Major Parus")}); err != nil {
		return err
	}
	// It saves by itself every minute.
	saved := filepath.Join(app.Folder, id+".project", "data.zip")
	within, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	for {
		if info, err := os.Stat(saved); err == nil && info.Size() > 0 {
			return nil
		}
		select {
		case <-within.Done():
			return fmt.Errorf("%s: the project was not saved", saved)
		case <-time.After(time.Second):
		}
	}
}
