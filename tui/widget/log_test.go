package widget

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"carrel/tui/theme"
)

func TestLevelOf(t *testing.T) {
	tests := []struct {
		text string
		want level
	}{
		{"[W 11:40:12.004 NotebookApp] Notebook a.ipynb is not trusted", warnLevel},
		{"[E 11:40:12.004 NotebookApp] it fell", errorLevel},
		{"[C 11:40:12 App] To access", errorLevel},
		{"[I 11:40:12 App] 200 GET /error.html", noLevel},
		{"2026-11-22 12:00:00 ERROR app: no", errorLevel},
		{"2026-11-22 [error] 7#7: no", errorLevel},
		{"time=x level=warn msg=y", warnLevel},
		{`{"level":"error","msg":"x"}`, errorLevel},
		{"Warning: this is old", warnLevel},
		{"/usr/bin/x: error: no such thing", errorLevel},
		{"DEBUG:root:hm", debugLevel},
		{"Traceback (most recent call last):", errorLevel},
		{"ValueError: math domain", errorLevel},
		{"no error was found", noLevel},
		{"GET /static/ERROR.png 200", noLevel},
		{"error-handling.js loaded", noLevel},
		{"", noLevel},
		{"[", noLevel},
		{"[W", noLevel},
		{strings.Repeat("x ", 60) + "ERROR", noLevel},
	}
	for _, tt := range tests {
		if got := levelOf(tt.text); got != tt.want {
			t.Errorf("levelOf(%q) = %v, want %v", tt.text, got, tt.want)
		}
	}
}

func FuzzLevelOf(f *testing.F) {
	f.Add("[W 1] a=b ERROR: \"x\"")
	f.Fuzz(func(_ *testing.T, s string) { levelOf(s) })
}

// pane is a log of n lines in a view of 60 by 10 cells.
func pane(n int) *LogPane {
	p := &LogPane{}
	p.Resize(64, 12)
	for i := range n {
		kind := "odd"
		if i%2 == 0 {
			kind = "Even"
		}
		p.Log.Append(LogLine{Text: fmt.Sprintf("line %d is %s", i, kind), Time: time.Date(2026, 11, 22, 12, 0, i%60, 0, time.UTC)})
	}
	return p
}

func typeInto(p *LogPane, keys ...string) {
	for _, k := range keys {
		if text, ok := strings.CutPrefix(k, ":"); ok {
			for _, r := range text {
				p.Update(press(string(r)))
			}
			continue
		}
		p.Update(press(k))
	}
}

func seen(p *LogPane) string { return ansi.Strip(p.View(th, 64, 12, "Log", "")) }

func TestLogFilter(t *testing.T) {
	p := pane(100)
	typeInto(p, "&", ":EVEN", "enter")
	if s := seen(p); strings.Contains(s, "odd") || !strings.Contains(s, "line 98 is Even") || !strings.Contains(s, "only “EVEN”: 50 of 100 lines") && !strings.Contains(s, "only “even”: 50 of 100 lines") {
		t.Errorf("filtered:\n%s", s)
	}
	p.Log.Append(LogLine{Text: "line 100 is even"}, LogLine{Text: "line 101 is odd"})
	if s := seen(p); !strings.Contains(s, "line 100 is even") || strings.Contains(s, "101") {
		t.Errorf("what comes is not filtered:\n%s", s)
	}
	typeInto(p, "/", ":line 4", "enter")
	if _, n := p.Log.Query(); n != 6 {
		t.Errorf("found in %d lines that are shown, want 6", n)
	}
	typeInto(p, "g")
	if s := seen(p); !strings.Contains(s, "line 0 is Even") {
		t.Errorf("at the top:\n%s", s)
	}
	typeInto(p, "esc", "esc") // the search, then the filter
	if s := seen(p); !strings.Contains(s, "odd") {
		t.Errorf("all again:\n%s", s)
	}
	if p.Update(press("esc")) {
		t.Error("there was nothing to end")
	}
}

func TestLogSelect(t *testing.T) {
	p := pane(50)
	typeInto(p, "v", "up", "up")
	if s := seen(p); !strings.Contains(s, "3 lines selected") {
		t.Errorf("selected:\n%s", s)
	}
	p.Log.Append(LogLine{Text: "later"})
	typeInto(p, "y")
	if text, ok := p.Taken(); !ok || text != "line 47 is odd\nline 48 is Even\nline 49 is odd\n" {
		t.Errorf("took %q, %v", text, ok)
	}
	if _, ok := p.Taken(); ok || p.Choosing() {
		t.Error("it is taken twice")
	}
	typeInto(p, "g", "v", "home", "v", "down", "end", "enter")
	if text, _ := p.Taken(); strings.Count(text, "\n") != 51 || !strings.HasPrefix(text, "line 0 ") || !strings.HasSuffix(text, "later\n") {
		t.Errorf("took %d lines", strings.Count(text, "\n"))
	}
	typeInto(p, "v", "esc")
	if _, ok := p.Taken(); ok || p.Choosing() {
		t.Error("esc takes lines")
	}
	empty := &LogPane{}
	typeInto(empty, "v", "up", "y")
	if _, ok := empty.Taken(); ok {
		t.Error("lines of an empty log were taken")
	}
}

