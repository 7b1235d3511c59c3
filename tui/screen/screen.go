package screen

import (
	"context"
	"time"

	"charm.land/bubbles/v2/key"
	tea "charm.land/bubbletea/v2"

	"carrel/engine"
	"carrel/internal/remote"
	"carrel/tui/task"
	"carrel/tui/theme"
)

// Screen is one of the program's screens.
type Screen interface {
	// Init starts what the screen needs to know. It is called once.
	Init() tea.Cmd
	// Update takes everything but keys and the mouse. A message for another screen is ignored.
	Update(tea.Msg) tea.Cmd
	// Key takes a key before the actions do, and tells whether it was used.
	Key(tea.KeyPressMsg) (cmd tea.Cmd, used bool)
	// Mouse takes a click or a turn of the wheel, in the screen's own cells.
	Mouse(Mouse) tea.Cmd
	// Resize tells the size that the next keys refer to.
	Resize(w, h int)
	// View draws the screen in exactly w by h cells. It changes nothing and asks no clock.
	View(w, h int) string
	// Actions are what can be done here and now, the most useful first.
	Actions() []Action
	// Title is the screen's place in the line at the top: "Jupyter", "Launch".
	Title() string
	// Typing tells that letters belong to a text field: they never start an action then.
	Typing() bool
	// Pace is how often the screen wants a Tick; 0 when nothing on it moves.
	Pace() time.Duration
	// Close ends what the screen started, without waiting where that could take long (see Waiter). It is called once, when the
	// screen is left for good.
	Close()
}

// Keeper is a screen that may hold what would be lost by leaving it, and says whether it does now.
type Keeper interface{ Keeps() bool }

// Worker is a screen that may do what would be ended by leaving the program, and says what: "The push of x.sif"; empty for nothing.
type Worker interface{ Working() string }

// Waiter is a screen whose work may take a while to end after Close. Wait waits for that; the program calls it when the loop
// has ended, never on it.
type Waiter interface{ Wait() }

// Base gives a screen the methods it has no use for.
type Base struct{}

// Init does nothing.
func (Base) Init() tea.Cmd { return nil }

// Update ignores the message.
func (Base) Update(tea.Msg) tea.Cmd { return nil }

// Key uses no key.
func (Base) Key(tea.KeyPressMsg) (tea.Cmd, bool) { return nil, false }

// Mouse ignores the mouse.
func (Base) Mouse(Mouse) tea.Cmd { return nil }

// Resize has nothing to remember.
func (Base) Resize(int, int) {}

// Actions are none.
func (Base) Actions() []Action { return nil }

// Typing is never so.
func (Base) Typing() bool { return false }

// Pace is standing still.
func (Base) Pace() time.Duration { return 0 }

// Close has nothing to end.
func (Base) Close() {}

// Mouse is a click (Wheel 0) or a turn of the wheel (-1 up, 1 down) at a cell of a view of W by H.
type Mouse struct {
	X, Y, W, H int
	Wheel      int
}

// Action is one thing a person can do on a screen: its keys and their words, and what it does.
type Action struct {
	key.Binding
	Name   string         // for the palette, as a sentence: "Stop jupyter"; empty: not in the palette
	Off    string         // why it cannot be done now; empty: it can
	Do     func() tea.Cmd // nil: the screen's Key does it, the action only tells of it
	Hidden bool           // not in the footer
}

// Do makes an action. keys are the names of the keys, the first is the one that is shown.
func Do(keys []string, word, name string, do func() tea.Cmd) Action {
	return Action{Binding: key.NewBinding(key.WithKeys(keys...), key.WithHelp(keys[0], word)), Name: name, Do: do}
}

// On is an action's keys: On("enter"), On("up", "k").
func On(keys ...string) []string { return keys }

// Tell makes an action that only tells of keys the screen handles itself.
func Tell(shown, word string) Action {
	return Action{Binding: key.NewBinding(key.WithKeys(), key.WithHelp(shown, word))}
}

// Unless gives the action a reason why it cannot be done, when there is one.
func (a Action) Unless(reason string) Action {
	a.Off = reason
	return a
}

// Quietly keeps the action out of the footer.
func (a Action) Quietly() Action {
	a.Hidden = true
	return a
}

// Shown sets how the key is written.
func (a Action) Shown(k string) Action {
	a.SetHelp(k, a.Help().Desc)
	return a
}

// Searching are what can be done while the words to search a log for are typed.
func Searching() []Action {
	return []Action{Tell("enter", "done"), Tell("↑↓", "places found"), Tell("esc", "end the search")}
}

// Deps are what every screen is made with.
type Deps struct {
	Life     context.Context // ends with the program; what a screen starts hangs on it
	Engine   task.Engine
	Catalog  task.Catalog
	Memory   task.Memory
	Theme    *theme.Theme
	Now      func() time.Time // for Update; View never asks
	Home     string           // the person's home folder
	Self     string           // path of this program
	Cwd      string           // the folder it was started in
	Writable bool             // the engine can keep what changes inside a container
	Remote   *Remote          // nil: this computer is the one in front of the person
}

// Remote says where this is, seen from the computer that the person sits at.
type Remote = remote.Place

// Tick is the shared clock.
type Tick struct {
	Now   time.Time
	Frame int
}

// Spin and Slow are the paces a screen may ask for: a spinner, and words like "5 min".
const (
	Spin   = 100 * time.Millisecond
	Second = time.Second
	Slow   = 20 * time.Second
)

// Shown tells a screen that it is the one on the terminal now, Hidden that it no longer is.
type (
	Shown  struct{}
	Hidden struct{}
)

// Instances tells every screen what runs; sent whenever it changed. Err says why some are not in the list; the others are.
type Instances struct {
	List []engine.Instance
	Err  error
}

// ImagesChanged tells every screen that an image came or went.
type ImagesChanged struct{}

// CatalogChanged tells every screen that sources of the catalog came, went or were brought up to date.
type CatalogChanged struct{}
