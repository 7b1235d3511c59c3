package build_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"carrel/engine"
	"carrel/engine/build"
	"carrel/engine/progress"
)

// stamped installs something that is never the same twice.
const stamped = header + `
%files
    program.py /app/
    settings.txt /app/
%post
    cat /proc/sys/kernel/random/uuid > /stamp
    cat /app/settings.txt > /used
`

// TestSecondBuild changes one thing after the other and sees whether %post runs again.
func TestSecondBuild(t *testing.T) {
	k := newKit(t)
	k.write("program.py", "print(1)")
	k.write("settings.txt", "one")
	build := func(text string) (stamp string, ev *events) {
		t.Helper()
		img, ev := k.build(text, engine.BuildSpec{Force: true})
		return read(t, img, "/stamp"), ev
	}
	stamp, _ := build(stamped)
	for _, tt := range []struct {
		name  string
		do    func()
		add   string
		again bool
	}{
		{name: "labels", add: "%labels\n    A b\n"},
		{name: "environment", add: "%labels\n    A b\n%environment\n    export X=1\n"},
		{name: "runscript, help and test", add: "%runscript\n    echo 2\n%help\n    Help\n%test\n    test -f /stamp\n"},
		{name: "a file that is read", do: func() { k.write("settings.txt", "two") }, again: true},
		{name: "a file that is read, as it was", do: func() { k.write("settings.txt", "one") }},
		{name: "%post", add: "%post\n    true\n", again: true},
	} {
		if tt.do != nil {
			tt.do()
		}
		now, ev := build(stamped + tt.add)
		if (now != stamp) != tt.again {
			t.Errorf("%s: %%post ran again: %v\n%s", tt.name, now != stamp, ev.log(""))
		}
	}

	// Asked not to, nothing is taken from the cache.
	img, _ := k.build(stamped, engine.BuildSpec{Force: true, NoCache: true})
	if read(t, img, "/stamp") == stamp {
		t.Error("the section did not run again without the cache")
	}
}

func TestUnreadFilesAreKnown(t *testing.T) {
	k := newKit(t)
	k.write("program.py", "print(1)")
	k.write("settings.txt", "one")
	img, _ := k.build(stamped, engine.BuildSpec{Force: true})
	stamp := read(t, img, "/stamp")
	k.write("program.py", "print(2)")
	img, ev := k.build(stamped, engine.BuildSpec{Force: true})
	if read(t, img, "/stamp") != stamp || read(t, img, "/app/program.py") != "print(2)" || read(t, img, "/used") != "one" {
		t.Errorf("%%post ran again for a file that it had not read, or the file is old\n%s", ev.log(""))
	}
}

// TestSizesAreRead: a section may ask how large a file is without opening it.
func TestSizesAreRead(t *testing.T) {
	k := newKit(t)
	k.write("extra.txt", "")
	text := header + "%files\n    extra.txt /\n%post\n    if [ -s /extra.txt ]; then echo full; else echo empty; fi > /said\n"
	for _, tt := range []struct{ content, want string }{{"", "empty\n"}, {"filled", "full\n"}, {"", "empty\n"}} {
		k.write("extra.txt", tt.content)
		img, ev := k.build(text, engine.BuildSpec{Force: true})
		if got := read(t, img, "/said"); got != tt.want || read(t, img, "/extra.txt") != tt.content {
			t.Errorf("with %q the image says %q\n%s", tt.content, got, ev.log(""))
		}
	}
}

func TestUnchanged(t *testing.T) {
	k := newKit(t)
	k.write("program.py", "print(1)")
	k.write("settings.txt", "one")
	img, _ := k.build(stamped, engine.BuildSpec{})
	before, err := os.Stat(img.Path)
	if err != nil {
		t.Fatal(err)
	}
	same := func(spec engine.BuildSpec) (bool, *events) {
		t.Helper()
		spec.Force = true
		_, ev := k.build(stamped, spec)
		now, err := os.Stat(img.Path)
		if err != nil {
			t.Fatal(err)
		}
		return os.SameFile(before, now), ev
	}
	if kept, ev := same(engine.BuildSpec{}); !kept || ev.started(progress.StepInstall) || !strings.Contains(ev.notices(), "nothing has changed") {
		t.Errorf("built again though nothing has changed: kept %v, %q", kept, ev.notices())
	}
	if kept, _ := same(engine.BuildSpec{Compression: "gzip"}); kept {
		t.Error("another compression is a change")
	}
	before, _ = os.Stat(img.Path)
	k.write("program.py", "print(2)")
	if kept, _ := same(engine.BuildSpec{Compression: "gzip"}); kept {
		t.Error("another file is a change")
	}
	before, _ = os.Stat(img.Path)
	if kept, _ := same(engine.BuildSpec{Compression: "gzip", NoCache: true}); kept {
		t.Error("not built though asked to")
	}
	if _, _, err := k.try(stamped, engine.BuildSpec{}); !errors.Is(err, engine.ErrExists) {
		t.Errorf("without Force: %v", err)
	}
}

