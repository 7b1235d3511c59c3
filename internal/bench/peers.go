package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A peer is a program that Carrel is compared with.
type peer struct {
	name    string
	program string
	version []string // arguments that make it say its version
	rows    string   // where it would appear
}

var peers = []peer{
	{"bubblewrap", "bwrap", []string{"--version"}, "start, answer, read, memory"},
	{"util-linux unshare", "unshare", []string{"--version"}, "start"},
	{"Charliecloud", "ch-run", []string{"--version"}, "start, answer"},
	{"crun", "crun", []string{"--version"}, "start"},
	{"runc", "runc", []string{"--version"}, "start"},
	{"podman", "podman", []string{"--version"}, "start, answer, registry"},
	{"squashfs-tools", "mksquashfs", []string{"-version"}, "pack, unpack"},
	{"squashfs-tools-ng", "tar2sqfs", []string{"--version"}, "pack, registry"},
	{"squashfuse", "squashfuse_ll", []string{"--help"}, "read"},
	{"skopeo", "skopeo", []string{"--version"}, "registry"},
	{"umoci", "umoci", []string{"--version"}, "registry"},
	{"mmdebstrap", "mmdebstrap", []string{"--version"}, "bootstrap"},
	{"debootstrap", "debootstrap", []string{"--version"}, "bootstrap"},
	{"lazydocker", "lazydocker", []string{"--version"}, "desk"},
	{"k9s", "k9s", []string{"version", "--short"}, "desk"},
}

var versionPattern = regexp.MustCompile(`\d+\.\d+(\.\d+)*([-~+][0-9A-Za-z.]+)*`)

// findVersion finds what looks like a version in a text.
func findVersion(text string) string {
	for line := range strings.Lines(text) {
		if v := versionPattern.FindString(line); v != "" {
			return v
		}
	}
	return "of unknown version"
}

// versions are those of Carrel and of the peers that are there, and the peers that are not.
func (l *lab) versions(ctx context.Context) (there, absent []string) {
	if o := l.call(l.me(), l.carrel, "version").run(ctx); o.Error == "" {
		there = append(there, strings.TrimSpace(o.Out))
	}
	if l.apptain == "" {
		absent = append(absent, "Apptainer: not installed (start, answer, read, memory, pack, unpack, registry)")
	} else {
		o := l.run(ctx, l.call(l.me(), l.apptain, "--version"))
		there = append(there, "Apptainer "+findVersion(o.Out))
	}
	for _, p := range peers {
		if missing(p.program) != "" {
			absent = append(absent, fmt.Sprintf("%s: not installed (%s)", p.name, p.rows))
			continue
		}
		cmd := exec.CommandContext(ctx, p.program, p.version...)
		cmd.Env = l.call(l.me(), p.program).Env
		out, _ := cmd.CombinedOutput() // some fail after saying it
		there = append(there, p.name+" "+findVersion(string(out)))
	}
	return there, absent
}

// apptainerTool is the root folder in which the tool beside the repository keeps an Apptainer.
const apptainerTool = "/var/cache/carrel-test/apptainer"

// findApptainer finds an Apptainer, and starts the agent when it lives in a root folder of its own.
func (l *lab) findApptainer(ctx context.Context) error {
	root, tool := os.Getenv("CARREL_APPTAINER_ROOT"), os.Getenv("CARREL_APPTAINER")
	if root == "" && tool == "" {
		if path, err := exec.LookPath("apptainer"); err == nil {
			l.apptain = path
			return nil
		}
	}
	if root == "" && tool != "" && !isScript(tool) {
		path, err := filepath.Abs(tool)
		l.apptain = path
		return err
	}
	if root == "" {
		if root = os.Getenv("APPTAINER_CHROOT"); root == "" {
			root = apptainerTool
		}
		if tool != "" { // which makes the folder, where there is none
			if o := l.call(l.me(), tool, "version").run(ctx); o.Error != "" {
				l.say("Apptainer: " + o.Error)
			}
		}
	}
	if _, err := os.Stat(filepath.Join(root, "usr/bin/apptainer")); err != nil || os.Getuid() != 0 {
		return nil
	}
	a, err := startAgent(ctx, root, l.shared())
	if err != nil {
		return err
	}
	l.agent, l.apptain = a, "/usr/bin/apptainer"
	l.closers = append(l.closers, a.close)
	return nil
}

// shared are the folders that the agent shows under their own paths.
func (l *lab) shared() []string {
	out := []string{l.keep, l.scratch}
	if p := os.Getenv("CARREL_BENCH_JUPYTER"); p != "" {
		if st, err := os.Stat(p); err == nil && st.IsDir() {
			out = append(out, p)
		}
	}
	return out
}

func isScript(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	head := make([]byte, 2)
	n, _ := f.Read(head) // shorter than that is no script
	return string(head[:n]) == "#!"
}

// mayRaiseLimits tells whether this process has CAP_SYS_RESOURCE.
func mayRaiseLimits() bool {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return false
	}
	_, after, _ := bytes.Cut(text, []byte("CapEff:"))
	fields := bytes.Fields(after)
	if len(fields) == 0 {
		return false
	}
	caps, err := strconv.ParseUint(string(fields[0]), 16, 64)
	return err == nil && caps&(1<<unix.CAP_SYS_RESOURCE) != 0
}

// machine describes this computer.
func machine() []string {
	var out []string
	var u unix.Utsname
	if err := unix.Uname(&u); err == nil {
		out = append(out, fmt.Sprintf("%s %s, %s", unix.ByteSliceToString(u.Sysname[:]), unix.ByteSliceToString(u.Release[:]), unix.ByteSliceToString(u.Machine[:])))
	}
	if v := field("/etc/os-release", "PRETTY_NAME", "="); v != "" {
		out = append(out, strings.Trim(v, `"`))
	}
	cpu := fmt.Sprintf("%d processors", runtime.NumCPU())
	if v := field("/proc/cpuinfo", "model name", ":"); v != "" {
		cpu += ", " + v
	}
	out = append(out, cpu)
	if kb, err := strconv.ParseInt(strings.TrimSuffix(field("/proc/meminfo", "MemTotal", ":"), " kB"), 10, 64); err == nil {
		out = append(out, fmt.Sprintf("%d MB of memory", kb*1024/1e6))
	}
	if v, err := os.ReadFile("/proc/loadavg"); err == nil {
		if f := strings.Fields(string(v)); len(f) > 0 {
			out = append(out, "load when it began: "+f[0])
		}
	}
	who := "as an ordinary user only"
	if os.Getuid() == 0 {
		who = fmt.Sprintf("as root, and as a user without subordinate ids (%d)", nobody)
	}
	return append(out, "measured "+who)
}

// field is the value of the first line with a key; empty when there is none.
func field(file, key, separator string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		k, v, ok := strings.Cut(line, separator)
		if ok && strings.TrimSpace(k) == key {
			return strings.TrimSpace(v)
		}
	}
	return ""
}
