package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// runner runs tests and counts.
type runner struct {
	work, binary string
	patterns     []string // of packages, as go test takes them
	allowed      []skip

	passed, skipped, failed int
	unknown                 []string
	failedIn                map[string]bool // packages of which a test failed
}

// event is a line of go tool test2json.
type event struct {
	Action, Package, Test, Output string
	Elapsed                       float64
}

// variables are what the tests of this module look for.
func (r *runner) variables(home string) []string {
	cache := filepath.Join(home, ".cache", "carrel-test")
	vars := []string{
		"CARREL_TEST_BINARY=" + r.binary,                        // the program under test
		"CARREL_TEST_CACHE=" + cache,                            // downloads, kept for the next run
		"CARREL_TEST_IMAGES=" + filepath.Join(r.work, "images"), // of apps, which root's tests leave for those of others
	}
	for _, name := range []string{"CARREL_TORTURE", "CARREL_TORTURE_SEED"} { // how much of internal/torture
		if v := os.Getenv(name); v != "" {
			vars = append(vars, name+"="+v)
		}
	}
	return vars
}

// keep is how many gigabytes of a user's downloads and base systems outlive the tests.
const keep = "4"

// tidy frees what earlier tests of the user left in the cache, all but what was used last: every run leaves some.
func (r *runner) tidy(ctx context.Context, home string, credential *syscall.Credential) {
	cmd := exec.CommandContext(ctx, r.binary, "cache", "prune", "--to", keep)
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=" + home, "XDG_CACHE_HOME=" + filepath.Join(home, ".cache", "carrel-test")}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential}
	if out, err := cmd.CombinedOutput(); err != nil {
		fmt.Printf("   the cache of earlier tests could not be freed: %v\n%s", err, out)
	}
}

// goTest tests all packages as the user who calls.
func (r *runner) goTest(ctx context.Context, who string) error {
	home, err := os.UserHomeDir()
	if err != nil {
		home = r.work
	}
	r.tidy(ctx, home, nil)
	cmd := exec.CommandContext(ctx, "go", append([]string{"test", "-json", "-timeout", cmp.Or(os.Getenv("CARREL_TEST_TIMEOUT"), "20m")}, r.patterns...)...)
	cmd.Env = append(os.Environ(), r.variables(home)...)
	// What go says of packages that do not build is JSON as well; the rest is for people.
	cmd.Stderr = os.Stderr
	return r.follow(cmd, who, "")
}

// follow starts a command that writes test2json's events, prints and counts them. A package name is filled in where the
// events have none.
func (r *runner) follow(cmd *exec.Cmd, who, pkg string) error {
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	failedBefore := r.failed
	r.failedIn = map[string]bool{}
	output := map[string][]string{}
	sc := bufio.NewScanner(out)
	sc.Buffer(nil, 16<<20)
	for sc.Scan() {
		var e event
		if json.Unmarshal(sc.Bytes(), &e) != nil {
			fmt.Println(sc.Text())
			continue
		}
		if e.Package == "" {
			e.Package = pkg
		}
		r.take(e, who, output)
	}
	if err := sc.Err(); err != nil {
		_, _ = io.Copy(io.Discard, out) // so that it can end
	}
	err = cmd.Wait()
	if _, exited := errors.AsType[*exec.ExitError](err); exited {
		if r.failed == failedBefore {
			r.failed++
			fmt.Printf("FAIL  %s: %v\n", pkg, err)
		}
		return nil
	}
	return err
}

func (r *runner) take(e event, who string, output map[string][]string) {
	key := e.Package + " " + e.Test
	switch e.Action {
	case "output", "build-output":
		output[key] = append(output[key], e.Output)
		return
	case "build-fail":
		r.failed++
		fmt.Print("FAIL  build\n", strings.Join(output[key], ""))
		return
	case "pass", "skip", "fail":
	default:
		return
	}
	name := strings.TrimPrefix(e.Package, "carrel/")
	took := time.Duration(e.Elapsed * float64(time.Second)).Round(10 * time.Millisecond)
	switch {
	case e.Test == "" && e.Action == "pass":
		fmt.Printf("ok    %-40s %s\n", name, took)
	case e.Test == "" && e.Action == "fail":
		fmt.Printf("FAIL  %-40s %s\n%s", name, took, strings.Join(output[key], ""))
		if !r.failedIn[e.Package] { // it did not build, or ended in the middle
			r.failed++
		}
	case e.Test == "":
	case e.Action == "pass":
		r.passed++
		if strings.HasSuffix(name, "internal/torture") && e.Test == "TestKills" { // it counts
			fmt.Print(strings.Join(output[key], ""))
		}
	case e.Action == "fail":
		r.failed++
		r.failedIn[e.Package] = true
		fmt.Printf("FAIL  %s.%s\n%s", name, e.Test, strings.Join(output[key], ""))
	case e.Action == "skip":
		r.skipped++
		reason := reasonOf(output[key])
		if !slices.ContainsFunc(r.allowed, func(s skip) bool { return s.allows(who, name, e.Test, reason) }) {
			r.unknown = append(r.unknown, fmt.Sprintf("%s %s %s %s", who, name, e.Test, reason))
		}
	}
	delete(output, key)
}

