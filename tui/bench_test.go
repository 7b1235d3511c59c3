package tui

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"

	"carrel/engine"
	"carrel/tui/screen"
	"carrel/tui/tuitest"
)

// BenchmarkView draws a frame of 200 by 60 cells with ten thousand images on the desk, which moves by one row each time:
// what one key press costs.
func BenchmarkView(b *testing.B) {
	clock := func() time.Time { return tuitest.Noon }
	e, c := tuitest.World(clock)
	for i := range 10_000 {
		e.AddImage(engine.ImageInfo{Name: fmt.Sprintf("image-%05d.sif", i), Path: fmt.Sprintf("/data/image-%05d.sif", i), Size: int64(i) << 20, ModTime: tuitest.Noon})
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	m := newModel(ctx, Options{Engine: e, Catalog: c, Home: tuitest.Home, Now: clock})
	m.Update(tea.WindowSizeMsg{Width: 200, Height: 60})
	m.Update(m.tops[0].Init()())
	apps, _ := e.Instances(ctx)
	m.Update(screen.Instances{List: apps})
	b.ResetTimer()
	for b.Loop() {
		m.Update(tuitest.Key("down"))
		m.View()
	}
}

// BenchmarkFirstFrame makes the program and draws its first frame.
func BenchmarkFirstFrame(b *testing.B) {
	clock := func() time.Time { return tuitest.Noon }
	e, c := tuitest.World(clock)
	for b.Loop() {
		m := newModel(context.Background(), Options{Engine: e, Catalog: c, Home: tuitest.Home, Now: clock, Width: 120, Height: 36})
		m.View()
	}
}

// BenchmarkEnded draws the screen of an app that ended, with what is known of why, at each turn of its log by a line.
func BenchmarkEnded(b *testing.B) {
	clock := func() time.Time { return tuitest.Noon }
	e, c := tuitest.World(clock)
	e.Put(engine.Instance{Name: "zz", State: engine.StateExited, ExitCode: 1, Started: tuitest.Noon})
	for i := range 200 {
		e.Log("zz", fmt.Sprintf("  File \"/opt/analysis/step%d.py\", line %d, in fit_the_model", i, i))
	}
	e.Log("zz", "FileNotFoundError: [Errno 2] No such file or directory: '/data/effects.csv'")
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	m := newModel(ctx, Options{Engine: e, Catalog: c, Home: tuitest.Home, Now: clock, Start: StartRunning})
	m.Update(tea.WindowSizeMsg{Width: 120, Height: 36})
	m.running.Update(screen.Shown{})
	apps, _ := e.Instances(ctx)
	m.Update(screen.Instances{List: apps})
	run(m, m.running.Show("zz"))
	if !strings.Contains(m.draw(120, 36), "The file /data/effects.csv is not there") {
		b.Fatalf("the screen does not say why:\n%s", m.draw(120, 36))
	}
	b.ResetTimer()
	for b.Loop() {
		m.Update(tuitest.Key("up"))
		m.View()
	}
}

// run carries a command out, and those it leads to.
func run(m *model, cmd tea.Cmd) {
	if cmd == nil {
		return
	}
	msg := cmd()
	if batch, ok := msg.(tea.BatchMsg); ok {
		for _, c := range batch {
			run(m, c)
		}
		return
	}
	if msg != nil {
		run(m, m.running.Update(msg))
	}
}
