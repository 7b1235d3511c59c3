package build_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"carrel/engine"
	"carrel/engine/progress"
	"carrel/engine/source/debian"
	"carrel/internal/apptainertest"
)

// TestDebian builds the essay's first example out of real packages: a base, a program installed by apt, a page that is
// served. A second build of another %post downloads no package again.
func TestDebian(t *testing.T) {
	if testing.Short() {
		t.Skip("missing: time (-short)")
	}
	k := newKit(t)
	cache := os.Getenv("CARREL_TEST_CACHE")
	if cache == "" {
		dir, err := os.UserCacheDir()
		if err != nil {
			t.Skip("missing: cache folder")
		}
		cache = filepath.Join(dir, "carrel-test")
	}
	// Of this user's own: files of users with subordinate ids are nobody else's.
	k.config.CacheDir = filepath.Join(cache, "build-"+strconv.Itoa(os.Getuid()))
	k.config.HostApt = "/etc/apt"
	if err := os.MkdirAll(k.config.CacheDir, 0o700); err != nil {
		t.Skip("missing: cache folder")
	}
	k.start()
	text := `Bootstrap: debootstrap
OSVersion: bookworm

%post
    mkdir -p /data; echo '<h2>Hello World!</h2>' > /data/index.html
    apt-get update
    apt-get -y install --no-install-recommends busybox
    apt-get clean
    rm -rf /var/lib/apt/lists/*
    addgroup --system lab && adduser --system --ingroup lab --no-create-home lab
    install -o lab -g lab -m 600 /dev/null /data/owned
%environment
    export PAGE=/data/index.html
%runscript
    exec busybox cat $PAGE
%test
    busybox test -s /data/index.html
`
	ev := &events{}
	spec := engine.BuildSpec{Definition: k.write("Singularity", text), Target: "page.sif", NoCache: true}
	info, err := k.Build(t.Context(), spec, ev.sink)
	if err != nil {
		if strings.Contains(err.Error(), "fetch") && unreachable(t) {
			t.Skip("missing: debian mirror")
		}
		t.Fatalf("%v\n%s", err, ev.log(""))
	}
	if out, status := k.out(engine.RunSpec{Image: info.Path}); !strings.Contains(out, "Hello World") || status != 0 {
		t.Errorf("run: %q, %d", out, status)
	}
	img := k.open(info.Path)
	if has(t, img, "/dev/.carrel") || has(t, img, "/var/cache/apt/archives/busybox.deb") {
		t.Error("the cache of packages is in the image")
	}

	spec.Definition = k.write("Singularity", strings.Replace(text, "Hello World", "Hello Moon", 1))
	spec.Target, ev = "moon.sif", &events{}
	if _, err := k.Build(t.Context(), spec, ev.sink); err != nil {
		t.Fatalf("%v\n%s", err, ev.log(""))
	}
	if log := ev.log(progress.StepInstall); !strings.Contains(log, "Need to get 0 B") {
		t.Errorf("packages were downloaded again:\n%s", log)
	}
	t.Run("Apptainer", func(t *testing.T) {
		if out := apptainertest.Run(t, "run", info.Path); !strings.Contains(out, "Hello World") {
			t.Errorf("Apptainer runs it as %q", out)
		}
	})
}

func unreachable(t *testing.T) bool {
	t.Helper()
	host, err := debian.HostSources(os.DirFS("/etc/apt"))
	if err != nil {
		t.Log(err)
	}
	_, err = debian.Prepare(t.Context(), debian.Options{Cache: t.TempDir(), Host: host}, debian.Spec{Suite: "bookworm"})
	return err != nil
}

// TestApptainer lets Apptainer run what was built without a base of Debian.
func TestApptainer(t *testing.T) {
	apptainertest.Command(t)
	k := newKit(t)
	img, _ := k.build(header+`
%environment
    export COLOUR=green
%runscript
    echo "running $COLOUR $*"
%labels
    Subject apptainer
%appenv side
    export SIDE=left
%apprun side
    echo "app $SIDE"
%post
    echo 'export FROM_POST=1' >> $APPTAINER_ENVIRONMENT
%test
    echo tested
`, engine.BuildSpec{})
	for want, args := range map[string][]string{
		"running green a\n": {"run", img.Path, "a"},
		"app left\n":        {"run", "--app", "side", img.Path},
		"green 1\n":         {"exec", img.Path, "sh", "-c", "echo $COLOUR $FROM_POST"},
		"tested\n":          {"test", img.Path},
	} {
		if out := apptainertest.Run(t, args...); out != want {
			t.Errorf("apptainer %q: got %q, want %q", args, out, want)
		}
	}
	if out := apptainertest.Run(t, "inspect", img.Path); !strings.Contains(out, "Subject: apptainer") {
		t.Errorf("inspect: %q", out)
	}
}
