package widget

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"carrel/tui/theme"
)

var th = theme.New(theme.Options{Background: theme.Dark})

// press makes the message of a key.
func press(name string) tea.KeyPressMsg {
	named := map[string]tea.KeyPressMsg{
		"left": {Code: tea.KeyLeft}, "right": {Code: tea.KeyRight}, "home": {Code: tea.KeyHome}, "end": {Code: tea.KeyEnd},
		"backspace": {Code: tea.KeyBackspace}, "delete": {Code: tea.KeyDelete}, "space": {Code: tea.KeySpace, Text: " "},
		"enter": {Code: tea.KeyEnter}, "esc": {Code: tea.KeyEscape}, "tab": {Code: tea.KeyTab}, "up": {Code: tea.KeyUp}, "down": {Code: tea.KeyDown},
		"ctrl+w": {Code: 'w', Mod: tea.ModCtrl}, "ctrl+u": {Code: 'u', Mod: tea.ModCtrl}, "ctrl+k": {Code: 'k', Mod: tea.ModCtrl},
		"ctrl+a": {Code: 'a', Mod: tea.ModCtrl}, "alt+b": {Code: 'b', Mod: tea.ModAlt}, "alt+f": {Code: 'f', Mod: tea.ModAlt},
	}
	if k, ok := named[name]; ok {
		return k
	}
	return tea.KeyPressMsg{Code: []rune(name)[0], Text: name}
}

func exact(t *testing.T, what, s string, w, h int) {
	t.Helper()
	if h <= 0 {
		if s != "" {
			t.Errorf("%s: %q in no lines", what, s)
		}
		return
	}
	lines := strings.Split(s, "\n")
	if len(lines) != h {
		t.Errorf("%s at %d×%d: %d lines", what, w, h, len(lines))
	}
	for _, l := range lines {
		if n := ansi.StringWidth(l); n != max(0, w) {
			t.Errorf("%s at %d×%d: %d cells in %q", what, w, h, n, l)
		}
	}
}

// samples are texts that are hard to fit.
var samples = []string{
	"", "a", "plain text of some length", "宽宽宽宽", "a宽b宽c", "e\u0301e\u0301e\u0301 combining", "👩‍👩‍👧 family", "\x1b[31mred\x1b[m and \x1b[1mbold\x1b[m",
	"two\nlines", "tab\there", strings.Repeat("x", 300), "\x1b[7m宽\x1b[m\x1b[7m宽\x1b[m",
}

