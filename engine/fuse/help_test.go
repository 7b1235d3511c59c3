package fuse

import (
	"testing"

	"golang.org/x/sys/unix"

	"carrel/engine/squashfs"
	"carrel/engine/tree"
)

// TestCallsForHelp has requests wait on a socket that stands for the device: the first few are answered by the one that leads.
func TestCallsForHelp(t *testing.T) {
	img := makeImage(t, entries{object(".", tree.TypeDir|0o755)}, squashfs.Options{})
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pair[0])
	defer unix.Close(pair[1])
	s := &server{fd: pair[0], img: img, calls: make(chan struct{}, 100), done: make(chan struct{})}
	w := newWorker(s)
	request := func(unique uint64) {
		t.Helper()
		b := make([]byte, inHeaderSize)
		ne.PutUint32(b, inHeaderSize)
		ne.PutUint32(b[4:], opStatfs)
		ne.PutUint64(b[8:], unique)
		if _, err := unix.Write(pair[1], b); err != nil {
			t.Fatal(err)
		}
	}
	request(1)
	if err := w.answerWaiting(); err != nil || len(s.calls) > 0 {
		t.Errorf("one request: %v, %d calls for help", err, len(s.calls))
	}
	const many = 3 * helpAfter
	for i := range many {
		request(uint64(i) + 2)
	}
	if err := w.answerWaiting(); err != nil || len(s.calls) < many-helpAfter {
		t.Errorf("%d requests: %v, %d calls for help", many, err, len(s.calls))
	}
	reply := make([]byte, 4096)
	for i := range many + 1 {
		n, err := unix.Read(pair[1], reply)
		if err != nil || n < outHeaderSize || ne.Uint64(reply[8:]) != uint64(i)+1 {
			t.Fatalf("reply %d: %d bytes for request %d: %v", i+1, n, ne.Uint64(reply[8:]), err)
		}
	}
	s.ended.Store(true)
	request(100)
	if err := w.answerWaiting(); err != nil {
		t.Error(err)
	}
	if _, err := unix.Read(pair[1], reply); err != unix.EAGAIN {
		t.Errorf("answered after the end: %v", err)
	}
}
