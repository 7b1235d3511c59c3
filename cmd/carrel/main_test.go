package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"carrel/engine"
	"carrel/engine/progress"
	"carrel/internal/xdg"
)

func TestParseBinds(t *testing.T) {
	s := settings{dirs: xdg.Dirs{Home: "/home/anna"}, user: engine.User{Cwd: "/here"}}
	for _, tt := range []struct {
		in   []string
		want []engine.Bind
		err  string
	}{
		{in: []string{".:/data"}, want: []engine.Bind{{Source: "/here", Dest: "/data"}}},
		{in: []string{"sub/:/data/:ro"}, want: []engine.Bind{{Source: "/here/sub", Dest: "/data", ReadOnly: true}}},
		{in: []string{"~/papers"}, want: []engine.Bind{{Source: "/home/anna/papers", Dest: "/home/anna/papers"}}},
		{in: []string{"~"}, want: []engine.Bind{{Source: "/home/anna", Dest: "/home/anna"}}},
		{in: []string{"~bob:/b"}, want: []engine.Bind{{Source: "/here/~bob", Dest: "/b"}}},
		{in: []string{"/a:/b:rw,/c", "/d:/e:ro"}, want: []engine.Bind{{Source: "/a", Dest: "/b"}, {Source: "/c", Dest: "/c"}, {Source: "/d", Dest: "/e", ReadOnly: true}}},
		{in: []string{`/a\:b\,c:/d`}, want: []engine.Bind{{Source: "/a:b,c", Dest: "/d"}}},
		{in: []string{"/a:"}, want: []engine.Bind{{Source: "/a", Dest: "/a"}}},
		{in: []string{"/a:data"}, err: "does not begin with /"},
		{in: []string{":/data"}, err: "no source"},
		{in: []string{"/a:/b:rx"}, err: "is not ro, rw"},
		{in: []string{"/a:/b:ro:x"}, err: "too many colons"},
	} {
		got, err := parseBinds(tt.in, s)
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) || engine.Hint(err) == "" {
				t.Errorf("%q gives error %v (hint %q), want %q", tt.in, err, engine.Hint(err), tt.err)
			}
			continue
		}
		if err != nil || !cmp.Equal(got, tt.want) {
			t.Errorf("%q: %v %s", tt.in, err, cmp.Diff(tt.want, got))
		}
	}
}

func TestParsePorts(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want engine.Port
	}{
		{"9999", engine.Port{Host: 9999, Container: 9999}},
		{"8080:80", engine.Port{Host: 8080, Container: 80, Fixed: true}},
		{"127.0.0.2:8080:80", engine.Port{HostIP: "127.0.0.2", Host: 8080, Container: 80, Fixed: true}},
	} {
		got, err := parsePorts([]string{tt.in})
		if err != nil || len(got) != 1 || got[0] != tt.want {
			t.Errorf("%q: got %+v, %v, want %+v", tt.in, got, err, tt.want)
		}
	}
	if got, err := parsePorts([]string{"0:8888"}); err != nil || got[0].Host != 0 || got[0].Container != 8888 {
		t.Errorf("0:8888: got %+v, %v", got, err)
	}
	_, err := parsePorts([]string{"http"})
	if _, ok := errors.AsType[*usageError](err); !ok || engine.Hint(err) == "" {
		t.Errorf("a port that is none: %v", err)
	}
}

