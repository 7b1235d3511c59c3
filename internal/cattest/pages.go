package cattest

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"carrel/internal/browser"
)

// write puts files into the folder of an app, as its user does.
func write(folder string, files map[string]string) error {
	for name, text := range files {
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// steps waits for expressions, after each of the scripts before them.
func steps(ctx context.Context, b *browser.Browser, list ...step) error {
	for _, s := range list {
		if s.do != "" {
			if err := b.Run(ctx, s.do, nil); err != nil {
				return fmt.Errorf("%s: %w", s.what, err)
			}
		}
		if err := waitFor(ctx, b, time.Minute, s.until); err != nil {
			return fmt.Errorf("%s: %w", s.what, err)
		}
	}
	return nil
}

// A step of what somebody does with a page.
type step struct{ what, do, until string }

// models moves the sliders of the examples inside the image and wants the numbers that follow.
func models(ctx context.Context, b *browser.Browser, app App) error {
	if err := b.Open(ctx, app.URL); err != nil {
		return err
	}
	const set = `const f = document.getElementById("p-" + %q); f.value = %q; f.dispatchEvent(new Event("change"));`
	const number = `[...document.querySelectorAll("#numbers dt")].find((n) => n.textContent === %q)?.nextSibling.textContent === %q && !document.body.classList.contains("busy")`
	if err := steps(ctx, b,
		step{"the epidemic", "", fmt.Sprintf(number, "Basic reproduction number", "2.45")},
		step{"more days ill", fmt.Sprintf(set, "ill_for", "10"), fmt.Sprintf(number, "Basic reproduction number", "3.5")},
		step{"nobody is left to catch it", fmt.Sprintf(set, "vaccinated", "95"), fmt.Sprintf(number, "Most ill at once", "1")},
		step{"beyond the range", fmt.Sprintf(set, "vaccinated", "-20"), `document.getElementById("p-vaccinated").value === "0"`},
		step{"beside the starting values", `document.getElementById("compare").click()`, `location.search.includes("compare=1") && !document.body.classList.contains("busy")`},
	); err != nil {
		return err
	}
	if err := picture(ctx, b, app, "epidemic"); err != nil {
		return err
	}
	if err := download(ctx, b, "csv", "day,can catch it,ill,have had it or are vaccinated\n0.0,", 400); err != nil {
		return err
	}
	if err := download(ctx, b, "png", "\x89PNG", 0); err != nil {
		return err
	}
	if err := steps(ctx, b, step{"predators", `const m = document.getElementById("models"); m.value = "predators"; m.dispatchEvent(new Event("change"))`,
		fmt.Sprintf(number, "Hares at rest", "44.4444")}); err != nil {
		return err
	}
	return picture(ctx, b, app, "predators")
}

// ownModel writes a model while the page is open, makes a mistake, and mends it.
func ownModel(ctx context.Context, b *browser.Browser, app App) error {
	if err := b.Open(ctx, app.URL); err != nil {
		return err
	}
	const source = "\"\"\"Squares <b>\n\"\"\"\nimport numpy as np\n\ndef model(a: (0, 9, \"Factor\") = 2, up: \"Upwards\" = True):\n    x = np.arange(10.0)\n    print('hello', a)\n    return {'x': x, 'y': a * x**2 * (1 if up else -1), 'Last': a * 81}\n"
	const shown = `!document.body.classList.contains("busy") && `
	if err := steps(ctx, b, step{"no model yet", "", `document.body.innerText.includes("There is no model in /model yet")`}); err != nil {
		return err
	}
	if err := write(app.Folder, map[string]string{"model.py": source}); err != nil {
		return err
	}
	if err := steps(ctx, b,
		step{"a model appears", "", shown + `document.querySelector("h1").textContent === "Squares <b>" && document.getElementById("numbers").textContent === "Last162"`},
		step{"a slider", `const s = document.getElementById("p-a-slider"); s.value = 3; s.dispatchEvent(new Event("input"))`,
			shown + `document.getElementById("numbers").textContent === "Last243" && document.getElementById("printed").textContent === "hello 3\n"`},
	); err != nil {
		return err
	}
	if err := write(app.Folder, map[string]string{"model.py": source + "\nmistake here\n"}); err != nil {
		return err
	}
	if err := steps(ctx, b, step{"a mistake", "", shown + `/model.py", line 10\n[^]*SyntaxError/.test(document.getElementById("problem").innerText)`}); err != nil {
		return err
	}
	if err := picture(ctx, b, app, "mistake"); err != nil {
		return err
	}
	if err := write(app.Folder, map[string]string{"model.py": source[:len(source)-1] + "\n# mended\n"}); err != nil {
		return err
	}
	if err := steps(ctx, b, step{"mended, with the value of before", "", shown + `document.getElementById("problem").hidden && document.getElementById("numbers").textContent === "Last243"`}); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(app.Folder, "__pycache__")); err == nil {
		return errors.New("compiled files were left in the folder")
	}
	return nil
}

// download fetches what a link leads to and wants how it begins, and at least so many lines.
func download(ctx context.Context, b *browser.Browser, id, begins string, lines int) error {
	var text string
	if err := b.Run(ctx, `return fetch(document.getElementById(arguments[0]).href).then((r) => r.arrayBuffer())
		.then((a) => btoa(Array.from(new Uint8Array(a), (c) => String.fromCharCode(c)).join("")))`, &text, id); err != nil {
		return err
	}
	content, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(content, []byte(begins)) {
		return fmt.Errorf("%s begins with %.80q", id, content)
	}
	if count := bytes.Count(content, []byte("\n")); count < lines {
		return fmt.Errorf("%s has %d lines", id, count)
	}
	return nil
}
