package logfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"
)

const (
	// DefaultSize bounds both files of a log together, in bytes.
	DefaultSize = 64 << 20
	// patience is how long an unfinished line is kept back for its rest.
	patience = 50 * time.Millisecond
	// readSize is how much of a stream is read at once, maxRead while the program writes faster than it is read.
	readSize  = 64 << 10
	maxRead   = 512 << 10
	minHalf   = 4 << 10
	nameLog   = "log"
	nameOlder = "log.1"
)

// Path is the newer file of the log in a folder.
func Path(dir string) string { return filepath.Join(dir, nameLog) }

// OlderPath is the older file of the log in a folder, once there is one.
func OlderPath(dir string) string { return filepath.Join(dir, nameOlder) }

// Writer writes the log of a folder. Its methods may be called from several goroutines.
type Writer struct {
	dir  string
	half int64

	mu    sync.Mutex
	file  *os.File
	size  int64
	buf   []byte
	stamp []byte
	lost  int64 // bytes that the disk did not take
	cause error
	told  int // length of the remark about them at the beginning of buf
}

// Open continues or begins the log of a folder, of at most size bytes in both files together; 0 is DefaultSize. The caller
// closes it.
func Open(dir string, size int64) (*Writer, error) {
	if size <= 0 {
		size = DefaultSize
	}
	w := &Writer{dir: dir, half: max(size/2, minHalf)}
	if err := w.open(); err != nil {
		return nil, err
	}
	return w, nil
}

func (w *Writer) open() error {
	f, err := os.OpenFile(Path(w.dir), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	st, err := f.Stat()
	if err != nil {
		f.Close()
		return fmt.Errorf("open log: %w", err)
	}
	w.file, w.size = f, st.Size()
	return nil
}

// Close closes the file; what is written later is lost.
func (w *Writer) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.file == nil {
		return nil
	}
	err := w.file.Close()
	w.file = nil
	return err
}

// Move lets move take the folder of the log somewhere else, and goes on there.
func (w *Writer) Move(dir string, move func() error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := move(); err != nil {
		return err
	}
	w.dir = dir
	return nil
}

// Remark writes lines of our own.
func (w *Writer) Remark(text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.begin()
	for line := range bytes.Lines([]byte(text)) {
		w.add(Remark, bytes.TrimSuffix(line, []byte("\n")), true)
	}
	w.flush()
}

// Copy reads a stream to its end and writes it as records. The stream is read on whatever happens to the disk, so that
// the program never waits for it. seen, when not nil, is given each piece as it comes, whole lines where there are any, and
// must not keep it. from needs SetReadDeadline where unfinished lines are to appear before their end.
func (w *Writer) Copy(s Stream, from *os.File, seen func([]byte)) error {
	// Even when each line is empty and so becomes twice as long, what is read at once has to fit into a file.
	most := max(int(min(w.half/2, maxRead)), minHalf/2)
	small := min(readSize, most)
	buf := make([]byte, 0, small)
	for {
		held := len(buf)
		n, err := from.Read(buf[held:cap(buf)])
		buf = buf[:held+n]
		switch {
		case err != nil && errors.Is(err, os.ErrDeadlineExceeded):
			buf = w.take(s, buf, true, seen) // nothing more came
		case err != nil:
			buf = w.take(s, buf, false, seen)
			w.take(s, buf, true, seen)
			if errors.Is(err, io.EOF) || errors.Is(err, os.ErrClosed) {
				return nil
			}
			return fmt.Errorf("read the program's output: %w", err)
		default:
			full := len(buf) == cap(buf)
			buf = w.take(s, buf, full && cap(buf) == most, seen)
			switch {
			case full && cap(buf) < most:
				buf = append(make([]byte, 0, min(2*cap(buf), most)), buf...)
			case held+n <= small/4 && cap(buf) > small: // the flood is over
				buf = append(make([]byte, 0, small), buf...)
				w.shrink()
			}
		}
		// An unfinished line waits for its rest, but not for long: it may be a question, or a progress bar.
		var until time.Time
		switch begun := held == 0 || len(buf) < held+n; {
		case len(buf) > 0 && begun:
			until = time.Now().Add(patience)
		case len(buf) > 0 || held == 0:
			continue // the deadline stands, or none was set
		}
		if err := from.SetReadDeadline(until); err != nil && len(buf) > 0 {
			buf = w.take(s, buf, true, seen)
		}
	}
}

