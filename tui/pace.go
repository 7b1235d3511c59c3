package tui

import (
	"reflect"
	"sync"
	"time"
	"unsafe"

	tea "charm.land/bubbletea/v2"
)

// The renderer of Bubble Tea looks 30, 60 or at most 120 times a second whether there is a frame to write, for as long as
// the program runs. Few looks make keys slow (33 ms at 30) and the first frame late; many keep an idle program at work
// (about 1 % of a core at 30, on a virtual machine). So it looks often right after the model was drawn, and seldom later.
//
// The ticker it looks by is not exported. Without it (another version of Bubble Tea) everything works, at a fixed pace.
// This can go when the renderer writes a frame because there is one.
const (
	fastFPS  = 120
	fixedFPS = 60

	seldom = 500 * time.Millisecond
	// restless is for how long after a frame the renderer looks often.
	restless = 120 * time.Millisecond
)

const tickerField = "ticker"

// canPace tells whether the ticker is where it is expected.
func canPace() bool {
	f, ok := reflect.TypeFor[tea.Program]().FieldByName(tickerField)
	return ok && f.Type == reflect.TypeFor[*time.Ticker]()
}

// pacer sets the pace of a program's renderer. The zero value does nothing.
type pacer struct {
	program *tea.Program

	mu    sync.Mutex
	calm  *time.Timer // nil: the renderer looks seldom
	last  time.Time   // when the model was drawn last
	ended bool
}

// woken is called by the loop whenever the model was drawn.
func (p *pacer) woken() {
	if p.program == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = time.Now()
	if p.calm != nil {
		return
	}
	// The loop made the ticker, and the loop calls us: nobody writes the field now.
	t := *(**time.Ticker)(unsafe.Pointer(reflect.ValueOf(p.program).Elem().FieldByName(tickerField).UnsafeAddr()))
	if t == nil || p.ended {
		return
	}
	t.Reset(time.Second / fastFPS)
	p.calm = time.AfterFunc(restless, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		switch rest := restless - time.Since(p.last); {
		case p.ended:
		case rest > 0: // drawn again meanwhile
			p.calm.Reset(rest)
		default:
			t.Reset(seldom)
			p.calm = nil
		}
	})
}

// end stops setting the pace.
func (p *pacer) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	if p.calm != nil {
		p.calm.Stop()
	}
}
