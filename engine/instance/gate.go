package instance

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"carrel/engine/network"
	"carrel/engine/network/guard"
)

// protoUDP is the protocol of ports whose datagrams are carried; they are not asked whether they answer.
const protoUDP = "udp"

func (q *port) udp() bool { return q.spec.Proto == protoUDP }

// newGuard makes the gate's keys, where there is to be one.
func (s *supervisor) newGuard() *guard.Guard {
	if !s.spec.Guard {
		return nil
	}
	c := guard.Config{UID: uint32(os.Getuid())}
	c.Name = func() string {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.rec.Name
	}
	// A spent link is replaced in the state, which is where everybody reads it.
	c.Changed = func() {
		if p := s.guarded.Load(); p != nil {
			p.poke()
		}
	}
	if name, err := os.Hostname(); err == nil {
		short, _, _ := strings.Cut(name, ".")
		c.Hosts = []string{name, short}
	}
	return guard.New(c)
}

// speaks tells the gate which protocol was found.
func (q *port) speaks(proto string) {
	if q.gate != nil {
		q.gate.Speaks(proto)
	}
}

// dial is how a published port reaches the container: the port itself, or the one that stands in for it.
func (p *ports) dial(ctx context.Context, q *port) (net.Conn, error) {
	if q.udp() {
		return p.s.dialUDP(ctx, q.spec.Container)
	}
	p.mu.Lock()
	number := q.spec.Container
	if q.standIn != nil {
		number = q.standIn.spec.Container
	}
	p.mu.Unlock()
	return p.s.dial(ctx, number)
}

// dialUDP is dial for datagrams.
func (s *supervisor) dialUDP(ctx context.Context, port int) (net.Conn, error) {
	k := s.container.Load()
	if k == nil {
		return nil, errors.New("the container is being started")
	}
	return k.DialUDP(ctx, port)
}

// elsewhereTime is how long another port than the expected one must have answered until it is taken for what was meant: some
// apps open one after the other.
const elsewhereTime = 2 * time.Second

// instead tells whether q, which answers, is to be taken for the port that says when the app is ready, because nothing
// listens there.
func (p *ports) instead(must int, q *port, now time.Time) bool {
	if !network.IsWeb(q.proto) || now.Sub(q.answered) < elsewhereTime {
		return false
	}
	for _, other := range p.all {
		if other.spec.Container == must && other.listening {
			return false
		}
	}
	return true
}

// findStandIns finds, for a declared port that nothing listens on, the one page that the app serves at a port nobody spoke
// of: an app whose port was guessed wrongly is reached all the same.
func (p *ports) findStandIns(now time.Time) {
	if p.s.spec.HostNetwork {
		return
	}
	var page, missing *port
	pages, missed := 0, 0
	for _, q := range p.all {
		if q.udp() {
			continue
		}
		if q.listening && q.standIn != nil {
			q.standIn = nil // it has come after all
		}
		switch {
		case q.declared && !q.listening:
			missing = q
			missed++
		case !q.declared && q.listed && q.ready && network.IsWeb(q.proto):
			page = q
			pages++
		}
	}
	if missed == 1 && missing.standIn != nil && (!missing.standIn.listening || !missing.standIn.ready) {
		missing.standIn = nil
	}
	if pages == 1 && missed == 1 && missing.standIn == nil && now.Sub(page.answered) >= elsewhereTime {
		missing.standIn = page
		missing.speaks(page.proto)
	}
}

// standsIn tells whether a port is shown under another's address.
func (p *ports) standsIn(q *port) bool {
	for _, other := range p.all {
		if other.standIn == q {
			return true
		}
	}
	return false
}

// remarks are what a person should know of the ports, each said once.
func (p *ports) remarks() []string {
	var texts []string
	say := func(format string, args ...any) {
		if text := fmt.Sprintf(format, args...); !p.told[text] {
			p.told[text] = true
			texts = append(texts, text)
		}
	}
	must := 0
	if p.s.spec.Ready != nil {
		must = p.s.spec.Ready.Port
	}
	for _, q := range p.all {
		switch {
		case q.standIn != nil:
			say("nothing listens on port %d; the app listens on %d, which is used instead", q.spec.Container, q.standIn.spec.Container)
		case must != 0 && q.ready && must != q.spec.Container && p.instead(must, q, time.Now()):
			say("the image says that it serves port %d, but it listens on %d", must, q.spec.Container)
		}
		if p.s.spec.Closed && !q.declared && q.listening && !p.standsIn(q) && q.spec.Container < p.first {
			say("the app listens on port %d, which cannot be reached, since it has no network; to publish that port: -p %d", q.spec.Container, q.spec.Container)
		}
		if q.udp() && p.s.guard != nil {
			say("port %d takes datagrams, which nothing can guard: everybody who uses this machine can send them", q.spec.Container)
		}
		if q.wide && q.listening {
			say("the app listens on port %d of all addresses of this machine: every computer that reaches it can open that", q.spec.Container)
		}
		switch {
		case !q.ready:
		case p.s.spec.HostNetwork && p.s.spec.Exposed:
			say("other people use this machine, and port %d is open to them; carrel run --guard keeps them out", q.spec.Container)
		case q.gate != nil && q.proto != "http":
			say("port %d speaks no plain HTTP, so that no link can guard it: only programs of this user may connect to it", q.spec.Container)
		}
		if q.published != nil && q.published.Mapping.Open() {
			say("port %d is open to every computer that reaches this one%s", q.addr.Port(), network.At(q.addr.Addr()))
		}
	}
	return texts
}

// nameHolder adds to a port that is taken by another app of this user the name of that app.
func (s *supervisor) nameHolder(err error) error {
	return NameHolder(filepath.Dir(s.spec.Dir), err)
}

// NameHolder adds to a *network.PortTaken the name of the running instance below root that holds the port. Other errors stay
// as they are.
func NameHolder(root string, err error) error {
	var taken *network.PortTaken
	if !errors.As(err, &taken) || taken.PID == 0 {
		return err
	}
	list, listErr := List(root)
	if listErr != nil {
		return err
	}
	for _, in := range list {
		if in.PID == taken.PID && in.State.Live() {
			taken.App = in.Name
		}
	}
	return err
}
