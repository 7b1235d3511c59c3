package build_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"carrel/engine"
	"carrel/engine/progress"
)

// broken fails as long as /fixed is missing.
const broken = header + `
%files
    note.txt /note
%environment
    export OWN=1
%post
    echo was here > /trace
    export ONLY_IN_SCRIPT=1
    test -f /fixed
    echo complete > /done
`

// debug runs a command in the container of the failed build.
func (k *kit) debug(args ...string) (string, int) {
	k.t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		k.t.Fatal(err)
	}
	defer r.Close()
	status, err := k.Debug(k.t.Context(), engine.DebugSpec{Target: "image.sif", Args: args}, engine.Stdio{Out: w, Err: w})
	w.Close()
	out, _ := io.ReadAll(r)
	if err != nil {
		k.t.Fatalf("debug: %v\n%s", err, out)
	}
	return string(out), status
}

func TestFailedBuildIsKept(t *testing.T) {
	k := newKit(t)
	k.write("note.txt", "noted")
	_, _, err := k.try(broken, engine.BuildSpec{})
	var be *engine.BuildError
	if !errors.As(err, &be) || !be.Kept || !strings.Contains(engine.Hint(err), "carrel debug") {
		t.Fatalf("got %v, hint %q", err, engine.Hint(err))
	}
	k.workEmpty()
	out, status := k.debug("/bin/sh", "-c", "cat /trace /note; echo $HOME $APPTAINER_ENVIRONMENT; id -u; test -x /.post.script && echo script; test -d $PIP_CACHE_DIR && echo cache; exit 3")
	if out != "was here\nnoted/root /.singularity.d/env/91-environment.sh\n0\nscript\ncache\n" || status != 3 {
		t.Errorf("in the failed container: %q, %d", out, status)
	}
	// Going on is interrupted: it stays kept.
	ctx, cancel := context.WithCancel(t.Context())
	_, err = k.Build(ctx, engine.BuildSpec{Definition: "Singularity", Target: "image.sif", Resume: true}, func(e engine.Event) {
		if e.Step == progress.StepInstall {
			cancel()
		}
	})
	cancel()
	if err == nil {
		t.Error("a build that was interrupted succeeded")
	}
	// It fails again, still kept; then what is missing is made by hand, and the build goes on.
	if _, _, err := k.try(broken, engine.BuildSpec{Resume: true}); err == nil {
		t.Error("the build succeeded without what it needs")
	}
	if out, status := k.debug("/bin/sh", "-c", "echo by hand > /fixed"); status != 0 {
		t.Errorf("%q, %d", out, status)
	}
	img, ev := k.build(broken, engine.BuildSpec{Resume: true})
	if read(t, img, "/fixed") != "by hand\n" || read(t, img, "/done") != "complete\n" || read(t, img, "/note") != "noted" {
		t.Errorf("the image lacks something\n%s", ev.log(""))
	}
	if env, _ := k.out(engine.RunSpec{Image: img.Path, Action: engine.ActionExec, Args: []string{"sh", "-c", "echo $OWN"}}); env != "1\n" {
		t.Errorf("environment: %q", env)
	}
	// After success nothing is kept, and what was made by hand is in no cache.
	if _, err := k.Debug(t.Context(), engine.DebugSpec{Target: "image.sif"}, engine.Stdio{}); err == nil || engine.Hint(err) == "" {
		t.Errorf("debug after success: %v", err)
	}
	if _, _, err := k.try(broken, engine.BuildSpec{Force: true}); err == nil {
		t.Error("the build from the start succeeded")
	}
	k.workEmpty()
}

