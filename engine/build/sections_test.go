package build_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"carrel/engine"
	"carrel/engine/definition"
	"carrel/engine/image"
	"carrel/engine/progress"
)

const header = "Bootstrap: localimage\nFrom: BASE\n"

// TestUnusualOutput: what a section does to its input and output neither stalls the build nor is lost.
func TestUnusualOutput(t *testing.T) {
	k := newKit(t)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute) // of which it needs seconds
	defer cancel()
	ev := &events{}
	var long, bytes int
	log := filepath.Join(k.dir, "build.log")
	_, err := k.Build(ctx, engine.BuildSpec{LogFile: log, Target: "image.sif", Definition: k.write("Singularity", strings.ReplaceAll(header, "BASE", baseFolder(t))+`
%post
    sleep 1000000 &
    (sleep 1000000; echo late) < /dev/null > /dev/null 2>&1 &
    read answer || echo "nobody to ask: $answer"
    cat > /input; test ! -s /input
    head -c 4000000 /dev/zero | tr '\\0' x; echo
    set +x; i=0; while [ $i -lt 30000 ]; do echo "line $i"; i=$((i+1)); done
    head -c 100000 /dev/urandom
    printf 'without an end'
`)}, func(e engine.Event) {
		if e.Kind == progress.Line && e.Step == progress.StepInstall {
			long = max(long, len(e.Text))
			bytes += len(e.Text)
		}
		ev.sink(e)
	})
	if err != nil {
		t.Fatal(err)
	}
	lines := ev.log(progress.StepInstall)
	for _, want := range []string{"nobody to ask: \n", "line 0\n", "line 29999\n", "without an end\n"} {
		if !strings.Contains(lines, want) {
			t.Errorf("%q is missing", want)
		}
	}
	if long > 1<<20 || bytes < 4_000_000 {
		t.Errorf("the longest line has %d bytes, all have %d", long, bytes)
	}
	written, err := os.ReadFile(log)
	if err != nil || strings.Count(string(written), "line ") < 30_000 || !strings.Contains(string(written), "without an end") {
		t.Errorf("the log is not complete: %v", err)
	}
	if left := processesOf(t, "sleep\x001000000"); len(left) > 0 {
		t.Errorf("left running: %q", left)
	}
}

// TestPackingTellsHowFar: a program can draw a bar for packing, and tell how long it still takes.
func TestPackingTellsHowFar(t *testing.T) {
	k := newKit(t)
	for _, spec := range []engine.BuildSpec{{}, {Sandbox: true, Target: "folder"}} {
		_, ev := k.build(header+"%post\n    dd if=/dev/zero of=/big bs=1M count=8\n", spec)
		var first *engine.Event
		for i := range ev.all {
			e := &ev.all[i]
			if e.Kind != progress.Amount || e.Step != progress.StepPack {
				continue
			}
			if first == nil {
				first = e
			}
			if e.Done > e.Total || e.Unit != "bytes" {
				t.Errorf("%d of %d %s", e.Done, e.Total, e.Unit)
			}
		}
		if first == nil || first.Total < 8<<20 || first.Total > 200<<20 {
			t.Errorf("the first amount is %+v", first)
		}
	}
}

