package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"carrel/internal/testroot"
)

// TestJourney is the life of an app by the verbs that there are for it, each with what it prints for programs, and its status.
func TestJourney(t *testing.T) {
	p := newProgram(t)
	image := filepath.Join(p.dir, "job")
	if err := os.Rename(testroot.Make(t, "sleep", "echo", "pwd"), image); err != nil {
		image = testroot.Make(t, "sleep", "echo", "pwd") // another file system
	}
	if err := os.MkdirAll(filepath.Join(image, ".singularity.d"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(image, ".singularity.d", "runscript"), []byte("#!/bin/sh\nprintf 'begun\\r50%%'\nexec \"$@\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	run := func(want int, args ...string) (out, errs string) {
		t.Helper()
		c := p.command(t.Context(), append([]string{"carrel"}, args...)...)
		var o, e strings.Builder
		c.Stdout, c.Stderr = &o, &e
		_ = c.Run() // the status tells
		if got := c.ProcessState.ExitCode(); got != want {
			t.Fatalf("carrel %s: status %d, want %d\n%s%s", strings.Join(args, " "), got, want, o.String(), e.String())
		}
		return o.String(), e.String()
	}
	ask := func(to any, args ...string) {
		t.Helper()
		out, _ := run(0, args...)
		if err := json.Unmarshal([]byte(out), to); err != nil {
			t.Errorf("carrel %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	defer func() { _ = p.command(t.Context(), "carrel", "stop", "-a", "-t", "0").Run() }()
	p.env = append(p.env, "ORIGIN=here")
	run(0, "run", "-d", "--no-wait", "--guard=off", "--net", "private", "--name", "one", image, "sleep", "1000")
	p.env = p.env[:len(p.env)-1]

	for _, args := range [][]string{
		{"run", "--no-wait", image, "true"}, {"run", "--name", "x", image, "true"}, {"exec", "--memory", "1G", "one", "true"},
		{"exec", "--net", "none", "one", "true"}, {"shell", "--writable", "one"}, {"exec", "-p", "80", "one", "true"}, {"exec", "--home", "/tmp", "one", "true"},
	} {
		if _, errs := run(exitUsage, args...); args[0] != "run" && (!strings.Contains(errs, "--") || !strings.Contains(errs, "one is running already")) {
			t.Errorf("%s: %s", args, errs)
		}
	}
	if out, _ := run(0, "exec", "--env", "MORE=1", "one", "sh", "-c", "echo $ORIGIN$MORE"); out != "here1\n" {
		t.Errorf("inside: %q", out)
	}
	if _, errs := run(7, "exec", "--json", "one", "sh", "-c", "exit 7"); !strings.Contains(errs, `"exit_code":7`) {
		t.Errorf("exec --json: %s", errs)
	}
	if out, _ := run(0, "logs", "one"); out != "begun\r50%" {
		t.Errorf("the log is %q", out)
	}
	if _, errs := run(exitFailure, "run", "-d", "--name", "one", image, "true"); !strings.Contains(errs, "→ choose another name") {
		t.Errorf("a name that is taken: %s", errs)
	}
	if out, _ := run(0, "__complete", "logs", "o"); !strings.HasPrefix(out, "one\t") {
		t.Errorf("completion of o: %q", out)
	}
	if out, _ := run(0, "__complete", "exec", "on"); !strings.Contains(out, "one\t") {
		t.Errorf("completion of exec on: %q", out)
	}
	if out, _ := run(0, "__complete", "stop", "one", "o"); strings.Contains(out, "one\t") {
		t.Errorf("completion of what is there already: %q", out)
	}
	var used []usageFacts
	if ask(&used, "stats", "--json", "one"); len(used) != 1 || used[0].Name != "one" || used[0].Processes < 1 || used[0].Memory == 0 {
		t.Errorf("stats: %+v", used)
	}
	var processes []processFacts
	if ask(&processes, "top", "--json", "one"); len(processes) != 1 || !strings.Contains(processes[0].Command, "sleep 1000") {
		t.Errorf("top: %+v", processes)
	}
	var ports []json.RawMessage
	if ask(&ports, "port", "--json", "one"); len(ports) != 0 {
		t.Errorf("port: %s", ports)
	}
	var named appFacts
	if ask(&named, "rename", "--json", "one", "two"); named.Name != "two" || !strings.Contains(named.Command, "-d --name two ") {
		t.Errorf("rename: %s, %s", named.Name, named.Command)
	}
	run(exitFailure, "wait", "one")
	run(exitFailure, "rm", "two")
	var stopped []appFacts
	if ask(&stopped, "stop", "--json", "-t", "30", "two"); len(stopped) != 1 || stopped[0].Name != "two" || stopped[0].Reason != "stopped" {
		t.Errorf("stop: %+v", stopped)
	}
	run(exitFailure, "attach", "two")
	run(exitFailure, "open", "two")
	if out, _ := run(143, "wait", "--json", "two"); !strings.Contains(out, `"exit_code": 143`) {
		t.Errorf("wait: %s", out)
	}
	var gone []removed
	if ask(&gone, "rm", "--json", "two"); len(gone) != 1 || gone[0].Kind != "app" || gone[0].Name != "two" {
		t.Errorf("rm: %+v", gone)
	}
	run(0, "run", "-d", "--no-wait", "--net", "private", "--name", "three", image, "sleep", "1000")
	run(0, "rm", "--force", "three")
	if out, _ := run(0, "ps", "-a", "--json"); strings.TrimSpace(out) != "[]" {
		t.Errorf("what is left: %s", out)
	}
}
