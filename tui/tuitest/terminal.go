package tuitest

import (
	"bytes"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/charmbracelet/x/vt"
)

// Terminal is a terminal in memory: a program writes to it, its screen can be read, keys can be typed. The renderer writes
// only cells that changed, so what a person sees can be told only by an emulator.
type Terminal struct {
	t  testing.TB
	mu sync.Mutex
	em *vt.Emulator
	in *io.PipeWriter

	Input io.Reader // what the program reads
}

// NewTerminal makes a terminal of w by h cells.
func NewTerminal(t testing.TB, w, h int) *Terminal {
	r, wr := io.Pipe()
	term := &Terminal{t: t, em: vt.NewEmulator(w, h), in: wr, Input: r}
	ended := make(chan struct{})
	go func() { // answers the terminal would give; nobody asks for them here
		defer close(ended)
		buf := make([]byte, 256)
		for {
			if _, err := term.em.Read(buf); err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		_ = wr.Close()
		if c, ok := term.em.InputPipe().(io.Closer); ok { // its own Close races with a Read
			_ = c.Close()
			<-ended
		}
		_ = term.em.Close()
	})
	return term
}

// Write takes what the program draws. Without a terminal driver a line feed has no carriage return.
func (t *Terminal) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, err := t.em.Write(bytes.ReplaceAll(p, []byte("\n"), []byte("\r\n"))); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Type sends bytes as a keyboard does.
func (t *Terminal) Type(keys string) {
	t.t.Helper()
	if _, err := io.WriteString(t.in, keys); err != nil {
		t.t.Fatalf("type %q: %v", keys, err)
	}
}

// Screen is what is seen.
func (t *Terminal) Screen() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.em.String()
}

// Until waits until a text is seen, for at most half a minute.
func (t *Terminal) Until(text string) {
	t.t.Helper()
	t.wait(text, true)
}

// Gone waits until a text is no longer seen.
func (t *Terminal) Gone(text string) {
	t.t.Helper()
	t.wait(text, false)
}

func (t *Terminal) wait(text string, there bool) {
	t.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
		if strings.Contains(t.Screen(), text) == there {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	if there {
		t.t.Fatalf("%q does not appear:\n%s", text, t.Screen())
	}
	t.t.Fatalf("%q does not go:\n%s", text, t.Screen())
}
