package cattest

import (
	"context"
	"fmt"
	"time"

	"carrel/internal/browser"
)

// App is an app that runs, to be checked.
type App struct {
	// URL is what a person opens.
	URL string
	// Folder is bound where the app keeps its data; empty without one.
	Folder string
	// Picture keeps a picture of the page under a name; nil where nobody wants any.
	Picture func(name string, png []byte) error
}

// A Check uses an app in a browser and says what was wrong.
type Check struct {
	// Name tells the checks of an entry apart; the first has none.
	Name string
	// Bind is the destination that App.Folder is to be bound to; empty: none.
	Bind string
	// Args are given to the app.
	Args []string
	// Use does the check.
	Use func(ctx context.Context, b *browser.Browser, app App) error
	// Kept, where there is one, looks at what Use made in a copy of the image that was started with --writable, after it was
	// stopped and started again; File inside the image then holds Holds, also to Apptainer.
	Kept        func(ctx context.Context, b *browser.Browser, app App) error
	File, Holds string
}

// checks are the entries that more can be said of than that they show a page.
var checks = map[string][]Check{
	"expfactory": {
		{Bind: "/data", Args: []string{"--trials", "14", "--set", "practice=4", "--results-key", resultsKey}, Use: session{who: "T01", language: "en", interrupted: "flanker"}.use},
		{Name: "de", Bind: "/data", Args: []string{"--trials", "9", "--set", "practice=4", "--set", "n=3", "--lang", "de", "--results-key", resultsKey}, Use: session{who: "T02", language: "de", interrupted: "n-back", n: 3}.use},
	},
	"data-browser":   {{Use: tables}, {Name: "own", Bind: "/data", Use: ownTables}},
	"model-explorer": {{Use: models}, {Name: "own", Bind: "/model", Use: ownModel}},
	"nginx-jupyter": {
		{Bind: "/opt/notebooks", Use: inPython.use},
		{Name: "kept inside", Use: keep, Kept: kept, File: "/opt/notebooks/" + keptName, Holds: keptText},
	},
	"nginx-jupyter:r":      {{Bind: "/opt/notebooks", Use: inR.use}},
	"nginx-jupyter:course": {{Bind: "/opt/notebooks", Use: course}},
	"nginx-jupyter:octave": {{Bind: "/opt/notebooks", Use: inOctave.use}},
	"nginx-pages":          {{Use: hello}},
	"docs-preview": {
		{Use: example}, {Name: "sphinx", Bind: "/docs", Use: inSphinx.use}, {Name: "mkdocs", Bind: "/docs", Use: inMkDocs.use}, {Name: "markdown", Bind: "/docs", Use: inMarkdown.use},
	},
	"report":      {{Use: report}, {Name: "own", Bind: "/report", Use: ownReport}},
	"openrefine":  {{Use: refine}, {Name: "own", Bind: "/data", Use: ownTable}},
	"viewer":      {{Use: volumes}, {Name: "own", Bind: "/data", Use: ownVolumes}},
	"desktop":     {{Bind: "/data", Use: desktop}},
	"nginx-basic": {{Use: hello}},
	"r-shiny":     {{Use: shiny}},
}

// For are the checks of a catalog entry, by its ID; there is at least one.
func For(id string) []Check {
	if c, ok := checks[id]; ok {
		return c
	}
	return []Check{{Use: page}}
}

// page wants a page that shows something.
func page(ctx context.Context, b *browser.Browser, app App) error {
	if err := b.Open(ctx, app.URL); err != nil {
		return err
	}
	if err := waitFor(ctx, b, 30*time.Second, `document.readyState === "complete" && document.body.innerText.trim().length > 10`); err != nil {
		return err
	}
	return picture(ctx, b, app, "page")
}

func hello(ctx context.Context, b *browser.Browser, app App) error {
	if err := page(ctx, b, app); err != nil {
		return err
	}
	return waitFor(ctx, b, 10*time.Second, `document.querySelector("h2").innerText === "Hello World!"`)
}

// shiny moves a slider of the example and wants the other number and new plots.
func shiny(ctx context.Context, b *browser.Browser, app App) error {
	if err := b.Open(ctx, app.URL); err != nil {
		return err
	}
	const plots = ` && document.querySelectorAll(".shiny-plot-output img").length === 2 && !document.querySelector(".recalculating")`
	if err := waitFor(ctx, b, time.Minute, `document.querySelector("#power")?.innerText === "Power: 60 %"`+plots); err != nil {
		return err
	}
	// The size at which a medium effect is found four times out of five (Cohen 1992).
	if err := b.Run(ctx, `Shiny.setInputValue("n", 64)`, nil); err != nil {
		return err
	}
	if err := waitFor(ctx, b, time.Minute, `document.querySelector("#power").innerText === "Power: 80 %"`+plots); err != nil {
		return err
	}
	return picture(ctx, b, app, "page")
}

func picture(ctx context.Context, b *browser.Browser, app App, name string) error {
	if app.Picture == nil {
		return nil
	}
	png, err := b.Screenshot(ctx)
	if err != nil {
		return err
	}
	return app.Picture(name, png)
}

// waitFor waits for an expression to be true for at most so long.
func waitFor(ctx context.Context, b *browser.Browser, most time.Duration, expression string) error {
	within, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	err := b.WaitFor(within, expression)
	if err == nil {
		return nil
	}
	var text string
	if b.Run(ctx, `return (window.battery?.error ?? "") + document.body.innerText.slice(0, 300)`, &text) == nil {
		return fmt.Errorf("%w; the page says %q", err, text)
	}
	return err
}
