package engine

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"carrel/engine/causes"
	"carrel/internal/testroot"
)

// Real programs fail in real containers, and what they write is read.
func TestCausesOfRealFailures(t *testing.T) {
	e := newEngine(t, nil)
	image := small(t, e, `%files
  `+broken(t, "glibc")+` /opt/new
  `+broken(t, "machine")+` /opt/other
`, "perl", "tail")
	// Something of this computer listens here; a container without a network of its own shares it.
	taken, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	takenPort := taken.Addr().(*net.TCPAddr).Port
	shared := filepath.Join(e.c.User.Cwd, "shared")
	if err := os.MkdirAll(shared, 0o755); err != nil {
		t.Fatal(err)
	}
	ro := []Bind{{Source: shared, Dest: "/data", ReadOnly: true}}
	little := Details{Limits: Limits{Memory: 48 << 20}}
	low := Details{DropCaps: "CAP_NET_BIND_SERVICE"} // which root has
	tests := []struct {
		name, script string
		spec         RunSpec
		id           CauseID
		fix          Fix
		why          string
	}{
		{name: "disk full", script: "cat /bin/sh > /dev/full", id: causes.DiskFull, fix: FixSpace},
		{name: "read-only folder", script: "touch /data/x", spec: RunSpec{Binds: ro}, id: causes.ReadOnly, fix: FixWritable, why: shared},
		{name: "runtime folder", script: "mkdir -p /run/user/1000/jupyter", spec: RunSpec{Binds: []Bind{{Source: shared, Dest: "/run/user", ReadOnly: true}}}, id: causes.RuntimeDir, fix: FixEnv},
		{name: "glibc", script: "/opt/new", id: causes.Glibc, why: "GLIBC_9"},
		{name: "architecture", script: "/opt/other", id: causes.Architecture},
		{name: "memory limit", script: "head -c 400M /dev/zero | tail > /dev/null", spec: RunSpec{Details: little}, id: causes.Memory, fix: FixMemory},
		{name: "low port", script: fmt.Sprintf(listen, 80), spec: RunSpec{Details: low}, id: causes.LowPort, fix: FixNetwork, why: "port 80"},
		{name: "taken port", script: fmt.Sprintf(listen, takenPort), id: causes.PortTaken, fix: FixPort, why: fmt.Sprint(takenPort)},
		{name: "memory", script: "ulimit -v 60000; dd if=/dev/zero of=/dev/null bs=1G count=1", id: causes.Memory},
		{name: "no route", script: "bash -c 'echo > /dev/tcp/192.0.2.1/80'", spec: RunSpec{NoNetwork: true}, id: causes.NoRoute, fix: FixRetry},
		{name: "missing program", script: "nosuchprogram", id: causes.MissingProgram, why: "nosuchprogram"},
		{name: "missing file", script: "cat /data/effects.csv", spec: RunSpec{Binds: ro}, id: causes.MissingFile, why: "not in the folder you share"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := tt.spec
			s.Image, s.Action, s.Args, s.Profile = image, ActionExec, []string{"sh", "-c", tt.script}, ProfileSafe
			status, out, err := output(t, e, s)
			if err != nil || status == 0 {
				t.Fatalf("it does not fail: %d %v\n%s", status, err, out)
			}
			in := Instance{State: StateExited, ExitCode: status, Spec: s, Binds: s.Binds}
			c, ok := in.Cause(strings.Split(out, "\n"))
			// Who is killed by the kernel writes nothing.
			silent := tt.id == causes.Memory && tt.spec.Details.Limits.Memory > 0 && status == 137
			if !ok || c.ID != tt.id || c.Fix != tt.fix || !strings.Contains(c.Why, tt.why) || c.Evidence == "" && !silent || !strings.Contains(out, strings.TrimSpace(c.Evidence)) {
				t.Errorf("got %+v of\n%s", c, out)
			}
			if tt.fix == FixWritable {
				s, ok = Amend(s, c)
				if status, out, err = output(t, e, s); !ok || status != 0 || err != nil {
					t.Errorf("with the folder writable: %v %d %v\n%s", ok, status, err, out)
				}
			}
		})
	}
	t.Run("a failed build", func(t *testing.T) {
		def := filepath.Join(e.c.User.Cwd, "bad.def")
		if err := os.WriteFile(def, []byte("Bootstrap: localimage\nFrom: "+image+"\n\n%post\n  nosuchprogram --version\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := e.Build(t.Context(), BuildSpec{Definition: def, Target: filepath.Join(e.c.User.Cwd, "bad.sif")}, nil)
		c, ok := Explain(err)
		if !ok || c.ID != causes.MissingProgram || c.Name != "nosuchprogram" {
			t.Errorf("%v is explained by %v %+v", err, ok, c)
		}
	})
	t.Run("a place that cannot be", func(t *testing.T) {
		_, _, err := output(t, e, RunSpec{Image: image, Action: ActionExec, Args: []string{"true"}, Profile: ProfileSafe, Binds: []Bind{{Source: shared, Dest: "/etc/passwd/data"}}})
		c, ok := Explain(err)
		if !ok || c.ID != causes.MissingDest || !strings.Contains(c.Path, "/etc/passwd/data") {
			t.Errorf("%v is explained by %v %+v", err, ok, c)
		}
	})
	t.Run("rate limit", func(t *testing.T) {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "3600")
			w.WriteHeader(http.StatusTooManyRequests)
			fmt.Fprint(w, `{"errors":[{"code":"TOOMANYREQUESTS","message":"You have reached your pull rate limit."}]}`)
		}))
		defer server.Close()
		_, err := e.Build(t.Context(), BuildSpec{Definition: "docker://" + strings.TrimPrefix(server.URL, "http://") + "/ada/lab:1", Target: filepath.Join(e.c.User.Cwd, "limited.sif")}, nil)
		c, ok := Explain(err)
		if !ok || c.ID != causes.RateLimit || c.Fix != FixRetry {
			t.Errorf("%v is explained by %v %+v", err, ok, c)
		}
	})
	t.Run("a missing folder", func(t *testing.T) {
		_, _, err := output(t, e, RunSpec{Image: image, Action: ActionExec, Args: []string{"true"}, Profile: ProfileSafe, Binds: []Bind{{Source: shared + "/none", Dest: "/data"}}})
		c, ok := Explain(err)
		if !ok || c.ID != causes.MissingSource || c.Path != shared+"/none" {
			t.Errorf("%v is explained by %v %+v", err, ok, c)
		}
	})
}

