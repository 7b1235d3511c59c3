package cattest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"carrel/internal/browser"
)

// notebook makes a notebook, runs a cell that plots, saves, and finds the file in the bound folder. Everything goes the way
// of a user: the address with its token, the interface for files, the kernel's web socket.
func notebook(ctx context.Context, b *browser.Browser, app App) error {
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
	const cell = `
import numpy as np, pandas as pd, scipy.stats as stats
import matplotlib.pyplot as plt
%matplotlib inline
x = np.linspace(0, 1, 11)
plt.plot(x, x ** 2)
print("sum", round(pd.Series(x).sum(), 1), "p", round(stats.norm.cdf(0), 1))`
	var path string
	err := b.Run(ctx, `
		const cookie = Object.fromEntries(document.cookie.split("; ").map((c) => c.split("=")));
		const headers = {"Content-Type": "application/json", "X-XSRFToken": cookie._xsrf};
		return fetch("/api/contents", {method: "POST", headers, body: JSON.stringify({type: "notebook"})}).then((r) => r.json()).then((made) => {
			const content = {nbformat: 4, nbformat_minor: 4, metadata: {kernelspec: {name: "python3", display_name: "Python 3", language: "python"}},
				cells: [{cell_type: "code", metadata: {}, source: arguments[0], outputs: [], execution_count: null}]};
			return fetch("/api/contents/" + made.path, {method: "PUT", headers, body: JSON.stringify({type: "notebook", content})}).then(() => made.path);
		})`, &path, strings.TrimSpace(cell))
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
	if err := waitFor(ctx, b, time.Minute, `document.querySelector(".output img") && document.querySelector(".output_subarea").innerText.includes("sum 5.5 p 0.5")`); err != nil {
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
	if !strings.Contains(string(text), "sum 5.5 p 0.5") || !strings.Contains(string(text), "image/png") {
		return fmt.Errorf("%s was saved without what it computed", path)
	}
	return nil
}