func TestDownloadsAreKept(t *testing.T) {
	k := newKit(t)
	text := func(n int) string {
		return header + fmt.Sprintf(`
%%post
    # %d
    test -d "$PIP_CACHE_DIR" && test -d "$npm_config_cache" && test -d "$CONDA_PKGS_DIRS"
    cat "$PIP_CACHE_DIR/wheel" > /found 2>/dev/null || true
    echo wheel-%d > "$PIP_CACHE_DIR/wheel"
    grep -h archives $APT_CONFIG > /apt
`, n, n)
	}
	k.build(text(1), engine.BuildSpec{Target: "1.sif"})
	img, _ := k.build(text(2), engine.BuildSpec{Target: "2.sif"})
	if got := read(t, img, "/found"); got != "wheel-1\n" {
		t.Errorf("the second build found %q", got)
	}
	if has(t, img, "/dev/.carrel") || !strings.Contains(read(t, img, "/apt"), "/dev/.carrel/apt/work-") {
		t.Error("the cache is in the image, or apt does not know of it")
	}
	left, err := filepath.Glob(filepath.Join(k.config.CacheDir, "downloads", "*", "apt", "work-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
}

// TestCleaningKeepsDownloads: what package managers throw away to make the image smaller is there again in the next build,
// what was fetched just before as well. The commands are what pip, conda and npm do to their folders.
func TestCleaningKeepsDownloads(t *testing.T) {
	k := newKit(t)
	text := func(n int) string {
		return header + fmt.Sprintf(`
%%post
    # %[1]d
    (cd /dev/.carrel; find pip conda npm uv go -type f | sort) > /found
    mkdir -p $PIP_CACHE_DIR/http-v2/a/b
    echo pip-%[1]d > $PIP_CACHE_DIR/http-v2/a/b/tmp1234
    mv $PIP_CACHE_DIR/http-v2/a/b/tmp1234 $PIP_CACHE_DIR/http-v2/a/b/wheel-%[1]d
    echo conda-%[1]d > $CONDA_PKGS_DIRS/pkg-%[1]d.conda.partial
    mv $CONDA_PKGS_DIRS/pkg-%[1]d.conda.partial $CONDA_PKGS_DIRS/pkg-%[1]d.conda
    mkdir $CONDA_PKGS_DIRS/pkg-%[1]d && echo unpacked > $CONDA_PKGS_DIRS/pkg-%[1]d/file
    mkdir -p $npm_config_cache/_cacache/tmp $npm_config_cache/_cacache/content-v2/sha512/%[1]d
    echo npm-%[1]d > $npm_config_cache/_cacache/tmp/%[1]d
    mv $npm_config_cache/_cacache/tmp/%[1]d $npm_config_cache/_cacache/content-v2/sha512/%[1]d/rest
    echo entry-%[1]d >> $npm_config_cache/_cacache/index
    mkdir -p $UV_CACHE_DIR/.tmp1/numpy && echo uv > $UV_CACHE_DIR/.tmp1/numpy/array.py
    mkdir -p $UV_CACHE_DIR/archive-v0 && mv $UV_CACHE_DIR/.tmp1 $UV_CACHE_DIR/archive-v0/id-%[1]d
    echo kept > $GOMODCACHE/kept-%[1]d
    cat $npm_config_cache/_cacache/index > /index
    until ls /outside/build-*/downloads-*/saved/go/kept-%[1]d; do :; done 2> /dev/null
    rm -rf $PIP_CACHE_DIR $CONDA_PKGS_DIRS/* $npm_config_cache/_cacache $UV_CACHE_DIR
    ls -A /dev/.carrel > /left
`, n)
	}
	want := func(upTo int) string {
		var all []string
		for n := range upTo {
			n++
			all = append(all,
				fmt.Sprintf("pip/http-v2/a/b/wheel-%d", n), fmt.Sprintf("conda/pkg-%d.conda", n), fmt.Sprintf("go/kept-%d", n),
				fmt.Sprintf("npm/_cacache/content-v2/sha512/%d/rest", n), fmt.Sprintf("uv/archive-v0/id-%d/numpy/array.py", n))
		}
		if upTo > 0 {
			all = append(all, "npm/_cacache/index")
		}
		slices.Sort(all)
		return strings.Join(append(all, ""), "\n")
	}
	for n := 1; n <= 3; n++ {
		// Real clients need longer to begin with cleaning than events need to come; here the section waits for them.
		work := engine.Bind{Source: filepath.Join(k.config.CacheDir, "work"), Dest: "/outside"}
		img, ev := k.build(text(n), engine.BuildSpec{Target: fmt.Sprintf("%d.sif", n), Binds: []engine.Bind{work}})
		if got := read(t, img, "/found"); got != want(n-1) {
			t.Errorf("build %d found:\n%swant:\n%s%s", n, got, want(n-1), ev.log(""))
		}
		index := ""
		for i := range n {
			index += fmt.Sprintf("entry-%d\n", i+1)
		}
		if got := read(t, img, "/index"); got != index {
			t.Errorf("build %d: a file that grows is %q", n, got)
		}
		if left := strings.Fields(read(t, img, "/left")); slices.Contains(left, "pip") || !slices.Contains(left, "conda") {
			t.Errorf("build %d: the section does not see what it has removed: %q", n, left)
		}
	}
	k.workEmpty()
}

func TestPrune(t *testing.T) {
	k := newKit(t)
	k.build(header+"%post\n    dd if=/dev/zero of=/big bs=1M count=3; echo x > $PIP_CACHE_DIR/x\n", engine.BuildSpec{})
	if _, _, err := k.try(header+"%post\n    false\n", engine.BuildSpec{Target: "bad.sif"}); err == nil {
		t.Fatal("the build did not fail")
	}
	sizes := func() map[string]int64 {
		t.Helper()
		uses, err := k.Cache(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]int64{}
		for _, u := range uses {
			out[u.Kind] = u.Size
			for _, it := range u.Items {
				if it.Name == "" || it.Used.IsZero() {
					t.Errorf("%s: item %+v", u.Kind, it)
				}
			}
		}
		return out
	}
	was := sizes()
	if was[engine.CacheBases] < 1<<20 || was[engine.CacheLayers] < 3<<20 || was[engine.CacheFailed] == 0 || was[engine.CacheDownloads] == 0 {
		t.Errorf("the cache holds %v", was)
	}
	p, err := k.Prune(t.Context(), engine.CacheFailed, engine.CacheDownloads)
	if err != nil || p.Items != 2 || p.Size == 0 {
		t.Errorf("pruned %+v, %v", p, err)
	}
	if now := sizes(); now[engine.CacheFailed] != 0 || now[engine.CacheDownloads] != 0 || now[engine.CacheLayers] != was[engine.CacheLayers] {
		t.Errorf("the cache holds %v", now)
	}
	// The layer was used before the base was (by the build that failed): it goes first.
	if p, err = k.PruneTo(t.Context(), was[engine.CacheBases]); err != nil || p.Items != 1 {
		t.Errorf("pruned %+v, %v", p, err)
	}
	if now := sizes(); now[engine.CacheLayers] != 0 || now[engine.CacheBases] == 0 {
		t.Errorf("the cache holds %v", now)
	}
	// A limit is kept to by builds; what they use themselves stays until the next.
	k.config.CacheLimit = 1
	k.start()
	k.build(header+"%post\n    true\n", engine.BuildSpec{Target: "limited.sif"})
	k.build("Bootstrap: scratch\n%labels\n    A b\n", engine.BuildSpec{Target: "scratch.sif"})
	if now := sizes(); now[engine.CacheBases] > 1<<16 || now[engine.CacheLayers] != 0 {
		t.Errorf("over the limit: %v", now)
	}
	k.workEmpty()
}

// TestPruneByAge frees what was not used for some days, and tells before how much that is.
func TestPruneByAge(t *testing.T) {
	k := newKit(t)
	k.build(header+"%post\n    true\n", engine.BuildSpec{})
	dirs, err := filepath.Glob(filepath.Join(k.config.CacheDir, "layers", "*", "info.json"))
	if err != nil || len(dirs) != 1 {
		t.Fatalf("layers: %q, %v", dirs, err)
	}
	old := time.Now().AddDate(0, 0, -8)
	if err := os.Chtimes(dirs[0], old, old); err != nil {
		t.Fatal(err)
	}
	hot := filepath.Join(k.config.CacheDir, "hot", "copy") // of an image that was started yesterday
	if err := os.MkdirAll(hot, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(hot, "used"), []byte("5000000000 /images/tool.sif\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	yesterday := time.Now().AddDate(0, 0, -1)
	if err := os.Chtimes(filepath.Join(hot, "used"), yesterday, yesterday); err != nil {
		t.Fatal(err)
	}
	const day = 24 * time.Hour
	for _, tt := range []struct {
		spec engine.PruneSpec
		want int
	}{
		{engine.PruneSpec{Unused: 9 * day}, 0},
		{engine.PruneSpec{Unused: 7 * day, Kinds: []string{engine.CacheBases}}, 0},
		{engine.PruneSpec{Unused: 7 * day, DryRun: true}, 1},
		{engine.PruneSpec{Unused: 7 * day}, 1},
		{engine.PruneSpec{Unused: 7 * day}, 0},
		{engine.PruneSpec{Limit: 4e9, DryRun: true}, 1}, // the copy was used before the base
		{engine.PruneSpec{Limit: 4e9}, 1},
		{engine.PruneSpec{Limit: 4e9}, 0},
	} {
		if p, err := k.PruneBy(t.Context(), tt.spec); err != nil || p.Items != tt.want {
			t.Errorf("%+v: %+v, %v, want %d", tt.spec, p, err, tt.want)
		}
	}
	if _, err := os.Stat(hot); err == nil {
		t.Error("the copy counts, but is not freed")
	}
}

// TestPruneWhileFetching: what a pull has fetched, and is just fetching, is not removed under its hands.
func TestPruneWhileFetching(t *testing.T) {
	k := newKit(t)
	release, err := build.HoldFetched(k.config.CacheDir)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	blobs := filepath.Join(k.config.CacheDir, "oci", "blobs", "sha256")
	if err := os.MkdirAll(blobs, 0o755); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-time.Hour)
	for name, used := range map[string]time.Time{"old": old, ".new.part": time.Now()} {
		p := filepath.Join(blobs, name)
		if err := os.WriteFile(p, []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(p, used, used); err != nil {
			t.Fatal(err)
		}
	}
	if p, err := k.Prune(t.Context(), engine.CacheOCI); err != nil || p.Items != 1 || p.InUse != 1 {
		t.Errorf("while something is fetched: %+v, %v", p, err)
	}
	release()
	if p, err := k.Prune(t.Context(), engine.CacheOCI); err != nil || p.Items != 1 || p.InUse != 0 {
		t.Errorf("afterwards: %+v, %v", p, err)
	}
}

func TestBuildsAtTheSameTime(t *testing.T) {
	k := newKit(t)
	k.write("program.py", "print(1)")
	k.write("settings.txt", "one")
	definition := k.write("Singularity", strings.ReplaceAll(stamped, "BASE", baseFolder(t)))
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			ev := &events{}
			if _, err := k.Build(t.Context(), engine.BuildSpec{Definition: definition, Target: fmt.Sprintf("%d.sif", i%3), Force: true}, ev.sink); err != nil {
				t.Errorf("build %d: %v\n%s", i, err, ev.log(""))
			}
			if i == 2 {
				if _, err := k.Prune(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	for i := range 3 {
		if got := read(t, k.open(filepath.Join(k.cwd, fmt.Sprintf("%d.sif", i))), "/used"); got != "one" {
			t.Errorf("image %d: %q", i, got)
		}
	}
	k.workEmpty()
}
