package logfile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// outputPipe is a pipe whose read end knows deadlines.
func outputPipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return r, w
}

// readAll is what a log holds now.
func readAll(t *testing.T, dir string, o Options) []Line {
	t.Helper()
	var all []Line
	err := Read(context.Background(), dir, o, func(batch []Line) error {
		all = append(all, batch...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// bytesOf puts a stream together again.
func bytesOf(lines []Line, stream string) []byte {
	var b bytes.Buffer
	for _, l := range lines {
		if l.Stream == stream {
			b.WriteString(l.Text)
			if !l.Partial {
				b.WriteByte('\n')
			}
		}
	}
	return b.Bytes()
}

func TestExactBytes(t *testing.T) {
	random := make([]byte, 300<<10)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range random {
		random[i] = byte(r.Uint32())
	}
	for _, tc := range []struct {
		name string
		data []byte
	}{
		{"nothing", nil},
		{"lines", []byte("one\ntwo\n\nfour\n")},
		{"no line feed at the end", []byte("one\ntwo")},
		{"only line feeds", []byte("\n\n\n")},
		{"progress bar", []byte("\r 10%\r 20%\r100%\ndone\n")},
		{"binary", random},
		{"a line longer than a record", append(bytes.Repeat([]byte("x"), 3*maxText+17), '\n')},
		{"looks like a record", []byte("2026-11-22T10:40:19.123456789Z o. text\n")},
		{"many lines", []byte(strings.Repeat("a line of a log that is like any other\n", 10_000))},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			w, err := Open(dir, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer w.Close()
			r, p := outputPipe(t)
			go func() {
				p.Write(tc.data)
				p.Close()
			}()
			var seen []byte
			if err := w.Copy(Err, r, func(b []byte) { seen = append(seen, b...) }); err != nil {
				t.Fatal(err)
			}
			lines := readAll(t, dir, Options{})
			if got := bytesOf(lines, "err"); !bytes.Equal(got, tc.data) {
				t.Errorf("got %d bytes %.60q, want %d bytes %.60q", len(got), got, len(tc.data), tc.data)
			}
			if !bytes.Equal(seen, tc.data) {
				t.Errorf("seen %d bytes, want %d", len(seen), len(tc.data))
			}
			for _, l := range lines {
				if l.Time.IsZero() || l.Stream != "err" {
					t.Fatalf("line without time or of stream %q", l.Stream)
				}
			}
		})
	}
}

func TestUnfinishedLineIsShown(t *testing.T) {
	dir := t.TempDir()
	w, err := Open(dir, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	r, p := outputPipe(t)
	done := make(chan error)
	go func() { done <- w.Copy(Out, r, nil) }()
	fmt.Fprint(p, "Password: ")
	var got []Line
	stop := errors.New("stop")
	err = Read(context.Background(), dir, Options{Follow: true}, func(batch []Line) error {
		got = append(got, batch...)
		return stop
	})
	if !errors.Is(err, stop) {
		t.Fatal(err)
	}
	if len(got) != 1 || got[0].Text != "Password: " || !got[0].Partial {
		t.Errorf("got %+v, want the question as a partial line", got)
	}
	fmt.Fprint(p, "\nok\n")
	p.Close()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if got := string(bytesOf(readAll(t, dir, Options{}), "out")); got != "Password: \nok\n" {
		t.Errorf("got %q", got)
	}
}

func TestRotationIsBounded(t *testing.T) {
	dir := t.TempDir()
	const size = 64 << 10
	w, err := Open(dir, size)
	if err != nil {
		t.Fatal(err)
	}
	r, p := outputPipe(t)
	go func() {
		for i := range 20_000 {
			fmt.Fprintf(p, "line %d\n", i)
		}
		p.Close()
	}()
	if err := w.Copy(Out, r, nil); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	var total int64
	for _, name := range []string{Path(dir), OlderPath(dir)} {
		st, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		total += st.Size()
	}
	// One batch, of what one read of a pipe gives with a prefix for each line, may be larger than half of so small a log.
	if total > size+10*readSize {
		t.Errorf("the log takes %d bytes, allowed are %d", total, size)
	}
	lines := readAll(t, dir, Options{})
	for i, l := range lines {
		if want := fmt.Sprintf("line %d", 20_000-len(lines)+i); l.Text != want {
			t.Fatalf("line %d is %q, want %q", i, l.Text, want)
		}
	}
	if tail := readAll(t, dir, Options{Tail: 3}); len(tail) != 3 || tail[2].Text != "line 19999" {
		t.Errorf("tail is %v", tail)
	}
}

func TestTailAndSince(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, from, to int) {
		var b bytes.Buffer
		for i := from; i < to; i++ {
			fmt.Fprintf(&b, "%s o. %d\n", time.Unix(int64(i), 0).UTC().Format(timeLayout), i)
		}
		if err := os.WriteFile(name, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(OlderPath(dir), 0, 10_000)
	write(Path(dir), 10_000, 10_010)
	for _, tc := range []struct {
		name        string
		o           Options
		first, last string
		count       int
	}{
		{"all", Options{}, "0", "10009", 10_010},
		{"tail of the newer", Options{Tail: 4}, "10006", "10009", 4},
		{"tail is the newer", Options{Tail: 10}, "10000", "10009", 10},
		{"tail over both", Options{Tail: 9_000}, "1010", "10009", 9_000},
		{"tail of more than there is", Options{Tail: 50_000}, "0", "10009", 10_010},
		{"since", Options{Since: time.Unix(9_998, 0)}, "9999", "10009", 11},
		{"since and tail", Options{Since: time.Unix(9_998, 0), Tail: 3}, "10007", "10009", 3},
		{"since the future", Options{Since: time.Unix(20_000, 0)}, "", "", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			lines := readAll(t, dir, tc.o)
			if len(lines) != tc.count {
				t.Fatalf("got %d lines, want %d", len(lines), tc.count)
			}
			if tc.count > 0 && (lines[0].Text != tc.first || lines[len(lines)-1].Text != tc.last) {
				t.Errorf("got %s to %s, want %s to %s", lines[0].Text, lines[len(lines)-1].Text, tc.first, tc.last)
			}
		})
	}
}

// TestFollow reads while the log is written and rotated: no line may be missing, repeated or out of order.
func TestFollow(t *testing.T) {
	dir := t.TempDir()
	w, err := Open(dir, 8<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	const lines = 100_000
	r, p := outputPipe(t)
	go func() {
		var b bytes.Buffer
		for i := range lines {
			fmt.Fprintf(&b, "line %d %s\n", i, strings.Repeat("x", 60))
			if b.Len() > 4000 {
				p.Write(b.Bytes())
				b.Reset()
			}
		}
		p.Write(b.Bytes())
		p.Close()
	}()
	ended := make(chan struct{})
	go func() {
		if err := w.Copy(Out, r, nil); err != nil {
			t.Error(err)
		}
		w.Remark("the end")
		close(ended)
		if err := os.WriteFile(dir+"/state", nil, 0o600); err != nil { // as the last state is
			t.Error(err)
		}
	}()
	next := 0
	last := ""
	err = Read(context.Background(), dir, Options{Follow: true, Ended: func() bool {
		select {
		case <-ended:
			return true
		default:
			return false
		}
	}}, func(batch []Line) error {
		for _, l := range batch {
			if l.Stream == "carrel" {
				last = l.Text
				continue
			}
			var n int
			if _, err := fmt.Sscanf(l.Text, "line %d", &n); err != nil || n != next {
				return fmt.Errorf("got %q, want line %d", l.Text, next)
			}
			next++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if next != lines || last != "the end" {
		t.Errorf("got %d lines and %q, want %d", next, last, lines)
	}
}

func TestFollowEndsWithContext(t *testing.T) {
	dir := t.TempDir()
	w, err := Open(dir, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	w.Remark("first")
	ctx, cancel := context.WithCancel(context.Background())
	err = Read(ctx, dir, Options{Follow: true}, func([]Line) error { cancel(); return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's error", err)
	}
}

// TestFullDisk lets writes fail by the limit of a file's size: the stream is read on, and the gap is told.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	w, err := Open(dir, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("missing: /dev/full")
	}
	w.Remark("before")
	good := w.file
	w.file = full
	w.Remark("lost")
	w.Remark("lost too")
	if w.cause == nil || !errors.Is(w.cause, syscall.ENOSPC) {
		t.Errorf("cause is %v, want ENOSPC", w.cause)
	}
	full.Close()
	w.file = good
	w.Remark("after")
	lines := readAll(t, dir, Options{})
	var texts []string
	for _, l := range lines {
		texts = append(texts, l.Text)
	}
	lost := 2*prefixSize + len("lost\nlost too\n")
	want := []string{"before", fmt.Sprintf("%d bytes of this log are missing here: no space left on device", lost), "after"}
	if diff := cmp.Diff(want, texts); diff != "" {
		t.Error(diff)
	}
}

func TestDamagedFile(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(Path(dir), []byte("\x00garbage\n2026-11-22T10:40:19.123456789Z o. good\n2026-11-22T10:40:19.12"), 0o600); err != nil {
		t.Fatal(err)
	}
	got := readAll(t, dir, Options{})
	want := []Line{
		{Stream: "carrel", Text: "\x00garbage"},
		{Time: time.Date(2026, 11, 22, 10, 40, 19, 123456789, time.UTC), Stream: "out", Text: "good"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("2026-11-22T10:40:19.123456789Z o. text"))
	f.Add([]byte("2026-11-22T10:40:19.123456789Z e+ \r 10%"))
	f.Add([]byte("2026-99-22T10:40:19.123456789Z x  "))
	f.Add([]byte("0001-01-01T00:00:00,000000000Z c+ "))
	f.Fuzz(func(t *testing.T, rec []byte) {
		l := parse(rec)
		whole := l.Text == string(rec) && l.Time.IsZero()
		if !whole && (len(rec) < prefixSize || l.Text != string(rec[prefixSize:])) {
			t.Errorf("%q became %q", rec, l.Text)
		}
	})
}

func BenchmarkCopy(b *testing.B) {
	dir := b.TempDir()
	w, err := Open(dir, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer w.Close()
	r, p, err := os.Pipe()
	if err != nil {
		b.Fatal(err)
	}
	piece := []byte(strings.Repeat("a line of one hundred bytes, as programs write them into their logs, more or less, with a number\n", 600))
	b.SetBytes(int64(len(piece)))
	go func() {
		for range b.N {
			p.Write(piece)
		}
		p.Close()
	}()
	if err := w.Copy(Out, r, nil); err != nil {
		b.Fatal(err)
	}
}
