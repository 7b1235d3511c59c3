// Command cover is `make cover`: it runs the tests of the engine's packages, each with the coverage of its own code, and prints
// a table. What is below the floor is marked; it fails only with -floor.
//
//	go run ./scripts/cover [-floor] [PACKAGE …]
package main

import (
	"bufio"
	"cmp"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
)

// floor is the share of an engine package's statements that its tests should run, in percent.
const floor = 80

type result struct {
	pkg     string
	percent float64 // negative: no statements, or no tests
	failed  bool
}

// parse reads a line of go test's output.
func parse(text string) (result, bool) {
	f := strings.Fields(text)
	if len(f) < 2 {
		return result{}, false
	}
	r := result{percent: -1}
	for i, w := range f {
		if strings.HasPrefix(w, "carrel/") && r.pkg == "" {
			r.pkg = w
		}
		if w == "coverage:" && i+1 < len(f) {
			if p, err := strconv.ParseFloat(strings.TrimSuffix(f[i+1], "%"), 64); err == nil {
				r.percent = p
			}
		}
	}
	r.failed = f[0] == "FAIL"
	return r, r.pkg != "" && (f[0] == "ok" || f[0] == "FAIL" || f[0] == r.pkg)
}

func main() {
	strict := flag.Bool("floor", false, fmt.Sprintf("fail when a package is below %d %%", floor))
	flag.Parse()
	below, failed, err := cover(flag.Args())
	if err != nil {
		fmt.Fprintln(os.Stderr, "cover:", err)
		os.Exit(1)
	}
	if failed > 0 || *strict && below > 0 {
		os.Exit(1)
	}
}

func cover(packages []string) (below, failed int, err error) {
	if len(packages) == 0 {
		packages = []string{"./engine/...", "./catalog/..."}
	}
	cmd := exec.Command("go", append([]string{"test", "-cover"}, packages...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, 0, err
	}
	if err := cmd.Start(); err != nil {
		return 0, 0, err
	}
	var all []result
	for s := bufio.NewScanner(out); s.Scan(); {
		if r, ok := parse(s.Text()); ok {
			all = append(all, r)
		}
	}
	waited := cmd.Wait()
	if len(all) == 0 {
		return 0, 0, fmt.Errorf("no package was tested: %w", waited)
	}
	slices.SortFunc(all, func(a, b result) int { return cmp.Or(cmp.Compare(a.percent, b.percent), strings.Compare(a.pkg, b.pkg)) })
	for _, r := range all {
		mark, share := "", "     –"
		if r.percent >= 0 {
			share = fmt.Sprintf("%5.1f%%", r.percent)
			if r.percent < floor {
				mark = fmt.Sprintf("  below %d %%", floor)
				below++
			}
		}
		if r.failed {
			mark += "  tests failed"
			failed++
		}
		fmt.Println(share, r.pkg+mark)
	}
	fmt.Printf("%d packages, %d below %d %%\n", len(all), below, floor)
	return below, failed, nil
}
