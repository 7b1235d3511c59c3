package squashfs

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"carrel/engine/tree"
)

// hugeTree is a stream of a million entries, with nothing on disk: files of a few bytes, no two alike, a thousand to a folder,
// in an order that is not that of their names; among them links, and files that have blocks of their own.
type hugeTree struct{ entries int }

func (h hugeTree) WriteTo(ctx context.Context, sink tree.Sink) error {
	now := time.Unix(1e9, 0)
	body := make([]byte, 160<<10)
	for i := range h.entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		mixed := uint64(i) * 0x9e3779b97f4a7c15
		e := tree.Entry{Path: fmt.Sprintf("opt/conda/lib/python3.11/site-packages/part%03d/module_%016x.py", i/1000, mixed), Mode: tree.TypeRegular | 0o644, ModTime: now}
		var r io.Reader
		switch {
		case i%50 == 0:
			e.Mode, e.Link = tree.TypeSymlink|0o777, fmt.Sprintf("../part%03d/module_%x", i/1000, i)
		case i%1000 == 1:
			e.Size = int64(len(body))
			binary.LittleEndian.PutUint64(body, mixed)
			r = bytes.NewReader(body)
		default:
			e.Size = 40
			binary.LittleEndian.PutUint64(body, mixed)
			r = bytes.NewReader(body[:e.Size])
		}
		if err := sink.Add(e, r); err != nil {
			return err
		}
	}
	return nil
}

// memoryRoom is what a Writer may take, whatever it is given, bytes.
const memoryRoom = 300_000_000

// packTo names, for a process of its own, the file that it writes the huge tree to.
const packTo = "CARREL_TEST_PACK_TO"

// TestMemoryOfAMillionEntries: in a process of its own, whose peak the kernel tells (proc(5), VmHWM).
func TestMemoryOfAMillionEntries(t *testing.T) {
	if name := os.Getenv(packTo); name != "" {
		packHugeTree(t, name)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestMemoryOfAMillionEntries$", "-test.v")
	cmd.Env = append(os.Environ(), packTo+"="+filepath.Join(t.TempDir(), "image"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var peak int64
	if _, rest, ok := strings.Cut(string(out), "peak "); ok {
		if _, err := fmt.Sscan(rest, &peak); err != nil {
			t.Fatal(err)
		}
	}
	if peak == 0 || peak > memoryRoom {
		t.Errorf("%d bytes of memory at most, of %d:\n%s", peak, memoryRoom, out)
	}
	t.Logf("%d MB", peak/1e6)
}

func packHugeTree(t *testing.T, name string) {
	debug.SetMemoryLimit(MemoryGoal)
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w, err := NewWriter(f, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	const entries = 1_000_000
	if err := (hugeTree{entries}).WriteTo(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	stats, err := w.Close()
	if err != nil {
		t.Fatal(err)
	}
	if want := int64(entries + entries/1000 + 6); stats.Inodes != want {
		t.Errorf("%d inodes, want %d", stats.Inodes, want)
	}
	t.Logf("peak %d", peakMemory(t))
}

func peakMemory(t *testing.T) int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		var kilobytes int64
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kilobytes); n == 1 {
			return kilobytes << 10
		}
	}
	t.Fatal("no VmHWM in /proc/self/status")
	return 0
}