func TestSections(t *testing.T) {
	k := newKit(t)
	k.write("app/hello.txt", "hello")
	k.write("app/sub/deep.txt", "deep")
	k.write("data1.csv", "1")
	k.write("data2.csv", "2")
	img, ev := k.build(`Bootstrap: localimage
From: BASE

%arguments
    NAME=world

%setup
    echo "from the host" > $APPTAINER_ROOTFS/from-setup
    test "$SINGULARITY_ROOTFS" = "$APPTAINER_ROOTFS"
    pwd > $APPTAINER_ROOTFS/setup-cwd

%files
    app
    app /opt/
    *.csv /data/
    app/hello.txt /etc/renamed

%post
    umask > /umask
    pwd > /pwd
    id -u > /uid
    echo "line of {{ NAME }}"
    echo 'export FROM_POST=yes' >> $APPTAINER_ENVIRONMENT
    echo "from-post a value of several words" >> $APPTAINER_LABELS
    echo leftover > /tmp/leftover
    grep -q csv /proc/self/cmdline || true
    ls /data > /listing
    mkdir -p /srv && chown 33:33 /srv && chmod 2755 /srv

%environment
    export FROM_SECTION="{{ NAME }}"

%labels
    Maintainer Ada Lovelace
    org.opencontainers.image.title A title

%runscript
    echo "run $FROM_SECTION $FROM_POST $*"

%startscript
    echo start

%test
    test -f /data/1 || test -f /data/data1.csv
    echo tested $FROM_SECTION; echo x > /from-test

%help
    How to use it.
`, engine.BuildSpec{BuildArgs: map[string]string{"NAME": "moon"}})

	for name, want := range map[string]string{
		"/from-setup": "from the host\n", "/setup-cwd": k.cwd + "\n", "/app/hello.txt": "hello", "/opt/app/sub/deep.txt": "deep",
		"/data/data1.csv": "1", "/data/data2.csv": "2", "/etc/renamed": "hello", "/umask": "0002\n", "/pwd": "/\n", "/uid": "0\n",
		"/listing": "data1.csv\ndata2.csv\n",
	} {
		if got := read(t, img, name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	for _, name := range []string{"/tmp/leftover", "/.post.script", "/.build.labels", "/from-test"} {
		if has(t, img, name) {
			t.Errorf("%s is in the image", name)
		}
	}
	labels, err := img.Labels()
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"Maintainer": "Ada Lovelace", "org.opencontainers.image.title": "A title", "from-post": "a value of several words",
		"org.label-schema.usage.singularity.deffile.bootstrap": "localimage",
	} {
		if labels[key] != want {
			t.Errorf("label %s: got %q, want %q", key, labels[key], want)
		}
	}
	if !strings.Contains(img.Definition(), "line of moon") || !strings.Contains(read(t, img, "/.singularity.d/runscript.help"), "How to use it.") {
		t.Error("definition or help is not in the image")
	}
	if !strings.Contains(ev.log(progress.StepInstall), "line of moon\n") || !strings.Contains(ev.log(progress.StepTest), "tested moon\n") {
		t.Errorf("log:\n%s", ev.log(""))
	}
	if out, status := k.out(engine.RunSpec{Image: img.Path, Args: []string{"a", "b c"}}); out != "run moon yes a b c\n" || status != 0 {
		t.Errorf("run: %q, %d", out, status)
	}
	if out, _ := k.out(engine.RunSpec{Image: img.Path, Action: engine.ActionTest}); !strings.HasSuffix(out, "tested moon\n") {
		t.Errorf("test: %q", out)
	}
	k.workEmpty()
}

func TestPostShell(t *testing.T) {
	k := newKit(t)
	img, _ := k.build(header+`
%post -c /bin/bash
    [[ abc == a* ]] && words=(one two) && echo "${words[1]}" > /bash
`, engine.BuildSpec{})
	if got := read(t, img, "/bash"); got != "two\n" {
		t.Errorf("got %q", got)
	}
}

// TestPostSeesBaseEnvironment: %post finds what the base's environment says, as it does in Apptainer.
func TestPostSeesBaseEnvironment(t *testing.T) {
	k := newKit(t)
	base, _ := k.build(header+`
%environment
    export PATH=/opt/tool/bin:$PATH
    export FROM_BELOW=inherited
%post
    mkdir -p /opt/tool/bin
    printf '#!/bin/sh\necho tool\n' > /opt/tool/bin/mytool
    chmod 755 /opt/tool/bin/mytool
`, engine.BuildSpec{Target: "base.sif"})
	img, _ := k.build("Bootstrap: localimage\nFrom: "+base.Path+`
%environment
    export OWN=1
%post
    mytool > /found
    echo "$FROM_BELOW,$OWN" >> /found
`, engine.BuildSpec{})
	if got := read(t, img, "/found"); got != "tool\ninherited,\n" {
		t.Errorf("got %q", got)
	}
	if out, _ := k.out(engine.RunSpec{Image: img.Path, Action: engine.ActionExec, Args: []string{"sh", "-c", "echo $FROM_BELOW $OWN"}}); out != "inherited 1\n" {
		t.Errorf("environment of base and image: %q", out)
	}
}

func TestApps(t *testing.T) {
	k := newKit(t)
	k.write("tool.sh", "#!/bin/sh\necho tool of foo\n")
	img, _ := k.build(header+`
%appinstall foo
    echo "installed in $SCIF_APPROOT" > built
    chmod 755 bin/tool.sh
%appfiles foo
    tool.sh bin/tool.sh
%appenv foo
    export FLAVOUR=sweet
%apprun foo
    echo "foo $FLAVOUR $SCIF_APPNAME"; tool.sh
%applabels foo
    Version 1.2
%apphelp foo
    Help of foo
%apptest foo
    test -f $SCIF_APPROOT/built
%apprun bar
    echo bar
%runscript
    echo main
`, engine.BuildSpec{})
	if got := read(t, img, "/scif/apps/foo/built"); got != "installed in /scif/apps/foo\n" {
		t.Errorf("built: %q", got)
	}
	for app, want := range map[string]string{"foo": "foo sweet foo\ntool of foo\n", "bar": "bar\n", "": "main\n"} {
		if out, status := k.out(engine.RunSpec{Image: img.Path, App: app}); out != want || status != 0 {
			t.Errorf("run of app %q: %q, %d", app, out, status)
		}
	}
	if _, status := k.out(engine.RunSpec{Image: img.Path, App: "foo", Action: engine.ActionTest}); status != 0 {
		t.Errorf("test of foo: %d", status)
	}
	meta, err := img.Metadata()
	if err != nil || meta.Apps["foo"].Labels["Version"] != "1.2" || !strings.Contains(meta.Apps["foo"].Help, "Help of foo") {
		t.Errorf("metadata %+v, %v", meta.Apps, err)
	}
}

// TestUnusualFiles copies a folder with a link that leads nowhere, and a file that does not tell its size.
func TestUnusualFiles(t *testing.T) {
	k := newKit(t)
	k.write("data/here.txt", "here")
	if err := os.Symlink("nowhere", filepath.Join(k.cwd, "data", "gone")); err != nil {
		t.Fatal(err)
	}
	img, ev := k.build(header+"%files\n    data /\n    /proc/version /version\n", engine.BuildSpec{})
	if read(t, img, "/data/here.txt") != "here" || has(t, img, "/data/gone") || !strings.Contains(ev.notices(), filepath.Join(k.cwd, "data", "gone")+" is left out") {
		t.Errorf("notices %q", ev.notices())
	}
	want, err := os.ReadFile("/proc/version")
	if err != nil || read(t, img, "/version") != string(want) {
		t.Errorf("/proc/version is copied as %q, %v", read(t, img, "/version"), err)
	}
}

// TestAppFiles: an app's folders are there before anything is copied into them.
func TestAppFiles(t *testing.T) {
	k := newKit(t)
	k.write("tool.sh", "#!/bin/sh\necho tool\n")
	for line, want := range map[string]string{
		"tool.sh":             "/scif/apps/foo/tool.sh",
		"tool.sh bin/tool.sh": "/scif/apps/foo/bin/tool.sh",
		"tool.sh bin/":        "/scif/apps/foo/bin/tool.sh",
		"tool.sh bin":         "/scif/apps/foo/bin/tool.sh",
		"tool.sh /":           "/scif/apps/foo/tool.sh",
		"tool.sh new":         "/scif/apps/foo/new",
		"tool.sh new/":        "/scif/apps/foo/new/tool.sh",
		"tool.sh ../../up":    "/scif/apps/foo/up",
	} {
		info, _, err := k.try(header+"%appfiles foo\n    "+line+"\n", engine.BuildSpec{Force: true})
		if err != nil {
			t.Errorf("%q: %v", line, err)
			continue
		}
		img := k.open(info.Path)
		if !has(t, img, want) || read(t, img, want) != "#!/bin/sh\necho tool\n" {
			t.Errorf("%q: there is no %s", line, want)
		}
	}
}

func TestStages(t *testing.T) {
	k := newKit(t)
	img, ev := k.build(`Bootstrap: localimage
From: BASE
Stage: build

%post
    mkdir -p /out/sub
    echo compiled > /out/program
    echo more > /out/sub/more
    ln -s program /out/link
    chmod 755 /out/program
    echo not wanted > /rest

Bootstrap: scratch
Stage: final

%files from build
    /out /opt/out
    /bin/sh
    /lib* /
    /out/prog* /usr/bin/
%runscript
    exec /bin/sh -c 'read x < /opt/out/program; echo $x'
`, engine.BuildSpec{})
	if has(t, img, "/rest") || !has(t, img, "/opt/out/sub/more") || read(t, img, "/usr/bin/program") != "compiled\n" {
		t.Errorf("files of the stages are wrong\n%s", ev.log(progress.StepFiles))
	}
	if read(t, img, "/opt/out/link") != "compiled\n" {
		t.Error("the link was not kept")
	}
	if out, _ := k.out(engine.RunSpec{Image: img.Path}); out != "compiled\n" {
		t.Errorf("run: %q", out)
	}
	stages := map[string]bool{}
	for _, e := range ev.all {
		stages[e.Stage] = true
	}
	if !stages["build"] || !stages["final"] {
		t.Errorf("events are of the stages %v", stages)
	}
}

func TestScratch(t *testing.T) {
	k := newKit(t)
	k.write("page.html", "<p>hello</p>")
	img, _ := k.build("Bootstrap: scratch\n%files\n    page.html /srv/\n%labels\n    A b\n", engine.BuildSpec{Compression: "gzip"})
	if read(t, img, "/srv/page.html") != "<p>hello</p>" || !has(t, img, "/.singularity.d/labels.json") || !has(t, img, "/proc") {
		t.Error("the image lacks something")
	}
}

func TestConversions(t *testing.T) {
	k := newKit(t)
	first, _ := k.build(header+`
%environment
    export COLOUR=blue
%labels
    Subject conversions
%runscript
    echo "running $COLOUR"
%post
    echo payload > /payload
    mkdir /private && chmod 700 /private && echo secret > /private/file && chmod 000 /private/file
`, engine.BuildSpec{})
	check := func(path string) {
		t.Helper()
		img := k.open(path)
		labels, err := img.Labels()
		if err != nil || labels["Subject"] != "conversions" {
			t.Errorf("%s: labels %v, %v", path, labels, err)
		}
		if out, status := k.out(engine.RunSpec{Image: path}); out != "running blue\n" || status != 0 {
			t.Errorf("%s: run: %q, %d", path, out, status)
		}
		if read(t, img, "/payload") != "payload\n" || !has(t, img, "/private") {
			t.Errorf("%s: files are missing", path)
		}
		if !strings.Contains(img.Definition(), "running $COLOUR") {
			t.Errorf("%s: definition %q", path, img.Definition())
		}
	}
	check(first.Path)
	convert := func(from, to string, sandbox bool) string {
		t.Helper()
		ev := &events{}
		info, err := k.Build(t.Context(), engine.BuildSpec{Definition: from, Target: to, Sandbox: sandbox, Force: true}, ev.sink)
		if err != nil {
			t.Fatalf("convert %s to %s: %v\n%s", from, to, err, ev.log(""))
		}
		if (info.Kind == "sandbox") != sandbox {
			t.Errorf("%s is a %s", to, info.Kind)
		}
		return info.Path
	}
	folder := convert(first.Path, "folder", true)
	check(folder)
	check(convert(folder, "second.sif", false))
	check(convert("second.sif", "third.sif", false))
	check(convert("folder/", "other", true))
	check(convert("third.sif", "other", true)) // a folder in the place of a folder
	check(convert("third.sif", "other", false))
	check(convert("folder", "other", true)) // and of a file
	if err := k.RemoveImage(t.Context(), filepath.Join(k.cwd, "other")); err != nil {
		t.Error(err)
	}
	k.write("mine/file", "not an image")
	if _, err := k.Build(t.Context(), engine.BuildSpec{Definition: "folder", Target: "mine", Force: true}, nil); err == nil {
		t.Error("a folder that is no image was replaced")
	}
	k.workEmpty()
}

func TestBuildFails(t *testing.T) {
	tests := []struct {
		name, text string
		err        string // in the error's text
		section    string
		line       int
		log        string // in the log file
		hint       string
	}{
		{
			name: "post", text: header + "\n%post\n    echo before\n    cat /no/such/file\n    echo after\n",
			err: "%post (line 6): cat /no/such/file: exit status 1", section: "%post", line: 6, log: "/no/such/file", hint: "log",
		},
		{
			name: "test", text: header + "%runscript\n    true\n%test\n    echo testing; exit 3\n",
			err: "%test (line 5): exit status 3", section: "%test", line: 5, log: "testing",
		},
		{
			name: "setup", text: header + "%setup\n    echo on host\n    false\n",
			err: "%setup (line 5): false: exit status 1", section: "%setup", line: 5, log: "on host",
		},
		{
			name: "pre", text: header + "%pre\n    exit 9\n", err: "%pre (line 4): exit 9: exit status 9", section: "%pre", line: 4,
		},
		{
			name: "another shell", text: header + "%post -c /bin/bash\n    true\n    exit 4\n", err: "%post (line 3): exit status 4", section: "%post", line: 3,
		},
		{
			name: "a command that is not there", text: header + "%post\n    if true; then\n        no-such-command x\n    fi\n",
			err: "%post (line 5): no-such-command x: exit status 127", section: "%post", line: 5, log: "not found",
		},
		{
			name: "missing source of files", text: header + "%files\n    here.txt /\n    missing.txt /\n",
			err: "%files (line 5): missing.txt is not there", section: "%files", line: 5, hint: "correct the path",
		},
		{
			name: "appinstall", text: header + "%appinstall foo\n    false\n", err: "%appinstall foo (line 4): false: exit status 1", section: "%appinstall foo", line: 4,
		},
		{
			name: "app's name leads elsewhere", text: header + "%appinstall ../../escape\n    true\n", err: "cannot be the name of an app", section: "%app…", line: 3,
		},
		{
			name: "base missing", text: "Bootstrap: localimage\nFrom: nowhere.sif\n", err: "nowhere.sif", log: "nowhere.sif",
		},
		{
			name: "unknown agent", text: "Bootstrap: zeppelin\nFrom: x\n", err: `"zeppelin"`, hint: "docker",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			k := newKit(t)
			k.write("here.txt", "x")
			_, ev, err := k.try(tt.text, engine.BuildSpec{})
			if err == nil {
				t.Fatal("the build succeeded")
			}
			if !strings.Contains(err.Error(), tt.err) || !strings.Contains(engine.Hint(err), tt.hint) {
				t.Errorf("error %q, hint %q", err, engine.Hint(err))
			}
			var be *engine.BuildError
			if errors.As(err, &be) {
				if be.Section != tt.section || tt.line != 0 && be.Line != tt.line {
					t.Errorf("section %q, line %d; want %q, %d", be.Section, be.Line, tt.section, tt.line)
				}
				log, err := os.ReadFile(be.Log)
				if err != nil || !strings.Contains(string(log), tt.log) || !strings.Contains(string(log), "failed: ") {
					t.Errorf("log %q, %v", log, err)
				}
				if tt.log != "" && tt.section != "" && !strings.Contains(strings.Join(be.Lines, "\n"), tt.log) {
					t.Errorf("the last lines are %q", be.Lines)
				}
				if last := ev.all[len(ev.all)-1]; last.Kind != progress.Failed {
					t.Errorf("the last event is %+v", last)
				}
			} else if tt.log != "" || tt.section != "" {
				t.Errorf("not a *BuildError: %v", err)
			}
			if _, err := os.Stat(filepath.Join(k.cwd, "image.sif")); err == nil {
				t.Error("an image was made")
			}
			k.workEmpty()
		})
	}
}

