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

// cells is what the folder has before: not an image, which ImageJ is not asked to open.
const cells = "cells\n"

// desktop looks at ImageJ, works in a terminal in the bound folder, and makes the window smaller.
func desktop(ctx context.Context, b *browser.Browser, app App) error {
	if err := write(app.Folder, map[string]string{"cells.tif": cells}); err != nil {
		return err
	}
	if !strings.Contains(app.URL, "#") {
		return fmt.Errorf("the address %s has no key", app.URL)
	}
	// Nobody gets in without the key.
	plain, key, _ := strings.Cut(app.URL, "#")
	if err := b.Open(ctx, plain); err != nil {
		return err
	}
	if err := waitFor(ctx, b, 20*time.Second, `document.getElementById("message").innerText.includes("no key")`); err != nil {
		return err
	}
	if err := b.Run(ctx, `location.hash = "../vnc"`, nil); err != nil {
		return err
	}
	if err := waitFor(ctx, b, time.Minute, `document.getElementById("message").innerText.includes("not the address of a desktop")`); err != nil {
		return err
	}
	if err := b.Run(ctx, `location.hash = arguments[0]`, nil, key); err != nil {
		return err
	}
	// The desktop is as large as the page.
	const fits = `document.body.dataset.state === "connected" && (() => { const c = document.querySelector("canvas"); return c && c.width === innerWidth && c.height === innerHeight; })()`
	if err := waitFor(ctx, b, time.Minute, fits); err != nil {
		return err
	}
	// How much of the screen is neither ground nor tray: windows.
	const colours = `(() => { const c = document.querySelector("canvas"); const d = c.getContext("2d").getImageData(0, 0, c.width, c.height - 40).data;
		let n = 0; for (let i = 0; i < d.length; i += 4) if (d[i] !== 0xcf || d[i + 1] !== 0xdc || d[i + 2] !== 0xd9) n++; return n; })()`
	if err := waitFor(ctx, b, 2*time.Minute, colours+" > 40000"); err != nil {
		return err
	}
	if err := picture(ctx, b, app, "imagej"); err != nil {
		return err
	}
	// A terminal, which works in the bound folder: Ctrl+Alt+T, a command, a file.
	const keys = `const key = (sym, down) => desktop.sendKey(sym, null, down);
		const hold = [0xffe3, 0xffe9];`
	if err := b.Run(ctx, keys+`window.windows = `+colours+`; hold.forEach((k) => key(k, true)); key(0x74); hold.forEach((k) => key(k, false));`, nil); err != nil {
		return err
	}
	if err := waitFor(ctx, b, time.Minute, "Math.abs("+colours+" - windows) > 20000"); err != nil {
		return fmt.Errorf("a terminal: %w", err)
	}
	made := filepath.Join(app.Folder, "made.txt")
	// A window that has appeared is not always the one that gets the keys yet: what is typed too early is typed again.
	for try := 0; ; try++ {
		if err := b.Run(ctx, keys+`[..."cp cells.tif made.txt"].forEach((c) => key(c.charCodeAt(0))); key(0xff0d);
			return new Promise((f) => setTimeout(f, 1000))`, nil); err != nil {
			return err
		}
		if content, err := os.ReadFile(made); err == nil && string(content) == cells {
			break
		}
		if try == 20 {
			return errors.New("what was typed into the terminal has not been done")
		}
	}
	if err := picture(ctx, b, app, "terminal"); err != nil {
		return err
	}
	// The desktop follows the page's size.
	return steps(ctx, b, step{"a smaller window", `document.getElementById("screen").style.inset = "0 200px 100px 0"; dispatchEvent(new Event("resize"))`,
		`(() => { const c = document.querySelector("canvas"); return c.width === innerWidth - 200 && c.height === innerHeight - 100; })()`})
}