func TestFit(t *testing.T) {
	for _, s := range samples {
		for w := -1; w < 40; w++ {
			for name, got := range map[string]string{"Line": Line(s, w), "Right": Right(s, w), "Center": Center(s, w), "Spread": Spread(s, "right", w), "Spread2": Spread("left", s, w)} {
				if n := ansi.StringWidth(got); n != max(0, w) || strings.Contains(got, "\n") {
					t.Errorf("%s(%q, %d) takes %d cells: %q", name, s, w, n, got)
				}
			}
			if n := ansi.StringWidth(CutMiddle(ansi.Strip(s), w)); n > max(0, w) {
				t.Errorf("CutMiddle(%q, %d) takes %d cells", s, w, n)
			}
			for _, h := range []int{0, 1, 3} {
				exact(t, "Box", Box(s, w, h), w, h)
				exact(t, "Panel", Panel(th, w, h, s, s, s, true), w, h)
			}
		}
	}
	if got, want := CutMiddle("/home/ada/papers/2026/stroop", 15), "/home/a…/stroop"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func FuzzOverlay(f *testing.F) {
	f.Add("宽宽宽\nabc", "xx\nyy", 1, 0)
	f.Fuzz(func(t *testing.T, base, top string, x, y int) {
		w, h := 12, 4
		b := Box(Clean(base), w, h)
		o := Overlay(b, Box(Clean(top), 5, 3), x%20, y%20)
		exact(t, "Overlay", o, w, h)
	})
}

func TestClean(t *testing.T) {
	tests := []struct{ in, want, colored string }{
		{"plain", "plain", "plain"},
		{"\x1b[31mred\x1b[0m", "red", "\x1b[31mred\x1b[0m\x1b[m"},
		{"\x1b]0;title\x07after", "after", "after"},
		{"\x1b[2J\x1b[Hgone", "gone", "gone"},
		{"10 %\r20 %\r30 %", "30 %", "30 %"},
		{"line\r\n", "line", "line"},
		{"a\tb", "a       b", "a       b"},
		{"12345678\tb", "12345678        b", "12345678        b"},
		{"a\x00b\x08c\x7fd", "abcd", "abcd"},
		{"\u202eevil", "evil", "evil"},
		{"year \u0601", "year ", "year "},
		{"bad \xff utf8", "bad \ufffd utf8", "bad \ufffd utf8"},
		{"宽 e\u0301", "宽 e\u0301", "宽 e\u0301"},
		{"\x9b31mC1", "31mC1", "31mC1"},
	}
	for _, tt := range tests {
		if got := Clean(tt.in); got != tt.want && tt.in != "\x9b31mC1" {
			t.Errorf("Clean(%q) = %q, want %q", tt.in, got, tt.want)
		}
		if got := CleanKeepColor(tt.in); got != tt.colored && tt.in != "\x9b31mC1" {
			t.Errorf("CleanKeepColor(%q) = %q, want %q", tt.in, got, tt.colored)
		}
	}
}

func FuzzClean(f *testing.F) {
	for _, s := range samples {
		f.Add(s)
	}
	f.Add("\x1b[38;5;1m\x1bPq\x1b\\\x9b2J\xc2\x9b2J")
	f.Fuzz(func(t *testing.T, s string) {
		for _, r := range Clean(s) {
			if r < 0x20 || r >= 0x7f && r < 0xa0 || r >= 0x202a && r <= 0x202e {
				t.Fatalf("Clean(%q) keeps %U", s, r)
			}
		}
		for _, part := range strings.Split(CleanKeepColor(s), "\x1b")[1:] {
			if end := strings.IndexByte(part, 'm'); part[0] != '[' || end < 0 || strings.Trim(part[1:end], "0123456789;:") != "" {
				t.Fatalf("CleanKeepColor(%q) keeps the sequence %q", s, part)
			}
		}
	})
}

func rows(ids ...string) []Item {
	var out []Item
	for _, id := range ids {
		out = append(out, Item{ID: strings.TrimPrefix(id, "#"), Fixed: strings.HasPrefix(id, "#")})
	}
	return out
}

func TestList(t *testing.T) {
	var l List
	at := func(want string) {
		t.Helper()
		if it, _ := l.Selected(); it.ID != want {
			t.Errorf("the cursor is on %q, want %q", it.ID, want)
		}
	}
	at("")
	l.Move(1)
	l.SetItems(rows("#head", "a", "b", "#", "#head2", "c"))
	l.Resize(3)
	at("a")
	l.Move(1)
	l.Move(1)
	at("c")
	l.Move(1)
	at("c")
	l.Move(-1)
	at("b")
	l.SetItems(rows("#head", "0", "1", "a", "b", "c"))
	at("b")
	l.SetItems(rows("#head", "0", "1", "a", "c"))
	at("c")
	l.Top()
	at("0")
	l.Bottom()
	at("c")
	l.SetItems(rows("#only"))
	at("")
	l.SetItems(nil)
	at("")
	l.SetItems(rows("x", "y"))
	at("x")
	if !l.SelectAt(1, 2) || l.SelectAt(7, 2) || l.SelectAt(-1, 2) {
		t.Error("SelectAt hits what is not there")
	}
	at("y")
}

func TestListView(t *testing.T) {
	var l List
	var items []Item
	for i := range 10_000 {
		items = append(items, Item{ID: fmt.Sprint(i), Fixed: i%10 == 0})
	}
	l.SetItems(items)
	drawn := 0
	draw := func(i int, selected bool, w int) string { drawn++; return Marker(th, selected) + fmt.Sprint(i, " 宽") }
	for _, h := range []int{0, 1, 2, 7, 20} {
		for _, w := range []int{0, 1, 4, 5, 30} {
			l.Resize(h)
			for _, move := range []func(){l.Bottom, func() { l.Page(-3) }, func() { l.Move(-7) }, l.Top, func() { l.Scroll(55) }} {
				move()
				drawn = 0
				s := l.View(th, w, h, draw)
				exact(t, "list", s, w, h)
				if drawn > h {
					t.Fatalf("%d rows drawn for %d lines", drawn, h)
				}
				if it, ok := l.Selected(); h > 0 && w > 12 && (!ok || !strings.Contains(ansi.Strip(s), theme.Bar+" "+it.ID+" ")) {
					t.Fatalf("the cursor (%s) is out of sight at %d lines:\n%s", it.ID, h, ansi.Strip(s))
				}
			}
		}
	}
}

func TestTable(t *testing.T) {
	tab := Table{Gap: 2, Columns: []Column{{Min: 6, Flex: 1, Max: 10}, {Min: 8, Flex: 2, Drop: 1}, {Min: 4, Right: true}}}
	for w, want := range map[int][]int{30: {9, 13, 4}, 22: {6, 8, 4}, 20: {10, 0, 4}, 12: {6, 0, 4}, 5: {6, 0, 4}, 60: {10, 42, 4}} {
		if got := tab.Widths(w); !reflect.DeepEqual(got, want) {
			t.Errorf("Widths(%d) = %v, want %v", w, got, want)
		}
	}
	for w := range 70 {
		exact(t, "row", tab.Row(w, "宽宽宽宽宽宽", "text", "12"), w, 1)
	}
}

func TestLogView(t *testing.T) {
	var v LogView
	v.Resize(20, 5)
	for i := range 50 {
		v.Append(LogLine{Text: fmt.Sprintf("line %d", i)})
	}
	see := func(want string, there bool) {
		t.Helper()
		s := ansi.Strip(v.View(th, 20, 5))
		exact(t, "log", s, 20, 5)
		if strings.Contains(s, want) != there {
			t.Errorf("want %q visible: %v, got\n%s", want, there, s)
		}
	}
	see("line 49", true)
	v.ScrollBy(-3)
	see("line 49", false)
	see("line 46", true)
	v.Append(LogLine{Text: "line 50"})
	see("line 46", true) // holds still
	if v.Following() {
		t.Error("follows while scrolled up")
	}
	v.ScrollBy(100)
	if !v.Following() {
		t.Error("does not follow at the end")
	}
	see("line 50", true)
	v.Append(LogLine{Text: strings.Repeat("wide ", 20)})
	see("line 50", false)
	v.ToggleWrap()
	see("line 50", true)
	v.ToggleWrap()
	v.Search("LINE 7")
	see("line 7", true)
	if q, n := v.Query(); q != "line 7" || n != 1 {
		t.Errorf("found %q in %d lines", q, n)
	}
	v.Search("line 1")
	if _, n := v.Query(); n != 11 {
		t.Errorf("found in %d lines, want 11", n)
	}
	see("line 19", true)
	v.Prev()
	v.Prev()
	see("line 17", true)
	v.Next()
	v.Next()
	v.Next()
	see("line 1", true)
	v.Top()
	see("line 0", true)
}

func TestLogViewDropsOldLines(t *testing.T) {
	var v LogView
	v.Resize(30, 4)
	v.Append(LogLine{Text: "the first"})
	v.Search("first")
	lines := make([]LogLine, 1000)
	for i := range lines {
		lines[i].Text = "x"
	}
	for range 130 {
		v.Append(lines...)
	}
	if n := v.Len(); n < LogLimit || n > LogLimit+LogLimit/5 {
		t.Errorf("%d lines are held", n)
	}
	if _, n := v.Query(); n != 0 {
		t.Errorf("%d hits are left of a line that is gone", n)
	}
	exact(t, "log", v.View(th, 30, 4), 30, 4)
	v.ScrollBy(-10)
	v.Next()
	v.Append(lines...)
	exact(t, "log", v.View(th, 30, 4), 30, 4)
}

func FuzzLogView(f *testing.F) {
	f.Add("\x1b[31m宽宽宽\x1b[m long text of a line", "text", uint8(7), uint8(3), true)
	f.Fuzz(func(t *testing.T, line, query string, w, h uint8, times bool) {
		var v LogView
		v.Resize(int(w), int(h))
		for range 5 {
			v.Append(LogLine{Text: line, Time: time.Unix(0, 0)})
		}
		if times {
			v.ToggleTimes()
		}
		exact(t, "log", v.View(th, int(w), int(h)), int(w), int(h))
		v.Search(query)
		v.ScrollBy(-3)
		exact(t, "log", v.View(th, int(w), int(h)), int(w), int(h))
		v.ToggleWrap()
		v.ScrollSide(4)
		exact(t, "log", v.View(th, int(w), int(h)), int(w), int(h))
	})
}

func TestText(t *testing.T) {
	tests := []struct {
		start string
		keys  []string
		want  string // with | where the cursor is
	}{
		{"", []string{"a", "b", "left", "c"}, "ac|b"},
		{"~/papers/2026", []string{"ctrl+w"}, "~/papers/|"},
		{"~/papers/", []string{"ctrl+w"}, "~/|"},
		{"a b", []string{"home", "x", "end", "y"}, "xa by|"},
		{"abc", []string{"left", "left", "ctrl+k"}, "a|"},
		{"abc", []string{"left", "ctrl+u"}, "|c"},
		{"abc", []string{"ctrl+a", "delete", "backspace"}, "|bc"},
		{"e\u0301宽", []string{"backspace", "left"}, "|e\u0301"},
		{"a/b/c", []string{"alt+b", "alt+b", "alt+f"}, "a/b|/c"},
	}
	for _, tt := range tests {
		x := NewText(tt.start)
		for _, k := range tt.keys {
			x.Update(press(k))
		}
		if got := x.before + "|" + x.after; got != tt.want {
			t.Errorf("%q after %v: %q, want %q", tt.start, tt.keys, got, tt.want)
		}
	}
	x := NewText("")
	x.Update(tea.PasteMsg{Content: "two\nlines\x1b[31m"})
	if got := x.Value(); got != "two lines[31m" {
		t.Errorf("pasted %q", got)
	}
	for w := range 30 {
		for _, s := range []string{"", "宽宽宽宽宽宽宽宽宽宽", "plain text that is long"} {
			x := NewText(s)
			exact(t, "text", x.View(th, w, true, "ghost"), w, 1)
			x.Update(press("left"))
			x.Update(press("left"))
			exact(t, "text", x.View(th, w, true, "ghost"), w, 1)
			exact(t, "text", x.View(th, w, false, "宽ghost"), w, 1)
		}
	}
}

func form() *Form {
	return &Form{Fold: "More", Folded: true, Fields: []*Field{
		{ID: "folder", Kind: FolderKind, Label: "Which folder?", Tag: "required", Hint: "~/x"},
		{ID: "mode", Kind: RadioKind, Label: "Changes", Options: []Option{{Value: "rw", Label: "read and change"}, {Value: "ro", Label: "only read"}}},
		{ID: "port", Kind: NumberKind, Label: "Address", Lead: "http://127.0.0.1:"},
		{ID: "pick", Kind: ChoiceKind, Label: "Pick", Options: []Option{{Value: "a", Label: "A"}, {Value: "b", Label: "B", Help: "the second"}}},
		{ID: "off", Kind: CheckKind, Label: "Without", More: true},
		{ID: "no", Kind: TextKind, Label: "Cannot", More: true, Disabled: "there is no way"},
	}}
}

func TestForm(t *testing.T) {
	f := form()
	at := func(want string) {
		t.Helper()
		got := ""
		if fd := f.Focused(); fd != nil {
			got = fd.ID
		}
		if got != want {
			t.Errorf("the focus is on %q, want %q", got, want)
		}
	}
	at("folder")
	f.Move(-1)
	at("")
	if !f.OnFold() {
		t.Error("the last place is not the fold line")
	}
	f.ToggleFold()
	f.Move(1)
	at("off")
	f.Focused().Update(press("space"))
	f.Focus("mode")
	f.Focused().Update(press("right"))
	f.Focus("port")
	for _, k := range []string{"8", "x", "0", "8", "0"} {
		f.Focused().Update(press(k))
	}
	f.Focus("pick")
	f.Focused().Update(press("l"))
	f.Focus("no")
	if used, _ := f.Focused().Update(press("x")); used {
		t.Error("a field that cannot be changed takes a key")
	}
	got := map[string]string{}
	for _, fd := range f.Fields {
		got[fd.ID] = fd.Value()
	}
	want := map[string]string{"folder": "", "mode": "ro", "port": "8080", "pick": "b", "off": "yes", "no": ""}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for _, w := range []int{0, 1, 4, 9, 30, 61, 62, 100} {
		for _, h := range []int{0, 1, 4, 9, 40} {
			for range 8 {
				f.Move(1)
				exact(t, "form", f.View(th, w, h), w, h)
			}
		}
	}
}

func TestDialog(t *testing.T) {
	now := time.Unix(100, 0)
	tests := []struct {
		keys   []string
		answer string
		done   bool
	}{
		{[]string{"enter"}, "no", true},
		{[]string{"left", "enter"}, "yes", true},
		{[]string{"y"}, "yes", true},
		{[]string{"n"}, "no", true},
		{[]string{"esc"}, "", true},
		{[]string{"q"}, "", false},
	}
	for _, tt := range tests {
		d := Confirm("Stop it?", []string{"Really?"}, "Stop", "Keep")
		answer, done := "", false
		for _, k := range tt.keys {
			answer, done = d.Key(k, now)
		}
		if answer != tt.answer || done != tt.done {
			t.Errorf("%v: %q, %v, want %q, %v", tt.keys, answer, done, tt.answer, tt.done)
		}
	}
	d := Confirm("x", nil, "a", "b")
	d.OpenedItself(now)
	for i := range 5 { // typing goes on
		if _, done := d.Key("y", now.Add(time.Duration(i)*200*time.Millisecond)); done {
			t.Fatal("a dialog that opened by itself was answered by typing")
		}
	}
	if _, done := d.Key("y", now.Add(2*time.Second)); !done {
		t.Error("a dialog takes no key after a pause")
	}
}

func TestFooterHit(t *testing.T) {
	hints := []Hint{{Key: "enter", Text: "open"}, {Key: "s", Text: "stop"}, {Key: "t", Text: "terminal"}}
	tail := []Hint{{Key: "q", Text: "leave"}}
	for w := range 80 {
		line := ansi.Strip(Footer(th, w, hints, tail...))
		exact(t, "footer", line, w, 1)
		for _, h := range append(hints, tail...) {
			at := strings.Index(line, h.Key+" "+h.Text)
			if at < 0 {
				continue
			}
			if got := FooterHit(th, w, ansi.StringWidth(line[:at]), hints, tail...); got != h.Key {
				t.Errorf("%d: at %d %q, want %q in %q", w, at, got, h.Key, line)
			}
		}
	}
}

func TestWords(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct{ got, want string }{
		{Bytes(0), "0 B"}, {Bytes(999), "999 B"}, {Bytes(1000), "1 kB"}, {Bytes(999_999), "1 MB"}, {Bytes(243_000_000), "243 MB"},
		{Bytes(1_230_000_000), "1.2 GB"}, {Bytes(80_000_000_000), "80 GB"}, {Bytes(-1), ""},
		{Lasted(1400 * time.Millisecond), "1.4 s"}, {Lasted(72 * time.Second), "1 min 12 s"}, {Lasted(124 * time.Minute), "2 h 04 min"}, {Lasted(-1), ""},
		{Roughly(12 * time.Minute), "12 min"}, {Roughly(100 * time.Hour), "4 days"},
		{Ago(now.Add(-30*time.Second), now), "just now"}, {Ago(now.Add(-11*time.Hour), now), "today"}, {Ago(now.Add(-13*time.Hour), now), "yesterday"},
		{Ago(now.Add(-72*time.Hour), now), "3 days ago"}, {Ago(now.Add(-200*time.Hour), now), "last week"}, {Ago(now.AddDate(0, -3, 0), now), "22 Aug"},
		{Ago(now.AddDate(-2, 0, 0), now), "22 Nov 2024"}, {Ago(time.Time{}, now), ""},
		{Tilde("/home/ada/x", "/home/ada"), "~/x"}, {Tilde("/home/adam", "/home/ada"), "/home/adam"}, {Tilde("/home/ada", "/home/ada"), "~"},
		{Thousands(1234567), "1,234,567"}, {Thousands(-1234), "-1,234"}, {Thousands(12), "12"}, {Count(1, "file", "files"), "1 file"},
	} {
		if tt.got != tt.want {
			t.Errorf("got %q, want %q", tt.got, tt.want)
		}
	}
}

func BenchmarkLogView(b *testing.B) {
	var v LogView
	v.Resize(200, 60)
	for i := range LogLimit {
		v.Append(LogLine{Text: fmt.Sprintf("\x1b[32mINFO\x1b[0m request %d took some time and is written in a line of usual length", i)})
	}
	b.ResetTimer()
	for b.Loop() {
		v.Append(LogLine{Text: "one more"})
		v.View(th, 200, 60)
	}
}
