package build_test

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"

	"carrel/engine"
	"carrel/engine/progress"
	"carrel/engine/sif"
)

// TestRenew: an image of which only what it says of itself changes takes its contents over from the one before, and is the
// same, byte for byte, as one that is packed anew.
func TestRenew(t *testing.T) {
	k := newKit(t)
	k.write("program.py", "print(1)")
	k.write("settings.txt", "one")
	spec := engine.BuildSpec{Force: true, Reproducible: true, Time: time.Unix(1_500_000_000, 0)}
	build := func(target, text string) (data []byte, renewed bool) {
		t.Helper()
		spec := spec
		spec.Target = target
		img, ev := k.build(text, spec)
		m, err := sif.Open(img.Path)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		if _, err := m.Verify(t.Context()); err != nil {
			t.Error(err)
		}
		if data, err = os.ReadFile(img.Path); err != nil {
			t.Fatal(err)
		}
		return data, strings.Contains(ev.log(progress.StepPack), "it is taken over from the image")
	}
	if _, renewed := build("image.sif", stamped); renewed {
		t.Error("the first image takes over from none")
	}
	for i, add := range []string{
		"%labels\n    A b\n",
		"%environment\n    export X=1\n%runscript\n    echo $X\n",
		"%runscript\n    echo " + strings.Repeat("long ", 1000) + "\n%help\n    Help\n%test\n    test -f /stamp\n",
		"%help\n    print(1)\n",
	} {
		got, renewed := build("image.sif", stamped+add)
		if !renewed {
			t.Errorf("%d: packed anew", i)
		}
		want, renewed := build("fresh.sif", stamped+add)
		if renewed {
			t.Errorf("%d: the new file takes over from none", i)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%d: %d bytes with contents taken over, %d packed anew: not the same", i, len(got), len(want))
		}
		if err := os.Remove(k.cwd + "/fresh.sif"); err != nil {
			t.Fatal(err)
		}
	}

	// Other contents, another way to pack, apps, or a damaged image: all is packed.
	k.write("settings.txt", "two")
	if _, renewed := build("image.sif", stamped+"%labels\n    A c\n"); renewed {
		t.Error("another file is taken over as it was")
	}
	if _, renewed := build("image.sif", stamped+"%labels\n    A d\n"); !renewed {
		t.Error("packed anew, though the file is the same again")
	}
	if _, renewed := build("image.sif", stamped+"%apprun one\n    echo one\n"); renewed {
		t.Error("what an app says of itself is taken over")
	}
	spec.Level = 5
	if _, renewed := build("image.sif", stamped); renewed {
		t.Error("another level is taken over")
	}
	damaged, err := os.ReadFile(k.cwd + "/image.sif")
	if err != nil {
		t.Fatal(err)
	}
	m, err := sif.Open(k.cwd + "/image.sif")
	if err != nil {
		t.Fatal(err)
	}
	system, err := m.System()
	m.Close()
	if err != nil {
		t.Fatal(err)
	}
	damaged[system.Offset+100] ^= 1 // a stored content: the superblock before it has 96 bytes
	if err := os.WriteFile(k.cwd+"/image.sif", damaged, 0o755); err != nil {
		t.Fatal(err)
	}
	text := stamped + "%labels\n    A e\n"
	if got, renewed := build("image.sif", text); renewed {
		t.Error("a damaged image is taken over")
	} else if want, _ := build("fresh.sif", text); !bytes.Equal(got, want) {
		t.Error("in the place of a damaged image comes another one")
	}
	k.workEmpty()
}
