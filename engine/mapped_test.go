package engine

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"carrel/engine/launch"
	"carrel/engine/sandbox"
	"carrel/engine/sandbox/plan"
	"carrel/internal/testroot"
)

// TestRefusedIDs: where newuidmap refuses what /etc/subuid says, a container runs with one id.
func TestRefusedIDs(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "newuidmap"), []byte("#!/bin/sh\necho 'newuidmap: write to uid_map failed' >&2\nexit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	ids := sandbox.SingleID(0, 0)
	ids.UID = append(ids.UID, syscall.SysProcIDMap{ContainerID: 1, HostID: 100000, Size: 65536})
	var notes []string
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	k, err := startMapped(t.Context(), sandbox.Config{
		IDs: ids, Stdout: w, Note: func(s string) { notes = append(notes, s) },
		Plan: plan.Plan{
			UserNS: true, PIDNS: true, Layers: []plan.Layer{{Folder: testroot.Make(t)}}, Upper: plan.Upper{Kind: plan.UpperMemory},
			Process: plan.Process{Args: []string{"/bin/sh", "-c", "id -u; touch /tmp/x; chown 5 /tmp/x && echo changed"}, Env: []string{"PATH=/bin"}, Dir: "/", Umask: -1, KeepCaps: true},
		},
	})
	w.Close()
	if err != nil {
		t.Fatal(err, Hint(err))
	}
	buf := make([]byte, 100)
	n, _ := r.Read(buf)
	if status, err := k.Wait(); status != 0 || err != nil {
		t.Errorf("%d, %v", status, err)
	}
	m, _ := r.Read(buf[n:])
	if got := string(buf[:n+m]); got != "0\nchanged\n" || len(notes) != 1 || !strings.Contains(notes[0], "uid_map failed") {
		t.Errorf("%q, notes %q", got, notes)
	}
}

// TestHomeWithColon: a folder whose name has a colon can be a home.
func TestHomeWithColon(t *testing.T) {
	e := newEngine(t, nil)
	for _, tc := range []struct {
		spec         RunSpec
		source, dest string
	}{
		{RunSpec{Home: "/data/a:b", HomeDest: "/home/x"}, "/data/a:b", "/home/x"},
		{RunSpec{Home: "/data/a:/home/x"}, "/data/a", "/home/x"},
		{RunSpec{Home: "/data/a"}, "/data/a", e.c.User.Home},
	} {
		var o launch.Options
		if e.home(tc.spec, &o); o.Home == nil || o.Home.Source != tc.source || o.Home.Dest != tc.dest {
			t.Errorf("%+v: %+v", tc.spec, o.Home)
		}
	}
}