// TestFailedBuildKeepsNoSecrets: what stays on disk of a build that failed has none of the passwords that it was given.
func TestFailedBuildKeepsNoSecrets(t *testing.T) {
	k := newKit(t)
	k.config.Login = &engine.RegistryLogin{User: "me", Password: "hunter2-login"}
	k.config.User.Env = append(k.config.User.Env, "http_proxy=http://me:hunter2-proxy@proxy.invalid:3128")
	k.start()
	_, _, err := k.try(header+"%post\n    echo $http_proxy; false # {{ WHAT }}\n", engine.BuildSpec{BuildArgs: map[string]string{"WHAT": "x", "OTHER": "hunter2-arg"}})
	if err == nil {
		t.Fatal("the build succeeded")
	}
	infos, _ := filepath.Glob(filepath.Join(k.config.CacheDir, "failed", "*", "info.json"))
	if len(infos) != 1 {
		t.Fatalf("kept: %q", infos)
	}
	data, err := os.ReadFile(infos[0])
	if err != nil || bytes.Contains(data, []byte("hunter2")) {
		t.Errorf("%s, %v", data, err)
	}
	if st, err := os.Stat(infos[0]); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	// The shell has the proxy all the same.
	if out, status := k.debug("/bin/sh", "-c", "echo $http_proxy"); out != "http://me:hunter2-proxy@proxy.invalid:3128\n" || status != 0 {
		t.Errorf("%q, %d", out, status)
	}
}

// TestResumeDescribesOnce: a build that goes on at %test describes the image as the definition does now, once.
func TestResumeDescribesOnce(t *testing.T) {
	k := newKit(t)
	text := header + `
%post
    echo 'export POSTED=1' >> $APPTAINER_ENVIRONMENT
%environment
    export PLACE=one:$PLACE
%labels
    Place one
%help
    Some help.
%test
    test -e /fixed
`
	for n := range 2 {
		if _, _, err := k.try(text, engine.BuildSpec{Resume: n > 0}); err == nil {
			t.Fatal("the build succeeded without what it needs")
		}
	}
	if out, status := k.debug("/bin/sh", "-c", "touch /fixed; grep -c PLACE /.singularity.d/env/90-environment.sh"); out != "1\n" || status != 0 {
		t.Errorf("in the failed container: %q, %d", out, status)
	}
	text = strings.Replace(strings.ReplaceAll(text, "one", "two"), "%help\n    Some help.\n", "", 1)
	img, ev := k.build(text, engine.BuildSpec{Resume: true})
	got := read(t, img, "/.singularity.d/env/90-environment.sh")
	if strings.Count(got, "PLACE=") != 1 || !strings.Contains(got, "PLACE=two:$PLACE") {
		t.Errorf("the environment is\n%s%s", got, ev.notices())
	}
	m, err := img.Metadata()
	if err != nil || m.Labels["Place"] != "two" || m.Help != "" || has(t, img, "/.singularity.d/runscript.help") || has(t, img, "/.singularity.d/bootstrap_history") {
		t.Errorf("the image says %+v, %v", m, err)
	}
	if read(t, img, "/.singularity.d/env/91-environment.sh") != "export POSTED=1\n" {
		t.Error("what the section wrote is gone")
	}
}

func TestResumeWithoutFailure(t *testing.T) {
	k := newKit(t)
	if _, _, err := k.try(header, engine.BuildSpec{Resume: true}); err == nil || engine.Hint(err) == "" {
		t.Errorf("got %v, hint %q", err, engine.Hint(err))
	}
	k.workEmpty()
}

