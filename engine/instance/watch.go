package instance

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"carrel/engine/instance/inotify"
	"carrel/engine/instance/logfile"
)

// settle is how long changes are collected before they are told: an instance changes its state several times in a row.
const settle = 20 * time.Millisecond

// Watch tells when List would return something new: something was started, changed its state, or was removed. The channel
// holds one unread notice; it is closed when ctx ends. Deaths of supervisors are noticed as well. The root is made if need
// be. Where the user's inotify instances are used up a notice comes every second.
func Watch(ctx context.Context, root string) (<-chan struct{}, error) {
	if err := os.MkdirAll(root, 0o700); err != nil {
		return nil, fmt.Errorf("watch running apps: %w", err)
	}
	changes := make(chan struct{}, 1)
	tell := func() {
		select {
		case changes <- struct{}{}:
		default:
		}
	}
	w, err := inotify.New()
	if err != nil {
		go func() {
			defer close(changes)
			tick := time.NewTicker(time.Second)
			defer tick.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
					tell()
				}
			}
		}()
		return changes, nil
	}
	if _, err := w.Add(root, unix.IN_CREATE|unix.IN_DELETE|unix.IN_MOVED_TO|unix.IN_MOVED_FROM|unix.IN_ONLYDIR); err != nil {
		w.Close()
		return nil, err
	}
	s := &rootWatch{root: root, w: w, pidfds: map[string]supervisorFD{}}
	s.renew()
	go func() {
		defer close(changes)
		defer s.close()
		for {
			changed, err := s.wait(ctx)
			if err != nil {
				return
			}
			if changed {
				tell()
			}
		}
	}()
	return changes, nil
}

// farLook is how often instances of other machines are looked at, of whose changes the kernel tells nothing here.
const farLook = 5 * time.Second

// rootWatch watches the root, the state files below it, and the supervisors.
type rootWatch struct {
	root   string
	far    bool // there are some of other machines that run
	w      *inotify.Watcher
	pidfds map[string]supervisorFD
}

type supervisorFD struct{ pid, fd int }

// renew watches the folders and supervisors there are now. Watching a folder again changes nothing.
func (s *rootWatch) renew() {
	here := thisMachine()
	entries, _ := os.ReadDir(s.root)
	there := map[string]bool{}
	s.far = false
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") || !e.IsDir() {
			continue
		}
		dir := filepath.Join(s.root, e.Name())
		if _, err := s.w.Add(dir, unix.IN_MOVED_TO|unix.IN_CLOSE_WRITE|unix.IN_ONLYDIR); err != nil {
			continue
		}
		there[e.Name()] = true
		r, err := readRecord(dir)
		old, known := s.pidfds[e.Name()]
		if known && (err != nil || old.pid != r.PID || !r.State.Live()) {
			_ = unix.Close(old.fd)
			delete(s.pidfds, e.Name())
			known = false
		}
		s.far = s.far || err == nil && r.State.Live() && !r.Machine.sameAs(here)
		if err == nil && !known && r.State.Live() && r.Machine.Boot == here.Boot && r.Machine.Space == here.Space && alive(r.PID, r.Start) {
			if fd, err := unix.PidfdOpen(r.PID, 0); err == nil {
				s.pidfds[e.Name()] = supervisorFD{r.PID, fd}
			}
		}
	}
	for name, p := range s.pidfds {
		if !there[name] {
			_ = unix.Close(p.fd)
			delete(s.pidfds, name)
		}
	}
}

func (s *rootWatch) wait(ctx context.Context) (changed bool, err error) {
	var fds []int
	for _, p := range s.pidfds {
		fds = append(fds, p.fd)
	}
	timeout := time.Duration(-1)
	if s.far {
		timeout = farLook
	}
	events, err := s.w.Wait(ctx, timeout, fds...)
	if err != nil {
		return false, err
	}
	changed = s.far && len(events) == 0
	for name, p := range s.pidfds {
		if n, err := unix.Poll([]unix.PollFd{{Fd: int32(p.fd), Events: unix.POLLIN}}, 0); n > 0 && err == nil {
			_ = unix.Close(p.fd)
			delete(s.pidfds, name)
			changed = true
		}
	}
	for _, e := range events {
		// A log that is rotated moves files too.
		if e.Name == "" || e.Name == stateFile || !strings.HasPrefix(e.Name, "log") {
			changed = true
		}
	}
	if !changed {
		return false, nil
	}
	select {
	case <-ctx.Done():
		return false, ctx.Err()
	case <-time.After(settle):
	}
	s.renew()
	return true, nil
}

func (s *rootWatch) close() {
	s.w.Close()
	for _, p := range s.pidfds {
		_ = unix.Close(p.fd)
	}
}

// Wait waits until the instance of a folder has ended, and returns it: exited or lost.
func Wait(ctx context.Context, dir string) (Instance, error) {
	// Under its descriptor the folder is found also when the instance is renamed meanwhile.
	held, err := os.Open(dir)
	if errors.Is(err, unix.ENOENT) {
		return Instance{}, fmt.Errorf("wait for %s: %w", filepath.Base(dir), ErrNotFound)
	}
	if err != nil {
		return Instance{}, fmt.Errorf("wait for %s: %w", filepath.Base(dir), err)
	}
	defer held.Close()
	name, root := filepath.Base(dir), filepath.Dir(dir)
	dir = "/proc/self/fd/" + strconv.Itoa(int(held.Fd()))
	w, err := inotify.New()
	if err != nil {
		w = nil
	} else {
		defer w.Close()
		if _, err := w.Add(dir, unix.IN_MOVED_TO|unix.IN_CLOSE_WRITE|unix.IN_ONLYDIR); err != nil {
			return Instance{}, fmt.Errorf("wait for %s: %w", name, err)
		}
	}
	for {
		in, r, err := load(dir, thisMachine())
		if err != nil {
			return in, fmt.Errorf("wait for %s: %w", name, err)
		}
		in.Name, in.Dir = r.Name, filepath.Join(root, r.Name)
		in.LogFile = logfile.Path(in.Dir)
		if !in.State.Live() {
			return in, nil
		}
		if err := waitOnce(ctx, w, in); err != nil {
			return in, err
		}
	}
}

// waitOnce waits until the state of an instance may have changed.
func waitOnce(ctx context.Context, w *inotify.Watcher, in Instance) error {
	timeout := time.Duration(-1)
	var fds []int
	if fd, err := unix.PidfdOpen(in.PID, 0); err == nil && in.Elsewhere == "" {
		defer unix.Close(fd)
		fds = append(fds, fd)
	} else {
		timeout = time.Second // its end cannot be waited for
	}
	if w == nil {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
			return nil
		}
	}
	_, err := w.Wait(ctx, timeout, fds...)
	return err
}
