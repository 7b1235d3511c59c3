package fuse

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"carrel/engine/squashfs"
)

// FSType is the file system type to call mount(2) with.
const FSType = "fuse.carrel"

// MountFlags are the flags to call mount(2) with. The caller may add MS_NOSUID.
const MountFlags = unix.MS_RDONLY | unix.MS_NODEV | unix.MS_NOATIME

// MountData is the data to call mount(2) with, for the number of the descriptor of /dev/fuse in the calling process and its ids
// in its user namespace. The kernel checks permissions itself (default_permissions), from the attributes it keeps.
func MountData(fd int, uid, gid uint32) string {
	return fmt.Sprintf("fd=%d,rootmode=40000,user_id=%d,group_id=%d,allow_other,default_permissions,max_read=%d", fd, uid, gid, maxRead)
}

// maxRead is the largest read the kernel may ask for, in bytes.
const maxRead = 1 << 20

// Options say how an image is served.
type Options struct {
	// OneOwner reports every file as owned by UID and GID, as ids of the process that mounted: in a user namespace of one id all
	// others would show as nobody, and could not be copied up by an overlay.
	OneOwner bool
	UID, GID uint32
	// Workers is the number of goroutines that answer requests (0: by the number of processors, from 2 to 8).
	Workers int
	// HideXattrs answers as if no file had extended attributes, which spares a request for nearly every look-up of an overlay on top.
	HideXattrs bool
}

type server struct {
	fd        int
	stop      int // an eventfd that becomes readable when all is to end
	img       *squashfs.Reader
	opt       Options
	noXattrs  bool
	noOpen    atomic.Bool
	noOpendir atomic.Bool
	dirs      dirCache
	ahead     ahead
	walk      walk
	failed    atomic.Pointer[error]
	once      sync.Once
	ended     atomic.Bool
	done      chan struct{} // closed at the end
	calls     chan struct{} // for help
}

// Serve answers the kernel's requests on fd, an open and mounted /dev/fuse, until the file system is unmounted everywhere (which is
// no error), or ctx ends (whose error it returns; the mount then gives ENOTCONN to its users), or the device fails. It closes
// fd in any case. It leaves no goroutine behind; img stays open.
func Serve(ctx context.Context, fd int, img *squashfs.Reader, opt Options) error {
	defer unix.Close(fd)
	if err := unix.SetNonblock(fd, true); err != nil {
		return fmt.Errorf("serve image: %w", err)
	}
	stop, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return fmt.Errorf("serve image: eventfd: %w", err)
	}
	defer unix.Close(stop)
	sb := img.Superblock()
	s := &server{fd: fd, stop: stop, img: img, opt: opt, noXattrs: opt.HideXattrs || !sb.HasXattrs(), ahead: newAhead(),
		calls: make(chan struct{}), done: make(chan struct{})}
	workers := opt.Workers
	if workers <= 0 {
		workers = min(max(runtime.GOMAXPROCS(0), 2), 8)
	}
	quit := context.AfterFunc(ctx, s.end)
	var group, ahead sync.WaitGroup
	for i := range workers {
		group.Go(func() {
			work := s.help
			if i == 0 {
				work = s.lead
			}
			if err := work(); err != nil {
				s.failed.CompareAndSwap(nil, &err)
			}
			s.end() // one that ends ends all
		})
	}
	for range max(1, workers/2) {
		ahead.Go(s.prefetch)
	}
	group.Wait()
	close(s.ahead.orders)
	ahead.Wait()
	if !quit() {
		return fmt.Errorf("serve image: %w", context.Cause(ctx))
	}
	if err := s.failed.Load(); err != nil {
		return fmt.Errorf("serve image: %w", *err)
	}
	return nil
}

