package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"carrel/internal/testroot"
)

// ours are the differences in the environment that are meant: what is set besides, or does not go in, or says its own name.
var ours = []string{
	"LOGNAME=",                      // beside USER, for programs that ask for this one
	"SHELL=",                        // the host's is often not in the image
	"LANG=",                         // with --cleanenv C.UTF-8 instead of C
	"SHLVL=", "USER=", "USER_PATH=", // of the shells that Apptainer was called by
	"OLDPWD=", "CARREL_HOME=", "_=",
}

// nobody is the number of the user and of the group that own nothing.
const nobody = 65534

// TestBesideApptainer asks containers of Apptainer and ours the same questions.
func TestBesideApptainer(t *testing.T) { besideApptainer(t, "") }

// TestBesideApptainerAsNobody does so as an ordinary user, whom Apptainer's containers are made for. The program that
// CARREL_APPTAINER names has to follow APPTAINER_AS.
func TestBesideApptainerAsNobody(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("missing: root")
	}
	besideApptainer(t, "nobody")
}

// besideApptainer asks as the caller, or as another user.
func besideApptainer(t *testing.T, as string) {
	apptainer := os.Getenv("CARREL_APPTAINER")
	if apptainer == "" {
		t.Skip("missing: apptainer")
	}
	p := newProgram(t)
	if as != "" {
		p.env = append(p.env, "APPTAINER_AS="+as)
		if err := os.Chown(p.dir, nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
	p.env = append(p.env, "COLOUR=green", "APPTAINERENV_FORCED=yes", "TERM=vt100", "LC_ALL=C")
	root := testroot.Make(t, "cut", "date", "touch")
	for name, text := range map[string]string{
		".singularity.d/env/90-environment.sh": "export OF_IMAGE=1\n",
		".singularity.d/env/99-base.sh":        "export LD_LIBRARY_PATH=/.singularity.d/libs PS1='Singularity> '\n",
		".singularity.d/runscript":             "#!/bin/sh\necho run \"$@\"\n",
		".singularity.d/test":                  "#!/bin/sh\nexit 6\n",
		"etc/hosts":                            "", "etc/resolv.conf": "",
		"opt/file": "x",
	} {
		name = filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	data := filepath.Join(p.dir, "data")
	if err := os.MkdirAll(filepath.Join(data, "work"), 0o777); err != nil {
		t.Fatal(err)
	}
	vars := filepath.Join(p.dir, "vars")
	if err := os.WriteFile(vars, []byte("A=1\nB=\"two words\"\n# none\nC=$A\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	ask := func(ctx context.Context, name string, args []string, stdin string) (int, string) {
		c := p.command(ctx, append([]string{"apptainer"}, args...)...)
		if name != "" {
			c = exec.CommandContext(ctx, name, args...)
			c.Env, c.Dir = p.env, p.dir
		}
		if as != "" && name == "" {
			c.Path = "/proc/self/exe" // to which the folders on the way are closed
			c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		}
		c.Stdin = strings.NewReader(stdin)
		out, _ := c.Output() // what the status says
		status := c.ProcessState.ExitCode()
		if ws, ok := c.ProcessState.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
			status = 128 + int(ws.Signal()) // Apptainer dies of what its program died of; to a shell that is the same
		}
		return status, tidy(string(out))
	}
	sh := func(text string, options ...string) []string {
		return slices.Concat([]string{"exec"}, options, []string{root, "sh", "-c", text})
	}
	plain := func(options ...string) []string { return append([]string{"exec"}, options...) }
	for name, args := range map[string][]string{
		"environment":           sh("env"),
		"clean environment":     sh("env", "-e"),
		"contained environment": sh("env", "-C"),
		"variables":             sh("env", "--env", "A=1,B=2"),
		"variables of a file":   sh("echo $A, $B, $C", "--env-file", vars),
		"ids":                   plain(root, "id"),
		"umask":                 sh("umask"),
		"no umask":              sh("umask", "--no-umask"),
		"folder":                plain(root, "pwd"),
		"folder, contained":     sh("pwd", "-c"),
		"folder asked for":      sh("pwd", "--pwd", "/opt"),
		"folder not there":      sh("pwd", "--pwd", "/nowhere"),
		"no home":               sh("pwd; echo $HOME", "--no-home"),
		"home":                  sh("pwd; echo $HOME; ls ~", "-H", data+":/home/you"),
		"home in its place":     sh("pwd; echo $HOME", "-H", data),
		"accounts":              sh("cat /etc/passwd"),
		"name servers":          sh("cat /etc/resolv.conf"),
		"hosts":                 sh("cat /etc/hosts"),
		"zone":                  sh("test -L /etc/localtime; echo $?; date +%Z"),
		"terminals, shared":     sh("ls /dev | wc -l"),
		"temporary, contained":  sh("ls -A /tmp /var/tmp; stat -c %a /tmp", "-c"),
		"work folder":           sh("touch /tmp/in && ls /tmp", "-c", "-W", filepath.Join(data, "work")),
		"scratch":               sh("touch /s/in && ls /s", "-c", "-S", "/s"),
		"host name":             sh("hostname", "--hostname", "desk"),
		"bind":                  sh("ls /mnt/data", "-B", data+":/mnt/data"),
		"bind of a file":        sh("cat /a/b/c/vars", "-B", vars+":/a/b/c/vars"),
		"bind, read only":       sh("touch /mnt/x; echo $?", "-B", data+":/mnt:ro"),
		"bind of nothing":       sh("true", "-B", "/nowhere:/mnt"),
		"read-only root":        sh("touch /usr/x; echo $?"),
		"writable for a time":   sh("touch /usr/x; echo $?", "--writable-tmpfs"),
		"success":               plain(root, "true"),
		"failure":               plain(root, "false"),
		"status":                sh("exit 255"),
		"not executable":        plain(root, "/etc/passwd"),
		"no such program":       plain(root, "no-such-program"),
		"no such program in sh": sh("no-such-program"),
		"no such image":         plain("/nowhere.sif", "true"),
		"ended by a signal":     sh("kill -TERM $$"),
		"killed":                sh("kill -KILL $$"),
		"input":                 plain(root, "cat"),
		"run":                   {"run", root, "a", "b c"},
		"test":                  {"test", root},
		"privileges":            sh("grep -e CapEff -e CapBnd /proc/self/status"),
		"no privileges":         sh("grep -e CapEff -e CapBnd /proc/self/status", "--no-privs"),
		"kept privileges":       sh("grep -e CapEff -e CapBnd /proc/self/status", "--keep-privs"),
		"one privilege":         sh("grep -e CapEff /proc/self/status", "--no-privs", "--add-caps", "CAP_NET_RAW"),
		"own processes":         sh("echo $(($$ < 20))", "-p"),
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			theirStatus, theirs := ask(ctx, apptainer, args, "typed\n")
			if as != "" { // whose home does not exist
				theirs = strings.NewReplacer("nobody:/nonexistent:/usr/sbin/nologin", ":/home/nobody:/bin/sh", "/nonexistent", "/home/nobody").Replace(theirs)
			}
			status, out := ask(ctx, "", args, "typed\n")
			if status != theirStatus || out != theirs {
				t.Errorf("%v:\nours   %d %s\ntheirs %d %s", args, status, out, theirStatus, theirs)
			}
		})
	}
}

// tidy sorts lines that are variables, and leaves out those that differ on purpose.
func tidy(out string) string {
	lines := strings.Split(out, "\n")
	if !strings.Contains(out, "APPTAINER_CONTAINER=") {
		return out
	}
	lines = slices.DeleteFunc(lines, func(l string) bool {
		return slices.ContainsFunc(ours, func(prefix string) bool { return strings.HasPrefix(l, prefix) })
	})
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// TestZone: the host's zone is that of the container, and the zone that the image's link names stays what it is.
func TestZone(t *testing.T) {
	p := newProgram(t)
	root := testroot.Make(t)
	if err := os.MkdirAll(filepath.Join(root, "usr/share/zoneinfo"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "usr/share/zoneinfo/Mine"), []byte("mine\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/usr/share/zoneinfo/Mine", filepath.Join(root, "etc/localtime")); err != nil {
		t.Fatal(err)
	}
	want := "mine\n"
	if _, err := os.Stat("/etc/localtime"); err == nil {
		want += "file\n"
	}
	for _, options := range [][]string{{}, {"--net=none"}} {
		args := append(append([]string{"carrel", "exec"}, options...), root, "sh", "-c", "cat /usr/share/zoneinfo/Mine; test -L /etc/localtime || echo file")
		if out := p.must(args...); out != want {
			t.Errorf("%v: %q, want %q", options, out, want)
		}
	}
}
