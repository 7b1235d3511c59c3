package cattest

import (
	"context"
	"fmt"

	"carrel/internal/browser"
)

// volumes looks through the examples of the viewer: planes, the cross, brightness, time, headers.
func volumes(ctx context.Context, b *browser.Browser, app App) error {
	if err := b.Open(ctx, app.URL); err != nil {
		return err
	}
	// The picture of every plane has come, and is the one that was asked for.
	const drawn = `document.querySelectorAll("figure").length === %d && [...document.querySelectorAll("figure")].every((f) => f.dataset.shown !== undefined && f.querySelector("img").naturalWidth > 1)`
	const at = `document.getElementById("at").innerText.startsWith(%q)`
	item := func(text string) string {
		return fmt.Sprintf(`[...document.querySelectorAll("#items a")].find((a) => a.innerText.startsWith(%q)).click()`, text)
	}
	const set = `{ const i = document.querySelector(%q); i.value = %q; i.dispatchEvent(new Event(%q)); }`
	if err := steps(ctx, b,
		step{"the list", "", `document.querySelectorAll("#items a").length === 5`},
		step{"a head", item("head.nii.gz"), fmt.Sprintf(drawn, 3) + " && " + fmt.Sprintf(at, "Voxel 49, 57, 49: ")},
		step{"another plane", fmt.Sprintf(set, `[data-plane=axial] [type=range]`, "42", "input"), `document.querySelector("[data-plane=axial]").dataset.shown === "42" && ` + fmt.Sprintf(at, "Voxel 49, 57, 43: ")},
		// The ear of the example is at the right of the picture, which is the person's right.
		step{"the cross", `const p = document.querySelector("[data-plane=axial] .picture"); const r = p.getBoundingClientRect();
			p.dispatchEvent(new PointerEvent("pointerdown", {clientX: r.left + r.width * 0.88, clientY: r.top + r.height * 0.525, bubbles: true}))`,
			`/^Voxel 85, 5[345], 43: (5[5-9]|6[0-4])\d/.test(document.getElementById("at").innerText) && document.getElementById("at").innerText.includes(" mm right")`},
	); err != nil {
		return err
	}
	if err := picture(ctx, b, app, "head"); err != nil {
		return err
	}
	if err := steps(ctx, b,
		step{"time", item("activity.nii.gz"), fmt.Sprintf(drawn, 3) + ` && !document.getElementById("time-label").hidden`},
		step{"another time", fmt.Sprintf(set, "#time", "5", "input"), `document.getElementById("time-value").innerText === "6 of 12"`},
		step{"a series", item("head-ct/"), fmt.Sprintf(drawn, 3) + ` && document.querySelector("h2").innerText.includes("DICOM, 128 × 128 × 32")`},
		step{"its header", `document.querySelector("summary").click()`, `document.getElementById("header").innerText.includes("Invented^Head")`},
	); err != nil {
		return err
	}
	if err := picture(ctx, b, app, "series"); err != nil {
		return err
	}
	if err := steps(ctx, b,
		step{"the sky", item("sky.fits"), fmt.Sprintf(drawn, 1) + ` && document.querySelector("h2").innerText.includes("FITS, 512 × 512")`},
		step{"darker", fmt.Sprintf(set, "#curve", "log", "input") + fmt.Sprintf(set, "#colours", "heat", "input"), `(() => { const i = document.querySelector("figure img"); return i.complete && i.src.includes("colours=heat") && i.src.includes("curve=log"); })()`},
		step{"where it is", "", `document.getElementById("at").innerText.includes("RA 13 ")`},
	); err != nil {
		return err
	}
	return picture(ctx, b, app, "sky")
}