func TestMisspelt(t *testing.T) {
	k := newKit(t)
	_, _, err := k.try(header+"\n%psot\n    true\n", engine.BuildSpec{})
	var de *definition.Error
	if !errors.As(err, &de) || de.Line != 4 || de.Suggestion != "%post" || !strings.Contains(err.Error(), "psot") {
		t.Errorf("got %v", err)
	}
}

func TestTargetExists(t *testing.T) {
	k := newKit(t)
	k.write("image.sif", "precious")
	text := header + "%post\n    true\n"
	if _, _, err := k.try(text, engine.BuildSpec{}); !errors.Is(err, engine.ErrExists) {
		t.Errorf("got %v, want ErrExists", err)
	}
	if _, _, err := k.try(header+"%post\n    false\n", engine.BuildSpec{Force: true}); err == nil {
		t.Error("a build that fails succeeded")
	}
	if data, _ := os.ReadFile(filepath.Join(k.cwd, "image.sif")); string(data) != "precious" {
		t.Errorf("a build that failed replaced its target by %d bytes", len(data))
	}
	if _, _, err := k.try(text, engine.BuildSpec{Force: true}); err != nil {
		t.Error(err)
	}
	if img := k.open(filepath.Join(k.cwd, "image.sif")); img.Kind != "sif" {
		t.Errorf("the target is %s", img.Kind)
	}
}

