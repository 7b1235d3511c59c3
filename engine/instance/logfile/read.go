package logfile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"carrel/engine/instance/inotify"
)

const (
	chunkSize = 256 << 10
	maxBatch  = 2000 // lines handed over at once
)

// Options say which part of a log is wanted, and how long.
type Options struct {
	// Follow goes on with new lines until Ended says that there will be none.
	Follow bool
	// Tail is how many of the last lines there are are wanted; 0 for all.
	Tail int
	// Since leaves out lines not written after it; the zero time for all.
	Since time.Time
	// Ended tells whether everything has been written. It is asked after each change in the folder. Nil: never.
	Ended func() bool
	// Writer is the process that writes, whose end is waited for as well; 0 for none.
	Writer int
}

// Read hands the log of a folder over, oldest lines first, in batches that it does not use again. It returns nil at the
// end, the error of fn, or ctx's error. Lines that the log has dropped already, because it is bounded, are missing; where
// that happens while it is read, a remark says so. A folder without log has no lines.
func Read(ctx context.Context, dir string, o Options, fn func([]Line) error) error {
	r := &reader{dir: dir, fn: fn, buf: make([]byte, 0, chunkSize)}
	if !o.Since.IsZero() {
		r.since = o.Since.UTC().Format(timeLayout)
	}
	defer r.close()
	var w *waiter
	if o.Follow {
		w = newWaiter(dir, o.Writer)
		defer w.close()
	}
	if err := r.start(ctx, o.Tail); err != nil {
		return err
	}
	for {
		// Asked before the rest is read: what is written before the end is read in any case.
		ended := !o.Follow || o.Ended != nil && o.Ended()
		if err := r.rest(ctx); err != nil {
			return err
		}
		if ended {
			return r.flush()
		}
		if err := w.wait(ctx); err != nil {
			return err
		}
	}
}

// reader is a position in the log.
type reader struct {
	dir   string
	fn    func([]Line) error
	since string

	file  *os.File // nil: nothing was there
	buf   []byte   // read but not handed over: the beginning of a record
	batch []Line
	head  Line // what records without a time of their own take theirs from; without one where there is none
	old   bool // it was written before since
}

func (r *reader) close() {
	if r.file != nil {
		r.file.Close()
		r.file = nil
	}
}

// openPair opens both files as they are at one moment. Each may be nil.
func openPair(dir string) (older, newer *os.File, err error) {
	for {
		if newer, err = openIfThere(Path(dir)); err != nil {
			return nil, nil, err
		}
		if older, err = openIfThere(OlderPath(dir)); err != nil {
			closeFiles(newer)
			return nil, nil, err
		}
		if newer == nil || older == nil || !sameFile(newer, older) {
			if newer == nil && older != nil {
				if _, err := os.Stat(Path(dir)); err == nil { // made in between
					closeFiles(older)
					continue
				}
			}
			return older, newer, nil
		}
		closeFiles(older, newer) // rotated in between
	}
}

func openIfThere(name string) (*os.File, error) {
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read log: %w", err)
	}
	return f, nil
}

func closeFiles(files ...*os.File) {
	for _, f := range files {
		if f != nil {
			f.Close()
		}
	}
}

func sameFile(a, b *os.File) bool {
	as, err1 := a.Stat()
	bs, err2 := b.Stat()
	return err1 == nil && err2 == nil && os.SameFile(as, bs)
}

// start goes to the first wanted record.
func (r *reader) start(ctx context.Context, tail int) error {
	older, newer, err := openPair(r.dir)
	if err != nil {
		return err
	}
	r.file = newer
	if tail > 0 {
		left := tail
		if newer != nil {
			if left, err = seekTail(newer, tail); err != nil {
				closeFiles(older)
				return err
			}
		}
		if older != nil && left > 0 {
			_, err = seekTail(older, left)
			if err == nil {
				err = r.findHead(older)
			}
			if err != nil {
				closeFiles(older)
				return err
			}
		}
		if left == 0 {
			closeFiles(older)
			older = nil
		}
	}
	if older == nil {
		if newer != nil && tail > 0 {
			return r.findHead(newer)
		}
		return nil
	}
	r.file = older
	err = r.readOn(ctx)
	closeFiles(older)
	r.file, r.head, r.old = newer, Line{}, false
	return err
}

