package main

import "testing"

func TestInitTime(t *testing.T) {
	trace := "init internal/bytealg @0.008 ms, 0.25 ms clock, 0 bytes, 0 allocs\ncarrel 1.0\ninit os @1.2 ms, 0.5 ms clock, 416 bytes, 9 allocs\ninit broken @ ms\n"
	if total, packages := initTime(trace); total != 0.75 || packages != 2 {
		t.Errorf("got %v ms of %d packages", total, packages)
	}
}
