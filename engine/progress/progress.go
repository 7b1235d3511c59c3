// Package progress is what long work tells while it runs: steps that start and end, amounts, and lines of output, as plain
// values that survive a trip through JSON, because builds run in a process of their own.
//
// It knows nothing of screens or terminals, and nobody waits for it: a Sink must return at once.
package progress

import "time"

// Kind says which fields of an Event mean something.
type Kind string

const (
	// Plan announces the steps to come, in order, in Event.Plan. It may be sent again when the plan grows.
	Plan Kind = "plan"
	// Start begins the step Event.Step; Text says what it is about ("debian bookworm").
	Start Kind = "start"
	// Amount updates the step's Done and Total, in Unit, and Rate; Text may name the current item.
	Amount Kind = "amount"
	// Line is one line of output of the step, in Text, without its newline, bytes as they came.
	Line Kind = "line"
	// Notice is something a person should know that is not a failure; Text is a whole sentence.
	Notice Kind = "notice"
	// Done ends the step well; Text may sum it up ("61 packages, 48 MB").
	Done Kind = "done"
	// Failed ends the step badly; Text is the error, Hint what to do about it.
	Failed Kind = "failed"
)

// Step names a part of a job. The names are stable: scripts read them in --json.
type Step string

// The steps of a build, in the order in which they occur. Not every build has all of them.
const (
	StepRead    Step = "read"    // read and check the definition
	StepFetch   Step = "fetch"   // fetch the base
	StepSetup   Step = "setup"   // %pre and %setup, on the host
	StepFiles   Step = "files"   // %files
	StepInstall Step = "install" // %post
	StepApps    Step = "apps"    // %appinstall
	StepPack    Step = "pack"    // write the image
	StepTest    Step = "test"    // %test
	StepPush    Step = "push"    // send to a registry
)

// Planned is one step of a plan.
type Planned struct {
	Step  Step   `json:"step"`
	Title string `json:"title"` // for a person: "Install software (%post)"
}

// Event is one thing that happened.
type Event struct {
	Time  time.Time `json:"time"`
	Kind  Kind      `json:"kind"`
	Step  Step      `json:"step,omitempty"`
	Stage string    `json:"stage,omitempty"` // name of the definition's stage, when it has several
	Text  string    `json:"text,omitempty"`
	Hint  string    `json:"hint,omitempty"`
	Plan  []Planned `json:"plan,omitempty"`
	Done  int64     `json:"done,omitempty"`
	Total int64     `json:"total,omitempty"` // 0: not known
	Unit  string    `json:"unit,omitempty"`  // "bytes", "packages", "files"
	Rate  int64     `json:"rate,omitempty"`  // units in a second, lately; 0: not known (see Rated)
}

// Left is how long the step still takes when it goes on as it did lately; false where that is not known.
func (e Event) Left() (time.Duration, bool) {
	if e.Rate <= 0 || e.Total <= 0 || e.Done > e.Total {
		return 0, false
	}
	seconds := float64(e.Total-e.Done) / float64(e.Rate)
	return time.Duration(seconds * float64(time.Second)), seconds < 100*24*3600 // more is none that means something
}

// Sink takes events in the order in which they happen. It never blocks and never fails; nil is a sink that drops all.
type Sink func(Event)

// Send stamps the event with the time, when it has none, and hands it on.
func (s Sink) Send(e Event) {
	if s == nil {
		return
	}
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	s(e)
}

// Line sends one line of output of a step.
func (s Sink) Line(step Step, text string) { s.Send(Event{Kind: Line, Step: step, Text: text}) }

// Notice sends a sentence a person should read.
func (s Sink) Notice(step Step, text string) { s.Send(Event{Kind: Notice, Step: step, Text: text}) }

// Amount sends how far a step is.
func (s Sink) Amount(step Step, done, total int64, unit, item string) {
	s.Send(Event{Kind: Amount, Step: step, Done: done, Total: total, Unit: unit, Text: item})
}
