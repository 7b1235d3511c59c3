package engine

import (
	"context"
	"io"
	"os"
	"testing"
	"time"
)

// TestBackgroundIsFiltered: what runs in the background has a filter of system calls, by whatever verb and with whatever
// profile it was started.
func TestBackgroundIsFiltered(t *testing.T) {
	e := newEngine(t, nil)
	image := small(t, e, "%runscript\n  exec sleep 1000\n%startscript\n  exec sleep 1000\n")
	ctx := context.Background()
	for _, s := range []RunSpec{{Action: ActionRun}, {Action: ActionStart}, {Action: ActionRun, Profile: ProfileSafe}, {Action: ActionRun, Root: true}} {
		s.Image = image
		in, err := e.Start(ctx, s)
		if err != nil {
			t.Fatal(err, Hint(err))
		}
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		status, err := e.Exec(ctx, in.Name, RunSpec{Action: ActionExec, Args: []string{"sh", "-c", "grep -h Seccomp: /proc/[0-9]*/status | sort -u"}}, Stdio{Out: w, Err: w}, false)
		w.Close()
		if out, _ := io.ReadAll(r); status != 0 || err != nil || string(out) != "Seccomp:\t2\n" {
			t.Errorf("%+v: %d, %v, %q", s, status, err, out)
		}
		r.Close()
		if err := e.Stop(ctx, in.Name, time.Second); err != nil {
			t.Error(err)
		}
	}
}
