package engine

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// inApp runs a script in an app and returns what it wrote.
func inApp(t *testing.T, e *Engine, name string, s RunSpec, script string) string {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	s.Action, s.Args = ActionExec, []string{"sh", "-c", script}
	status, err := e.Exec(context.Background(), name, s, Stdio{Out: w, Err: w}, false)
	w.Close()
	out, _ := io.ReadAll(r)
	if status != 0 || err != nil {
		t.Errorf("exec: %d %v %s", status, err, out)
	}
	return strings.TrimSpace(string(out))
}

// TestOrigin starts an app in one place and speaks to it from another: what is run in it, and what is started in its place,
// has the environment, the folder and the ports of the first.
func TestOrigin(t *testing.T) {
	e := newEngine(t, nil)
	image := small(t, e, "%runscript\n  echo \"in $(pwd) with $FOO\"; exec sleep 1000\n", "sleep", "echo")
	ctx := context.Background()
	there, elsewhere := filepath.Join(e.c.User.Home, "w1"), filepath.Join(e.c.User.Home, "other")
	for _, d := range []string{there, elsewhere} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	first, second := &Engine{c: e.c}, &Engine{c: e.c}
	first.c.User.Cwd, first.c.User.Env, first.c.Guard = there, []string{"FOO=orig", "TERM=dumb", "COLORTERM=old"}, GuardOff
	second.c.User.Cwd, second.c.User.Env = elsewhere, []string{"FOO=mine", "TERM=xterm"}
	in, err := first.Start(ctx, RunSpec{Image: image, Ports: []Port{
		{Container: 8000, Fixed: true}, {Container: 8000, Fixed: true}, {HostIP: "127.0.0.1", Host: 0, Container: 8001, Fixed: true}}})
	if err != nil {
		t.Fatal(err, Hint(err))
	}
	defer func() { _ = second.Stop(ctx, in.Name, 0) }()
	dir := filepath.Join(e.instanceDir(), in.Name)
	if st, err := os.Stat(filepath.Join(dir, originFile)); err != nil || st.Mode() != 0o600 {
		t.Errorf("the environment is kept as %v, %v", st, err)
	}
	if state, err := os.ReadFile(filepath.Join(dir, "state.json")); err != nil || strings.Contains(string(state), "orig") {
		t.Errorf("the environment stands in the state too, or %v", err)
	}
	const ask = `echo "$FOO $(pwd) $TERM $COLORTERM $MORE"`
	if got, want := inApp(t, second, in.Name, RunSpec{}, ask), "orig "+there+" xterm"; got != want {
		t.Errorf("inside: %q, want %q", got, want)
	}
	if got := inApp(t, second, in.Name, RunSpec{Env: map[string]string{"MORE": "more"}, Cwd: "/"}, ask); got != "orig / xterm  more" {
		t.Errorf("inside, with more: %q", got)
	}
	caller := RunSpec{Details: Details{FromCaller: true}}
	if got := inApp(t, second, in.Name, caller, `echo "$FOO"`); got != "mine" {
		t.Errorf("as Apptainer has it: %q", got)
	}
	ports := func(in Instance) (numbers []int) {
		for _, a := range in.Addresses {
			numbers = append(numbers, a.Host)
		}
		return numbers
	}
	before := ports(in)
	again, err := second.RestartWithin(ctx, in.Name, 0)
	if err != nil {
		t.Fatal(err, Hint(err))
	}
	if got := ports(again); len(got) != 3 || !slices.Equal(got, before) {
		t.Errorf("published on %v, before on %v", got, before)
	}
	if again.Command != in.Command || !strings.HasPrefix(in.Command, "carrel run -d ") || !strings.Contains(in.Command, " -p 0:8000 ") {
		t.Errorf("the command was %s and is %s", in.Command, again.Command)
	}
	eventually(t, "the app has written where it is", func() bool {
		text := ""
		_ = second.Logs(ctx, in.Name, LogOptions{}, func(lines []LogLine) error {
			for _, l := range lines {
				text += l.Text + "\n"
			}
			return nil
		})
		return strings.Contains(text, "in "+there+" with orig\n")
	})
	if err := second.Stop(ctx, in.Name, 0); err != nil {
		t.Fatal(err)
	}
	// Of one that another version has started nothing is known but the spec.
	if err := os.Remove(filepath.Join(dir, originFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := second.RestartWithin(ctx, in.Name, 0); err != nil {
		t.Error(err)
	}
	if got := inApp(t, first, in.Name, RunSpec{}, `echo "$FOO"`); got != "mine" {
		t.Errorf("started without a known environment: %q", got)
	}
}

func TestBackgroundLine(t *testing.T) {
	e := newEngine(t, nil)
	for _, tc := range []struct {
		spec RunSpec
		name string
		want string
	}{
		{RunSpec{Image: "/x/web.sif"}, "web", "carrel run -d /x/web.sif"},
		{RunSpec{Image: "/x/web.sif", Wait: 90 * time.Second, Restart: Restart{When: RestartOnFailure, Max: 3}, Ports: []Port{{Container: 80, Fixed: true}}}, "mine",
			"carrel run -d --name mine --wait 1m30s --restart on-failure:3 -p 0:80 /x/web.sif"},
		{RunSpec{Image: "/x/web.sif", Action: ActionStart, Args: []string{"a b"}, Contain: true}, "srv", "singularity instance start --contain /x/web.sif srv 'a b'"},
	} {
		if got := e.backgroundLine(tc.spec, tc.name); got != tc.want {
			t.Errorf("got  %s\nwant %s", got, tc.want)
		}
	}
}