func TestNoTest(t *testing.T) {
	k := newKit(t)
	_, ev := k.build(header+"%test\n    false\n", engine.BuildSpec{NoTest: true})
	if ev.started(progress.StepTest) {
		t.Error("the test was run")
	}
}

// TestModesAreKept: what a base's files may be used for is the same in the image, whoever builds it, also where the owner is
// kept out.
func TestModesAreKept(t *testing.T) {
	k := newKit(t)
	first, _ := k.build(header+"%post\n"+
		"mkdir -p /data/closed && echo x > /data/closed/x && echo y > /data/read && echo z > /data/none && ln /data/read /data/again\n"+
		"chmod 444 /data/read && chmod 000 /data/none && chmod 555 /data/closed && chmod 1775 /data\n", engine.BuildSpec{})
	second, _ := k.build("Bootstrap: localimage\nFrom: "+first.Path+"\n%post\necho more > /data/more\necho more >> /data/read\n", engine.BuildSpec{Target: "second.sif"})
	for _, img := range []*image.Image{first, second} {
		fsys, err := img.FS()
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]fs.FileMode{
			"data": fs.ModeDir | fs.ModeSticky | 0o775, "data/read": 0o444, "data/again": 0o444, "data/none": 0, "data/closed": fs.ModeDir | 0o555,
		} {
			info, err := fs.Lstat(fsys, name)
			if err != nil || info.Mode() != want {
				t.Errorf("%s: %s is %v, want %v, %v", img.Path, name, info.Mode(), want, err)
			}
		}
	}
	if text := read(t, second, "data/read"); text != "y\nmore\n" {
		t.Errorf("%q", text)
	}
}

