// Package leaktest is a test kit: it fails a package's tests when they, or what they test, leave goroutines or descriptors behind.
package leaktest

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// patience is how long what is about to end may take.
const patience = 10 * time.Second

// Main runs the tests of a package and exits; it is what TestMain calls. After tests that passed no goroutine may run and no
// descriptor be open that was not before.
func Main(m *testing.M) { os.Exit(Run(m.Run)) }

// Run is Main for a TestMain that has more to do: run runs the tests, and the result is the status to exit with.
func Run(run func() int) int {
	before := descriptors()
	status := run()
	if status != 0 {
		return status
	}
	http.DefaultClient.CloseIdleConnections() // which wait for another request, and end by themselves later
	var left []string
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) { // both end by themselves, or not at all
		left = append(goroutines(), opened(before, descriptors())...)
		if len(left) == 0 || time.Now().After(end) {
			break
		}
	}
	for _, l := range left {
		fmt.Fprintln(os.Stderr, "left behind:", l)
	}
	if len(left) > 0 {
		return 1
	}
	return 0
}

// ours are the goroutines of the runtime, of the test program, of signals and of the thread that starts processes, which stay.
var ours = []string{
	"testing.(*M).", "os/signal.", "created by runtime", "internal/leaktest.goroutines(", "carrel/internal/spawn.Do.",
}

// goroutines are the stacks of goroutines that somebody began who is not this package.
func goroutines() []string {
	buf := make([]byte, 1<<20)
	for {
		n := runtime.Stack(buf, true)
		if n < len(buf) {
			buf = buf[:n]
			break
		}
		buf = make([]byte, 2*len(buf))
	}
	var out []string
	for _, stack := range strings.Split(string(buf), "\n\n") {
		if !slices.ContainsFunc(ours, func(s string) bool { return strings.Contains(stack, s) }) {
			out = append(out, stack)
		}
	}
	return out
}

// descriptors are what is open, by number.
func descriptors() map[int]string {
	const dir = "/proc/self/fd"
	entries, _ := os.ReadDir(dir) // where there is none, nothing is compared
	out := map[int]string{}
	for _, e := range entries {
		n, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if to, err := os.Readlink(filepath.Join(dir, e.Name())); err == nil && !stays(to) {
			out[n] = to
		}
	}
	return out
}

// stays tells of what the runtime and the test program keep open: the poller (epoll(7)), processes, and results.
func stays(target string) bool {
	return strings.Contains(target, "eventpoll") || strings.Contains(target, "eventfd") || strings.HasPrefix(target, "/sys/fs/cgroup/") ||
		strings.HasSuffix(target, ".test") || strings.Contains(target, "/fuzz/") || strings.HasPrefix(target, "/proc/self/fd") ||
		strings.HasPrefix(target, "/proc/") && strings.HasSuffix(target, "/fd")
}

// opened are descriptors of after that before has not.
func opened(before, after map[int]string) []string {
	var out []string
	for n, to := range after {
		if before[n] != to {
			out = append(out, fmt.Sprintf("descriptor %d: %s", n, to))
		}
	}
	slices.Sort(out)
	return out
}
