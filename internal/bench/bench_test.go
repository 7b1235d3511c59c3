package main

import (
	"context"
	"errors"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestMedianAndBest(t *testing.T) {
	for _, c := range []struct {
		name         string
		values       []float64
		unit         unit
		median, best float64
	}{
		{"one", []float64{3}, seconds, 3, 3},
		{"odd, not in order", []float64{9, 1, 5}, seconds, 5, 1},
		{"even", []float64{4, 1, 2, 100}, seconds, 3, 1},
		{"more is better", []float64{4, 1, 2}, megabytesPerSecond, 2, 4},
		{"equal", []float64{2, 2}, megabytes, 2, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := strings.Clone(digits(c.values[0]))
			if got := median(c.values); got != c.median {
				t.Errorf("median: got %v, want %v", got, c.median)
			}
			if got := best(c.unit, c.values); got != c.best {
				t.Errorf("best: got %v, want %v", got, c.best)
			}
			if digits(c.values[0]) != before {
				t.Error("the values were put in another order")
			}
		})
	}
	if !math.IsNaN(median(nil)) || !math.IsNaN(best(seconds, nil)) {
		t.Error("nothing has a median")
	}
}

func TestFormat(t *testing.T) {
	for _, c := range []struct {
		unit  unit
		value float64
		want  string
	}{
		{seconds, 0.0023456, "2.35 ms"},
		{seconds, 0.0834, "83.4 ms"},
		{seconds, 0.5126, "513 ms"},
		{seconds, 0.9996, "1.00 s"},
		{seconds, 34.44, "34.4 s"},
		{seconds, 0, "0 ms"},
		{megabytesPerSecond, 1234.5, "1234 MB/s"},
		{megabytes, 22.04, "22.0 MB"},
		{percent, 0.013, "0.01 %"},
	} {
		if got := c.unit.format(c.value); got != c.want {
			t.Errorf("%v: got %q, want %q", c.value, got, c.want)
		}
	}
}

func TestVerdict(t *testing.T) {
	for _, c := range []struct {
		name       string
		unit       unit
		ours, peer float64
		want       string
	}{
		{"faster", seconds, 0.0134, 0.134, "10× faster"},
		{"a little slower", seconds, 6, 5, "1.2× slower"},
		{"within noise", seconds, 1.03, 1, "level"},
		{"throughput", megabytesPerSecond, 800, 2000, "2.5× slower"},
		{"memory", megabytes, 20, 60, "3× less"},
		{"more memory", megabytes, 20, 2, "10× more"},
		{"much", seconds, 1, 123, "123× faster"},
		{"nothing to compare", seconds, math.NaN(), 1, ""},
		{"zero", seconds, 0, 1, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := verdict(c.unit, c.ours, c.peer); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestRuns(t *testing.T) {
	for _, c := range []struct {
		quick bool
		want  int
		first time.Duration
		runs  int
	}{
		{false, 20, time.Millisecond, 20},
		{false, 10, 2 * time.Second, 10},
		{false, 10, 4 * time.Second, 5},
		{false, 10, 30 * time.Second, 3},
		{true, 20, time.Millisecond, 6},
		{true, 3, time.Millisecond, 3},
		{true, 5, 30 * time.Second, 1},
	} {
		if got := (pace{c.quick}).runs(c.want, c.first); got != c.runs {
			t.Errorf("%+v: got %d", c, got)
		}
	}
}

// scripted is a contender that gives figures in turn, and writes down when it ran.
func scripted(name string, order *[]string, figures ...float64) contender {
	i := 0
	return contender{name: name, run: func(context.Context) (measure, error) {
		*order = append(*order, name)
		v := figures[i%len(figures)]
		i++
		if v < 0 {
			return measure{}, errors.New("it broke")
		}
		return measure{values: []float64{v}, note: name + "'s note"}, nil
	}}
}

func TestMeasureInTurns(t *testing.T) {
	var order []string
	q := question{unit: seconds, runs: 2, contenders: []contender{
		scripted("A", &order, 9, 1, 2),
		{name: "gone", missing: "gone"},
		scripted("B", &order, 9, 3, 4),
		scripted("C", &order, 9, 5, -1),
	}}
	results := measureAll(t.Context(), q, pace{}, func(string) {})
	if want := []string{"A", "B", "C", "A", "B", "C", "A", "B", "C"}; !cmp.Equal(order, want) {
		t.Errorf("order: got %v, want %v", order, want)
	}
	rows := results[0].rows
	// The first run warms up; what fails has no figures, whatever it gave before.
	for i, want := range [][]float64{{1, 2}, nil, {3, 4}, nil} {
		if !cmp.Equal(rows[i].values, want) {
			t.Errorf("%s: got %v, want %v", rows[i].name, rows[i].values, want)
		}
	}
	if rows[1].err == nil || rows[3].err == nil || rows[0].err != nil {
		t.Errorf("errors: %v, %v, %v", rows[1].err, rows[3].err, rows[0].err)
	}
	if rows[0].note != "A's note" {
		t.Errorf("note: %q", rows[0].note)
	}
}

func TestMeasureStopsInTime(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	ran := 0
	q := question{runs: 100, contenders: []contender{{name: "A", run: func(context.Context) (measure, error) {
		if ran++; ran == 3 {
			cancel()
		}
		return measure{values: []float64{1}}, ctx.Err()
	}}}}
	results := measureAll(ctx, q, pace{}, func(string) {})
	if got := len(results[0].rows[0].values); got != 1 || ran != 3 {
		t.Errorf("%d figures of %d runs are kept, want 1 of 3: %v", got, ran, results[0].rows[0].err)
	}
}

func sample() []result {
	q := question{title: "Start", unit: seconds, about: "How.", runs: 10}
	return []result{{question: q, part: "cold", rows: []row{
		{contender: contender{name: "Carrel", ours: true, how: "carrel exec x true"}, values: []float64{0.010, 0.012, 0.011}},
		{contender: contender{name: "Carrel, hot", ours: true}, values: []float64{0.005}},
		{contender: contender{name: "quick", less: "no overlay"}, values: []float64{0.004, 0.005, 0.006}, note: "5 MB"},
		{contender: contender{name: "slow|one"}, values: []float64{0.11}},
		{contender: contender{name: "absent", missing: "absent"}, err: errors.New("missing: absent")},
		{contender: contender{name: "broken"}, err: errors.New("exit status 1: a | b")},
	}}}
}

func TestSlower(t *testing.T) {
	got := slower(append(sample(), result{question: question{title: "Nothing of ours"}, rows: []row{{values: []float64{1}}}}))
	want := []string{"Start: cold: 11.0 ms beside 5.00 ms of quick: 2.2× slower (no overlay)"}
	if !cmp.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestMarkdown(t *testing.T) {
	rep := report{
		date: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC), took: 90 * time.Second,
		machine: []string{"Linux"}, versions: []string{"carrel 1"}, absent: []string{"runc: not installed (start)"}, results: sample(),
	}
	var b strings.Builder
	if err := rep.fprintMarkdown(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"2026-11-22 12:00 UTC, in 1m30s.",
		"## Where a peer is better\n\n- Start: cold: 11.0 ms beside 5.00 ms of quick: 2.2× slower (no overlay)\n",
		"## Start: cold\n\nHow.\n\n| | median | least | runs | Carrel is | |\n|---|--:|--:|--:|---|---|\n",
		"| **Carrel** | 11.0 ms | 10.0 ms | 3 |  |  |\n",
		"| **Carrel, hot** | 5.00 ms | 5.00 ms | 1 | (2.2× faster) |  |\n",
		"| quick | 5.00 ms | 4.00 ms | 3 | 2.2× slower | 5 MB; no overlay |\n",
		"| slow\\|one | 110 ms | 110 ms | 1 | 10× faster |  |\n",
		"| broken | – | | | | exit status 1: a \\| b |\n",
		"- Carrel: `carrel exec x true`\n",
		"## Not measured\n\n- runc: not installed (start)\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the document lacks\n%s\nit is\n%s", want, b.String())
		}
	}
	if strings.Contains(b.String(), "absent") {
		t.Error("what is not installed has a row")
	}
}

func TestTable(t *testing.T) {
	var b strings.Builder
	if err := fprintTable(&b, sample()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Start: cold", "2.2× slower", "10× faster", "missing: absent", "exit status 1"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, b.String())
		}
	}
}

