package sif

import (
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// writebackStep is how many bytes are written before the disk is told to begin with them.
const writebackStep = 16 << 20

// writeback is a file whose bytes begin their way to the disk while further ones are written (sync_file_range(2)), so that
// little is left to wait for when it is flushed at the end. It is only a hint: failures show at the flush.
type writeback struct {
	resizable
	fd      int // negative: not a file
	started int64
	group   sync.WaitGroup
	busy    chan struct{} // has an element while the disk is told
}

func startWriteback(f resizable) *writeback {
	w := &writeback{resizable: f, fd: -1, busy: make(chan struct{}, 1)}
	if file, ok := f.(*os.File); ok {
		w.fd = int(file.Fd())
	}
	return w
}

// WriteAt is io.WriterAt's. Only one goroutine may call it at a time.
func (w *writeback) WriteAt(p []byte, off int64) (int, error) {
	n, err := w.resizable.WriteAt(p, off)
	if w.fd < 0 || off+int64(n)-w.started < writebackStep {
		return n, err
	}
	select {
	case w.busy <- struct{}{}:
		from, size := w.started, off+int64(n)-w.started
		w.started += size
		w.group.Go(func() {
			_ = unix.SyncFileRange(w.fd, from, size, unix.SYNC_FILE_RANGE_WRITE)
			<-w.busy
		})
	default: // the disk has enough to do
	}
	return n, err
}

// wait returns when nothing uses the file any more.
func (w *writeback) wait() { w.group.Wait() }
