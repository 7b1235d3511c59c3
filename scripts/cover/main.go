// Command cover is `make cover`: it runs the tests of the engine, the catalog and the command line, counts which statements of
// the engine and the catalog they run, whichever package's test it is, and prints a table. It fails when a package is below
// the floor. Whether the tests pass is not its matter: `make test` tells, and some compare what processes write to whom Go
// adds a remark when they are measured.
//
//	go run ./scripts/cover [PACKAGE …]
package main

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// floor is the share of a package's statements that tests run, in percent.
const floor = 80

// lower are the packages with a floor of their own, and why: what runs in a process that loses its files, as those inside of
// containers do, cannot be counted.
var lower = map[string]struct {
	floor float64
	why   string
}{
	"carrel/engine":                   {65, "its other half runs in workers and supervisors, which are processes of their own"},
	"carrel/engine/sandbox/inside":    {3, "it is the init of containers"},
	"carrel/engine/sandbox/derive":    {50, "it runs in inits of containers as well"},
	"carrel/engine/sandbox/forked":    {65, "it ends in another program"},
	"carrel/engine/doctor/probe":      {35, "it tries things in a process of its own"},
	"carrel/engine/instance/terminal": {65, "it runs in supervisors"},
	"carrel/engine/source/arch":       {60, "it calls a program that few computers have"},
	"carrel/engine/source/busybox":    {65, "it calls a program that few computers have"},
	"carrel/engine/source/zypper":     {75, "it calls a program that few computers have"},
}

func main() {
	packages := os.Args[1:]
	if len(packages) == 0 {
		packages = []string{"./engine/...", "./catalog/...", "./cmd/..."}
	}
	profile, err := run(packages)
	if err != nil {
		fmt.Fprintln(os.Stderr, "cover:", err)
		os.Exit(1)
	}
	text, below := table(profile)
	fmt.Print(text)
	if below > 0 {
		os.Exit(1)
	}
}

// run runs tests and returns what they covered.
func run(packages []string) (covered, error) {
	dir, err := os.MkdirTemp("", "cover-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "profile")
	cmd := exec.Command("go", append([]string{"test", "-timeout", "30m", "-coverpkg=./engine/...,./catalog/...", "-coverprofile=" + file}, packages...)...)
	out, err := cmd.CombinedOutput()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		return nil, err
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("nothing was measured: %w\n%s", err, out)
	}
	defer f.Close()
	return parse(f)
}

// covered is how many statements a package has, and how many of them were run.
type covered map[string]*struct{ all, run int }

// parse reads a profile (go help testflag, -coverprofile): a block is there once for every test program.
func parse(r io.Reader) (covered, error) {
	type block struct {
		statements int
		run        bool
	}
	blocks := map[string]block{}
	for s := bufio.NewScanner(r); ; {
		if !s.Scan() {
			if s.Err() != nil {
				return nil, s.Err()
			}
			break
		}
		if strings.HasPrefix(s.Text(), "mode: ") {
			continue
		}
		f := strings.Fields(s.Text())
		if len(f) != 3 {
			return nil, fmt.Errorf("not a line of a profile: %q", s.Text())
		}
		statements, err := strconv.Atoi(f[1])
		if err != nil {
			return nil, err
		}
		blocks[f[0]] = block{statements, blocks[f[0]].run || f[2] != "0"}
	}
	out := covered{}
	for place, b := range blocks {
		file, _, _ := strings.Cut(place, ":")
		pkg := path.Dir(file)
		if out[pkg] == nil {
			out[pkg] = &struct{ all, run int }{}
		}
		out[pkg].all += b.statements
		if b.run {
			out[pkg].run += b.statements
		}
	}
	return out, nil
}

// table tells of all packages, the least covered first, and how many are below their floor.
func table(c covered) (text string, below int) {
	type row struct {
		pkg     string
		percent float64
	}
	var rows []row
	for pkg, n := range c {
		rows = append(rows, row{pkg, 100 * float64(n.run) / float64(max(n.all, 1))})
	}
	slices.SortFunc(rows, func(a, b row) int { return cmp.Or(cmp.Compare(a.percent, b.percent), strings.Compare(a.pkg, b.pkg)) })
	var b strings.Builder
	for _, r := range rows {
		least, remark := float64(floor), ""
		if own, ok := lower[r.pkg]; ok {
			least, remark = own.floor, fmt.Sprintf("  (at least %.0f %%: %s)", own.floor, own.why)
		}
		if r.percent < least {
			remark = fmt.Sprintf("  BELOW %.0f %%", least)
			below++
		}
		fmt.Fprintf(&b, "%5.1f%% %s%s\n", r.percent, r.pkg, remark)
	}
	fmt.Fprintf(&b, "%d packages, %d below their floor\n", len(rows), below)
	return b.String(), below
}
