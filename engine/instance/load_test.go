package instance

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

// TestFiftyApps has fifty apps on the same port inside run at once, each with its own page.
func TestFiftyApps(t *testing.T) {
	if testing.Short() {
		t.Skip("missing: time (-short)")
	}
	w := newWorld(t)
	const apps = 50
	for range apps {
		o := w.order("web", w.app, "app", "http", "127.0.0.1:8888")
		o.Spec.Ports = []PortSpec{{Host: 8888, Container: 8888}}
		w.start(o)
	}
	hosts := map[int]bool{}
	memory := map[string]int{}
	for i := range apps {
		name := "web"
		if i > 0 {
			name += "-" + strconv.Itoa(i+1)
		}
		in, err := Get(w.root, name)
		if err != nil {
			t.Fatal(err)
		}
		in = w.until(in.Dir, isReady)
		if hosts[in.Addresses[0].Host] {
			t.Errorf("two apps on port %d", in.Addresses[0].Host)
		}
		hosts[in.Addresses[0].Host] = true
		if got, want := w.page(in.Addresses[0].URL), fmt.Sprintf("path / host 127.0.0.1:%d", in.Addresses[0].Host); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		memory["supervisor"] += resident(t, in.PID)
		memory["init"] += resident(t, in.Init)
	}
	all, err := List(w.root)
	if err != nil || len(all) != apps {
		t.Errorf("%d in the list, %v", len(all), err)
	}
	usage, err := UsageOf(all...)
	if err != nil || len(usage) != apps {
		t.Errorf("usage of %d, %v", len(usage), err)
	}
	t.Logf("resident on average: supervisor %d KiB, init %d KiB", memory["supervisor"]/apps, memory["init"]/apps)
	for _, in := range all {
		if err := Stop(context.Background(), in.Dir, -1); err != nil {
			t.Error(err)
		}
	}
}

// resident is VmRSS of a process, in KiB (proc_pid_status(5)).
func resident(t *testing.T, pid int) int {
	t.Helper()
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		t.Error(err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, _ := strconv.Atoi(strings.Fields(rest)[0])
			return n
		}
	}
	return 0
}