// TestLostACLs: an image cannot hold access control lists, which is said once, with how many and whose.
func TestLostACLs(t *testing.T) {
	k := newKit(t)
	base := t.TempDir()
	if err := os.CopyFS(base, os.DirFS(baseFolder(t))); err != nil {
		t.Fatal(err)
	}
	// An ACL with an entry for user 12 (acl(5); include/uapi/linux/posix_acl_xattr.h): user_obj rwx, user 12 r-x, group_obj r-x, mask r-x, other r-x.
	acl := []byte{2, 0, 0, 0}
	for _, e := range [][3]uint32{{1, 7, ^uint32(0)}, {2, 5, 12}, {4, 5, ^uint32(0)}, {0x10, 5, ^uint32(0)}, {0x20, 5, ^uint32(0)}} {
		acl = binary.LittleEndian.AppendUint16(acl, uint16(e[0]))
		acl = binary.LittleEndian.AppendUint16(acl, uint16(e[1]))
		acl = binary.LittleEndian.AppendUint32(acl, e[2])
	}
	for _, name := range []string{"data", "data/a", "data/b"} {
		p := filepath.Join(base, name)
		if err := os.Mkdir(p, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := unix.Setxattr(p, "system.posix_acl_access", acl, 0); err == unix.ENOTSUP {
			t.Skip("missing: ACLs on the file system of temporary files")
		} else if err != nil {
			t.Fatal(err)
		}
	}
	_, ev, err := k.try("Bootstrap: localimage\nFrom: "+base+"\n", engine.BuildSpec{})
	if err != nil {
		t.Fatal(err)
	}
	if got := ev.notices(); !strings.Contains(got, "3 access control lists") || strings.Count(got, "system.posix_acl_access of data") != 1 {
		t.Errorf("notices: %s", got)
	}
}
