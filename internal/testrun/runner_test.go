package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestSkips(t *testing.T) {
	file := filepath.Join(t.TempDir(), "skips")
	if err := os.WriteFile(file, []byte("# who package test reason\n\n*  engine/sif  TestApptainer*  missing: apptainer\nuser engine/network/netns TestLink permission to open\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	skips, err := readSkips(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		who, pkg, test, reason string
		want                   bool
	}{
		{"root", "engine/sif", "TestApptainerRuns", "missing: apptainer", true},
		{"root", "engine/sif", "TestApptainerRuns", "missing: mksquashfs", false},
		{"root", "engine/sif", "TestOther", "missing: apptainer", false},
		{"root", "engine/sifter", "TestApptainerRuns", "missing: apptainer", false},
		{"user", "engine/network/netns", "TestLink/tap", "missing: permission to open /dev/net/tun", true},
		{"root", "engine/network/netns", "TestLink/tap", "missing: permission to open /dev/net/tun", false},
	} {
		got := false
		for _, s := range skips {
			got = got || s.allows(tt.who, tt.pkg, tt.test, tt.reason)
		}
		if got != tt.want {
			t.Errorf("%+v is allowed: %v, want %v", tt, got, tt.want)
		}
	}
	if err := os.WriteFile(file, []byte("root engine\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := readSkips(file); err == nil {
		t.Error("a line without test and reason is taken")
	}
}

func TestReason(t *testing.T) {
	for _, tt := range []struct {
		output []string
		want   string
	}{
		{[]string{"=== RUN   TestX\n", "    x_test.go:12: missing: tmux\n", "--- SKIP: TestX (0.00s)\n"}, "missing: tmux"},
		{[]string{"=== RUN   TestX\n", "--- SKIP: TestX (0.00s)\n"}, "no reason given"},
	} {
		if got := reasonOf(tt.output); got != tt.want {
			t.Errorf("reason of %q is %q, want %q", tt.output, got, tt.want)
		}
	}
}