// findHead finds the record that the one at the present offset of a file takes its time from, where it has none of its own.
func (r *reader) findHead(f *os.File) error {
	r.head, r.old = Line{}, false
	at, err := f.Seek(0, io.SeekCurrent)
	if err != nil {
		return fmt.Errorf("read log: %w", err)
	}
	var first [1]byte
	if n, _ := f.ReadAt(first[:], at); n == 0 || first[0] != again {
		return nil
	}
	// Records without a time of their own are of one batch with one that has it.
	begin := max(0, at-2*maxRead-int64(prefixSize))
	piece := make([]byte, at-begin)
	if _, err := f.ReadAt(piece, begin); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read log: %w", err)
	}
	for end := len(piece); end > 0; {
		from := bytes.LastIndexByte(piece[:end-1], '\n') + 1
		if piece[from] != again {
			r.parse(piece[from : end-1])
			break
		}
		end = from
	}
	return nil
}

// seekTail moves a file to the beginning of its last n lines and returns how many are missing to n. The records of an
// unfinished line go with the one that ends it, and the last record of the file ends one in any case.
func seekTail(f *os.File, n int) (missing int, err error) {
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, fmt.Errorf("read log: %w", err)
	}
	buf := make([]byte, chunkSize)
	found, next := 0, size // lines, and where the last found record begins
	begins := func(at int64, whole bool) (enough bool) {
		if at == size || !whole && !isWhole(f, at) && next != size {
			next = at
			return false
		}
		if found == n {
			return true
		}
		found, next = found+1, at
		return false
	}
	for end := size; end > 0; {
		begin := max(0, end-chunkSize)
		piece := buf[:end-begin]
		if _, err := f.ReadAt(piece, begin); err != nil && !errors.Is(err, io.EOF) {
			return 0, fmt.Errorf("read log: %w", err)
		}
		for i := bytes.LastIndexByte(piece, '\n'); i >= 0; i = bytes.LastIndexByte(piece[:i], '\n') {
			at := begin + int64(i) + 1
			if begins(at, i+1 < len(piece) && piece[i+1] == again) {
				_, err := f.Seek(next, io.SeekStart)
				return 0, err
			}
		}
		end = begin
	}
	if size > 0 && begins(0, false) {
		_, err := f.Seek(next, io.SeekStart)
		return 0, err
	}
	_, err = f.Seek(0, io.SeekStart)
	return n - found, err
}

// isWhole tells whether the record that begins at an offset ends its line; a damaged one does.
func isWhole(f *os.File, at int64) bool {
	var rec [len(timeLayout) + 3]byte
	n, _ := f.ReadAt(rec[:], at)
	return n < len(rec) || rec[0] == again || rec[len(rec)-1] != '+'
}

// rest reads to the end of what is there now, from one file into the next where the log was rotated, and hands it over.
func (r *reader) rest(ctx context.Context) error {
	for {
		if r.file == nil {
			f, err := openIfThere(Path(r.dir))
			if err != nil || f == nil {
				return err
			}
			r.file = f
		}
		if err := r.readOn(ctx); err != nil {
			return err
		}
		older, newer, err := openPair(r.dir)
		if err != nil {
			return err
		}
		if newer == nil || sameFile(newer, r.file) {
			closeFiles(older, newer)
			return r.flush()
		}
		// Nothing is written to a file after its name has gone to another one: what it has now is all.
		if err := r.readOn(ctx); err != nil {
			closeFiles(older, newer)
			return err
		}
		next := newer
		if older != nil && !sameFile(older, r.file) {
			next, newer = older, nil // rotated twice or more
			r.batch = append(r.batch, Line{Time: time.Now(), Stream: Remark.String(), Text: "lines are missing here: the log grew faster than it was read"})
			closeFiles(newer)
		} else {
			closeFiles(older)
		}
		if len(r.buf) > 0 { // a record torn by the end of its writer
			r.line(r.buf)
			r.buf = r.buf[:0]
		}
		r.close()
		r.file, r.head, r.old = next, Line{}, false
	}
}

