package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"carrel/internal/testroot"
)

// changed starts the program on a computer that a shell script has changed, as far as the program can see.
func (p *program) changed(script string, args ...string) *exec.Cmd {
	c := exec.CommandContext(p.t.Context(), "/bin/sh", append([]string{"-c", script + " && exec \"$@\"", "sh", filepath.Join(p.dir, "bin", args[0])}, args[1:]...)...)
	c.Env, c.Dir = p.env, p.dir
	c.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: os.Getuid(), HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: os.Getgid(), HostID: os.Getgid(), Size: 1}},
		AmbientCaps: []uintptr{unix.CAP_SYS_ADMIN, unix.CAP_SYS_RESOURCE},
	}
	return c
}

// TestLesserComputers: what a computer does not have is done without, or told in words.
func TestLesserComputers(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("missing: an unprivileged user")
	}
	p := newProgram(t)
	if err := os.Mkdir(filepath.Join(p.dir, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"carrel", "apptainer"} {
		if err := os.Symlink(p.self, filepath.Join(p.dir, "bin", name)); err != nil {
			t.Fatal(err)
		}
	}
	root := testroot.Make(t)
	sif := filepath.Join(p.dir, "small.sif")
	p.must("carrel", "build", sif, root)
	const noFUSE, noUserNS = "mount --bind /dev/null /dev/fuse", "echo 0 > /proc/sys/user/max_user_namespaces"
	for _, tt := range []struct {
		name, script string
		args         []string
		status       int
		want         []string
	}{
		{"no /dev/fuse", noFUSE, []string{"carrel", "exec", sif, "echo", "works"}, 0, []string{"the image was unpacked", "works"}},
		{"no /dev/fuse, again", noFUSE, []string{"apptainer", "exec", sif, "echo", "works"}, 0, []string{"works"}},
		{"no namespaces, exec", noUserNS, []string{"carrel", "exec", root, "true"}, exitFailure, []string{"lets nobody make", "sysctl -w user.max_user_namespaces"}},
		{"no namespaces, run", noUserNS, []string{"carrel", "run", sif}, exitFailure, []string{"lets nobody make", "sysctl -w user.max_user_namespaces"}},
		{"no namespaces, apptainer", noUserNS, []string{"apptainer", "exec", root, "true"}, 255, []string{"FATAL: ", "lets nobody make"}},
		{"no namespaces, doctor", noUserNS, []string{"carrel", "doctor", "--json"}, -1, []string{"user.max_user_namespaces", `"admin"`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := p.changed(tt.script, tt.args...)
			text, _ := c.CombinedOutput() // the status tells
			if status := c.ProcessState.ExitCode(); tt.status >= 0 && status != tt.status {
				t.Errorf("status %d, want %d: %s", status, tt.status, text)
			}
			for _, want := range tt.want {
				if !strings.Contains(string(text), want) {
					t.Errorf("%q is not in:\n%s", want, text)
				}
			}
			if strings.Contains(string(text), "no space left") || strings.Contains(string(text), "invalid argument") {
				t.Errorf("the kernel's words:\n%s", text)
			}
		})
	}
}

// TestNested: Carrel runs inside of its own containers, under each of its names, and knows that it does.
func TestNested(t *testing.T) {
	p := newProgram(t)
	root := testroot.Make(t)
	sif := filepath.Join(p.dir, "small.sif")
	p.must("carrel", "build", sif, root)
	for _, outer := range []string{"carrel", "apptainer"} {
		inside := func(image string, args ...string) string {
			return p.must(append([]string{outer, "exec", "-B", p.self + ":/bin/carrel", "-B", p.self + ":/bin/apptainer", "-B", root + ":/inner", "-B", p.dir, image}, args...)...)
		}
		for _, image := range []string{root, sif} {
			for _, name := range []string{"carrel", "apptainer"} {
				if out := inside(image, "/bin/"+name, "exec", "/inner", "echo", "nested"); !strings.HasSuffix(out, "nested\n") {
					t.Errorf("%s in %s of %s: %q", name, outer, image, out)
				}
			}
		}
		if out := inside(root, "/bin/carrel", "exec", sif, "echo", "nested"); !strings.HasSuffix(out, "nested\n") {
			t.Errorf("an image in %s: %q", outer, out)
		}
		if out := inside(root, "/bin/carrel", "doctor", "--json"); !strings.Contains(out, "This is the inside of a container of ") {
			t.Errorf("doctor in %s does not tell: %s", outer, out)
		}
	}
}
