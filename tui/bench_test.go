package tui

import (
	"context"
	"fmt"
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
