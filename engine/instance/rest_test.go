package instance

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"carrel/engine/sandbox/plan"
	"carrel/engine/share"
)

// TestRests: an app that does nothing, and of which nobody said that it serves anything, is not waited for; when it serves
// something after all, that is found.
func TestRests(t *testing.T) {
	w := newWorld(t)
	dir := w.start(w.order("late", w.app, "app", "late", ":8000"))
	in := w.until(dir, func(in Instance) bool { return in.State != StateStarting })
	if in.State != StateRunning || in.Problem != "" || len(in.Addresses) != 0 {
		t.Errorf("it is %s, %q, %+v", in.State, in.Problem, in.Addresses)
	}
	if took := time.Since(in.Started); took >= quietWait {
		t.Errorf("it was waited for %s", took)
	}
	if err := Signal(context.Background(), dir, syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	w.until(dir, isReady)
}

// TestIdle: this process, which is busy, does not rest; one that waits does.
func TestIdle(t *testing.T) {
	var r rest
	now := time.Now()
	if d := r.idle(os.Getpid(), now); d != 0 {
		t.Errorf("at first it has rested for %s", d)
	}
	for end := sinceBusy(t) + 3*restCPU; sinceBusy(t) < end; {
	}
	if d := r.idle(os.Getpid(), now.Add(time.Hour)); d != 0 {
		t.Errorf("after work it has rested for %s", d)
	}
	if d := (&rest{}).idle(1<<22+1, now); d != 0 {
		t.Errorf("a process that there is not rests for %s", d)
	}
}

// sinceBusy is the processor time of this process.
func sinceBusy(t *testing.T) time.Duration {
	p, err := readProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	return p.cpu
}

// TestClosed: of an app without a network only what was asked for can be opened.
func TestClosed(t *testing.T) {
	w := newWorld(t)
	o := w.order("closed", w.app, "app", "http", ":8000")
	o.Spec.Closed = true
	dir := w.start(o)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	told := errors.New("told")
	err := ReadLog(ctx, dir, LogOptions{Follow: true}, func(lines []LogLine) error {
		for _, l := range lines {
			if strings.Contains(l.Text, "listens on port 8000, which cannot be reached") {
				return told
			}
		}
		return nil
	})
	if !errors.Is(err, told) {
		t.Errorf("nobody says that its port cannot be reached: %v", err)
	}
	if in, err := Get(w.root, "closed"); err != nil || in.State != StateRunning || len(in.Addresses) != 0 {
		t.Errorf("it is %s, %+v, %v", in.State, in.Addresses, err)
	}
	for _, port := range []int{8000, 8001} { // also when the wrong port was asked for
		o = w.order("open", w.app, "app", "http", ":8000")
		o.Spec.Closed, o.Spec.Ports = true, []PortSpec{{Container: port}}
		in := w.until(w.start(o), isReady)
		if got := w.page(in.Addresses[0].URL); !strings.HasPrefix(got, "path / ") {
			t.Errorf("published as %d it answers %q", port, got)
		}
	}
}

// TestSeen: what is published for other computers is shown under an address that they can open.
func TestSeen(t *testing.T) {
	for _, text := range []string{"127.0.0.1:80", "192.0.2.7:80", "[::1]:80"} {
		if a := netip.MustParseAddrPort(text); Seen(a) != a {
			t.Errorf("%s is shown as %s", a, Seen(a))
		}
	}
	ip, ok := share.LocalIn("udp4")
	if !ok {
		ip = netip.IPv4Unspecified()
	}
	if got, want := Seen(netip.MustParseAddrPort("0.0.0.0:80")), netip.AddrPortFrom(ip, 80); got != want {
		t.Errorf("all addresses are shown as %s, want %s", got, want)
	}
	w := newWorld(t)
	o := w.order("wide", w.app, "app", "http", ":8000")
	o.Spec.Ports = []PortSpec{{Container: 8000, HostIP: "0.0.0.0"}}
	in := w.until(w.start(o), isReady)
	if ok && !strings.HasPrefix(in.Addresses[0].URL, "http://"+ip.String()+":") {
		t.Errorf("shown as %s", in.Addresses[0].URL)
	}
	if got := w.page(in.Addresses[0].URL); !strings.HasPrefix(got, "path / ") {
		t.Errorf("it answers %q", got)
	}
}

// TestRefusedMemory: who is held to an amount of memory by a resource limit is not killed for asking for more, but refused,
// and says so itself.
func TestRefusedMemory(t *testing.T) {
	w := newWorld(t)
	const limit = 256 << 20
	for _, tc := range []struct {
		name, script string
		limit        int64
		reason       Reason
	}{
		{"refused", "%s app map 900 || exit 1", limit, ReasonMemory},
		{"enough", "%s app map 1; exit 1", limit, ReasonExited},
		{"no limit that we know of", "%s app map 900 || exit 1", 0, ReasonExited},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w.t = t
			o := w.order("hog", "/bin/sh", "-c", fmt.Sprintf(tc.script, w.app))
			o.Plan.Process.Limits = []plan.Limit{{Resource: unix.RLIMIT_DATA, Value: limit, Name: "memory"}}
			o.Spec.MemoryLimit = tc.limit
			in := w.ended(w.start(o))
			told := strings.Contains(in.Problem, "more than the 256 MiB")
			if in.Reason != tc.reason || told != (tc.reason == ReasonMemory) || told != (in.Hint != "") {
				t.Errorf("%s, %q, hint %q, last %q", in.Reason, in.Problem, in.Hint, in.LastLines)
			}
		})
	}
}
