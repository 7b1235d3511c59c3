package build

import (
	"context"
	"errors"
	"path"
	"path/filepath"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"carrel/engine/instance/inotify"
)

// reads learns which of the files that lie in a stage's tree are opened by what runs there. It watches their folders
// (inotify(7)); times of access would not do, because copy_file_range(2), by which cat and cp read, does not set them on
// an overlay.
type reads struct {
	stage   *stage
	watcher *inotify.Watcher
	cancel  context.CancelFunc
	done    sync.WaitGroup

	folders map[int]string
	before  map[string]syscall.Stat_t // by path
	opened  map[string]bool
	lost    bool // events are missing
}

// watchReads begins to watch the regular files of a stage before something runs in it.
func watchReads(s *stage, d *treeDigest) *reads {
	r := &reads{stage: s, folders: map[int]string{}, before: map[string]syscall.Stat_t{}, opened: map[string]bool{}}
	var err error
	if r.watcher, err = inotify.New(); err != nil {
		r.lost = true
		return r
	}
	known := map[string]bool{}
	for p := range d.files {
		if st, err := lstat(filepath.Join(s.upper(), p)); err == nil && st.Nlink == 1 {
			r.before[p] = *st
		}
		dir := path.Dir(p)
		if known[dir] || r.lost {
			continue
		}
		known[dir] = true
		wd, err := r.watcher.Add(filepath.Join(s.root, dir), unix.IN_OPEN|unix.IN_ONLYDIR)
		if err != nil { // too many, most likely
			r.lost = true
		}
		r.folders[wd] = dir
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	r.done.Go(func() {
		for {
			events, err := r.watcher.Wait(ctx, -1)
			if err != nil {
				r.lost = r.lost || !errors.Is(err, context.Canceled)
				return
			}
			r.note(events)
		}
	})
	return r
}

func (r *reads) note(events []inotify.Event) {
	for _, e := range events {
		if e.Mask&unix.IN_Q_OVERFLOW != 0 {
			r.lost = true
		}
		if e.Name != "" {
			r.opened[path.Join(r.folders[e.Watch], e.Name)] = true
		}
	}
}

// stop ends the watching and returns the files that were neither opened nor changed.
func (r *reads) stop() map[string]bool {
	if r.watcher != nil {
		r.cancel()
		r.done.Wait()
		// What the kernel has still queued: nothing runs any more, so this returns at once.
		if events, err := r.watcher.Wait(context.Background(), 0); err == nil {
			r.note(events)
		} else {
			r.lost = true
		}
		r.watcher.Close()
	}
	unread := map[string]bool{}
	if r.lost {
		return unread
	}
	for p, before := range r.before {
		now, err := lstat(filepath.Join(r.stage.upper(), p))
		if err == nil && !r.opened[p] && now.Ino == before.Ino && now.Ctim == before.Ctim {
			unread[p] = true
		}
	}
	return unread
}
