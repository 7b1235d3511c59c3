package torture

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"carrel/internal/faultdisk"
)

// faults are the ways in which a disk fails. Those that a cleaning up can meet as well leave hidden parts for the next command.
var faults = []struct {
	op    string
	errno syscall.Errno
	again bool
	tidy  bool
}{
	{faultdisk.Write, unix.EDQUOT, true, true}, {faultdisk.Write, unix.ENOSPC, true, true}, {faultdisk.Write, unix.EIO, false, true}, {faultdisk.Write, unix.EINTR, false, true},
	{faultdisk.Short, unix.EINTR, false, true}, {faultdisk.Short, unix.EINTR, true, true},
	{faultdisk.Read, unix.EIO, false, true}, {faultdisk.Read, unix.ESTALE, true, true},
	{faultdisk.Close, unix.EDQUOT, false, true}, {faultdisk.Close, unix.EIO, true, true},
	{faultdisk.Sync, unix.EIO, false, true}, {faultdisk.Sync, unix.EDQUOT, true, true},
	{faultdisk.Create, unix.EDQUOT, true, true}, {faultdisk.Create, unix.ESTALE, false, true},
	{faultdisk.Open, unix.ESTALE, false, true}, {faultdisk.Open, unix.EIO, true, false},
	{faultdisk.MakeDir, unix.EDQUOT, true, true}, {faultdisk.MakeDir, unix.EIO, false, true},
	{faultdisk.Rename, unix.EIO, true, true}, {faultdisk.Rename, unix.EDQUOT, false, true},
	{faultdisk.Link, unix.EMLINK, true, true}, {faultdisk.Symlink, unix.EDQUOT, true, true},
	{faultdisk.Change, unix.EDQUOT, false, true}, {faultdisk.Change, unix.EPERM, true, true},
	{faultdisk.Allocate, unix.EOPNOTSUPP, true, true}, {faultdisk.Allocate, unix.ENOSPC, false, true},
	{faultdisk.List, unix.EIO, false, false}, {faultdisk.Look, unix.ESTALE, false, false}, {faultdisk.Look, unix.EIO, true, false},
}

// fewFaults is how many faults of a disk a usual test makes, other ones each time.
const fewFaults = 16

// TestDisk has a disk fail in the middle of everything that writes something, at the home folder, at the folder of images and
// at the one for temporary files: one operation, or all from then on. The call gives a sentence or succeeds after all.
func TestDisk(t *testing.T) {
	wanted := int(number(t, killsVariable, fewFaults))
	seed := number(t, seedVariable, uint64(time.Now().UnixNano()))
	r := rand.New(rand.NewPCG(seed, 1))
	t.Logf("seed %d", seed)
	l := newLab(t)
	l.base()
	var d faultdisk.Disk
	d.On(t, l.home, l.target, l.tmp)
	works := l.works()
	counts := map[*work]map[string]int{}
	hit, told, wrong := 0, 0, 0
	for i := 0; hit < wanted; i++ {
		if i%len(works) == 0 {
			r.Shuffle(len(works), func(i, j int) { works[i], works[j] = works[j], works[i] })
		}
		w := works[i%len(works)]
		if counts[w] == nil {
			if w.prepare != nil {
				w.prepare(0)
			}
			d.Fail("", 0, false, 0)
			if res := l.call(w.args(0)...); res.status != 0 {
				t.Fatalf("%s does not work on such a disk at all:\n%s", w.name, res.text)
			}
			counts[w], _ = d.Counts()
			l.call("stop", "--all", "--time", "1s")
		}
		f := faults[r.IntN(len(faults))]
		if counts[w][f.op] == 0 {
			continue
		}
		nth := 1 + r.IntN(counts[w][f.op])
		if w.prepare != nil {
			w.prepare(i + 1)
		}
		d.Fail(f.op, nth, f.again, f.errno)
		res := l.call(w.args(i + 1)...)
		_, hits := d.Counts()
		if w.background {
			l.call("stop", "--all", "--time", "1s")
		}
		d.Fail("", 0, false, 0)
		var bad []string
		if hits == 0 {
			continue // the call had another course
		}
		hit++
		// The file of a program that is running cannot be read: the kernel ends it (mmap(2)).
		bus := f.op == faultdisk.Read && (res.status == 128+int(unix.SIGBUS) || strings.Contains(strings.ToLower(res.text), "bus error"))
		if bus {
			told++
		} else if res.status == 255 {
			told++
			text := strings.ToLower(res.text)
			// An overlay whose work folder cannot be made is read-only: the kernel says no more than that.
			if f.tidy && !strings.Contains(text, f.errno.Error()) && !strings.Contains(text, unix.EROFS.Error()) { // glibc begins it with a capital
				bad = append(bad, "it does not say what is wrong")
			}
		} else if res.status < 0 || res.status > 127 {
			bad = append(bad, fmt.Sprintf("status %d", res.status))
		}
		bad = append(bad, l.aftermath(w, i+1, res.status == 0, f.tidy, res.text)...)
		if len(bad) > 0 {
			wrong++
			if !strings.Contains(bad[len(bad)-1], "it said: ") {
				bad = append(bad, "it said: "+res.text)
			}
			t.Errorf("%s, %s number %d fails with %v (those after it: %v):\n%s", w.name, f.op, nth, f.errno, f.again, strings.Join(bad, "\n"))
		}
	}
	t.Logf("%d faults, of which the calls told %d and overcame the others; after %d something was wrong", hit, told, wrong)
}
