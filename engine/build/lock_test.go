package build_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"carrel/engine"
	"carrel/engine/build"
	"carrel/engine/progress"
)

// readLock is the lock file beside the definition.
func (k *kit) readLock() *build.Lock {
	k.t.Helper()
	data, err := os.ReadFile(filepath.Join(k.cwd, "Singularity.lock"))
	if err != nil {
		k.t.Fatal(err)
	}
	l, err := build.ParseLock(data)
	if err != nil {
		k.t.Fatal(err)
	}
	return l
}

// TestLock pins an image of a registry whose name stands for another one afterwards.
func TestLock(t *testing.T) {
	k := newKit(t)
	first := ociImage(t)
	ref := push(t, first)
	k.write("note.txt", "noted")
	text := "Bootstrap: docker\nFrom: " + ref + "\n%files\n    note.txt /srv/note\n%post\n    echo installed > /srv/installed\n"
	k.build(text, engine.BuildSpec{Lock: true})
	digest, err := first.Digest()
	if err != nil {
		t.Fatal(err)
	}
	l := k.readLock()
	if len(l.Bases) != 1 || l.Bases[0].Digest != digest.String() || l.Bases[0].Key != "" || len(l.Files) != 1 || l.Files[0].Path != "/srv/note" {
		t.Errorf("the lock file names %+v", l)
	}
	// The name moves on; what is locked is still the first image.
	tag, err := name.NewTag(ref)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := first.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config := cfg.Config
	config.Env = []string{"PATH=/opt/bin:/usr/bin:/bin", "GREETING=hello moon"}
	second, err := mutate.Config(first, config)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(tag, second); err != nil {
		t.Fatal(err)
	}
	greeting := func(spec engine.BuildSpec) string {
		t.Helper()
		img, _ := k.build(text, spec)
		out, _ := k.out(engine.RunSpec{Image: img.Path})
		return out
	}
	if got := greeting(engine.BuildSpec{Target: "locked.sif", Locked: true}); !strings.Contains(got, "hello you") {
		t.Errorf("the locked build says %q", got)
	}
	if got := greeting(engine.BuildSpec{Target: "today.sif"}); !strings.Contains(got, "hello moon") {
		t.Errorf("the build of today says %q", got)
	}
	// What is inside is told by the image, too.
	data, err := k.Provenance(t.Context(), filepath.Join(k.cwd, "locked.sif"))
	if err != nil {
		t.Fatal(err)
	}
	var p build.Provenance
	if err := json.Unmarshal(data, &p); err != nil || p.Bases[0].Digest != digest.String() || p.Files[0] != l.Files[0] || p.Definition != l.Definition {
		t.Errorf("provenance: %s, %v", data, err)
	}
	refused := func(text, want string) {
		t.Helper()
		var le *engine.BuildError
		_, _, err := k.try(text, engine.BuildSpec{Target: "locked.sif", Force: true, Locked: true})
		if !errors.As(err, &le) || !strings.Contains(err.Error(), want) || !strings.Contains(engine.Hint(err), "--lock") {
			t.Errorf("got %v (%q), want %q", err, engine.Hint(err), want)
		}
		if out, _ := k.out(engine.RunSpec{Image: filepath.Join(k.cwd, "locked.sif")}); !strings.Contains(out, "hello you") {
			t.Errorf("the target is another: %q", out)
		}
	}
	k.write("note.txt", "changed")
	refused(text, "/srv/note")
	k.write("note.txt", "noted")
	refused(text+"    true\n", "the definition")
	// The image is taken down.
	if err := remote.Delete(tag.Context().Digest(digest.String())); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Prune(t.Context()); err != nil {
		t.Fatal(err)
	}
	refused(text, "cannot be had")
	k.workEmpty()
}