// readOn reads r.file to its present end.
func (r *reader) readOn(ctx context.Context) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if len(r.buf) == cap(r.buf) { // no record is this long: the file is damaged
			r.line(r.buf)
			r.buf = r.buf[:0]
		}
		n, err := r.file.Read(r.buf[len(r.buf):cap(r.buf)])
		r.buf = r.buf[:len(r.buf)+n]
		rest := r.buf
		for {
			rec, after, whole := bytes.Cut(rest, []byte("\n"))
			if !whole {
				break
			}
			r.line(rec)
			rest = after
			if len(r.batch) >= maxBatch {
				if err := r.flush(); err != nil {
					return err
				}
			}
		}
		r.buf = r.buf[:copy(r.buf, rest)]
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read log: %w", err)
		}
	}
}

func (r *reader) line(rec []byte) {
	var l Line
	if len(rec) > 0 && rec[0] == again && r.head.Stream != "" {
		l = r.head
		l.Text = string(rec[1:])
	} else {
		l = r.parse(rec)
	}
	if !r.old {
		r.batch = append(r.batch, l)
	}
}

// parse reads a record with a time of its own, and keeps that for those without.
func (r *reader) parse(rec []byte) Line {
	l := parse(rec)
	r.head, r.old = Line{}, r.since != "" && before(rec, r.since)
	if !l.Time.IsZero() {
		r.head = Line{Time: l.Time, Stream: l.Stream}
	}
	return l
}

func (r *reader) flush() error {
	if len(r.batch) == 0 {
		return nil
	}
	batch := r.batch
	r.batch = nil
	return r.fn(batch)
}

// waiter waits for the log, or the state of whoever writes it, to change.
type waiter struct {
	watch *inotify.Watcher // nil: there is none to be had, look once a second
	dir   string
	log   int
	pidfd int // -1: none
}

func newWaiter(dir string, writer int) *waiter {
	w := &waiter{dir: dir, log: -1, pidfd: -1}
	if writer > 0 {
		if fd, err := unix.PidfdOpen(writer, 0); err == nil {
			w.pidfd = fd
		}
	}
	watch, err := inotify.New()
	if err != nil {
		return w
	}
	// The folder for renames only (rotation, state files, which are replaced); the file for what is written to it.
	if _, err := watch.Add(dir, unix.IN_MOVED_TO|unix.IN_CREATE|unix.IN_DELETE_SELF|unix.IN_MOVE_SELF); err != nil {
		watch.Close()
		return w
	}
	w.watch = watch
	w.renew()
	return w
}

// renew watches the file that is called log now.
func (w *waiter) renew() {
	if wd, err := w.watch.Add(Path(w.dir), unix.IN_MODIFY); err == nil {
		if w.log >= 0 && wd != w.log {
			w.watch.Remove(w.log)
		}
		w.log = wd
	}
}

func (w *waiter) wait(ctx context.Context) error {
	if w.watch == nil {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
			return nil
		}
	}
	var further []int
	if w.pidfd >= 0 {
		further = append(further, w.pidfd)
	}
	timeout := time.Duration(-1)
	if w.pidfd < 0 {
		// The writer is gone, and still nobody says that this is the end; or it is one of another machine, of whose writing
		// the kernel tells nothing here (inotify(7), network file systems).
		timeout = time.Second
	}
	events, err := w.watch.Wait(ctx, timeout, further...)
	if err != nil {
		return err
	}
	if w.pidfd >= 0 {
		if n, err := unix.Poll([]unix.PollFd{{Fd: int32(w.pidfd), Events: unix.POLLIN}}, 0); n > 0 && err == nil {
			_ = unix.Close(w.pidfd) // it would be readable for good
			w.pidfd = -1
		}
	}
	for _, e := range events {
		if e.Watch != w.log {
			w.renew()
			break
		}
	}
	return nil
}

func (w *waiter) close() {
	if w.watch != nil {
		w.watch.Close()
	}
	if w.pidfd >= 0 {
		_ = unix.Close(w.pidfd)
	}
}