// TestResumeLeavesOut: sections that were carried out before the failed one do not run again.
func TestResumeLeavesOut(t *testing.T) {
	k := newKit(t)
	k.write("note.txt", "noted")
	text := header + "%files\n    note.txt /note\n%post\n    mkdir /once; echo Own label > $APPTAINER_LABELS\n" +
		"%appinstall one\n    mkdir one\n%appinstall two\n    mkdir -p two; test -f /fixed\n%test\n    test -f /tested\n"
	_, _, err := k.try(text, engine.BuildSpec{})
	if be, ok := errors.AsType[*engine.BuildError](err); !ok || be.Section != "%appinstall two" || !be.Kept || !strings.Contains(engine.Hint(err), "carrel debug image.sif") {
		t.Fatalf("got %v, hint %q", err, engine.Hint(err))
	}
	k.debug("/bin/sh", "-c", "echo by hand > /fixed")
	// What came before and is another now is told, and not done.
	k.write("note.txt", "other")
	_, ev, err := k.try(strings.Replace(text, "mkdir one", "mkdir one three", 1), engine.BuildSpec{Resume: true})
	if be, ok := errors.AsType[*engine.BuildError](err); !ok || be.Section != "%test" || !be.Kept {
		t.Fatalf("got %v\n%s", err, ev.log(""))
	}
	if got := ev.notices(); !strings.Contains(got, "%files, %appinstall one changed since") || !strings.Contains(got, "%appinstall two runs again") {
		t.Errorf("notices %q", got)
	}
	k.write("note.txt", "noted")
	k.debug("/bin/sh", "-c", "echo by hand > /tested")
	img, ev := k.build(text, engine.BuildSpec{Resume: true})
	if ev.started(progress.StepInstall) || ev.notices() != "the build goes on with %test, in the container as it was left\n" {
		t.Errorf("notices %q, started %v", ev.notices(), ev.started(progress.StepInstall))
	}
	if read(t, img, "/fixed")+read(t, img, "/tested") != "by hand\nby hand\n" || !has(t, img, "/once") || !has(t, img, "/scif/apps/one/one") {
		t.Error("something is missing")
	}
	if labels, err := img.Labels(); err != nil || labels["Own"] != "label" {
		t.Errorf("labels %v, %v", labels, err)
	}
	k.workEmpty()
}

// TestResumeOnAnotherBase: what a person has put right by hand is neither used on another base nor removed.
func TestResumeOnAnotherBase(t *testing.T) {
	k := newKit(t)
	k.write("note.txt", "noted")
	if _, _, err := k.try(broken, engine.BuildSpec{}); err == nil {
		t.Fatal("the build succeeded")
	}
	k.debug("/bin/sh", "-c", "echo by hand > /fixed")
	_, _, err := k.try(strings.Replace(broken, header, "Bootstrap: scratch\n", 1), engine.BuildSpec{Resume: true})
	if err == nil || !strings.Contains(err.Error(), "its base is another one") || !strings.Contains(engine.Hint(err), "carrel debug image.sif") {
		t.Fatalf("got %v, hint %q", err, engine.Hint(err))
	}
	if out, _ := k.debug("/bin/sh", "-c", "cat /fixed"); out != "by hand\n" {
		t.Errorf("the kept container has %q", out)
	}
	// Nor is it lost when the image cannot be written.
	_, _, err = k.try(broken, engine.BuildSpec{Resume: true, Compression: "no such kind"})
	if err == nil {
		t.Fatal("the image was written")
	}
	if out, _ := k.debug("/bin/sh", "-c", "cat /fixed /done"); out != "by hand\ncomplete\n" {
		t.Errorf("the kept container has %q", out)
	}
	img, ev := k.build(broken, engine.BuildSpec{Resume: true})
	if read(t, img, "/fixed") != "by hand\n" || ev.started(progress.StepInstall) || !strings.Contains(ev.notices(), "goes on behind %post") {
		t.Errorf("%q\n%s", ev.notices(), ev.log(""))
	}
	k.workEmpty()
}

