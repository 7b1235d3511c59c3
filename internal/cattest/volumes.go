package cattest

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"time"

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

// ownVolumes looks through files that are put into the bound folder while the page is open: a volume of NIfTI and an image of FITS.
func ownVolumes(ctx context.Context, b *browser.Browser, app App) error {
	if err := b.Open(ctx, app.URL); err != nil {
		return err
	}
	if err := waitFor(ctx, b, 20*time.Second, `document.body.dataset.ready || document.body.innerText.trim().length > 10`); err != nil {
		return err
	}
	files := map[string]string{"brain.nii": nifti(6, 7, 8), "stars/field.fits": fits(16, 12)}
	if err := write(app.Folder, files); err != nil {
		return err
	}
	if err := b.Open(ctx, app.URL); err != nil {
		return err
	}
	const drawn = `document.querySelectorAll("figure").length === %d && [...document.querySelectorAll("figure")].every((f) => f.dataset.shown !== undefined && f.querySelector("img").naturalWidth > 1)`
	item := func(text string) string {
		return fmt.Sprintf(`[...document.querySelectorAll("#items a")].find((a) => a.innerText.includes(%q)).click()`, text)
	}
	if err := steps(ctx, b,
		step{"the list", "", `document.querySelectorAll("#items a").length === 2`},
		step{"a volume", item("brain.nii"), fmt.Sprintf(drawn, 3) + ` && document.querySelector("h2").innerText.includes("6 × 7 × 8")`},
		step{"an image", item("field.fits"), fmt.Sprintf(drawn, 1) + ` && document.querySelector("h2").innerText.includes("FITS, 16 × 12")`},
	); err != nil {
		return err
	}
	if err := picture(ctx, b, app, "own"); err != nil {
		return err
	}
	return nothingBut(app.Folder, files)
}

// nifti is a volume of numbers that grow, voxels of 2 mm (NIfTI-1, nifti1.h: offsets of the header's fields).
func nifti(nx, ny, nz int) string {
	data := make([]byte, 352+2*nx*ny*nz)
	le := binary.LittleEndian
	le.PutUint32(data, 348)
	for i, n := range []int{3, nx, ny, nz, 1, 1, 1, 1} {
		le.PutUint16(data[40+2*i:], uint16(n))
	}
	le.PutUint16(data[70:], 4)  // datatype: int16
	le.PutUint16(data[72:], 16) // bitpix
	for i, v := range []float32{1, 2, 2, 2} {
		le.PutUint32(data[76+4*i:], math.Float32bits(v))
	}
	le.PutUint32(data[108:], math.Float32bits(352)) // vox_offset
	le.PutUint32(data[112:], math.Float32bits(1))   // scl_slope
	data[123] = 2                                   // millimetres
	le.PutUint16(data[254:], 1)                     // sform_code
	for i := range 3 {
		le.PutUint32(data[280+16*i+4*i:], math.Float32bits(2))
	}
	copy(data[344:], "n+1\x00")
	for i := range nx * ny * nz {
		le.PutUint16(data[352+2*i:], uint16(i))
	}
	return string(data)
}

// fits is an image of numbers that grow (FITS 4.0, sections 3 and 4: records of 2880 bytes, cards of 80).
func fits(nx, ny int) string {
	var b strings.Builder
	for _, card := range []string{"SIMPLE  =                    T", "BITPIX  =                   16", "NAXIS   =                    2",
		fmt.Sprintf("NAXIS1  = %20d", nx), fmt.Sprintf("NAXIS2  = %20d", ny), "END"} {
		fmt.Fprintf(&b, "%-80s", card)
	}
	b.WriteString(strings.Repeat(" ", 2880-b.Len()))
	data := make([]byte, 2880)
	for i := range nx * ny {
		binary.BigEndian.PutUint16(data[2*i:], uint16(i))
	}
	b.Write(data)
	return b.String()
}
