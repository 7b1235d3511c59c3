package progress

import (
	"testing"
	"time"
)

func TestRated(t *testing.T) {
	at := time.Unix(1_700_000_000, 0)
	var got []Event
	sink := Rated(func(e Event) { got = append(got, e) })
	send := func(after time.Duration, e Event) Event {
		t.Helper()
		e.Time = at.Add(after)
		sink.Send(e)
		return got[len(got)-1]
	}
	amount := func(done int64) Event {
		return Event{Kind: Amount, Step: StepFetch, Done: done, Total: 100e6, Unit: "bytes"}
	}
	send(0, Event{Kind: Start, Step: StepFetch})
	for _, tt := range []struct {
		after time.Duration
		done  int64
		want  int64
	}{
		{0, 50e6, 0}, // what was there already is no speed
		{100 * time.Millisecond, 51e6, 0},
		{time.Second, 60e6, 10e6},
		{2 * time.Second, 70e6, 10e6},
		{10 * time.Second, 78e6, 1e6}, // only the last seconds count
		{11 * time.Second, 10e6, 0},   // begun again
	} {
		if e := send(tt.after, amount(tt.done)); e.Rate != tt.want || e.Done != tt.done {
			t.Errorf("after %v: %+v, want the rate %d", tt.after, e, tt.want)
		}
	}
	if e := send(12*time.Second, Event{Kind: Amount, Step: StepPack, Done: 5e6, Unit: "bytes"}); e.Rate != 0 {
		t.Errorf("another step: %+v", e)
	}
	if e := send(12*time.Second, Event{Kind: Line, Step: StepFetch, Text: "x"}); e.Rate != 0 || e.Text != "x" {
		t.Errorf("a line: %+v", e)
	}
	for _, tt := range []struct {
		e    Event
		want time.Duration
		ok   bool
	}{
		{Event{Done: 40, Total: 100, Rate: 20}, 3 * time.Second, true},
		{Event{Done: 100, Total: 100, Rate: 20}, 0, true},
		{Event{Done: 40, Rate: 20}, 0, false},
		{Event{Done: 40, Total: 100}, 0, false},
		{Event{Done: 1, Total: 1 << 62, Rate: 1}, 0, false},
	} {
		if d, ok := tt.e.Left(); ok != tt.ok || ok && d != tt.want {
			t.Errorf("%+v: %v, %v", tt.e, d, ok)
		}
	}
	if Rated(nil) != nil {
		t.Error("a sink that drops all is none any more")
	}
}
