package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
)

// repeats is the package from whose initializer a launch is repeated.
const repeats = "carrel/cmd/carrel/quick"

// programQuestion asks what every start of the program costs, whatever it does then.
func (l *lab) programQuestion(p person) question {
	args := []string{"sh", "-c", `GODEBUG=inittrace=1 exec "$0" version 2>&1`, l.carrel}
	inits := contender{name: "of that, the initialization of Go packages", ours: true, how: "GODEBUG=inittrace=1 carrel version"}
	inits.run = func(ctx context.Context) (measure, error) {
		o := l.run(ctx, l.call(p, args...))
		if o.Error != "" {
			return measure{}, o.err()
		}
		total, packages := initTime(o.Out)
		if packages == 0 {
			return measure{}, fmt.Errorf("nothing about packages in %q", o.Out)
		}
		return measure{values: []float64{total / 1e3}, note: fmt.Sprintf("%d packages", packages)}, nil
	}
	early := contender{name: "of that, what comes before a launch that is repeated", ours: true, how: "GODEBUG=inittrace=1 carrel version"}
	early.run = func(ctx context.Context) (measure, error) {
		o := l.run(ctx, l.call(p, args...))
		if o.Error != "" {
			return measure{}, o.err()
		}
		before, _, ok := strings.Cut(o.Out, "init "+repeats+" ")
		if !ok {
			return measure{}, fmt.Errorf("nothing about %s in %q", repeats, o.Out)
		}
		total, packages := initTime(before)
		return measure{values: []float64{total / 1e3}, note: fmt.Sprintf("%d packages", packages)}, nil
	}
	return question{
		title: "Start of the program itself, as " + p.name, unit: seconds, runs: 20,
		about:      "What comes before everything that Carrel does.",
		contenders: []contender{withOurs(l.program("carrel version", p, l.carrel, "version")), inits, early},
	}
}

// initTime adds up the time of package initializers, in milliseconds, from what the Go runtime says of them (package runtime,
// GODEBUG, inittrace):
//
//	init net/http @3.1 ms, 0.026 ms clock, 4712 bytes, 49 allocs
func initTime(trace string) (total float64, packages int) {
	for line := range strings.Lines(trace) {
		f := strings.Fields(line)
		if len(f) < 7 || f[0] != "init" || f[6] != "clock," {
			continue
		}
		if ms, err := strconv.ParseFloat(f[4], 64); err == nil {
			total, packages = total+ms, packages+1
		}
	}
	return total, packages
}