func TestParseEnv(t *testing.T) {
	lookup := func(name string) (string, bool) { return "here", name == "KNOWN" }
	got, err := parseEnv([]string{"A=1", "B=", "C=x=y", "KNOWN"}, lookup)
	if err != nil || !cmp.Equal(got, map[string]string{"A": "1", "B": "", "C": "x=y", "KNOWN": "here"}) {
		t.Errorf("got %v, %v", got, err)
	}
	for _, bad := range []string{"=1", "UNKNOWN"} {
		if _, err := parseEnv([]string{bad}, lookup); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestConfig(t *testing.T) {
	got, err := parseConfig("config", "# comment\n\nmirror = http://debian.example/debian\ninsecure_registries = lab:5000, box:5000\ncatalog=~/recipes\ncatalog = /srv/recipes\ncache_limit = 2.5\nhot_limit = 0\nlibrary = https://lib.example\nmirror.docker.io = lab:5000, http://box.example/hub\n")
	want := config{Mirror: "http://debian.example/debian", Insecure: []string{"lab:5000", "box:5000"}, Catalogs: []string{"~/recipes", "/srv/recipes"}, Library: "https://lib.example", Mirrors: map[string][]string{"docker.io": {"lab:5000", "http://box.example/hub"}}, CacheLimit: 2_500_000_000, HotLimit: -1}
	if err != nil || !cmp.Equal(got, want) {
		t.Errorf("%v %s", err, cmp.Diff(want, got))
	}
	for text, message := range map[string]string{"mirror\n": "line 1", "cache_limit = -1": "gigabytes", "hot_limit = all": "gigabytes", "history = -2": "not a number", "history_days = long": "history_days", "history_size = -1": "gigabytes", "cache_limit = much": "gigabytes", "mirror.docker.io = lab": "HOST:PORT", "mirror. = a.b": "not the name", "library = lab": "not the address", "\nmirrors = x\n": `line 2: there is no setting "mirrors"`} {
		if _, err := parseConfig("config", text); err == nil || !strings.Contains(err.Error(), message) || engine.Hint(err) == "" {
			t.Errorf("%q gives %v, want %q", text, err, message)
		}
	}
	if c, err := readConfig(filepath.Join(t.TempDir(), "none")); err != nil || !cmp.Equal(c, config{CacheLimit: usualCacheLimit}) {
		t.Errorf("no file gives %+v, %v", c, err)
	}
}

// call runs the program in this process, in a fresh home, and returns its status and outputs.
func call(t *testing.T, args ...string) (status int, out, errs string) {
	t.Helper()
	if os.Getenv("CARREL_HOME") == "" {
		t.Setenv("CARREL_HOME", t.TempDir())
	}
	if os.Getenv("CARREL_GUARD") == "" {
		t.Setenv("CARREL_GUARD", "off") // else addresses differ while another user has processes on this computer
	}
	file := func(name string) *os.File {
		f, err := os.Create(filepath.Join(t.TempDir(), name))
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	a := newApp()
	a.out, a.err = file("out"), file("err")
	a.in, _ = os.Open(os.DevNull)
	a.screen, a.page = findTerminal(a.err, os.Getenv), findTerminal(a.out, os.Getenv)
	root := rootCommand(a)
	root.SetArgs(args)
	status = a.finish(root.ExecuteContext(t.Context()))
	for f, text := range map[*os.File]*string{a.out: &out, a.err: &errs} {
		data, err := os.ReadFile(f.Name())
		if err != nil {
			t.Fatal(err)
		}
		*text = string(data)
		f.Close()
	}
	a.in.Close()
	return status, out, errs
}

func TestUsage(t *testing.T) {
	t.Setenv("CARREL_HOME", t.TempDir())
	for _, tt := range []struct {
		args []string
		err  string
	}{
		{[]string{"rnu"}, "carrel: there is no verb \"rnu\"\n  → did you mean carrel run"},
		{[]string{"run"}, "carrel: run: IMAGE is missing\n  → usage: carrel run"},
		{[]string{"exec", "x.sif"}, "carrel: exec: COMMAND is missing"},
		{[]string{"ps", "x"}, `"x" is one argument too many`},
		{[]string{"ps", "--al"}, "carrel: unknown option: --al\n  → see carrel ps --help"},
		{[]string{"build", "--compression", "rar", "x"}, `compression "rar" is not known`},
		{[]string{"run", "-p", "x", "welcome"}, `port "x"`},
		{[]string{"run", "--net", "bridge", "welcome"}, `network "bridge" is not known`},
		{[]string{"run", "--guard=maybe", "welcome"}, `guard "maybe" is not known`},
		{[]string{"run", "--guard", "--net", "host", "welcome"}, "leave out --net host"},
		{[]string{"run", "-B", "/tmp:data", "welcome"}, "does not begin with /"},
		{[]string{"help", "rnu"}, "there is no verb"},
	} {
		status, out, errs := call(t, tt.args...)
		if status != exitUsage || !strings.Contains(errs, tt.err) || out != "" {
			t.Errorf("%q: status %d, stdout %q, stderr %q, want status %d and %q", tt.args, status, out, errs, exitUsage, tt.err)
		}
	}
}

func TestFailures(t *testing.T) {
	t.Setenv("CARREL_HOME", t.TempDir())
	gone := filepath.Join(t.TempDir(), "it is", "not there")
	for _, tt := range []struct {
		args []string
		err  string
	}{
		{[]string{"run", "-B", gone + ":/data", "welcome"}, "no such file or folder\n  → create it: mkdir -p '" + gone + "'"},
		{[]string{"run", "no-such-app"}, "no-such-app"},
		{[]string{"logs", "nothing"}, "nothing"},
		{[]string{"stop", "nothing"}, "nothing"},
		{[]string{"rm", "nothing"}, "nothing"},
		{[]string{"inspect", "nothing"}, "nothing"},
		{[]string{"catalog", "show", "nothing"}, "nothing"},
		{[]string{"lint", gone}, "no such file"},
	} {
		status, _, errs := call(t, tt.args...)
		if status != exitFailure || !strings.Contains(errs, tt.err) || !strings.HasPrefix(errs, "carrel: ") {
			t.Errorf("%q: status %d, stderr %q, want status %d and %q", tt.args, status, errs, exitFailure, tt.err)
		}
	}
}

func TestJSON(t *testing.T) {
	for _, args := range [][]string{{"ls", "--json"}, {"ps", "--json"}, {"doctor", "--json"}, {"catalog", "--json"}, {"catalog", "search", "web", "--json"}} {
		_, out, errs := call(t, args...)
		var list []map[string]any
		if err := json.Unmarshal([]byte(out), &list); err != nil {
			t.Errorf("%q: %v (%q, %q)", args, err, out, errs)
		}
	}
	_, out, _ := call(t, "catalog", "show", "--json", "welcome")
	var entry map[string]any
	if err := json.Unmarshal([]byte(out), &entry); err != nil || entry["name"] != "welcome" {
		t.Errorf("catalog show: %v %q", err, out)
	}
}

func TestHelp(t *testing.T) {
	a := newApp()
	typed := regexp.MustCompile(`--\S+ (string|strings|stringArray|u?int[0-9]*|float[0-9]*|duration)\b`)
	for _, c := range rootCommand(a).Commands() {
		if c.Hidden {
			continue
		}
		status, out, errs := call(t, c.Name(), "--help")
		if status != 0 || errs != "" || !strings.Contains(out, "Usage") {
			t.Errorf("help of %s: status %d, %q, %q", c.Name(), status, out, errs)
		}
		if n := strings.Count(out, "\n"); n > 55 {
			t.Errorf("help of %s has %d lines", c.Name(), n)
		}
		for _, line := range strings.Split(out, "\n") {
			if typed.MatchString(line) {
				t.Errorf("help of %s names a type of Go instead of what to say: %s", c.Name(), line)
			}
			if len([]rune(line)) > 110 {
				t.Errorf("help of %s has a line of %d characters: %s", c.Name(), len([]rune(line)), line)
			}
		}
	}
}

// TestWrongValue: what a flag cannot take is told in words, not in those of the packages that parse it.
func TestWrongValue(t *testing.T) {
	for line, want := range map[string]string{
		"cache prune --to x":   "--to x: no amount of bytes",
		"cache prune --to -1":  "--to -1",
		"share --port 99999 x": "--port 99999: out of range",
		"share --port abc x":   "--port abc: not a number",
		"share --for soon x":   "--for soon: not a length of time",
		"run --safe=perhaps x": "--safe perhaps: it is true or false",
		"logs --tail x y":      "--tail x: not a number",
		"ps --nope":            "unknown option: --nope",
		"run --name":           "a value is missing after --name",
	} {
		status, out, errs := call(t, strings.Fields(line)...)
		if status != 2 || out != "" || !strings.Contains(errs, want) || strings.Contains(errs, "strconv") {
			t.Errorf("%s: status %d, %q, %q", line, status, out, errs)
		}
	}
}

// TestNearName: a name that is nearly one of the catalog's, or of an image, is answered with it.
func TestNearName(t *testing.T) {
	for typed, want := range map[string]string{"nginx-basci": "did you mean nginx-basic", "nginx-jupyter:octvae": "did you mean nginx-jupyter:octave", "wellcome": "did you mean welcome?", "qwertz": "carrel ls"} {
		for _, verb := range []string{"run", "exec", "build", "inspect"} {
			args := map[string][]string{"run": {typed}, "exec": {typed, "true"}, "build": {filepath.Join(t.TempDir(), "x.sif"), typed}, "inspect": {typed}}[verb]
			status, _, errs := call(t, append([]string{verb}, args...)...)
			if status != 255 || !strings.Contains(errs, want) {
				t.Errorf("%s %s: status %d, %q", verb, typed, status, errs)
			}
		}
	}
}

func TestLint(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "Singularity"), []byte("Bootstrap: scratch\n%psot\n true\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	status, out, _ := call(t, "lint", dir)
	if status != 1 || !strings.Contains(out, "Singularity:2: error") || !strings.Contains(out, "post") {
		t.Errorf("status %d, %q", status, out)
	}
}

func TestPlainSteps(t *testing.T) {
	var out strings.Builder
	s := &steps{now: time.Now, write: func(text string) { out.WriteString(text) }}
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, e := range story(begin) {
		s.take(e)
	}
	s.flush(true)
	want := `Fetch base  debian bookworm
  ✓ Fetch base  61 packages  6.1 s
Install software (%post)
    Setting up x …[31m
  ! something to know
    E: no such package
  ✗ Install software (%post)
`
	if d := cmp.Diff(want, out.String()); d != "" {
		t.Error(d)
	}
}

func story(begin time.Time) []engine.Event {
	at := func(s float64) time.Time { return begin.Add(time.Duration(s * float64(time.Second))) }
	return []engine.Event{
		{Time: at(0), Kind: progress.Plan, Plan: []progress.Planned{{Step: progress.StepFetch, Title: "Fetch base"}, {Step: progress.StepInstall, Title: "Install software (%post)"}, {Step: progress.StepPack, Title: "Pack image"}}},
		{Time: at(0), Kind: progress.Start, Step: progress.StepFetch, Text: "debian bookworm"},
		{Time: at(1), Kind: progress.Amount, Step: progress.StepFetch, Done: 12e6, Total: 48e6, Unit: "bytes", Rate: 4e6},
		{Time: at(6.1), Kind: progress.Done, Step: progress.StepFetch, Text: "61 packages"},
		{Time: at(6.1), Kind: progress.Start, Step: progress.StepInstall},
		{Time: at(7), Kind: progress.Line, Step: progress.StepInstall, Text: "Setting up x …\x1b[0m\x07[31m"},
		{Time: at(7), Kind: progress.Notice, Step: progress.StepInstall, Text: "something to know"},
		{Time: at(8), Kind: progress.Line, Step: progress.StepInstall, Text: "E: no such package"},
		{Time: at(9), Kind: progress.Failed, Step: progress.StepInstall, Text: "exit status 100"},
	}
}

func TestLiveSteps(t *testing.T) {
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var out strings.Builder
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	s := &steps{t: terminal{is: true, file: null}, live: true, now: func() time.Time { return begin.Add(65 * time.Second) }, write: func(text string) { out.WriteString(text) }}
	events := story(begin)
	for _, e := range events[:3] {
		s.take(e)
	}
	s.flush(false)
	if want := "  ● Fetch base  ━━━━━╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌  12 MB of 48 MB  4 MB/s  9 s left  1:05\n  ○ Install software (%post)\n  ○ Pack image\n"; out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
	out.Reset()
	for _, e := range events[3:] {
		s.take(e)
	}
	s.flush(true)
	want := "\x1b[3F\x1b[J  ! something to know\n  ✓ Fetch base  61 packages  6.1 s\n  ✗ Install software (%post)  2.9 s\n      Setting up x …[31m\n      E: no such package\n"
	if d := cmp.Diff(want, out.String()); d != "" {
		t.Error(d)
	}
}

func TestInterrupt(t *testing.T) {
	var i interrupt
	ctx := context.Background()
	stop := i.watch(&ctx)
	defer stop()
	took := make(chan syscall.Signal, 1)
	restore := i.to(func(s syscall.Signal) bool { took <- s; return true })
	if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if s := <-took; s != syscall.SIGTERM || ctx.Err() != nil {
		t.Errorf("a signal that was taken: %v, %v", s, ctx.Err())
	}
	restore()
	if err := syscall.Kill(os.Getpid(), syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	<-ctx.Done()
	if i.signal() != syscall.SIGINT {
		t.Errorf("the signal was %v", i.signal())
	}
}

func TestHardly(t *testing.T) {
	h := hardly{of: 3, within: 2 * time.Second}
	begin := time.Unix(0, 0)
	for _, tt := range []struct {
		after time.Duration
		want  bool
	}{{0, false}, {time.Second, false}, {5 * time.Second, false}, {5500 * time.Millisecond, false}, {6 * time.Second, true}} {
		if got := h.enough(begin.Add(tt.after)); got != tt.want {
			t.Errorf("after %v: %v, want %v", tt.after, got, tt.want)
		}
	}
}

func TestWords(t *testing.T) {
	now := time.Date(2026, 11, 22, 0, 30, 0, 0, time.UTC)
	for _, tt := range []struct{ got, want string }{
		{ago(now.Add(-10*time.Minute), now), "today"},
		{ago(now.Add(-time.Hour), now), "yesterday"},
		{ago(now.Add(-50*time.Hour), now), "3 days ago"},
		{ago(now.AddDate(0, 0, -8), now), "last week"},
		{ago(now.AddDate(0, -2, 0), now), "2026-09-22"},
		{ago(time.Time{}, now), "never"},
		{bytes(999), "999 B"}, {bytes(243e6), "243 MB"}, {bytes(1.2e9), "1.2 GB"}, {bytes(80e9), "80 GB"},
		{lasting(1400 * time.Millisecond), "1.4 s"}, {lasting(62 * time.Second), "1:02"}, {lasting(2*time.Hour + 5*time.Minute), "2:05:00"},
		{up(12 * time.Minute), "12 min"}, {up(124 * time.Minute), "2 h 04 min"}, {up(50 * time.Hour), "2 days"},
		{tilde("/home/a/x", "/home/a"), "~/x"}, {tilde("/home/ab/x", "/home/a"), "/home/ab/x"},
		{clean("a\x1b[31mb\x1b]0;title\x07c\r\nd\u009b"), "abcd"},
		{dedent("    a\n\n      b\n    c\n"), "a\n\n  b\nc\n"}, {dedent("a\n  b"), "a\n  b"},
		{quote("it's"), `'it'\''s'`}, {quote("a/b-c.sif"), "a/b-c.sif"}, {quote(""), "''"},
	} {
		if tt.got != tt.want {
			t.Errorf("got %q, want %q", tt.got, tt.want)
		}
	}
}

func TestTerminal(t *testing.T) {
	for name, want := range map[string]bool{"": true, "C": true, "en_US.UTF-8": true, "de_DE.utf8@euro": true, "de_DE.ISO-8859-1": false, "POSIX": true, "de_DE": true} {
		if got := unicodeLocale(name); got != want {
			t.Errorf("locale %q shows Unicode: %v, want %v", name, got, want)
		}
	}
	plain := terminal{ascii: true}
	if got := plain.text("✓ a → b …"); got != "+ a -> b ..." {
		t.Errorf("in ASCII: %q", got)
	}
	if got := plain.columns([][]string{{"NAME", "SIZE", "T"}, {"宽宽宽", "5", "x"}}, map[int]bool{1: true}); got != "NAME    SIZE  T\n宽宽宽     5  x\n" {
		t.Errorf("columns:\n%s", got)
	}
}