// Whatever keys are pressed while lines come and go, the log is drawn in its cells.
func FuzzLogPane(f *testing.F) {
	f.Add([]byte("v&a\r/b\rnNzTgGvkky"), 40, 9)
	f.Fuzz(func(t *testing.T, keys []byte, w, h int) {
		w, h = abs(w%120), abs(h%30)
		p := pane(30)
		p.Resize(w, h)
		names := []string{"up", "down", "home", "end", "enter", "esc", "space", "backspace"}
		for i, k := range keys {
			if k < byte(len(names)) {
				p.Update(press(names[k]))
			} else if k >= 0x20 && k < 0x7f {
				p.Update(tea.KeyPressMsg{Code: rune(k), Text: string(rune(k))})
			}
			if i%5 == 0 {
				p.Log.Append(LogLine{Text: strings.Repeat("宽x\x1b[31m", i%40)})
			}
			exact(t, "log", p.View(th, w, h, "Log", ""), w, h)
		}
	})
}

func abs(n int) int { return max(n, -n) }

// A hundred thousand lines take less than 40 MB with what holds them.
func TestLogMemory(t *testing.T) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	v := &LogView{}
	v.Resize(100, 30)
	for i := range LogLimit + LogLimit/20 {
		v.Append(LogLine{Text: fmt.Sprintf("[I 12:00:00.%06d NotebookApp] 200 GET /api/contents/analysis-%d.ipynb (127.0.0.1) 3.20ms", i, i)})
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if used := int64(after.HeapAlloc) - int64(before.HeapAlloc); used > 40<<20 {
		t.Errorf("%d lines take %d bytes", v.Len(), used)
	}
	runtime.KeepAlive(v)
}

// BenchmarkLogFlood appends what comes in a thirtieth of a second at 10,000 lines a second to a full log, and draws it.
func BenchmarkLogFlood(b *testing.B) {
	v := full()
	batch := make([]LogLine, 333)
	for i := range batch {
		batch[i].Text = fmt.Sprintf("\x1b[32mINFO\x1b[0m request %d took %d ms", i, i%17)
	}
	b.ResetTimer()
	for b.Loop() {
		v.Append(batch...)
		v.View(th, 200, 60)
	}
}

// BenchmarkLogSearch types words to search a full log for, letter by letter; ns/key is what each costs.
func BenchmarkLogSearch(b *testing.B) {
	v := full()
	const words = "ipynb 9999"
	for b.Loop() {
		for i := range words {
			v.Search(words[:i+1])
		}
		v.Search("")
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(words)), "ns/key")
}

func full() *LogView {
	v := &LogView{}
	v.Resize(200, 60)
	for i := range LogLimit {
		v.Append(LogLine{Text: fmt.Sprintf("[I 12:00:00.%06d NotebookApp] 200 GET /api/contents/analysis-%d.ipynb (127.0.0.1) 3.20ms", i, i)})
	}
	return v
}

// Levels are drawn in colours where there are any, and never change what is read.
func TestLevelColours(t *testing.T) {
	var v LogView
	v.Append(LogLine{Text: "ERROR: no"}, LogLine{Text: "\x1b[32mERROR\x1b[m in its own colour"})
	for _, o := range []theme.Options{{Background: theme.Dark}, {NoColor: true}} {
		s := v.View(theme.New(o), 40, 2)
		if !strings.Contains(ansi.Strip(s), "ERROR: no") {
			t.Errorf("%+v: %q", o, s)
		}
		if first, _, _ := strings.Cut(s, "\n"); strings.Contains(first, "\x1b") == o.NoColor {
			t.Errorf("%+v: %q", o, first)
		}
	}
}

// A hit is marked where it is, and the line is wrapped as ever, also where lower case takes other bytes.
func TestHitBesideOtherLowerCase(t *testing.T) {
	th := theme.New(theme.Options{Background: theme.Dark})
	for _, text := range []string{"İstanbul: Error at ẞ line 7 " + strings.Repeat("x", 40) + " error", "\u212A error \xff error"} {
		var v LogView
		v.Append(LogLine{Text: text})
		v.Resize(30, 5)
		plain := strings.TrimRight(ansi.Strip(v.View(th, 30, 5)), " \n")
		v.Search("error")
		got := v.View(th, 30, 5)
		if marked := strings.TrimRight(ansi.Strip(got), " \n"); marked != plain {
			t.Errorf("the search changes the text:\n%q\n%q", marked, plain)
		}
		if n := strings.Count(got, th.Match.Underline(true).Bold(true).Render("error")) + strings.Count(got, th.Match.Underline(true).Bold(true).Render("Error")); n != 2 {
			t.Errorf("%d hits are marked, want 2: %q", n, got)
		}
	}
}
