package image

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"carrel/engine/sif"
	"carrel/engine/tree"
	"carrel/internal/apptainertest"
)

func TestApptainerRunsOurs(t *testing.T) {
	apptainertest.Command(t)
	root := shellRoot(t)
	m := full()
	m.Labels = Build{Time: testTime, Arch: "amd64", Version: "test", Help: true}.Labels()
	m.Labels["colour"] = "blue"
	scaffolded(t, root, m)
	image := sifOf(t, root, m.Definition)
	u, err := sif.OpenForUpdate(image)
	if err != nil {
		t.Fatal(err)
	}
	upper := t.TempDir()
	write(t, upper, map[string]string{"added": "by an overlay\n"})
	hidden := tree.Entry{Path: "bin/env", Mode: tree.TypeChar}
	if _, err := u.Append(t.Context(), sif.Overlay{Write: partitionOf(t.Context(), sourceWith{packed(upper), []tree.Entry{hidden}}), Time: testTime}); err != nil {
		t.Fatal(err)
	}
	u.Close()

	rows := []struct {
		args []string
		want string
	}{
		{[]string{"run", image, "a", "b c"}, "run bar a b c\n"},
		{[]string{"exec", image, "/bin/sh", "-c", "echo $FOO $PATH"}, "bar /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"},
		{[]string{"exec", "--env", "PREPEND_PATH=/first", image, "/bin/sh", "-c", "echo $PATH"}, "/first:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"},
		{[]string{"run", "--app", "one", image}, "one 1 one\n"},
		{[]string{"exec", image, "cat", "/added"}, "by an overlay\n"},
		{[]string{"exec", image, "/bin/sh", "-c", "test -e /bin/env || echo hidden"}, "hidden\n"},
		{[]string{"run-help", image}, "How to use it.\n"},
		{[]string{"inspect", "--runscript", image}, "#!/bin/sh\n\necho \"run $FOO $*\"\n"},
		{[]string{"test", image}, ""},
	}
	for _, row := range rows {
		if got := apptainertest.Run(t, row.args...); strings.TrimRight(got, "\n") != strings.TrimRight(row.want, "\n") {
			t.Errorf("%q: got %q, want %q", row.args, got, row.want)
		}
	}
	if out := apptainertest.Run(t, "inspect", "--labels", image); !strings.Contains(out, "colour: blue") {
		t.Errorf("labels: %s", out)
	}
	if out := apptainertest.Run(t, "inspect", "--list-apps", image); !strings.Contains(out, "one") {
		t.Errorf("apps: %s", out)
	}
	if out := apptainertest.Run(t, "inspect", "--app", "one", "--helpfile", image); !strings.Contains(out, "Help of one") {
		t.Errorf("help of an app: %s", out)
	}
}

func TestApptainerRunsOursFromOCI(t *testing.T) {
	apptainertest.Command(t)
	root := shellRoot(t)
	scaffolded(t, root, OCIMetadata([]string{"PATH=/bin", `GREETING=it's "odd" $HOME`}, []string{"/bin/sh", "-c", `echo "$GREETING: $*"`, "sh"},
		[]string{"default", "words"}, map[string]string{"a": "b"}))
	image := sifOf(t, root, "")
	if got := apptainertest.Run(t, "run", image); got != "it's \"odd\" $HOME: default words\n" {
		t.Errorf("run: got %q", got)
	}
	if got := apptainertest.Run(t, "run", image, `a"b`, "$c"); got != "it's \"odd\" $HOME: a\"b $c\n" {
		t.Errorf("run with arguments: got %q", got)
	}
}

