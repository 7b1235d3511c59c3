package engine

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"carrel/engine/image"
	"carrel/internal/testroot"
)

// tells is a program that tells where, and as whom, it was started.
const tells = "#!/bin/sh\necho $(pwd) $(id -u):$(id -g) $USER $HOME \"$@\"\necho out >/dev/stdout\n"

// ownImage is an archive of an OCI image with a folder and a user of its own.
func ownImage(t *testing.T, e *Engine) string {
	t.Helper()
	root := ownRoot(t)
	plain := filepath.Join(e.c.User.Cwd, "plain.tar")
	if _, err := e.Convert(t.Context(), BuildSpec{Definition: root, Target: plain, Force: true}, FormatDockerArchive, nil); err != nil {
		t.Fatal(err)
	}
	img, err := tarball.ImageFromPath(plain, nil)
	if err != nil {
		t.Fatal(err)
	}
	if img, err = mutate.Config(img, v1.Config{Entrypoint: []string{"./start.sh"}, Cmd: []string{"given"}, WorkingDir: "/srv/app", User: "jovyan"}); err != nil {
		t.Fatal(err)
	}
	target := filepath.Join(e.c.User.Cwd, "own.tar")
	if err := tarball.WriteToFile(target, nil, img); err != nil {
		t.Fatal(err)
	}
	return target
}