// asUser tests packages as an ordinary user: their test binaries are built here, and run on a copy of the checkout that the
// user can read.
func (r *runner) asUser(ctx context.Context, u testUser) error {
	account, err := user.Lookup(u.name)
	if err != nil {
		return err
	}
	uid, err := strconv.Atoi(account.Uid)
	if err != nil {
		return err
	}
	gid, err := strconv.Atoi(account.Gid)
	if err != nil {
		return err
	}
	who := "user"
	if u.ids {
		who = "user-with-ids"
	}
	fmt.Printf("== as %s (%s)\n", who, u.name)
	r.tidy(ctx, account.HomeDir, &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)})
	base := filepath.Join(r.work, u.name)
	if err := copyTree(filepath.Join(base, "src")); err != nil {
		return err
	}
	packages, err := r.listTests(ctx)
	if err != nil {
		return err
	}
	if err := own(base, uid, gid); err != nil {
		return err
	}
	for _, p := range packages {
		name := strings.TrimPrefix(p, "carrel/")
		if !slices.ContainsFunc(u.packages, func(want string) bool {
			return name == want || strings.HasSuffix(want, "/") && strings.HasPrefix(name, want)
		}) ||
			slices.Contains(notAsUser, name) {
			continue
		}
		test := filepath.Join(r.work, strings.ReplaceAll(name, "/", "-")+".test")
		if _, err := os.Stat(test); err != nil {
			build := exec.CommandContext(ctx, "go", "test", "-c", "-o", test, p)
			build.Stdout, build.Stderr = os.Stdout, os.Stderr
			if err := build.Run(); err != nil {
				r.failed++
				fmt.Printf("FAIL  build %s: %v\n", name, err)
				continue
			}
		}
		// test2json needs Go, which the user may not be able to read: it stays ours, and only the test changes its user.
		cmd := exec.CommandContext(ctx, test, "-test.v=test2json", "-test.timeout="+cmp.Or(os.Getenv("CARREL_TEST_TIMEOUT"), "20m"))
		cmd.Dir = filepath.Join(base, "src", name)
		cmd.Env = append([]string{
			"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=" + account.HomeDir, "USER=" + u.name, "LOGNAME=" + u.name,
			"SHELL=/bin/sh", "LANG=C.UTF-8", "TERM=xterm-256color",
		}, r.variables(account.HomeDir)...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, Setpgid: true}
		cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
		if err := r.followRaw(ctx, cmd, who, p); err != nil {
			return err
		}
	}
	return nil
}

// followRaw is follow for a test binary itself: its output goes through test2json.
func (r *runner) followRaw(ctx context.Context, test *exec.Cmd, who, pkg string) error {
	in, out, err := os.Pipe()
	if err != nil {
		return err
	}
	test.Stdout, test.Stderr = out, out
	if err := test.Start(); err != nil {
		in.Close()
		out.Close()
		return err
	}
	out.Close()
	convert := exec.CommandContext(ctx, "go", "tool", "test2json", "-t", "-p", pkg)
	convert.Stdin = in
	err = r.follow(convert, who, pkg)
	in.Close()
	if werr := test.Wait(); werr != nil && err == nil {
		if _, exited := errors.AsType[*exec.ExitError](werr); !exited {
			return werr
		}
		if test.ProcessState.ExitCode() != 1 { // 1: tests failed, and were counted
			r.failed++
			fmt.Printf("FAIL  %s: %v\n", pkg, werr)
		}
	}
	return err
}

// listTests are the import paths of packages with tests.
func (r *runner) listTests(ctx context.Context) ([]string, error) {
	cmd := exec.CommandContext(ctx, "go", append([]string{"list", "-f", "{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}"}, r.patterns...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	return strings.Fields(string(out)), nil
}

// copyTree copies the checkout, without what version control and builds keep there.
func copyTree(to string) error {
	return filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		dest := filepath.Join(to, path)
		switch {
		case d.IsDir() && (path == ".git" || path == "bin" || path == "dist"):
			return filepath.SkipDir
		case d.IsDir():
			return os.MkdirAll(dest, 0o755)
		case d.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			return os.Symlink(target, dest)
		case !d.Type().IsRegular():
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // an editor's temporary file
			}
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		return os.WriteFile(dest, data, info.Mode().Perm()|0o044)
	})
}

func own(dir string, uid, gid int) error {
	return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, uid, gid)
	})
}

// skip is a line of .ci/skips: who, package, test, and a part of the reason; * stands for all.
type skip struct{ who, pkg, test, reason string }

func (s skip) allows(who, pkg, test, reason string) bool {
	return fits(s.who, who) && fits(s.pkg, pkg) && fits(s.test, test) && strings.Contains(reason, s.reason)
}

// fits compares with a pattern that may end in *; a test's name also stands for its subtests.
func fits(pattern, name string) bool {
	if prefix, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(name, prefix)
	}
	return name == pattern || strings.HasPrefix(name, pattern+"/")
}

func readSkips(file string) ([]skip, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var out []skip
	number := 0
	for line := range bytes.Lines(data) {
		number++
		text := strings.TrimSpace(string(line))
		if text == "" || text[0] == '#' {
			continue
		}
		fields := strings.Fields(text)
		if len(fields) < 4 {
			return nil, fmt.Errorf("%s: line %d: want who, package, test and reason", file, number)
		}
		out = append(out, skip{fields[0], fields[1], fields[2], strings.Join(fields[3:], " ")})
	}
	return out, nil
}

// reasonOf finds what t.Skip said in a test's output.
func reasonOf(output []string) string {
	for i := len(output) - 1; i >= 0; i-- {
		line := strings.TrimSpace(output[i])
		if line == "" || strings.HasPrefix(line, "---") || strings.HasPrefix(line, "===") {
			continue
		}
		if at := strings.Index(line, ".go:"); at >= 0 {
			if _, text, ok := strings.Cut(line[at+4:], ": "); ok {
				return text
			}
		}
		return line
	}
	return "no reason given"
}