// Where nobody may make user namespaces an ordinary user's container cannot start: this test calls itself in a namespace that
// allows no further ones.
func TestCauseNoUserNamespaces(t *testing.T) {
	const inside = "CARREL_TEST_NO_NAMESPACES"
	switch {
	case os.Getenv(inside) != "":
		e := newEngine(t, nil)
		_, _, err := output(t, e, RunSpec{Image: testroot.Make(t), Action: ActionExec, Args: []string{"true"}, Profile: ProfileSafe})
		c, ok := Explain(err)
		if !ok || c.ID != causes.NoUserNS || c.Fix != FixDoctor {
			t.Errorf("%v is explained by %v %+v", err, ok, c)
		}
		return
	case os.Getuid() == 0:
		t.Skip("missing: an unprivileged user")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), "/bin/sh", "-c", `echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"`, "sh", self, "-test.run", "^"+t.Name()+"$")
	c.Env = append(os.Environ(), inside+"=1")
	c.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: os.Getuid(), HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: os.Getgid(), HostID: os.Getgid(), Size: 1}},
		AmbientCaps: []uintptr{unix.CAP_SYS_ADMIN, unix.CAP_SYS_RESOURCE},
	}
	if text, err := c.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, text)
	}
}

// listen is a program that listens on a port and says as nginx does when it may not.
const listen = `perl -e 'socket(S, 2, 1, 0) or die; bind(S, pack("S n C4 x8", 2, %[1]d, 127, 0, 0, 1)) or die sprintf("bind() to 127.0.0.1:%[1]d failed (%%d: %%s)\n", $!, $!)'`