// ownRoot is a folder with a user and a program of its own.
func ownRoot(t *testing.T) string {
	t.Helper()
	root := testroot.Make(t)
	for name, text := range map[string]string{
		"srv/app/start.sh": tells, "home/jovyan/note": "kept",
		"etc/passwd": "root:x:0:0:root:/root:/bin/sh\njovyan:x:1234:100:J:/home/jovyan:/bin/sh\n", "etc/group": "root:x:0:\nusers:x:100:\nlab:x:777:\n",
	} {
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// TestImageStartsAsItSays: an OCI image runs its own entrypoint in its own folder as its own user, whatever form it has by
// then; what else is started in it is the caller's.
func TestImageStartsAsItSays(t *testing.T) {
	e := newEngine(t, nil)
	ctx := t.Context()
	archive := ownImage(t, e)
	forms := map[string]string{}
	convert := func(kind, from string, format Format) {
		t.Helper()
		s := BuildSpec{Definition: from, Target: filepath.Join(e.c.User.Cwd, "made."+kind), Sandbox: kind == "sandbox"}
		var err error
		if format == "" {
			_, err = e.Build(ctx, s, nil)
		} else {
			_, err = e.Convert(ctx, s, format, nil)
		}
		if err != nil {
			t.Fatalf("%s: %v %s", kind, err, Hint(err))
		}
		forms[kind] = s.Target
	}
	convert("sif", "docker-archive:"+archive, "")
	convert("sandbox", forms["sif"], "")
	convert("squashfs", archive, FormatSquashFS)
	convert("oci", forms["sif"], FormatOCI)
	convert("again", "oci:"+forms["oci"], "")
	convert("archive", forms["sandbox"], FormatOCIArchive)
	convert("last", "oci-archive:"+forms["archive"], "")
	for _, kind := range []string{"oci", "archive"} {
		img, err := image.Open(forms[kind])
		if err != nil {
			t.Fatal(err)
		}
		if c := img.OCI().Config; c.WorkingDir != "/srv/app" || c.User != "jovyan" {
			t.Errorf("%s: %+v", kind, c)
		}
		img.Close()
		delete(forms, kind)
	}

	home := e.c.User.Home
	if e.c.User.UID == 0 {
		home = "/home/jovyan" // root's is not shown to another user
	}
	for kind, path := range forms {
		if _, out, err := output(t, e, RunSpec{Image: path, Profile: ProfileSingularity}); out != "/srv/app 1234:100 jovyan "+home+" given\nout\n" || err != nil {
			t.Errorf("%s: got %q, %v", kind, out, err)
		}
	}
	self := fmt.Sprintf("%d:%d", e.c.User.UID, e.c.User.GID)
	sif := forms["sif"]
	for name, tc := range map[string]struct {
		spec RunSpec
		want string
	}{
		"safe":      {RunSpec{Profile: ProfileSafe, Args: []string{"a b"}}, "/srv/app 1234:100 jovyan /home/jovyan a b"},
		"folder":    {RunSpec{Cwd: "/tmp", Action: ActionExec, Args: []string{"/srv/app/start.sh"}}, "/tmp " + self},
		"exec":      {RunSpec{Action: ActionExec, Args: []string{"/srv/app/start.sh"}}, e.c.User.Cwd + " " + self},
		"root":      {RunSpec{Root: true}, "/srv/app 0:0 root"},
		"--cwd":     {RunSpec{Cwd: "/srv", Binds: []Bind{{Source: e.c.User.Cwd, Dest: "/srv/x"}}, Env: map[string]string{"PATH": "/srv/app:/bin"}}, ""},
		"--as-self": {RunSpec{Cwd: "/srv/app", Details: Details{AsSelf: true}}, "/srv/app " + self},
	} {
		t.Run(name, func(t *testing.T) {
			tc.spec.Image = sif
			status, out, err := output(t, e, tc.spec)
			if name == "--cwd" { // there is no ./start.sh
				if status == 0 || !strings.Contains(out, "start.sh") {
					t.Errorf("got %d %q, %v", status, out, err)
				}
				return
			}
			if !strings.HasPrefix(out, tc.want+" ") && !strings.HasPrefix(out, tc.want+"\n") || status != 0 || err != nil {
				t.Errorf("got %d %q, %v; want %q", status, out, err, tc.want)
			}
		})
	}
	t.Run("inside", func(t *testing.T) { entersOwn(t, e, sif) })
	t.Run("own runscript", func(t *testing.T) {
		def := filepath.Join(e.c.User.Cwd, "mine.def")
		if err := os.WriteFile(def, []byte("Bootstrap: localimage\nFrom: "+sif+"\n%runscript\n/srv/app/start.sh mine\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		mine := filepath.Join(e.c.User.Cwd, "mine.sif")
		if _, err := e.Build(ctx, BuildSpec{Definition: def, Target: mine}, nil); err != nil {
			t.Fatal(err)
		}
		if _, out, err := output(t, e, RunSpec{Image: mine}); !strings.HasPrefix(out, e.c.User.Cwd+" "+self+" ") || err != nil {
			t.Errorf("got %q, %v", out, err)
		}
	})
}

// entersOwn starts it in the background, and enters.
func entersOwn(t *testing.T, e *Engine, sif string) {
	ctx := t.Context()
	sleeper := filepath.Join(e.c.User.Cwd, "sleeper.sif")
	def := filepath.Join(e.c.User.Cwd, "sleeper.def")
	text := "Bootstrap: localimage\nFrom: " + sif + "\n%runscript\nexec sleep 600\n%labels\n  carrel.workdir /srv\n  carrel.user 1234:777\n"
	if err := os.WriteFile(def, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Build(ctx, BuildSpec{Definition: def, Target: sleeper}, nil); err != nil {
		t.Fatal(err)
	}
	in, err := e.Start(ctx, RunSpec{Image: sleeper, Profile: ProfileSafe})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = e.Stop(context.Background(), in.Name, 0) }()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	status, err := e.Exec(ctx, in.Name, RunSpec{Action: ActionExec, Args: []string{"sh", "-c", "echo $(pwd) $(id -u):$(id -g) $USER $HOME; cat ~/note"}}, Stdio{Out: w, Err: w}, false)
	w.Close()
	out, _ := io.ReadAll(r)
	if want := "/srv 1234:777 jovyan /home/jovyan\nkept"; status != 0 || err != nil || string(out) != want {
		t.Errorf("got %d %q, %v; want %q", status, out, err, want)
	}
}

// TestUserOfTheImage: the forms of a user that a configuration may have, and what cannot be.
func TestUserOfTheImage(t *testing.T) {
	e := newEngine(t, nil)
	root := ownRoot(t)
	about := filepath.Join(root, ".singularity.d")
	if err := os.Mkdir(about, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(about, "runscript"), []byte(tells), 0o755); err != nil {
		t.Fatal(err)
	}
	for user, want := range map[string]string{
		"1234":       "1234:100 jovyan",
		"4321":       "4321:0 user4321",
		"4321:5":     "4321:5 user4321",
		"jovyan:lab": "1234:777 jovyan",
		"nobodyhere": fmt.Sprintf("%d:%d", e.c.User.UID, e.c.User.GID),
		"jovyan:no":  fmt.Sprintf("%d:%d", e.c.User.UID, e.c.User.GID),
		"root":       fmt.Sprintf("%d:%d", e.c.User.UID, e.c.User.GID),
		"":           fmt.Sprintf("%d:%d", e.c.User.UID, e.c.User.GID),
	} {
		t.Run(user, func(t *testing.T) {
			if err := os.WriteFile(filepath.Join(about, "labels.json"), []byte(`{"carrel.workdir": "/", "carrel.user": "`+user+`"}`), 0o644); err != nil {
				t.Fatal(err)
			}
			var notes []string
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			_, err = e.Run(t.Context(), RunSpec{Image: root, Profile: ProfileSingularity}, Stdio{Out: w, Err: w}, RunCallbacks{Note: func(n string) { notes = append(notes, n) }})
			w.Close()
			out, _ := io.ReadAll(r)
			if !strings.HasPrefix(string(out), "/ "+want+" ") || err != nil {
				t.Errorf("got %q, %v; want %q (%q)", out, err, want, notes)
			}
			if unknown := strings.Contains(user, "no"); unknown != strings.Contains(strings.Join(notes, "\n"), "it runs as you") {
				t.Errorf("notes %q", notes)
			}
		})
	}
}
