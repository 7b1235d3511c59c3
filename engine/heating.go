package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"carrel/engine/image"
	"carrel/engine/sandbox"
	"carrel/engine/tree"
	"carrel/internal/scratch"
)

const (
	// hotAfter is how long an app runs before a copy is made: until then it has other uses for the processors.
	hotAfter = 8 * time.Second
	// hotAgain is within what time an image is used again that gets a copy for commands that run for a moment only.
	hotAgain = 24 * time.Hour
	// hotSoon is how long the making of such a copy waits for the command.
	hotSoon = 3 * time.Second
	// hotRetry is how long it is not tried again when no copy could be made.
	hotRetry = 7 * 24 * time.Hour
)

// heatOrder is what a worker is told that makes a copy.
type heatOrder struct {
	Image string `json:"image"`
	Dir   string `json:"dir"`
	Key   string `json:"key"`
	Limit int64  `json:"limit"`
	// Alone tells that nobody waits for the worker, which begins after a while.
	Alone bool `json:"alone,omitempty"`
}

// heatOrder is the order for the image of a container that profits from a copy and has none.
func (e *Engine) heatOrder(p *prepared) (o heatOrder, ok bool) {
	if e.c.User.UID == 0 || e.hotLimit() < 0 || p.hot || p.image.Kind == image.Sandbox || p.keeper != nil || len(p.config.IDs.UID) != 1 {
		return o, false
	}
	key, err := hotKey(p.image.Path)
	if err != nil || exists(filepath.Join(e.hotDir(), key)) {
		return o, false
	}
	o = heatOrder{Image: p.image.Path, Dir: e.hotDir(), Key: key, Limit: e.hotLimit()}
	st, err := os.Stat(o.Image)
	if err != nil || st.Size() > o.Limit || o.inVain() {
		return o, false
	}
	return o, true
}

// heatLater makes a copy of an image after a while, by a worker of low priority. It returns at once; stop ends what is not
// finished.
func (e *Engine) heatLater(ctx context.Context, p *prepared) (stop func()) {
	order, ok := e.heatOrder(p)
	if !ok {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		select {
		case <-ctx.Done():
			return
		case <-time.After(hotAfter):
		}
		// The thread has to live as long as the worker, which is told of its end (PR_SET_PDEATHSIG).
		idle()
		_ = runHeater(ctx, order) // without a copy the next start is as this one was
	}()
	return func() {
		cancel()
		<-finished
	}
}

// idle gives the calling goroutine a thread of its own, until its end, that gets what of processors and disks nobody else
// wants (sched(7), ioprio_set(2)), and so do the processes that it starts. Where that is refused, they cost more than they
// should.
func idle() {
	runtime.LockOSThread()
	_ = unix.Setpriority(unix.PRIO_PROCESS, 0, 19)
	_ = unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_IDLE, Nice: 19}, 0)
	const whoProcess, classIdle = 1, 3 << 13
	_, _, _ = unix.Syscall(unix.SYS_IOPRIO_SET, whoProcess, 0, classIdle)
}

func runHeater(ctx context.Context, order heatOrder) error {
	in, err := order.file()
	if err != nil {
		return err
	}
	defer in.Close()
	worker, err := sandbox.StartWorkerHere(ctx, sandbox.SingleID(0, 0), []string{workHeat}, in, nil, nil)
	if err != nil {
		return err
	}
	_, err = worker.Wait()
	return err
}

// file is the order as a worker gets it.
func (o heatOrder) file() (*os.File, error) {
	data, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer w.Close()
	if _, err := w.Write(data); err != nil { // much less than a pipe holds
		r.Close()
		return nil, err
	}
	return r, nil
}

// heatSoon has a copy of an image made by a worker that goes on when this process has ended: for commands that run for a
// moment only, but again and again. Nothing is said when it cannot be done.
func (e *Engine) heatSoon(p *prepared) {
	order, ok := e.heatOrder(p)
	if !ok {
		return
	}
	order.Alone = true
	if err := os.MkdirAll(order.Dir, 0o700); err != nil || freeBytes(order.Dir) < hotReserve {
		return
	}
	making, err := order.begin()
	if err != nil {
		return // another copy is being made
	}
	defer making.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		idle()
		in, err := order.file()
		if err != nil {
			return
		}
		defer in.Close()
		// The lock is the open file's: the worker has it as long as that is its standard output.
		_ = sandbox.StartDetached(sandbox.SingleID(0, 0), []string{workHeat}, in, making)
	}()
	<-done
}

// errBusy: another worker makes a copy.
var errBusy = errors.New("another copy is being made")

// begin takes the right to make a copy, which is given back when nobody has the file open any more.
func (o heatOrder) begin() (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(o.Dir, ".making"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, errBusy
	}
	return f, nil
}

// turn waits for the right to make a copy.
func (o heatOrder) turn(ctx context.Context) (*os.File, error) {
	for {
		f, err := o.begin()
		if !errors.Is(err, errBusy) {
			return f, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

func (o heatOrder) notPath() string { return filepath.Join(o.Dir, hotNot+o.Key) }

// inVain tells whether it was tried lately, under no lower limit.
func (o heatOrder) inVain() bool {
	st, err := os.Stat(o.notPath())
	if err != nil || time.Since(st.ModTime()) > hotRetry {
		return false
	}
	data, err := os.ReadFile(o.notPath())
	if err != nil {
		return false
	}
	limit, err := strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64)
	return err == nil && limit >= o.Limit
}

// heatWorker is the worker's side: it makes room, unpacks the image beside its place, and puts it there.
func heatWorker(ctx context.Context, in io.Reader) error {
	var o heatOrder
	if err := json.NewDecoder(in).Decode(&o); err != nil {
		return err
	}
	if o.Alone { // it has the right already; see heatSoon
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(hotSoon):
		}
	} else {
		if err := os.MkdirAll(o.Dir, 0o700); err != nil {
			return err
		}
		making, err := o.turn(ctx)
		if err != nil {
			return err
		}
		defer making.Close()
	}
	if exists(filepath.Join(o.Dir, o.Key)) || !exists(o.Image) {
		return nil
	}
	err := o.heat(ctx)
	if err != nil && ctx.Err() == nil {
		err = errors.Join(err, os.WriteFile(o.notPath(), fmt.Appendln(nil, o.Limit), 0o600))
	}
	return err
}

func (o heatOrder) heat(ctx context.Context) error {
	img, err := image.Open(o.Image)
	if err != nil {
		return err
	}
	defer img.Close()
	part, release, err := scratch.Folder(o.Dir, hotPart)
	if err != nil {
		return err
	}
	defer release()                                                          // nothing, when it got its name
	u, err := tree.Unpack(filepath.Join(part, "root"), tree.UnpackOptions{}) // with true modes: they are what containers see, and save
	if err != nil {
		return err
	}
	count := &sizer{sink: u, dir: o.Dir, limit: o.Limit}
	err = img.WriteTo(ctx, count)
	report, cerr := u.Close()
	if err := errors.Join(err, cerr); err != nil {
		return err
	}
	if report.Xattrs > 0 {
		return errXattrs
	}
	if err := coolDown(o.Dir, o.Limit-count.bytes); err != nil {
		return err
	}
	if key, err := hotKey(o.Image); err != nil || key != o.Key {
		return err // the image was changed meanwhile
	}
	if err := os.WriteFile(filepath.Join(part, "used"), fmt.Appendf(nil, "%d %s\n", count.bytes, o.Image), 0o600); err != nil {
		return err
	}
	return os.Rename(part, filepath.Join(o.Dir, o.Key))
}
