package engine

import (
	"cmp"
	"context"
	"os"
	"strings"

	"carrel/engine/instance"
	"carrel/engine/network"
	"carrel/engine/network/guard"
)

// GuardMode says when a gate stands in front of published ports, which lets in only the browser of the person who
// started the app.
type GuardMode string

const (
	GuardAuto GuardMode = "auto" // when other people use this machine
	GuardOn   GuardMode = "on"
	GuardOff  GuardMode = "off"
)

// GuardModes are all of them.
var GuardModes = []GuardMode{GuardAuto, GuardOn, GuardOff}

// guardMode is the mode of a run.
func (e *Engine) guardMode(s RunSpec) GuardMode { return cmp.Or(s.Guard, e.c.Guard, GuardOff) }

// guarding decides whether the ports of a run are guarded. exposed: other people use this machine, and nobody said that
// they may see everything.
func (e *Engine) guarding(s RunSpec) (guarded, exposed bool) {
	switch e.guardMode(s) {
	case GuardOn:
		return true, true
	case GuardAuto:
		others := guard.Others(os.DirFS("/"), uint32(e.c.User.UID), e.c.User.Name)
		return others, others
	}
	return false, false
}

// Guarded tells whether the published ports of an app are guarded when nothing else is asked for, and whether other people
// use this computer.
func (e *Engine) Guarded() (guarded, others bool) {
	guarded, _ = e.guarding(RunSpec{})
	return guarded, guard.Others(os.DirFS("/"), uint32(e.c.User.UID), e.c.User.Name)
}

// Exposed tells whether what an app listens on is open to other people who use this computer now: it shares the
// computer's network, and nobody said that they may see it.
func (e *Engine) Exposed(s RunSpec) bool {
	if s.private() || s.NoNetwork {
		return false
	}
	_, exposed := e.guarding(s)
	return exposed
}

// newGuard is the gate of a container in the foreground, where nobody could ask for a second link: its link lasts.
func (e *Engine) newGuard() *guard.Guard {
	c := guard.Config{UID: uint32(e.c.User.UID), Lasting: true}
	if name, err := os.Hostname(); err == nil {
		short, _, _ := strings.Cut(name, ".")
		c.Hosts = []string{name, short}
	}
	return guard.New(c)
}

// front is a published port of a container in the foreground, and its gate where it has one.
type front struct {
	*network.Published
	guard *guard.Guard
	gate  *guard.Port
}

// publish opens a port of a container in the foreground; g is nil where nothing is guarded.
func (e *Engine) publish(ctx context.Context, port Port, proto string, g *guard.Guard, dial network.DialFunc) (front, error) {
	f := front{}
	m, err := mapping(port)
	if err != nil {
		return f, err
	}
	var o network.Options
	if g != nil && !port.UDP {
		f.guard, f.gate = g, g.Port(proto)
		o.Gate = f.gate
	}
	if f.Published, err = network.PublishWith(ctx, m, o, dial); err != nil {
		return f, instance.NameHolder(e.instanceDir(), err)
	}
	if f.gate != nil {
		f.gate.Published(f.Addr.Port())
	}
	return f, nil
}

// link is the address of a page as a person gets it.
func (f front) link(address string, proto string) (link string, guarded bool) {
	if f.gate == nil {
		return address, false
	}
	f.gate.Speaks(proto)
	if proto != "http" {
		return address, false
	}
	return f.guard.Link(address), true
}
