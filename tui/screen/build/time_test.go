package build

import (
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"

	"carrel/engine"
	"carrel/engine/progress"
	"carrel/tui/screen"
	"carrel/tui/theme"
)

// How fast a step is and how long it still takes is told when that is known for a while; the columns stay where they are.
func TestTimeLeft(t *testing.T) {
	begin := time.Unix(1_700_000_000, 0)
	s := &Screen{d: screen.Deps{Theme: theme.New(theme.Options{})}, title: "x", from: begin}
	at := func(second int, e engine.Event) (head, step string) {
		e.Time = begin.Add(time.Duration(second) * time.Second)
		s.now = e.Time
		s.event(e)
		for _, l := range s.head(116, 30) {
			l = ansi.Strip(l)
			if strings.Contains(l, "Building x") {
				head = strings.Join(strings.Fields(l)[3:], " ")
			}
			if strings.Contains(l, "◐") {
				step = l
			}
		}
		return head, step
	}
	amount := func(step progress.Step, done int64, rate int64) engine.Event {
		return engine.Event{Kind: progress.Amount, Step: step, Done: done * 1e6, Total: 400e6, Unit: "bytes", Rate: rate * 1e6, Text: "debian"}
	}
	at(0, engine.Event{Kind: progress.Plan, Plan: []progress.Planned{{Step: progress.StepFetch}, {Step: progress.StepPack}, {Step: progress.StepTest}}})
	at(0, engine.Event{Kind: progress.Start, Step: progress.StepFetch})
	tests := []struct {
		second int
		event  engine.Event
		head   string // how long all of it still takes
		step   string
	}{
		{1, amount(progress.StepFetch, 2, 0), "", "2 MB of 400 MB             debian"},
		{2, amount(progress.StepFetch, 9, 7), "", "9 MB of 400 MB     7 MB/s  debian"}, // too early to tell
		{6, amount(progress.StepFetch, 300, 7), "", "300 MB of 400 MB     7 MB/s  debian  about 15 s left"},
		{7, amount(progress.StepFetch, 390, 90), "", "390 MB of 400 MB    90 MB/s  debian  a few seconds left"},
		{8, engine.Event{Kind: progress.Done, Step: progress.StepFetch}, "", ""},
		{8, engine.Event{Kind: progress.Start, Step: progress.StepPack}, "", "Pack image"},
		{12, amount(progress.StepPack, 10, 3), "about 2 min left", "10 MB of 400 MB     3 MB/s  debian  about 2 min left"},
		{13, amount(progress.StepPack, 10, 0), "", "10 MB of 400 MB             debian"},
	}
	column := 0
	for _, tt := range tests {
		head, step := at(tt.second, tt.event)
		if _, left, _ := strings.Cut(head, "· "); left != tt.head || !strings.Contains(step, tt.step) {
			t.Errorf("second %d: %q, %q; want %q, %q", tt.second, head, step, tt.head, tt.step)
		}
		if i := strings.Index(step, " of 400"); i >= 0 {
			i = ansi.StringWidth(step[:i])
			if column > 0 && i != column {
				t.Errorf("second %d: the amount ends at %d, before at %d", tt.second, i, column)
			}
			column = i
		}
	}
}
