package tui

import (
	"context"
	"strings"
	"testing"
	"time"

	"carrel/tui/tuitest"
)

// The real program on a terminal in memory: keys go in, the screen comes out.
func TestTerminal(t *testing.T) {
	clock := func() time.Time { return tuitest.Noon }
	e, c := tuitest.World(clock)
	e.Answers = true
	term := tuitest.NewTerminal(t, 80, 24)
	type end struct {
		r   Result
		err error
	}
	ended := make(chan end, 1)
	go func() {
		r, err := Run(context.Background(), Options{Engine: e, Catalog: c, Home: tuitest.Home, Now: clock,
			Input: term.Input, Output: term, Environ: []string{"TERM=xterm-256color"}, Width: 80, Height: 24})
		ended <- end{r, err}
	}()
	term.Until("MY CONTAINERS")
	term.Until("http://127.0.0.1:9684/")
	term.Type("2")
	term.Until("RESULT PAGES")
	term.Type("/rstudio")
	term.Until("1 app")
	term.Type("\r")
	term.Until("Which folder do you want to work in?")
	term.Type("\r")
	term.Until("http://127.0.0.1:8787/")
	term.Type("?")
	term.Until("Keys: RStudio")
	term.Type("\x1b")
	term.Gone("Keys: RStudio") // escape and a letter at once would be alt and the letter
	term.Type("q")
	select {
	case got := <-ended:
		if got.err != nil || !strings.Contains(got.r.Goodbye, "rstudio and stroop") && !strings.Contains(got.r.Goodbye, "keep running") {
			t.Errorf("ended with %q, %v", got.r.Goodbye, got.err)
		}
	case <-time.After(30 * time.Second):
		t.Fatalf("q does not leave:\n%s", term.Screen())
	}
	e.Wait()
}

// A panic in the engine becomes a message on the screen, not the end of the program.
func TestEnginePanics(t *testing.T) {
	drive(t, 80, 24, nil, func(d *driver) {
		d.m.d.Engine = panicking{d.e}
		d.press("2", "enter")
		d.sees("internal error")
		d.sees("mistake in Carrel itself")
	})
}
