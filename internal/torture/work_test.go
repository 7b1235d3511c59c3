package torture

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// A work is something that can be killed, again and again.
type work struct {
	name string
	// args is the n-th call of it. What it needs is there then.
	args func(n int) []string
	// prepare makes ready for the n-th call, once for all when n is 0.
	prepare func(n int)
	// killed looks at what a call left that was disturbed: whole tells whether it said that it succeeded.
	killed func(n int, whole bool)
	// next is how the work is done after all; args without it.
	next func(n int)
	// stops what goes on in the background, before anything is looked at.
	background bool
}

// works are the works of a lab.
func (l *lab) works() []*work {
	base := l.Path("base.sif")
	target := func(name string) string {
		l.allowed[name] = true
		return filepath.Join(l.target, name)
	}
	define := func(n int) {
		l.Write("tortured.def", fmt.Sprintf("Bootstrap: localimage\nFrom: %s\n%%post\n  echo %d > /number\n  dd if=/dev/urandom of=/data bs=65536 count=64\n"+
			"  for i in 1 2 3 4 5 6 7 8 9; do mkdir -p /dir$i/sub; ln -s /data /dir$i/sub/link; cat /bin/sh > /dir$i/sh; done\n  sleep 0.1\n%%runscript\n  cat /number\n", base, n))
	}
	def := l.Path("tortured.def")
	// number is the file by which a change is known.
	number := func(n int) string {
		return fmt.Sprintf("test -f /kept && cat /kept; set -e; echo %d > /kept; cat /bin/* > /much", n)
	}
	either := func(what, got string, n int, whole bool) {
		k, err := strconv.Atoi(got)
		if err != nil || k > n || whole && k != n {
			l.t.Errorf("%s holds %q after call %d (whole: %v)", what, got, n, whole)
		}
	}
	written := target("written.sif")
	merged := target("merged.sif")
	overlay := target("overlay.img")
	return []*work{
		{
			name: "build", prepare: define,
			args: func(n int) []string { return []string{"build", "--force", target("built.sif"), def} },
			killed: func(n int, whole bool) {
				if _, err := os.Stat(target("built.sif")); err == nil || whole {
					either("the image", l.expect("run", target("built.sif")), n, whole)
				}
			},
		},
		{
			name: "build a folder", prepare: define,
			args: func(n int) []string { return []string{"build", "--sandbox", "--force", target("box"), def} },
			killed: func(n int, whole bool) {
				if _, err := os.Stat(target("box")); err == nil || whole {
					either("the folder", l.expect("run", target("box")), n, whole)
				}
			},
		},
		{
			name: "build an archive", args: func(int) []string {
				return []string{"build", "--force", "--format", "docker-archive", target("archive.tar"), base}
			},
			killed: func(_ int, whole bool) {
				if _, err := os.Stat(target("archive.tar")); err == nil || whole {
					l.expect("inspect", target("archive.tar"))
				}
			},
		},
		{
			name: "pull", prepare: func(n int) {
				if n == 0 {
					l.expect("push", "--no-https", base, "docker://"+l.reg+"/lab/base:1")
				} else if n%2 == 0 {
					l.expect("cache", "prune")
				}
			},
			args: func(int) []string {
				return []string{"pull", "--force", "--no-https", target("pulled.sif"), "docker://" + l.reg + "/lab/base:1"}
			},
		},
		{
			name: "pull a SIF", prepare: func(n int) {
				if n == 0 {
					l.expect("push", "--no-https", base, "oras://"+l.reg+"/lab/sif:1")
				}
			},
			args: func(int) []string {
				return []string{"pull", "--force", "--no-https", target("fetched.sif"), "oras://" + l.reg + "/lab/sif:1"}
			},
		},
		{
			name: "push", prepare: func(n int) {
				define(n)
				l.expect("build", "--force", target("sent.sif"), def)
			},
			args: func(int) []string {
				return []string{"push", "--no-https", target("sent.sif"), "docker://" + l.reg + "/lab/sent:1"}
			},
			killed: func(n int, whole bool) {
				if n > 1 || whole { // the one before is there
					l.expect("pull", "--force", "--no-https", target("received.sif"), "docker://"+l.reg+"/lab/sent:1")
					either("the registry", l.expect("run", target("received.sif")), n, whole)
				}
			},
		},
		{name: "run", args: func(int) []string { return []string{"run", base, "-c", "sleep 0.3"} }},
		{name: "run a folder", prepare: func(n int) {
			if n == 0 {
				l.expect("build", "--sandbox", target("plain"), base)
			}
		}, args: func(int) []string { return []string{"exec", target("plain"), "sleep", "0.2"} }},
		{
			name: "keep changes", prepare: func(n int) {
				if n == 0 {
					l.copy(base, written)
				}
			},
			args: func(n int) []string { return []string{"exec", "--writable", written, "sh", "-c", number(n)} },
			killed: func(n int, whole bool) {
				either("the image", l.expect("exec", written, "sh", "-c", "test -f /kept && cat /kept || echo 0"), n, whole)
			},
			next: func(n int) {
				before := l.expect("exec", written, "sh", "-c", "test -f /kept && cat /kept || echo 0")
				what := []string{"keep", "discard"}[n%2]
				got := l.expect("exec", "--writable", "--leftovers", what, written, "sh", "-c", "test -f /kept && cat /kept || echo 0; echo "+strconv.Itoa(n)+" > /kept")
				if got != before && (what == "discard" || got != strconv.Itoa(n) && got != "") { // empty: killed between the opening of the file and the writing
					l.t.Errorf("with --leftovers %s it held %q, after %q", what, got, before)
				}
				either("the image", l.expect("exec", written, "cat", "/kept"), n, true)
			},
		},
		{
			name: "merge layers", args: func(int) []string { return []string{"compact", merged} },
			prepare: func(n int) {
				if n == 0 {
					l.copy(base, merged)
				}
				l.expect("exec", "--writable", "--leftovers", "discard", merged, "sh", "-c", "echo "+strconv.Itoa(n)+" > /merged")
			},
			killed: func(n int, _ bool) {
				either("the image", l.expect("exec", merged, "cat", "/merged"), n, true)
			},
		},
		{
			name: "write to an overlay", prepare: func(n int) {
				if n == 0 {
					l.expect("apptainer", "overlay", "create", "--size", "64", overlay)
				}
			},
			args: func(n int) []string {
				return []string{"apptainer", "exec", "--overlay", overlay, base, "sh", "-c", number(n)}
			},
			killed: func(n int, whole bool) {
				either("the overlay", l.expect("apptainer", "exec", "--overlay", overlay+":ro", base, "sh", "-c", "test -f /kept && cat /kept || echo 0"), n, whole)
			},
		},
		{
			name: "free the cache", prepare: func(n int) {
				define(n)
				l.expect("build", "--force", target("built.sif"), def)
			},
			args: func(int) []string { return []string{"cache", "prune"} },
			next: func(n int) {
				define(n)
				l.expect("build", "--force", target("built.sif"), def)
				either("the image", l.expect("run", target("built.sif")), n, true)
				l.expect("cache", "prune")
			},
		},
		{
			name: "add a catalog", prepare: func(n int) {
				l.catalogs(n)
				l.call("catalog", "rm", "packed") // it may not be there
			},
			args: func(int) []string { return []string{"catalog", "add", "--name", "packed", l.web + "/packed.tar.gz"} },
			next: func(int) {
				if r := l.call("catalog", "add", "--name", "packed", l.web+"/packed.tar.gz"); r.status != 0 && !strings.Contains(r.text, "is there already") {
					l.t.Errorf("add: status %d\n%s", r.status, r.text)
				}
				l.expect("catalog", "show", "app0")
			},
		},
		{
			name: "update a catalog", prepare: func(n int) {
				l.catalogs(n)
				if n == 0 {
					l.expect("catalog", "add", "--name", "indexed", l.web+"/recipes/index.json")
				}
			},
			args:   func(int) []string { return []string{"catalog", "update", "indexed"} },
			killed: func(int, bool) { l.expect("catalog", "show", "--deffile", "indexed/app1") },
		},
		{
			name: "start in the background", background: true,
			args: func(n int) []string {
				return []string{"run", "-d", "--no-wait", "--name", "tortured", base, "-c", "sleep 100"}
			},
			next: func(int) {
				l.expect("run", "-d", "--no-wait", "--name", "tortured", base, "-c", "echo here; sleep 100")
				l.expect("exec", "tortured", "true")
				l.logged("tortured", "here")
				l.expect("stop", "--time", "1s", "tortured")
				l.expect("rm", "tortured")
			},
		},
		{
			name: "start a built-in app", background: true, prepare: func(n int) {
				if n%2 == 1 {
					l.call("rm", "--force", "welcome")
				}
			},
			args: func(n int) []string { return []string{"run", "-d", "-p", "0:7070", "welcome"} },
			next: func(int) {
				l.expect("run", "-d", "-p", "0:7070", "welcome")
				l.expect("stop", "--all", "--time", "1s")
			},
		},
		{
			name: "copy out", args: func(int) []string { return []string{"cp", base + ":/bin/bash", target("bash")} },
			next: func(int) {
				if err := os.RemoveAll(target("bash")); err != nil {
					l.t.Error(err)
				}
				l.expect("cp", base+":/bin/bash", target("bash"))
				if err := os.RemoveAll(target("bash")); err != nil {
					l.t.Error(err)
				}
			},
		},
	}
}

// catalogs writes the n-th state of what the web server has: a packed folder, and one with an index.
func (l *lab) catalogs(n int) {
	l.t.Helper()
	text := fmt.Sprintf("Bootstrap: localimage\nFrom: base.sif\n%%labels\n org.opencontainers.image.title Number %d\n", n)
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	w := tar.NewWriter(z)
	for i := range 200 {
		name := fmt.Sprintf("app%d/Singularity", i)
		if err := w.WriteHeader(&tar.Header{Name: "recipes/" + name, Mode: 0o644, Size: int64(len(text))}); err != nil {
			l.t.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			l.t.Fatal(err)
		}
		if i < 40 {
			l.Write(filepath.Join("served", "recipes", name), text)
		}
	}
	if err := w.Close(); err != nil {
		l.t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		l.t.Fatal(err)
	}
	l.Write("served/packed.tar.gz", packed.String())
	l.Write("served/recipes/index.json", l.expect("catalog", "index", filepath.Join(l.served, "recipes")))
}

func (l *lab) copy(from, to string) {
	l.t.Helper()
	data, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, data, 0o644)
	}
	if err != nil {
		l.t.Fatal(err)
	}
}
