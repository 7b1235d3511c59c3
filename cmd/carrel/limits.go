package main

import (
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"carrel/engine"
	amounts "carrel/internal/amount"
)

// limitFlags are what a container may use at most.
type limitFlags struct{ memory, cpus, time, pids string }

func (l *limitFlags) register(f *pflag.FlagSet) {
	f.StringVar(&l.memory, "memory", "", "at most so much memory: `SIZE` such as 4G")
	f.StringVar(&l.cpus, "cpus", "", "at most the time of so many processors: `NUMBER` such as 1.5")
	f.StringVar(&l.pids, "pids-limit", "", "at most so many processes: `NUMBER`")
	f.StringVar(&l.time, "time", "", "end it after a `TIME` such as 2h or 1d")
}

// apply reads them into a RunSpec.
func (l *limitFlags) apply(spec *engine.RunSpec) error {
	to := &spec.Details.Limits
	if l.memory != "" {
		n, err := parseAmount(l.memory)
		if err != nil || n < 1<<20 {
			return usage("write a number with M or G, such as --memory 512M or --memory 4G", "memory %q is no amount of at least 1M", l.memory)
		}
		to.Memory = n
	}
	if l.cpus != "" {
		n, err := strconv.ParseFloat(l.cpus, 64)
		if err != nil || !(n >= 0.01 && n < 1e5) {
			return usage("write a number such as --cpus 1.5", "processors %q is no number from 0.01 on", l.cpus)
		}
		to.CPUs = n
	}
	if l.pids != "" {
		n, err := strconv.ParseInt(l.pids, 10, 64)
		if err != nil || n < 1 {
			return usage("write a number such as --pids-limit 200", "processes %q is no number from 1 on", l.pids)
		}
		to.PIDs = n
	}
	if l.time != "" {
		d, err := parseSpan(l.time)
		if err != nil || d <= 0 {
			return usage("write --time 90m, --time 2h or --time 1d", "time %q is no length of time", l.time)
		}
		spec.TimeLimit = d
	}
	return nil
}

func parseAmount(text string) (int64, error)       { return amounts.Bytes(text) }
func parseSpan(text string) (time.Duration, error) { return amounts.Span(text) }

// parseSince reads a moment: so long ago, or a date with or without a time.
func parseSince(text string, now time.Time) (time.Time, error) {
	if d, err := parseSpan(text); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02 15:04", "2006-01-02"} {
		if at, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			return at, nil
		}
	}
	for _, layout := range []string{"15:04:05", "15:04"} {
		if at, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			y, m, d := now.Date()
			moment := time.Date(y, m, d, at.Hour(), at.Minute(), at.Second(), 0, now.Location())
			if moment.After(now) { // nothing was written in the time to come: last night's is meant
				moment = time.Date(y, m, d-1, at.Hour(), at.Minute(), at.Second(), 0, now.Location())
			}
			return moment, nil
		}
	}
	return time.Time{}, usage("write how long ago, such as 10m or 2h, or when, such as 14:30 or 2026-01-31", "since %q is neither a length of time nor a moment", text)
}

// keepFlags are what only an app in the background can be asked for.
type keepFlags struct {
	restart          string
	interactive, tty bool
	stopSignal       string
}

func (k *keepFlags) register(f *pflag.FlagSet) {
	f.StringVar(&k.restart, "restart", "", "with -d: start it again: no, on-failure, on-failure:`N` times, or always")
	f.StringVar(&k.stopSignal, "stop-signal", "", "`SIGNAL` that asks it to end, in place of the image's")
	f.BoolVarP(&k.interactive, "interactive", "i", false, "with -d: keep its input open for carrel attach")
	f.BoolVarP(&k.tty, "tty", "t", false, "with -d: give it a terminal for carrel attach")
}

func (k *keepFlags) apply(spec *engine.RunSpec, detached bool) error {
	when, count, counted := strings.Cut(k.restart, ":")
	switch when {
	case "", "no":
	case string(engine.RestartOnFailure), string(engine.RestartAlways):
		spec.Restart.When = engine.RestartAlways
		if when == string(engine.RestartOnFailure) {
			spec.Restart.When = engine.RestartOnFailure
		}
	default:
		return usage("write --restart on-failure, --restart on-failure:5, --restart always or --restart no", "restart %q is not known", k.restart)
	}
	if counted {
		n, err := strconv.Atoi(count)
		if err != nil || n < 1 || spec.Restart.When == engine.RestartNever {
			return usage("write --restart on-failure:5", "restart %q: %q is no number of times", k.restart, count)
		}
		spec.Restart.Max = n
	}
	if spec.Restart.When != engine.RestartNever && !detached {
		return usage("add -d", "--restart is for an app in the background")
	}
	spec.StopSignal = k.stopSignal
	if detached { // in the foreground the app has this terminal and this input anyway
		spec.Terminal, spec.Stdin = k.tty, k.interactive
	}
	return nil
}