func TestWhatApptainerBuilt(t *testing.T) {
	apptainertest.Command(t)
	dir, base := t.TempDir(), shellRoot(t)
	text := "Bootstrap: localimage\nFrom: " + base + "\n\n%labels\n    colour blue\n\n%environment\n    export FOO=bar\n\n" +
		"%runscript\n    echo hello\n\n%startscript\n    echo start\n\n%help\n    How to use it.\n\n%apprun one\n    echo one\n\n%applabels one\n    x y\n"
	def, image, sandbox := filepath.Join(dir, "Singularity"), filepath.Join(dir, "x.sif"), filepath.Join(dir, "sandbox")
	if err := os.WriteFile(def, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	apptainertest.Run(t, "build", image, def)
	apptainertest.Run(t, "build", "--sandbox", sandbox, def)
	for _, path := range []string{image, sandbox} {
		m := open(t, path)
		got, err := m.Metadata()
		if err != nil {
			t.Fatal(err)
		}
		if got.Labels["colour"] != "blue" || got.Labels["org.label-schema.schema-version"] != "1.0" {
			t.Errorf("%s: labels %v", m.Kind, got.Labels)
		}
		if trim(got.Runscript) != "#!/bin/sh\n\n    echo hello" || trim(got.Startscript) != "#!/bin/sh\n\n    echo start" || trim(got.Help) != "    How to use it." {
			t.Errorf("%s: %q %q %q", m.Kind, got.Runscript, got.Startscript, got.Help)
		}
		if !strings.Contains(got.Environment[ownEnvironmentPath], "export FOO=bar") || len(got.Environment) != 1 {
			t.Errorf("%s: environment %v", m.Kind, got.Environment)
		}
		if app := got.Apps["one"]; trim(app.Runscript) != "#!/bin/sh\n\n    echo one" || app.Labels["x"] != "y" {
			t.Errorf("%s: app %+v", m.Kind, app)
		}
		if !strings.Contains(m.Definition(), "echo hello") {
			t.Errorf("%s: definition %q", m.Kind, m.Definition())
		}
		contents, err := m.FS()
		if err != nil {
			t.Fatal(err)
		}
		again, err := ReadMetadata(contents)
		if err != nil || trim(again.Runscript) != trim(got.Runscript) || again.Labels["colour"] != "blue" {
			t.Errorf("%s: from the files: %+v, %v", m.Kind, again, err)
		}
	}
	// a root that Apptainer made takes our metadata
	if err := PrepareRoot(sandbox); err != nil {
		t.Fatal(err)
	}
	if got := apptainertest.Run(t, "run", sandbox); got != "hello\n" {
		t.Errorf("after PrepareRoot: %q", got)
	}
}

// From layers to an image that runs, with no unpacked tree.
func TestApptainerRunsOursFromAStream(t *testing.T) {
	apptainertest.Command(t)
	source := packed(shellRoot(t))
	m := OCIMetadata([]string{"PATH=/bin"}, nil, []string{"/bin/sh", "-c", "echo streamed"}, nil)
	m.Labels = Build{Time: testTime, Arch: "amd64", Version: "test"}.Labels()
	document, err := m.JSON()
	if err != nil {
		t.Fatal(err)
	}
	image := filepath.Join(t.TempDir(), "x.sif")
	err = sif.Create(t.Context(), image, sif.Contents{
		Metadata: document, System: partitionOf(t.Context(), Scaffolded(source, m, testTime)), Time: testTime,
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := apptainertest.Run(t, "run", image); got != "streamed\n" {
		t.Errorf("run: got %q", got)
	}
	if got := apptainertest.Run(t, "inspect", "--runscript", image); !strings.Contains(got, "echo streamed") {
		t.Errorf("inspect: got %q", got)
	}
}

// TestInspectsAsApptainer compares what is shown of an image, byte by byte.
func TestInspectsAsApptainer(t *testing.T) {
	apptainertest.Command(t)
	root := shellRoot(t)
	scaffolded(t, root, full())
	image := sifOf(t, root, full().Definition)
	m := open(t, image)
	meta, err := m.Metadata()
	if err != nil {
		t.Fatal(err)
	}
	rows := []struct {
		args []string
		s    Selection
	}{
		{nil, Selection{}},
		{[]string{"-d", "-e", "-H", "-l", "-r", "-s", "-t"}, Selection{Labels: true, Environment: true, Definition: true, Runscript: true, Startscript: true, Test: true, Help: true}},
		{[]string{"--environment", "--runscript"}, Selection{Environment: true, Runscript: true}},
		{[]string{"--list-apps"}, Selection{Apps: true}},
		{[]string{"--app", "one"}, Selection{App: "one"}},
		{[]string{"--app", "one", "-r", "-e"}, Selection{App: "one", Runscript: true, Environment: true}},
	}
	for _, row := range rows {
		if got, want := meta.Text(row.s), apptainertest.Run(t, append(append([]string{"inspect"}, row.args...), image)...); got != want {
			t.Errorf("%q: got %q, want %q", row.args, got, want)
		}
		got, err := meta.Document(row.s)
		want := apptainertest.Run(t, append(append([]string{"inspect", "--json"}, row.args...), image)...)
		if err != nil || string(got) != want {
			t.Errorf("%q: %v: got %s, want %s", row.args, err, got, want)
		}
	}
	if got, err := meta.Document(Everything); err != nil || string(got) != apptainertest.Run(t, "inspect", "--all", image) {
		t.Errorf("all: %v: %s", err, got)
	}
}