// TestLockedPackages has another version installed than before.
func TestLockedPackages(t *testing.T) {
	k := newKit(t)
	status := func(version string) engine.Bind {
		dir := filepath.Dir(k.write("mirror/status", "Package: numbers\nStatus: install ok installed\nArchitecture: all\nVersion: "+version+"\n"))
		return engine.Bind{Source: dir, Dest: "/mnt"}
	}
	text := header + "%post\n    mkdir -p /var/lib/dpkg; cp /mnt/status /var/lib/dpkg/status\n"
	k.build(text, engine.BuildSpec{Lock: true, Binds: []engine.Bind{status("1.0")}})
	if l := k.readLock(); len(l.Packages) != 1 || l.Packages[0].String() != "dpkg numbers 1.0" || !strings.HasPrefix(l.Bases[0].Digest, "tree:") {
		t.Errorf("the lock file names %+v", l)
	}
	k.build(text, engine.BuildSpec{Target: "same.sif", Locked: true, Binds: []engine.Bind{status("1.0")}})
	_, _, err := k.try(text, engine.BuildSpec{Target: "other.sif", Locked: true, Binds: []engine.Bind{status("2.0")}})
	if err == nil || !strings.Contains(err.Error(), "+dpkg numbers 2.0, -dpkg numbers 1.0") {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(filepath.Join(k.cwd, "other.sif")); err == nil {
		t.Error("there is an image all the same")
	}
	k.workEmpty()
}

func TestLockRefused(t *testing.T) {
	k := newKit(t)
	if _, _, err := k.try(header, engine.BuildSpec{Locked: true}); err == nil || !strings.Contains(engine.Hint(err), "--lock") {
		t.Errorf("without a lock file: %v", err)
	}
	for _, text := range []string{"", "{}", `{"format": 2, "definition": "x"}`, "[1"} {
		k.write("Singularity.lock", text)
		if _, _, err := k.try(header, engine.BuildSpec{Locked: true}); err == nil || !strings.Contains(err.Error(), "lock file") {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := k.Build(t.Context(), engine.BuildSpec{Definition: baseFolder(t), Target: "x.sif", Lock: true}, func(engine.Event) {}); err == nil {
		t.Error("an image was locked")
	}
}

// TestReplaceOwn brings an image up to date that was built of the same definition, and no other file.
func TestReplaceOwn(t *testing.T) {
	k := newKit(t)
	own := engine.BuildSpec{ReplaceOwn: true}
	text := header + "%post\n    echo one > /made\n"
	k.build(text, own)
	info, ev, err := k.try(text, own)
	if err != nil || !info.Unchanged || ev.started(progress.StepPack) {
		t.Errorf("unchanged: %+v, %v", info, err)
	}
	img, _ := k.build(strings.Replace(text, "one", "two", 1), own)
	if read(t, img, "/made") != "two\n" {
		t.Error("the image was not made again")
	}
	data, err := os.ReadFile(img.Path)
	if err != nil {
		t.Fatal(err)
	}
	for what, change := range map[string]func() error{
		"another file in its place": func() error { return errors.Join(os.Remove(img.Path), os.WriteFile(img.Path, data, 0o755)) },
		"touched":                   func() error { return os.Chtimes(img.Path, time.Time{}, time.Unix(1_000_000_000, 0)) },
		"longer":                    func() error { return os.WriteFile(img.Path, append(data, 0), 0o755) },
	} {
		if err := change(); err != nil {
			t.Fatal(err)
		}
		if _, _, err := k.try(text, own); !errors.Is(err, engine.ErrExists) {
			t.Errorf("%s: got %v, want ErrExists", what, err)
		}
		if _, _, err := k.try(text, engine.BuildSpec{Force: true}); err != nil {
			t.Fatal(err)
		}
		if data, err = os.ReadFile(img.Path); err != nil {
			t.Fatal(err)
		}
	}
	k.write("other.def", strings.ReplaceAll(text, "BASE", baseFolder(t)))
	if _, err := k.Build(t.Context(), engine.BuildSpec{Definition: "other.def", Target: "image.sif", ReplaceOwn: true}, func(engine.Event) {}); !errors.Is(err, engine.ErrExists) {
		t.Errorf("of another definition: got %v, want ErrExists", err)
	}
	if now, _ := os.ReadFile(img.Path); !bytes.Equal(now, data) {
		t.Error("a file was replaced without being asked")
	}
}