// end wakes all workers for their last time; the eventfd is never read, so it stays readable. When it returns it has done so,
// whoever called it first.
func (s *server) end() {
	s.once.Do(func() {
		s.ended.Store(true)
		close(s.done)
		_, _ = unix.Write(s.stop, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	})
}

// worker is what one of the answering goroutines has for itself.
type worker struct {
	s      *server
	in     []byte
	out    []byte // the reply being made, with room for its header
	iov    [][]byte
	blocks []squashfs.Block // which iov is from
}

// inputSize is what the kernel wants a read of the device to have room for, given that there are no writes.
const inputSize = 16 << 10

// errUnmounted ends a worker in the regular way.
var errUnmounted = errors.New("unmounted")

// A request is usually answered before there is another, and each goroutine that is woken without need costs as much as the
// answer. So one of them leads: it alone waits for requests. It wakes another when it finds requests waiting time and
// again, or after one that took long, as from a slow disk; that one helps, and may wake more, until none waits.
const (
	helpAfter = 3                    // requests in a row that were waiting
	helpSlow  = time.Millisecond / 2 // what takes long
)

// lead answers requests until the end, which is a regular one with no error.
func (s *server) lead() (err error) {
	defer catch(&err)
	poll, err := s.newPoll()
	if err != nil {
		return err
	}
	defer unix.Close(poll)
	w := newWorker(s)
	var events [2]unix.EpollEvent
	for {
		if err := w.answerWaiting(); err != nil {
			return deviceError(err)
		}
		n, err := unix.EpollWait(poll, events[:], -1)
		if err != nil && err != unix.EINTR {
			return fmt.Errorf("/dev/fuse: %w", err)
		}
		for _, e := range events[:max(n, 0)] {
			if int(e.Fd) == s.stop {
				return nil
			}
		}
	}
}

// help answers requests whenever it is called, until the end.
func (s *server) help() (err error) {
	defer catch(&err)
	w := newWorker(s)
	for {
		select {
		case <-s.calls:
		case <-s.done:
			return nil
		}
		if err := w.answerWaiting(); err != nil {
			return deviceError(err)
		}
	}
}

func newWorker(s *server) *worker {
	return &worker{s: s, in: make([]byte, inputSize), out: make([]byte, outHeaderSize, 4096)}
}

func catch(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("panic: %v", p)
	}
}

func deviceError(err error) error {
	if err == errUnmounted {
		return nil
	}
	return fmt.Errorf("/dev/fuse: %w", err)
}

// answerWaiting answers the requests that wait until there are none, or the server ends.
func (w *worker) answerWaiting() error {
	var last time.Time
	for inARow := 0; !w.s.ended.Load(); inARow++ {
		n, err := unix.Read(w.s.fd, w.in)
		switch err {
		case nil:
		case unix.EAGAIN:
			return nil
		case unix.ENODEV:
			return errUnmounted
		case unix.EINTR, unix.ENOENT: // the request was interrupted before it was read
			continue
		default:
			return err
		}
		now := time.Now()
		if inARow >= helpAfter || inARow > 0 && now.Sub(last) > helpSlow {
			select {
			case w.s.calls <- struct{}{}:
			default: // all are busy
			}
		}
		last = now
		if err := w.answer(w.in[:n]); err != nil {
			return err
		}
	}
	return nil
}

// newPoll waits for requests and for the end.
func (s *server) newPoll() (int, error) {
	poll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("epoll: %w", err)
	}
	for fd, events := range map[int]uint32{s.fd: unix.EPOLLIN, s.stop: unix.EPOLLIN} {
		if err := unix.EpollCtl(poll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)}); err != nil {
			unix.Close(poll)
			return -1, fmt.Errorf("epoll: %w", err)
		}
	}
	return poll, nil
}

// answer handles one request. Its error is that of the device, not of the request.
func (w *worker) answer(b []byte) error {
	r, ok := parseRequest(b)
	if !ok {
		return fmt.Errorf("request of %d bytes is damaged", len(b))
	}
	switch r.op {
	case opForget, opBatchForget, opInterrupt: // no reply; nothing is remembered and nothing takes long
		return nil
	}
	w.out = w.out[:outHeaderSize]
	w.iov = append(w.iov[:0], nil)
	errno := w.handle(&r)
	err := w.reply(r.unique, errno)
	for _, b := range w.blocks {
		b.Release()
	}
	clear(w.blocks) // or the worker keeps what it answered with long after the cache has let go of it
	w.blocks = w.blocks[:0]
	clear(w.iov)
	return err
}

// reply writes what the worker has collected: out, and behind it the rest of iov.
func (w *worker) reply(unique uint64, errno unix.Errno) error {
	if errno != 0 {
		w.out, w.iov = w.out[:outHeaderSize], w.iov[:1]
	}
	w.iov[0] = w.out
	total := 0
	for _, b := range w.iov {
		total += len(b)
	}
	ne.PutUint32(w.out, uint32(total))
	ne.PutUint32(w.out[4:], uint32(-int32(errno)))
	ne.PutUint64(w.out[8:], unique)
	for {
		var err error
		if len(w.iov) == 1 {
			_, err = unix.Write(w.s.fd, w.out)
		} else {
			_, err = unix.Writev(w.s.fd, w.iov)
		}
		switch err {
		case unix.EINTR:
			continue
		case nil, unix.ENOENT: // the request was given up meanwhile
			return nil
		case unix.ENODEV:
			return errUnmounted
		}
		return err
	}
}
