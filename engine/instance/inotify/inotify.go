// Package inotify waits for changes of files, by inotify(7), together with the end of a process and of a context. It is a
// thin layer because a watch for one kind of event must not wake up for others: a folder that holds a log at full speed
// is watched for renames only.
package inotify

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Event is one change.
type Event struct {
	Watch int    // the number that Add returned
	Mask  uint32 // unix.IN_…
	Name  string // of the file in a watched folder
}

// Watcher is a set of watched files and folders. Wait is for one goroutine at a time; Add and Remove may be called from
// any. It must be closed.
type Watcher struct {
	fd int

	mu     sync.Mutex
	wake   int // eventfd(2); -1 when closed
	closed bool
}

// New makes an empty set. It fails where a user has used up the instances of inotify (fs.inotify.max_user_instances).
func New() (*Watcher, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("watch files: %w", err)
	}
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("watch files: %w", err)
	}
	return &Watcher{fd: fd, wake: wake}, nil
}

// Add watches a path for the events of mask and returns the watch's number; the same path keeps its number and gets the
// new mask.
func (w *Watcher) Add(path string, mask uint32) (int, error) {
	wd, err := unix.InotifyAddWatch(w.fd, path, mask)
	if err != nil {
		return -1, fmt.Errorf("watch %s: %w", path, err)
	}
	return wd, nil
}

// Remove ends a watch. The kernel has done so already where the file is gone.
func (w *Watcher) Remove(wd int) {
	_, _ = unix.InotifyRmWatch(w.fd, uint32(wd)) // EINVAL: gone with its file
}

// Wake lets Wait return.
func (w *Watcher) Wake() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.closed {
		var one [8]byte
		binary.NativeEndian.PutUint64(one[:], 1)
		_, _ = unix.Write(w.wake, one[:]) // full: it is awake already
	}
}

// Close ends the set. Wait must have returned.
func (w *Watcher) Close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.closed {
		w.closed = true
		_ = unix.Close(w.wake)
		_ = unix.Close(w.fd)
	}
}

// Wait returns when something has changed, after Wake, when one of the further descriptors is readable (such as a pidfd
// whose process has ended), or after the timeout (negative: none); what has changed may be nothing. When ctx ends it
// returns ctx's error. Overflow of the kernel's queue is an event with unix.IN_Q_OVERFLOW.
func (w *Watcher) Wait(ctx context.Context, timeout time.Duration, further ...int) ([]Event, error) {
	stop := context.AfterFunc(ctx, w.Wake)
	defer stop()
	fds := []unix.PollFd{{Fd: int32(w.fd), Events: unix.POLLIN}, {Fd: int32(w.wake), Events: unix.POLLIN}}
	for _, fd := range further {
		fds = append(fds, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
	}
	ms := -1
	if timeout >= 0 {
		ms = int((timeout + time.Millisecond - 1) / time.Millisecond)
	}
	_, err := unix.Poll(fds, ms)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil && err != unix.EINTR {
		return nil, fmt.Errorf("watch files: %w", err)
	}
	var count [8]byte
	_, _ = unix.Read(w.wake, count[:]) // EAGAIN: nobody woke us
	return w.read()
}

// read takes what the kernel has queued.
//
//	struct inotify_event: int32 wd, uint32 mask, uint32 cookie, uint32 len, char name[len]   (inotify(7))
func (w *Watcher) read() ([]Event, error) {
	var buf [16 << 10]byte
	var events []Event
	for {
		n, err := unix.Read(w.fd, buf[:])
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			return events, nil
		case err != nil:
			return events, fmt.Errorf("watch files: %w", err)
		}
		for rest := buf[:n]; len(rest) >= unix.SizeofInotifyEvent; {
			size := unix.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(rest[12:]))
			if size > len(rest) {
				break
			}
			name, _, _ := bytes.Cut(rest[unix.SizeofInotifyEvent:size], []byte{0})
			events = append(events, Event{
				Watch: int(int32(binary.NativeEndian.Uint32(rest))),
				Mask:  binary.NativeEndian.Uint32(rest[4:]),
				Name:  string(name),
			})
			rest = rest[size:]
		}
	}
}