// broken is a copy of a program of this computer that cannot be run: it wants a C library of the future, or is for another
// kind of processor.
func broken(t *testing.T, how string) string {
	t.Helper()
	data, err := os.ReadFile("/bin/ls")
	if err != nil {
		t.Skip("missing: /bin/ls")
	}
	switch how {
	case "glibc":
		at := bytes.LastIndex(data, []byte("\x00GLIBC_2."))
		if at < 0 {
			t.Skip("missing: a program of the GNU C library")
		}
		copy(data[at+1:], "GLIBC_9.")
	case "machine":
		data[18] = 0x16 // e_machine of elf(5): S390
		data[19] = 0
	}
	file := filepath.Join(t.TempDir(), how)
	if err := os.WriteFile(file, data, 0o755); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestAmend(t *testing.T) {
	has := func(s RunSpec, want string, e *Engine) bool { return strings.Contains(e.CommandLine(s), want) }
	e := newEngine(t, nil)
	base := RunSpec{Image: "x.sif", Ports: []Port{{Host: 8888, Container: 8888, Fixed: true}}, Binds: []Bind{{Source: "/s", Dest: "/d", ReadOnly: true}}}
	base.Details.Limits.Memory = 1 << 30
	tests := []struct {
		c    Cause
		ok   bool
		want string
	}{
		{Cause{Fix: FixPort}, true, "-p 8888"},
		{Cause{Fix: FixNetwork, Port: 80}, true, "-p 8080:80"},
		{Cause{Fix: FixNetwork, Port: 8888}, false, ""},
		{Cause{Fix: FixMemory}, true, "--memory 2G"},
		{Cause{Fix: FixTime}, false, ""},
		{Cause{Fix: FixWritable, Path: "/d"}, true, "-B /s:/d "},
		{Cause{Fix: FixWritable, Path: "/other"}, false, ""},
		{Cause{Fix: FixEnv, Env: map[string]string{"XDG_RUNTIME_DIR": "/tmp"}}, true, "--env XDG_RUNTIME_DIR=/tmp"},
		{Cause{Fix: FixArgs, Args: []string{"--allow-root"}}, true, "x.sif --allow-root"},
		{Cause{Fix: FixRetry}, true, "x.sif"},
		{Cause{Fix: FixDoctor}, false, ""},
	}
	before := e.CommandLine(base)
	for _, tt := range tests {
		s, ok := Amend(base, tt.c)
		if ok != tt.ok || !has(s, tt.want, e) {
			t.Errorf("%+v: %v %s, want %q", tt.c, ok, e.CommandLine(s), tt.want)
		}
		if ok && (tt.c.Fix == FixEnv || tt.c.Fix == FixArgs) {
			if _, again := Amend(s, tt.c); again {
				t.Errorf("%+v is offered a second time", tt.c)
			}
		}
	}
	if after := e.CommandLine(base); after != before {
		t.Errorf("what was asked for has changed: %s", after)
	}
}

// The engine's own errors are not read as the words of a program.
func TestExplainOwnErrors(t *testing.T) {
	tests := []struct {
		err  error
		want CauseID // empty: nothing is made of it
	}{
		{errors.New("resolve /x.sif: not found"), ""},
		{errors.New("inspect /x.sif: open /x.sif: no such file or directory"), ""},
		{errors.New("open /x.sif: permission denied"), ""},
		{errors.New("write overlay: no space left on device"), causes.DiskFull},
		{&BuildError{Text: "run /tool: not found"}, ""},
		{&BuildError{Text: "ended with code 127", Lines: []string{"/bin/sh: 3: Rscript: not found"}}, causes.MissingProgram},
	}
	for _, tt := range tests {
		c, ok := Explain(tt.err)
		if ok != (tt.want != "") || c.ID != tt.want {
			t.Errorf("%v: %q %q", tt.err, c.ID, c.Why)
		}
	}
}