func TestChoose(t *testing.T) {
	for _, c := range []struct {
		text  string
		names []string
		quick bool
		bad   bool
	}{
		{text: "", names: []string{"start", "answer", "read", "port", "screen", "desk", "apps", "memory", "pack", "registry", "bootstrap", "unpack"}},
		{text: "quick", quick: true, names: []string{"start", "answer", "read", "port", "screen", "desk", "apps", "memory", "pack", "registry", "bootstrap", "unpack"}},
		{text: "pack,start", names: []string{"start", "pack"}},
		{text: "quick read", quick: true, names: []string{"read"}},
		{text: "strat", bad: true},
	} {
		t.Run(c.text, func(t *testing.T) {
			chosen, quick, err := choose(c.text)
			if (err != nil) != c.bad {
				t.Fatal(err)
			}
			var names []string
			for _, f := range chosen {
				names = append(names, f.name)
			}
			if !cmp.Equal(names, c.names) || quick != c.quick {
				t.Errorf("got %v, %v", names, quick)
			}
		})
	}
}

func TestFindVersion(t *testing.T) {
	for text, want := range map[string]string{
		"bubblewrap 0.8.0\n":                          "0.8.0",
		"mksquashfs version 4.5.1 (2022/03/17)\n":     "4.5.1",
		"usage: …\nsquashfuse 0.1.105 (c) 2012\n":     "0.1.105",
		"apptainer version 1.4.5-2+b1\n":              "1.4.5-2+b1",
		"nothing that looks like one, not even 2022 ": "of unknown version",
	} {
		if got := findVersion(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func TestRunTellsWhy(t *testing.T) {
	me := (&lab{}).call(person{uid: -1}, "sh")
	me.UID, me.Dir = os.Getuid(), t.TempDir()
	me.Args = []string{"sh", "-c", "echo out; echo first >&2; echo last >&2; exit 3"}
	o := me.run(t.Context())
	if o.Out != "out\n" || o.Error != "exit status 3: first; last" || o.Took <= 0 || o.Memory <= 0 {
		t.Errorf("got %+v", o)
	}
	me.Args = []string{"sh", "-c", "true"}
	if o := me.run(t.Context()); o.Error != "" {
		t.Error(o.Error)
	}
	me.Args = []string{"/nonexistent/program"}
	if o := me.run(t.Context()); o.Error == "" {
		t.Error("what does not exist ran")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	me.Args = []string{"sleep", "600"}
	if o := me.run(ctx); o.Error == "" {
		t.Error("what was stopped succeeded")
	}
}

func TestJobEnds(t *testing.T) {
	c := call{Args: []string{"sh", "-c", "sleep 600 & sleep 600"}, Dir: "/", UID: os.Getuid(), Env: []string{"PATH=" + searchPath}}
	j, err := c.start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := j.ended(); err != nil {
		t.Error(err)
	}
	j.end()
	select {
	case <-j.done:
	default:
		t.Error("it goes on")
	}
}
