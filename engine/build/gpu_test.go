package build_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"carrel/engine/build"
	"carrel/engine/launch"
	"carrel/engine/sandbox"
)

// TestDriver has a section see a made-up driver, of which nothing is left in the image.
func TestDriver(t *testing.T) {
	k := newKit(t)
	library := k.write("driver/libcuda.so.1", "library")
	program := k.write("driver/nvidia-smi", "#!/bin/sh\necho one GPU\n")
	if err := os.Chmod(program, 0o755); err != nil {
		t.Fatal(err)
	}
	kind, ids := "root", sandbox.NoIDMap()
	if os.Getuid() != 0 {
		kind, ids = "single", sandbox.SingleID(0, 0)
	}
	spec := build.Spec{
		Text: strings.ReplaceAll(header, "BASE", baseFolder(t)) + "%post\n    nvidia-smi > /seen; cat /.singularity.d/libs/libcuda.so.1 >> /seen; test -c /dev/zero\n",
		Name: "driver.def", Folders: []string{k.cwd}, Target: filepath.Join(k.cwd, "driver.sif"), Cache: k.config.CacheDir, Work: filepath.Join(k.config.CacheDir, "work"),
		IDKind: kind, UserNS: kind != "root", SingleID: kind == "single", Version: "test", Time: time.Now(),
		GPUs: []launch.GPU{{
			Kind: launch.GPUNvidia, Devices: []string{"/dev/zero"},
			Libraries: []launch.Bind{{Source: library, Dest: "/.singularity.d/libs/libcuda.so.1"}},
			Programs:  []launch.Bind{{Source: program, Dest: "/usr/bin/nvidia-smi"}},
		}},
	}
	order, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	in, err := os.Open(k.write("order.json", string(order)))
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.Create(filepath.Join(k.dir, "answers.json"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	w, err := sandbox.StartWorker(t.Context(), ids, []string{"build"}, in, out, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	if status, err := w.Wait(); status != 0 || err != nil {
		answers, _ := os.ReadFile(out.Name())
		t.Fatalf("status %d, %v\n%s", status, err, bytes.TrimSpace(answers))
	}
	img := k.open(spec.Target)
	if got := read(t, img, "/seen"); got != "one GPU\nlibrary" {
		t.Errorf("the section saw %q", got)
	}
	for _, name := range []string{"/usr/bin/nvidia-smi", "/.singularity.d/libs/libcuda.so.1"} {
		if has(t, img, name) {
			t.Errorf("%s is left in the image", name)
		}
	}
}
