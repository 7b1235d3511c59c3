package logfile

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"
)

// TestFlood has a program write much more than a log may hold, as fast as it can: the files stay within their bound all the
// time, and what they hold in the end is exactly the last of it.
func TestFlood(t *testing.T) {
	const size, much = 2 << 20, 24 << 20
	for _, tc := range []struct {
		name string
		line func([]byte, int) []byte
	}{
		{"short lines", func(b []byte, n int) []byte { return append(strconv.AppendInt(b, int64(n%10), 10), '\n') }},
		{"numbered lines", func(b []byte, n int) []byte {
			return append(strconv.AppendInt(append(b, "a line of a log, as programs write them: "...), int64(n), 10), '\n')
		}},
		{"long lines", func(b []byte, n int) []byte {
			return append(append(strconv.AppendInt(b, int64(n), 10), bytes.Repeat([]byte(" x"), 5<<10)...), '\n')
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			w, err := Open(dir, size)
			if err != nil {
				t.Fatal(err)
			}
			defer w.Close()
			r, p := outputPipe(t)
			var last []byte // what was written, at least as much as the log may hold
			var all sync.WaitGroup
			all.Go(func() {
				defer p.Close()
				for n, written := 0, 0; written < much; {
					piece := make([]byte, 0, 80<<10)
					for ; len(piece) < 64<<10; n++ {
						piece = tc.line(piece, n)
					}
					if _, err := p.Write(piece); err != nil {
						t.Error(err)
						return
					}
					written += len(piece)
					if last = append(last, piece...); len(last) > 4*size {
						last = append(last[:0], last[len(last)-2*size:]...)
					}
				}
			})
			ended, most := make(chan struct{}), int64(0)
			all.Go(func() {
				for {
					most = max(most, sizeOf(Path(dir))+sizeOf(OlderPath(dir)))
					select {
					case <-ended:
						return
					case <-time.After(time.Millisecond):
					}
				}
			})
			if err := w.Copy(Out, r, nil); err != nil {
				t.Error(err)
			}
			close(ended)
			all.Wait()
			// The two names are looked at one after the other, and a file may be renamed in between: it is counted twice then.
			if most > size+size/2 {
				t.Errorf("the log took %d bytes, allowed are %d", most, size)
			}
			lines := readAll(t, dir, Options{})
			got := bytesOf(lines, "out")
			if len(got) < size/4 {
				t.Errorf("only %d bytes are kept", len(got))
			}
			if !bytes.HasSuffix(last, got) {
				t.Errorf("what is kept is not the end of what was written; it ends with %.60q", got[max(0, len(got)-60):])
			}
			for i, l := range lines {
				if l.Time.IsZero() || l.Stream != "out" || l.Partial {
					t.Fatalf("line %d of %d: %+v", i, len(lines), l)
				}
			}
		})
	}
}

func sizeOf(name string) int64 {
	st, err := os.Stat(name)
	if err != nil {
		return 0
	}
	return st.Size()
}

// TestTailOfABatch: lines that came together have one time in the file, and each has it when they are read, whichever is the
// first that is asked for.
func TestTailOfABatch(t *testing.T) {
	dir := t.TempDir()
	w, err := Open(dir, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	w.Remark("before")
	r, p := outputPipe(t)
	fmt.Fprint(p, "1\n\n 3\n2026-11-22T10:40:19.123456789Z o. 4\n5")
	p.Close()
	if err := w.Copy(Err, r, nil); err != nil {
		t.Fatal(err)
	}
	all := readAll(t, dir, Options{})
	if len(all) != 6 || all[1].Time.IsZero() {
		t.Fatalf("read %+v", all)
	}
	for n := 1; n <= len(all); n++ {
		got := readAll(t, dir, Options{Tail: n})
		if fmt.Sprint(got) != fmt.Sprint(all[len(all)-n:]) {
			t.Errorf("the last %d: %+v, want %+v", n, got, all[len(all)-n:])
		}
	}
	if got := readAll(t, dir, Options{Since: all[1].Time.Add(-1)}); len(got) < 5 {
		t.Errorf("since the batch: %+v", got)
	}
	if got := readAll(t, dir, Options{Since: all[5].Time}); len(got) != 0 {
		t.Errorf("since after it: %+v", got)
	}
}

// FuzzCopy: whatever a program writes, and in whatever pieces, is read back as it was, from any line on.
func FuzzCopy(f *testing.F) {
	f.Add([]byte("one\ntwo\n\n\nfive"), uint16(3), uint8(2))
	f.Add(bytes.Repeat([]byte("y\n"), 2000), uint16(700), uint8(200))
	f.Add([]byte("2026-11-22T10:40:19.123456789Z o+ x\n y\n"), uint16(1), uint8(1))
	f.Fuzz(func(t *testing.T, data []byte, piece uint16, tail uint8) {
		dir := t.TempDir()
		w, err := Open(dir, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		buf := []byte{}
		for rest := data; len(rest) > 0; {
			n := min(len(rest), int(piece)+1)
			buf = w.take(Out, append(buf, rest[:n]...), n%2 == 0, nil)
			rest = rest[n:]
		}
		if len(buf) > 0 {
			w.take(Out, w.take(Out, buf, false, nil), true, nil)
		}
		all := readAll(t, dir, Options{})
		got := bytesOf(all, "out")
		if !bytes.Equal(got, data) {
			t.Errorf("%q became %q", data, got)
		}
		if tail == 0 {
			return
		}
		last := readAll(t, dir, Options{Tail: int(tail)})
		if len(last) > len(all) || fmt.Sprint(last) != fmt.Sprint(all[len(all)-len(last):]) {
			t.Errorf("the last %d lines of %q: %+v", tail, data, last)
		}
	})
}