// TestDebugOfOtherFormats: a build that fails on the way to another form is known by what the person asked for.
func TestDebugOfOtherFormats(t *testing.T) {
	k := newKit(t)
	k.write("note.txt", "noted")
	spec := engine.BuildSpec{Definition: k.write("Singularity", strings.ReplaceAll(broken, "BASE", baseFolder(t))), Target: "image.tar"}
	_, err := k.Convert(t.Context(), spec, engine.FormatOCIArchive, nil)
	if err == nil || !strings.Contains(engine.Hint(err), "carrel debug image.tar") {
		t.Fatalf("got %v, hint %q", err, engine.Hint(err))
	}
	status, err := k.Debug(t.Context(), engine.DebugSpec{Target: "image.tar", Args: []string{"/bin/sh", "-c", "echo by hand > /fixed"}}, engine.Stdio{})
	if err != nil || status != 0 {
		t.Errorf("debug: %d, %v", status, err)
	}
	spec.Resume = true
	if _, err := k.Convert(t.Context(), spec, engine.FormatOCIArchive, nil); err != nil {
		t.Error(err)
	}
	if img := k.open(filepath.Join(k.cwd, "image.tar")); img.OCI() == nil {
		t.Errorf("the image is a %v", img.Kind)
	}
}

// TestFailedBase prunes what the kept tree lies on.
func TestFailedBase(t *testing.T) {
	k := newKit(t)
	k.write("note.txt", "noted")
	if _, _, err := k.try(broken, engine.BuildSpec{}); err == nil {
		t.Fatal("the build succeeded")
	}
	if _, err := k.Prune(t.Context(), engine.CacheBases); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Debug(t.Context(), engine.DebugSpec{Target: "image.sif"}, engine.Stdio{}); err == nil || !strings.Contains(err.Error(), "no longer in the cache") {
		t.Errorf("got %v", err)
	}
}

// TestDebugOnTerminal has a shell on a terminal of its own, with the worker in between in another process group.
func TestDebugOnTerminal(t *testing.T) {
	k := newKit(t)
	k.write("note.txt", "noted")
	if _, _, err := k.try(broken, engine.BuildSpec{}); err == nil {
		t.Fatal("the build succeeded")
	}
	cmd := exec.Command("/proc/self/exe", "debug-on-terminal")
	cmd.Env = append(os.Environ(), "BUILD_FOR_SIGNALS="+k.dir)
	terminal, err := pty.Start(cmd)
	if err != nil {
		t.Skip("missing: pseudo terminals")
	}
	defer terminal.Close()
	if _, err := io.WriteString(terminal, "cat /trace; echo term=$TERM; exit 5\n"); err != nil {
		t.Fatal(err)
	}
	out, _ := io.ReadAll(terminal) // EIO at the end
	err = cmd.Wait()
	if cmd.ProcessState.ExitCode() != 5 {
		t.Errorf("it ended with %v", err)
	}
	if text := string(out); !strings.Contains(text, "was here") || !strings.Contains(text, "term=dumb") || !strings.Contains(text, "the terminal is ours again") {
		t.Errorf("the terminal shows %q", text)
	}
}

// debugOnTerminal is the process that TestDebugOnTerminal starts.
func debugOnTerminal() int {
	e, err := engineFor(os.Getenv("BUILD_FOR_SIGNALS"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 255
	}
	status, err := e.Debug(context.Background(), engine.DebugSpec{Target: "image.sif", Term: "dumb"}, engine.Stdio{In: os.Stdin, Out: os.Stdout, Err: os.Stderr})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 255
	}
	if group, err := unix.IoctlGetInt(0, unix.TIOCGPGRP); err == nil && group == unix.Getpgrp() {
		fmt.Println("the terminal is ours again")
	}
	return status
}

func TestReproducible(t *testing.T) {
	k := newKit(t)
	k.write("note.txt", "noted")
	text := header + "%files\n    note.txt /note\n%post\n    echo made > /made; mkdir -p /a/b; ln -s x /a/link\n%labels\n    A b\n%runscript\n    true\n"
	at := time.Unix(1_700_000_000, 0)
	var sums [][]byte
	for _, target := range []string{"1.sif", "2.sif"} {
		img, _ := k.build(text, engine.BuildSpec{Target: target, NoCache: true, Reproducible: true, Time: at})
		data, err := os.ReadFile(img.Path)
		if err != nil {
			t.Fatal(err)
		}
		sums = append(sums, data)
		f, err := img.FS()
		if err != nil {
			t.Fatal(err)
		}
		st, err := f.(interface {
			Stat(string) (os.FileInfo, error)
		}).Stat("made")
		if err != nil || st.ModTime().After(at) {
			t.Errorf("/made is of %v, %v", st.ModTime(), err)
		}
	}
	if !bytes.Equal(sums[0], sums[1]) {
		t.Errorf("two builds differ (%d and %d bytes)", len(sums[0]), len(sums[1]))
	}
}

