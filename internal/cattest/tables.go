package cattest

import (
	"context"
	"fmt"
	"time"

	"carrel/internal/browser"
)

// tables looks at the example inside the image: sorts, filters, sums up and asks.
func tables(ctx context.Context, b *browser.Browser, app App) error {
	if err := b.Open(ctx, app.URL); err != nil {
		return err
	}
	const total = `document.getElementById("total")?.innerText === %q`
	const cell = `document.querySelector(".data tbody tr td:nth-child(%d)")?.innerText === %q`
	const fact = `[...document.querySelectorAll("dt")].find((n) => n.innerText === %q)?.nextElementSibling.innerText === %q`
	follow := func(text string) string {
		return fmt.Sprintf(`[...document.querySelectorAll("a")].find((a) => a.innerText.trim() === %q || a.getAttribute("aria-label") === %[1]q).click()`, text)
	}
	if err := steps(ctx, b,
		step{"the files", "", `document.querySelectorAll(".list a").length === 6`},
		step{"a table", follow("participants.csv"), fmt.Sprintf(total+" && "+cell, "40", 1, "P001")},
		step{"downwards", follow("participant") + `;`, `document.querySelector("[aria-sort=ascending]")`},
		step{"and up again", follow("participant ↑"), fmt.Sprintf(cell, 1, "P040")},
		step{"a filter", `document.querySelector('[name="f.hand"]').value = "left"; document.querySelector("form").requestSubmit()`,
			fmt.Sprintf(`!(%s) && [...document.querySelectorAll(".data tbody td:nth-child(4)")].every((n) => n.innerText === "left")`, fmt.Sprintf(total, "40"))},
		step{"the other file", `location.href = "/"`, `document.querySelectorAll(".list a").length === 6`},
		step{"many rows", follow("trials.csv"), fmt.Sprintf(total, "2400") + ` && document.querySelectorAll(".data tbody tr").length === 50`},
		step{"the next page", follow("Next"), fmt.Sprintf(cell, 2, "51")},
	); err != nil {
		return err
	}
	if err := picture(ctx, b, app, "table"); err != nil {
		return err
	}
	if err := download(ctx, b, "export", "participant,trial,condition,correct,rt_ms\nP001,1,", 2401); err != nil {
		return err
	}
	if err := steps(ctx, b, step{"a column", follow("Summary of rt_ms"), fmt.Sprintf(fact, "Rows", "2400") + ` && document.querySelectorAll(".histogram rect").length > 10`}); err != nil {
		return err
	}
	if err := picture(ctx, b, app, "column"); err != nil {
		return err
	}
	ask := func(question string) string {
		return fmt.Sprintf(`document.querySelector("textarea").value = %q; document.querySelector("button.main").click()`, question)
	}
	if err := steps(ctx, b,
		step{"a database", `location.href = "/file?file=experiment.sqlite"`, `document.querySelectorAll(".list a").length === 3`},
		step{"a question", follow("Ask in SQL"), `document.querySelector("textarea")`},
		step{"an answer", ask(`SELECT condition, count(*), round(avg(mean_rt_ms)) FROM means GROUP BY condition`), fmt.Sprintf(total+" && "+cell, "2", 1, "congruent")},
	); err != nil {
		return err
	}
	if err := picture(ctx, b, app, "question"); err != nil {
		return err
	}
	return steps(ctx, b,
		step{"no changes", ask(`UPDATE trials SET rt_ms = 0`), `document.querySelector("[role=alert]")?.innerText === "Data can be read here, not changed."`},
		step{"a mistake", ask(`SELECT x FROM nowhere`), `document.querySelector("[role=alert]")?.innerText.includes("no such table")`},
	)
}

// ownTables opens files that somebody wrote badly, or to do harm.
func ownTables(ctx context.Context, b *browser.Browser, app App) error {
	const harm = `<script>window.harmed=1</script><img src=x onerror=window.harmed=1>`
	if err := write(app.Folder, map[string]string{
		"mes données/<b>1.csv": "name;wert\n" + harm + ";1,5\nb;2,5\n",
		"empty.csv":            "",
		"broken.sqlite":        "nothing",
	}); err != nil {
		return err
	}
	if err := b.Open(ctx, app.URL); err != nil {
		return err
	}
	if err := steps(ctx, b,
		step{"the files", "", `document.querySelectorAll(".list a").length === 6 && document.body.innerText.includes("mes données/<b>1.csv")`},
		step{"a table", `[...document.querySelectorAll(".list a")].find((a) => a.innerText.includes("<b>")).click()`, `document.querySelectorAll(".data tbody tr").length === 2 && document.querySelector(".data td.n").innerText === "1.5"`},
	); err != nil {
		return err
	}
	var harmed bool
	if err := b.Run(ctx, `return Boolean(window.harmed) || document.querySelectorAll(".data img, .data script").length > 0`, &harmed); err != nil {
		return err
	}
	if harmed {
		return fmt.Errorf("%s in the data was taken for the page's own", harm)
	}
	if err := steps(ctx, b,
		step{"a file without anything", `location.href = "/file?file=empty.csv"`, `document.querySelector("[role=alert]")?.innerText === "empty.csv is empty."`},
		step{"a file that is no database", `location.href = "/file?file=broken.sqlite"`, `document.querySelector("[role=alert]")?.innerText.includes("not a database")`},
		step{"a file of others", `location.href = "/file?file=" + encodeURIComponent("../etc/passwd")`, `document.querySelector("[role=alert]")?.innerText.includes("There is no file")`},
	); err != nil {
		return err
	}
	// What appears while the page is open is there when it is loaded again.
	if err := write(app.Folder, map[string]string{"new.tsv": "a\tb\n1\t2\n"}); err != nil {
		return err
	}
	if err := b.Open(ctx, app.URL); err != nil {
		return err
	}
	return waitFor(ctx, b, 10*time.Second, `document.body.innerText.includes("new.tsv")`)
}
