package torture

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"carrel/internal/e2e"
)

// The variables by which `make torture` says how much it wants.
const (
	killsVariable = "CARREL_TORTURE"
	seedVariable  = "CARREL_TORTURE_SEED"
)

// fewKills is how many kills a usual test makes, other ones each time.
const fewKills = 12

// A way is how a call comes to its end.
type way struct {
	name string
	// asked tells whether the program is asked to end, and so can leave all tidy by itself.
	asked bool
	// strike picks and hits; pid is the program, all are all processes there are.
	strike func(r *rand.Rand, pid int, all []int)
}

var ways = []way{
	{"Ctrl+C", true, func(_ *rand.Rand, pid int, _ []int) { _ = syscall.Kill(-pid, syscall.SIGINT) }}, // it may have ended
	{"kill -9", false, func(_ *rand.Rand, pid int, _ []int) { _ = syscall.Kill(pid, syscall.SIGKILL) }},
	{"kill -9 of one of its processes", false, func(r *rand.Rand, _ int, all []int) {
		if len(all) > 0 {
			_ = syscall.Kill(all[r.IntN(len(all))], syscall.SIGKILL)
		}
	}},
	{"kill -9 of all at once", false, func(_ *rand.Rand, _ int, all []int) {
		slices.Sort(all)
		for _, pid := range slices.Backward(all) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}},
	{"SIGTERM", true, func(_ *rand.Rand, pid int, _ []int) { _ = syscall.Kill(pid, syscall.SIGTERM) }},
}

func number(t *testing.T, variable string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", variable, err)
	}
	return n
}

// TestKills ends the program at random moments of everything that writes something.
func TestKills(t *testing.T) {
	kills := int(number(t, killsVariable, fewKills))
	seed := number(t, seedVariable, uint64(time.Now().UnixNano()))
	r := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d", seed)
	var l *lab
	var todo []*work
	took := map[string]time.Duration{}
	count := map[string]int{}
	calls, late, failures := 0, 0, 0
	for done := 0; done < kills; {
		if l == nil {
			l = newLab(t)
			l.base()
		}
		if len(todo) == 0 {
			todo = l.works()
			r.Shuffle(len(todo), func(i, j int) { todo[i], todo[j] = todo[j], todo[i] })
		}
		w := todo[0]
		todo = todo[1:]
		if _, known := took[w.name+l.Dir]; !known {
			if w.prepare != nil {
				w.prepare(0)
			}
			start := time.Now()
			l.expect(w.args(0)...)
			took[w.name+l.Dir] = time.Since(start)
			l.call("stop", "--all", "--time", "1s")
		}
		// Of short works several kills in a row are worth it.
		for range max(1, min(3, kills/40)) {
			if t.Failed() && failures == 0 { // of the preparation
				t.FailNow()
			}
			calls++
			kind := ways[r.IntN(len(ways))]
			after := time.Duration(r.Int64N(int64(took[w.name+l.Dir] * 11 / 10)))
			told := fmt.Sprintf("%s, %s after %v", w.name, kind.name, after.Round(time.Millisecond))
			if os.Getenv(killsVariable) != "" {
				fmt.Fprintf(os.Stderr, "%d: %s\n", calls, told)
			}
			hit, bad := l.kill(w, calls, kind, after, r)
			if hit {
				done++
				count[kind.name]++
				count[w.name]++
			} else {
				late++
			}
			if len(bad) > 0 {
				failures++
				t.Errorf("%s:\n%s", told, strings.Join(bad, "\n"))
			}
			if late > 4*kills+20 {
				t.Fatalf("only %d of %d calls could be hit before they ended", done, calls)
			}
		}
		if failures > 20 {
			break
		}
	}
	t.Logf("%d calls were hit, %d ended first, after %d something was wrong", calls-late, late, failures)
	for _, name := range slices.Sorted(func(yield func(string) bool) {
		for name := range count {
			if !yield(name) {
				return
			}
		}
	}) {
		t.Logf("%4d %s", count[name], name)
	}
}

// kill begins the n-th call of a work, ends it, and looks at what is left; then the work is done again, undisturbed.
func (l *lab) kill(w *work, n int, kind way, after time.Duration, r *rand.Rand) (hit bool, bad []string) {
	l.t.Helper()
	if w.prepare != nil {
		w.prepare(n)
	}
	var text bytes.Buffer
	cmd := l.command(context.Background(), w.args(n)...)
	cmd.Stdout, cmd.Stderr = &text, &text
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // the state tells
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(after):
	}
	all := descendants(cmd.Process.Pid)
	hit = len(all) > 0
	if hit {
		kind.strike(r, cmd.Process.Pid, all)
	}
	select {
	case <-ended:
	case <-time.After(time.Minute):
		bad = append(bad, "it does not end:\n"+told(descendants(cmd.Process.Pid)))
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		<-ended
	}
	whole := cmd.ProcessState.ExitCode() == 0
	return hit, append(bad, l.aftermath(w, n, whole, kind.asked, text.String())...)
}

// aftermath looks at what the n-th call of a work left that was disturbed and said text, and has the work done again. The
// call said that it succeeded if it is whole; if it is tidy, it could remove what it had begun.
func (l *lab) aftermath(w *work, n int, whole, tidy bool, text string) (bad []string) {
	l.t.Helper()
	failed := l.t.Failed()
	// What the program says of it is for a person.
	if strings.Contains(text, "panic:") || strings.Contains(text, "goroutine ") {
		bad = append(bad, "it fell over")
	}
	if w.background {
		l.expect("stop", "--all", "--time", "1s")
	}
	bad = append(bad, l.problems(!tidy)...)
	if w.killed != nil {
		w.killed(n, whole && !w.background)
	}
	if w.next != nil {
		w.next(n)
	} else {
		l.expect(w.args(n)...)
		if w.killed != nil {
			w.killed(n, true)
		}
	}
	if w.background {
		l.expect("stop", "--all", "--time", "1s")
	}
	if !e2e.Until(10*time.Second, func() bool { return len(l.remains()) == 0 }) {
		bad = append(bad, l.remains()...)
		for _, dir := range []string{"cache/work", "state/changes"} { // told once
			_ = os.RemoveAll(l.home + "/" + dir)
		}
	}
	for _, e := range entries(l.target) {
		if !l.allowed[e] {
			bad = append(bad, "still there after the next command: target/"+e)
			_ = os.RemoveAll(l.target + "/" + e)
		}
	}
	for _, e := range entries(l.tmp) {
		_ = os.RemoveAll(l.tmp + "/" + e)
	}
	if !failed && l.t.Failed() && len(bad) == 0 {
		bad = append(bad, "see above")
	}
	if len(bad) > 0 {
		bad = append(bad, "it said: "+text)
	}
	return bad
}