func TestChosenSectionsAndBinds(t *testing.T) {
	k := newKit(t)
	k.write("data/in.txt", "bound")
	text := header + "%post\n    cat /in/in.txt > /post\n%labels\n    A b\n%environment\n    export E=1\n%test\n    exit 1\n"
	img, _ := k.build(text, engine.BuildSpec{Sections: []string{"post", "labels"}, Binds: []engine.Bind{{Source: "data", Dest: "/in", ReadOnly: true}}})
	if read(t, img, "/post") != "bound" || has(t, img, "/in/in.txt") {
		t.Error("the bind is wrong")
	}
	labels, err := img.Labels()
	if err != nil || labels["A"] != "b" {
		t.Errorf("labels %v, %v", labels, err)
	}
	if strings.Contains(read(t, img, "/.singularity.d/env/90-environment.sh"), "E=1") || has(t, img, "/.singularity.d/test") {
		t.Error("sections that were not chosen are in the image")
	}
	_, _, err = k.try(text, engine.BuildSpec{Target: "x.sif", Sections: []string{"post"}, Binds: []engine.Bind{{Source: "nowhere", Dest: "/in"}}})
	if err == nil || !strings.Contains(engine.Hint(err), "mkdir -p "+filepath.Join(k.cwd, "nowhere")) {
		t.Errorf("got %v, hint %q", err, engine.Hint(err))
	}
	k.workEmpty()
}

func TestProvenance(t *testing.T) {
	k := newKit(t)
	img, _ := k.build(header+"%post\n    true\n", engine.BuildSpec{})
	p, err := k.Provenance(t.Context(), img.Path)
	if err != nil || !bytes.Contains(p, []byte(`"agent":"localimage"`)) || !bytes.Contains(p, []byte(`"key":`)) {
		t.Errorf("got %s, %v", p, err)
	}
}

// TestWithoutOverlays builds where the cache lies on an overlay itself, as in many containers of others: no second one can
// be put there.
func TestWithoutOverlays(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("missing: root")
	}
	dir := t.TempDir()
	for _, d := range []string{"lower", "upper", "work", "merged"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	merged := filepath.Join(dir, "merged")
	opts := "lowerdir=" + dir + "/lower,upperdir=" + dir + "/upper,workdir=" + dir + "/work"
	if err := unix.Mount("test", merged, "overlay", 0, opts); err != nil {
		t.Skip("missing: overlay mounts")
	}
	t.Cleanup(func() {
		if err := unix.Unmount(merged, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	k := newKitIn(t, filepath.Join(merged, "kit"))
	k.write("note.txt", "noted")
	for range 2 {
		img, ev := k.build(header+"%files\n    note.txt /note\n%post\n    cat /note > /made; rm /bin/dd\n", engine.BuildSpec{Force: true})
		if read(t, img, "/made") != "noted" || has(t, img, "/bin/dd") || !ev.started(progress.StepInstall) {
			t.Error("the image is wrong")
		}
	}
	if _, _, err := k.try(header+"%post\n    false\n", engine.BuildSpec{Target: "x.sif"}); err == nil {
		t.Error("a build that fails succeeded")
	}
	names, err := os.ReadDir(filepath.Join(k.config.CacheDir, "work"))
	if err != nil || len(names) > 0 {
		t.Errorf("left behind: %v, %v", names, err)
	}
}
