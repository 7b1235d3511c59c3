package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"carrel/internal/testroot"
)

// wantCalls makes the test binary a program that tries what reaches beyond a container, and prints what was not refused.
const wantCalls = "try-calls"

// beyond are calls that no container in the background may make, with arguments that do no harm where one is let through.
var beyond = []struct {
	name string
	call uintptr
	args [3]uintptr
}{
	{"keyctl", unix.SYS_KEYCTL, [3]uintptr{unix.KEYCTL_GET_KEYRING_ID, ^uintptr(2)}},
	{"add_key", unix.SYS_ADD_KEY, [3]uintptr{}},
	{"request_key", unix.SYS_REQUEST_KEY, [3]uintptr{}},
	{"bpf", unix.SYS_BPF, [3]uintptr{}},
	{"perf_event_open", unix.SYS_PERF_EVENT_OPEN, [3]uintptr{}},
	{"userfaultfd", unix.SYS_USERFAULTFD, [3]uintptr{}},
	{"open_by_handle_at", unix.SYS_OPEN_BY_HANDLE_AT, [3]uintptr{}},
	{"kexec_load", unix.SYS_KEXEC_LOAD, [3]uintptr{}},
	{"init_module", unix.SYS_INIT_MODULE, [3]uintptr{}},
	{"finit_module", unix.SYS_FINIT_MODULE, [3]uintptr{^uintptr(0)}},
	{"delete_module", unix.SYS_DELETE_MODULE, [3]uintptr{}},
	{"reboot", unix.SYS_REBOOT, [3]uintptr{}},
	{"swapon", unix.SYS_SWAPON, [3]uintptr{}},
	{"swapoff", unix.SYS_SWAPOFF, [3]uintptr{}},
	{"acct", unix.SYS_ACCT, [3]uintptr{1}},
	{"syslog", unix.SYS_SYSLOG, [3]uintptr{10}},
}

func tryCalls() int {
	for _, c := range beyond {
		if _, _, errno := unix.RawSyscall6(c.call, c.args[0], c.args[1], c.args[2], 0, 0, 0); errno != unix.EPERM {
			fmt.Printf("%s: %v\n", c.name, errno)
		}
	}
	for name, err := range map[string]error{
		"mount": unix.Mount("/tmp", "/tmp", "", unix.MS_BIND, ""), "mount tmpfs": unix.Mount("none", "/tmp", "tmpfs", 0, ""),
		"umount": unix.Unmount("/proc", 0), "chroot": unix.Chroot("/tmp"),
	} {
		if err != unix.EPERM {
			fmt.Printf("%s: %v\n", name, err)
		}
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		fmt.Println(err)
	}
	for _, line := range []string{"NoNewPrivs:\t1\n", "CapEff:\t0000000000000000\n", "CapBnd:\t0000000000000000\n", "Seccomp:\t2\n"} {
		if !strings.Contains(string(status), line) {
			fmt.Printf("not %q\n", line)
		}
	}
	return 0
}

// TestCallsOfInstances: what is in the background, and what is started in it, may not reach beyond its container.
func TestCallsOfInstances(t *testing.T) {
	p := newProgram(t)
	root := testroot.Make(t)
	if err := os.MkdirAll(filepath.Join(root, ".singularity.d"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, ".singularity.d/startscript"), []byte("#!/bin/sh\nexec sleep 1000\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	p.must("apptainer", "instance", "start", "--no-privs", "-B"+p.self+":/caller", root, "calls")
	defer p.must("apptainer", "instance", "stop", "calls")
	if out := p.must("apptainer", "exec", "instance://calls", "/caller", wantCalls); out != "" {
		t.Errorf("in the background:\n%s", out)
	}
}

// TestSecurity: filters of a person's own, whichever way the container is started.
func TestSecurity(t *testing.T) {
	p := newProgram(t)
	root := testroot.Make(t)
	profile := filepath.Join(p.dir, "profile.json")
	text := `{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":122},
		{"names":["uname"],"action":"SCMP_ACT_KILL_PROCESS"}]}`
	if err := os.WriteFile(profile, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, options := range [][]string{{}, {"--pid"}, {"--contain"}, {"--fakeroot"}} {
		args := append(append([]string{"apptainer", "exec", "--security", "seccomp:" + profile}, options...), root)
		if out := p.must(append(args, "sh", "-c", "mkdir /tmp/x 2>&1 || echo status $?")...); !strings.Contains(out, "quota") || !strings.Contains(out, "status 1") {
			t.Errorf("%v: mkdir: %q", options, out)
		}
		c := p.command(t.Context(), append(args, "sh", "-c", "ls / > /dev/null")...)
		if err := c.Run(); err != nil {
			t.Errorf("%v: ls: %v", options, err)
		}
	}
	c := p.command(t.Context(), "apptainer", "exec", "--security", "selinux:a", root, "true")
	if out, err := c.CombinedOutput(); err == nil || !strings.Contains(string(out), "SELinux are not applied") {
		t.Errorf("a label: %v, %q", err, out)
	}
}
