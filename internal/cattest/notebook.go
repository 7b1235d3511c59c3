package cattest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"carrel/internal/browser"
)

// A notebook is a language to compute in: a cell that plots and prints, and what it prints.
type notebook struct {
	kernel, cell, prints string
}

var (
	inPython = notebook{"python3", `import numpy as np, pandas as pd, scipy.stats as stats
import matplotlib.pyplot as plt
%matplotlib inline
x = np.linspace(0, 1, 11)
plt.plot(x, x ** 2)
print("sum", round(pd.Series(x).sum(), 1), "p", round(stats.norm.cdf(0), 1))`, "sum 5.5 p 0.5"}
	inR = notebook{"ir", `library(ggplot2)
x <- seq(0, 1, 0.1)
print(ggplot(data.frame(x, y = x^2), aes(x, y)) + geom_line())
cat("sum", sum(x), "p", pnorm(0))`, "sum 5.5 p 0.5"}
	inOctave = notebook{"octave", `pkg load statistics
x = linspace(0, 1, 11);
plot(x, x .^ 2)
printf("sum %g p %g\n", sum(x), normcdf(0))`, "sum 5.5 p 0.5"}
)

// use makes a notebook, runs a cell, saves, and finds the file in the bound folder. Everything goes the way of a user: the
// address with its token, the interface for files, the kernel's web socket.
func (n notebook) use(ctx context.Context, b *browser.Browser, app App) error {
	if strings.Count(app.URL, "token=") != 1 {
		return fmt.Errorf("the address %s has not one token", app.URL)
	}
	if err := b.Open(ctx, app.URL); err != nil {
		return err
	}
	if err := waitFor(ctx, b, 30*time.Second, `document.querySelector("#notebook_list") && document.querySelector("#new-dropdown-button, #new-buttons")`); err != nil {
		return err
	}
	if err := picture(ctx, b, app, "tree"); err != nil {
		return err
	}
	var path string
	err := b.Run(ctx, `
		const cookie = Object.fromEntries(document.cookie.split("; ").map((c) => c.split("=")));
		const headers = {"Content-Type": "application/json", "X-XSRFToken": cookie._xsrf};
		return fetch("/api/contents", {method: "POST", headers, body: JSON.stringify({type: "notebook"})}).then((r) => r.json()).then((made) => {
			const content = {nbformat: 4, nbformat_minor: 4, metadata: {kernelspec: {name: arguments[1], display_name: arguments[1]}},
				cells: [{cell_type: "code", metadata: {}, source: arguments[0], outputs: [], execution_count: null}]};
			return fetch("/api/contents/" + made.path, {method: "PUT", headers, body: JSON.stringify({type: "notebook", content})}).then(() => made.path);
		})`, &path, n.cell, n.kernel)
	if err != nil {
		return err
	}
	if path == "" {
		return errors.New("no notebook was made")
	}
	if err := b.Run(ctx, `location.href = "/notebooks/" + encodeURIComponent(arguments[0])`, nil, path); err != nil {
		return err
	}
	if err := waitFor(ctx, b, time.Minute, `window.Jupyter?.notebook?.kernel?.is_connected()`); err != nil {
		return err
	}
	if err := b.Run(ctx, `Jupyter.notebook.execute_all_cells()`, nil); err != nil {
		return err
	}
	if err := waitFor(ctx, b, time.Minute, fmt.Sprintf(`document.querySelector(".output img") && document.querySelector(".output_wrapper").innerText.includes(%q)`, n.prints)); err != nil {
		return err
	}
	if err := picture(ctx, b, app, "notebook"); err != nil {
		return err
	}
	if err := b.Run(ctx, `return Jupyter.notebook.save_notebook()`, nil); err != nil {
		return err
	}
	if app.Folder == "" {
		return nil
	}
	text, err := os.ReadFile(filepath.Join(app.Folder, path))
	if err != nil {
		return err
	}
	if !strings.Contains(string(text), n.prints) || !strings.Contains(string(text), "image/png") {
		return fmt.Errorf("%s was saved without what it computed", path)
	}
	return nil
}

// course opens the first notebook of the course, runs all its cells, saves it, and finds it in the bound folder with its plots.
func course(ctx context.Context, b *browser.Browser, app App) error {
	if err := b.Open(ctx, app.URL); err != nil {
		return err
	}
	const names = `[...document.querySelectorAll("#notebook_list .item_name")].map((n) => n.innerText)`
	if err := waitFor(ctx, b, 30*time.Second, names+`.filter((n) => /^[1-6]-.*ipynb$/.test(n)).length === 6`); err != nil {
		return err
	}
	if err := picture(ctx, b, app, "tree"); err != nil {
		return err
	}
	if err := steps(ctx, b,
		step{"the first notebook", `location.href = "/notebooks/machine-learning/1-data.ipynb"`, `window.Jupyter?.notebook?.kernel?.is_connected()`},
		step{"all cells", `Jupyter.notebook.execute_all_cells()`, `document.querySelectorAll(".output img").length === 2 && !Jupyter.notebook.kernel_busy && document.querySelectorAll(".output_error").length === 0`},
	); err != nil {
		return err
	}
	if err := b.Run(ctx, `document.querySelector(".output img").scrollIntoView({block: "end"}); return Jupyter.notebook.save_notebook()`, nil); err != nil {
		return err
	}
	if err := picture(ctx, b, app, "notebook"); err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(app.Folder, "machine-learning", "1-data.ipynb"))
	if err != nil {
		return err
	}
	if strings.Count(string(text), "image/png") != 2 {
		return errors.New("1-data.ipynb was saved without its plots")
	}
	return nil
}

// A notebook that is kept inside the image.
const (
	keptName = "kept.ipynb"
	keptText = "kept inside the image"
)

// keep saves a notebook into the image, by the interface for files.
func keep(ctx context.Context, b *browser.Browser, app App) error {
	if err := b.Open(ctx, app.URL); err != nil {
		return err
	}
	if err := waitFor(ctx, b, 30*time.Second, `document.querySelector("#notebook_list")`); err != nil {
		return err
	}
	var status int
	if err := b.Run(ctx, `
		const cookie = Object.fromEntries(document.cookie.split("; ").map((c) => c.split("=")));
		const content = {nbformat: 4, nbformat_minor: 4, metadata: {}, cells: [{cell_type: "markdown", metadata: {}, source: arguments[1]}]};
		return fetch("/api/contents/" + arguments[0], {method: "PUT", headers: {"Content-Type": "application/json", "X-XSRFToken": cookie._xsrf},
			body: JSON.stringify({type: "notebook", content})}).then((r) => r.status)`, &status, keptName, keptText); err != nil {
		return err
	}
	if status != http.StatusCreated {
		return fmt.Errorf("save %s: status %d", keptName, status)
	}
	return nil
}

// kept opens the notebook that keep saved.
func kept(ctx context.Context, b *browser.Browser, app App) error {
	if err := b.Open(ctx, app.URL); err != nil {
		return err
	}
	return steps(ctx, b, step{"the notebook of the time before", `location.href = "/notebooks/" + ` + strconv.Quote(keptName), shows(keptText)})
}