// take writes the whole lines of data, and with all the unfinished one as well, and returns what is left, moved to the
// beginning of data.
func (w *Writer) take(s Stream, data []byte, all bool, seen func([]byte)) []byte {
	end := bytes.LastIndexByte(data, '\n') + 1
	if all && end == 0 {
		end = len(data)
	}
	if end == 0 {
		return data
	}
	if seen != nil {
		seen(data[:end])
	}
	w.mu.Lock()
	w.begin()
	for rest := data[:end]; len(rest) > 0; {
		line, after, whole := bytes.Cut(rest, []byte("\n"))
		w.add(s, line, whole)
		rest = after
		if whole && rest != nil && data[end-1] == '\n' {
			w.buf, rest = appendAgain(w.buf, rest)
		}
	}
	w.flush()
	w.mu.Unlock()
	return data[:copy(data, data[end:])]
}

// shrink gives back what a flood needed.
func (w *Writer) shrink() {
	w.mu.Lock()
	w.buf = nil
	w.mu.Unlock()
}

// begin starts a batch of records: they share one time.
func (w *Writer) begin() {
	w.stamp = time.Now().UTC().AppendFormat(w.stamp[:0], timeLayout)
	w.buf, w.told = w.buf[:0], 0
	if w.lost > 0 {
		w.buf = appendPrefix(w.buf, w.stamp, Remark, true)
		w.buf = fmt.Appendf(w.buf, "%d bytes of this log are missing here: %v\n", w.lost, w.cause)
		w.told = len(w.buf)
	}
}

func (w *Writer) add(s Stream, text []byte, whole bool) {
	for len(text) > maxText {
		w.buf = appendPrefix(w.buf, w.stamp, s, false)
		w.buf = append(append(w.buf, text[:maxText]...), '\n')
		text = text[maxText:]
	}
	w.buf = appendPrefix(w.buf, w.stamp, s, whole)
	w.buf = append(append(w.buf, text...), '\n')
}

// flush writes the batch in one call. What the disk refuses is counted, and the file left without a torn record.
func (w *Writer) flush() {
	if w.file == nil {
		if err := w.open(); err != nil {
			w.lose(err)
			return
		}
	}
	if w.size > 0 && w.size+int64(len(w.buf)) > w.half {
		if err := w.rotate(); err != nil {
			w.lose(err)
			return
		}
	}
	n, err := w.file.Write(w.buf)
	if err == nil {
		w.size += int64(n)
		w.lost, w.cause = 0, nil
		return
	}
	if n > 0 && w.file.Truncate(w.size) != nil {
		w.size += int64(n)
	}
	w.lose(err)
}

func (w *Writer) lose(err error) {
	w.lost += int64(len(w.buf) - w.told)
	if pe, ok := errors.AsType[*os.PathError](err); ok {
		err = pe.Err
	}
	w.cause = err
}

// rotate makes the file the older one and begins a new one.
func (w *Writer) rotate() error {
	// Not replaced by the renaming: ext4 would then write all of the new one to the disk first (ext4(5), auto_da_alloc).
	if err := os.Remove(OlderPath(w.dir)); err != nil && !os.IsNotExist(err) {
		return err
	}
	if err := os.Rename(Path(w.dir), OlderPath(w.dir)); err != nil && !os.IsNotExist(err) {
		return err
	}
	old := w.file
	w.file = nil
	_ = old.Close() // a log is not worth an fsync, and there is nobody to tell
	return w.open()
}
