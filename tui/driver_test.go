package tui

import (
	"context"
	"os"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"carrel/tui/screen"
	"carrel/tui/tuitest"
)

func TestMain(m *testing.M) {
	code := tuitest.Main(m)
	for _, dir := range made {
		_ = os.RemoveAll(dir)
	}
	os.Exit(code)
}

// driver runs a model without a terminal, in the virtual time of a synctest bubble: after idle() all commands have run as
// far as they can, and nothing depends on how fast the machine is.
type driver struct {
	t      *testing.T
	m      *model
	e      *tuitest.Engine
	cancel context.CancelFunc

	mu    sync.Mutex
	queue []tea.Msg
	quit  bool
	copy  string
	raw   string           // what was written to the terminal as it is
	edits []func() tea.Msg // what follows when the editor is left
}

// drive runs f with the program in a terminal of w by h cells. change may alter the options first.
func drive(t *testing.T, w, h int, change func(*Options, *tuitest.Engine), f func(*driver)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		clock := func() time.Time { return tuitest.Noon.Add(time.Since(begin).Truncate(time.Hour)) }
		e, c := tuitest.World(clock)
		o := Options{Engine: e, Catalog: c, Memory: &tuitest.Memory{}, Home: tuitest.Home, Self: "/usr/bin/carrel", Now: clock, Writable: true,
			Opener:   func(string) error { return nil },
			SaveFile: func(name, _ string) (string, error) { return tuitest.Home + "/" + name, nil },
		}
		if change != nil {
			change(&o, e)
		}
		ctx, cancel := context.WithCancel(context.Background())
		d := &driver{t: t, e: e, cancel: cancel, m: newModel(ctx, o)}
		defer func() {
			cancel()
			d.m.close()
			e.Wait()
			time.Sleep(time.Minute) // what the clock still owes comes; a goroutine left behind fails the test
		}()
		d.run(d.m.Init())
		d.send(tea.WindowSizeMsg{Width: w, Height: h})
		d.idle()
		f(d)
	})
}

func (d *driver) run(cmd tea.Cmd) {
	if cmd == nil {
		return
	}
	go func() {
		msg := cmd()
		d.mu.Lock()
		defer d.mu.Unlock()
		if msg != nil {
			d.queue = append(d.queue, msg)
		}
	}()
}

func (d *driver) send(msg tea.Msg) {
	switch msg := msg.(type) {
	case tea.BatchMsg:
		for _, c := range msg {
			d.run(c)
		}
		return
	case tea.QuitMsg:
		d.quit = true
		return
	}
	if raw, ok := msg.(tea.RawMsg); ok {
		d.raw = raw.Msg.(string)
		return
	}
	v := reflect.ValueOf(msg)
	if v.Kind() == reflect.Slice && v.Type().Elem() == reflect.TypeFor[tea.Cmd]() { // a sequence: one after the other
		go func() {
			for i := range v.Len() {
				if m := v.Index(i).Interface().(tea.Cmd)(); m != nil {
					d.mu.Lock()
					d.queue = append(d.queue, m)
					d.mu.Unlock()
				}
			}
		}()
		return
	}
	if v.IsValid() && strings.Contains(strings.ToLower(v.Type().String()), "clipboard") {
		d.copy = v.String()
		return
	}
	if _, ok := msg.(tickMsg); ok { // spinners stand still
		return
	}
	if w, ok := msg.(screen.EditFile); ok {
		d.edits = append(d.edits, func() tea.Msg { return w.Done(nil) })
		return
	}
	_, cmd := d.m.Update(msg)
	d.run(cmd)
}

// idle takes messages until none comes for a second of virtual time.
func (d *driver) idle() {
	for quiet := 0; quiet < 20; {
		synctest.Wait()
		d.mu.Lock()
		q := d.queue
		d.queue = nil
		d.mu.Unlock()
		for _, m := range q {
			if _, tick := m.(tickMsg); !tick {
				quiet = 0
			}
			d.send(m)
		}
		if len(q) == 0 {
			quiet++
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (d *driver) press(names ...string) {
	for _, k := range tuitest.Keys(names...) {
		d.send(k)
		d.idle()
	}
}

func (d *driver) click(x, y int) {
	d.send(tea.MouseClickMsg{X: x, Y: y, Button: tea.MouseLeft})
	d.idle()
}

// screen is what is seen, without colours.
func (d *driver) screen() string { return ansi.Strip(d.m.draw(d.m.w, d.m.h)) }

func (d *driver) sees(text string) {
	d.t.Helper()
	if !strings.Contains(d.screen(), text) {
		d.t.Fatalf("the screen does not show %q:\n%s", text, d.screen())
	}
}

func (d *driver) misses(text string) {
	d.t.Helper()
	if strings.Contains(d.screen(), text) {
		d.t.Fatalf("the screen shows %q:\n%s", text, d.screen())
	}
}

// clickOn clicks the first place where a text is drawn.
func (d *driver) clickOn(text string) {
	d.t.Helper()
	for y, l := range strings.Split(d.screen(), "\n") {
		if i := strings.Index(l, text); i >= 0 {
			d.click(ansi.StringWidth(l[:i]), y)
			return
		}
	}
	d.t.Fatalf("nothing to click: %q is not on the screen:\n%s", text, d.screen())
}

// fits fails when the frame is not exactly as large as the terminal.
func fits(t *testing.T, what, frame string, w, h int) {
	t.Helper()
	lines := strings.Split(frame, "\n")
	if frame == "" {
		lines = nil
	}
	if w > 0 && len(lines) != h {
		t.Fatalf("%s at %d×%d: %d lines\n%s", what, w, h, len(lines), frame)
	}
	for i, l := range lines {
		if n := ansi.StringWidth(l); n != w {
			t.Fatalf("%s at %d×%d: line %d takes %d cells: %q", what, w, h, i, n, l)
		}
	}
}
