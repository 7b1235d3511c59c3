package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"carrel/engine/card"
	"carrel/engine/instance"
	"carrel/engine/network"
	"carrel/engine/network/netns"
	"carrel/engine/sandbox"
)

// cardPort is what an image says of one of its ports; zero where it says nothing.
func (p *prepared) cardPort(container int) card.Port {
	for _, cp := range p.card.Ports {
		if cp.Container == container {
			return cp
		}
	}
	return card.Port{}
}

// proto is what is spoken at a port, as far as that was said: by the person, else by the image.
func (p *prepared) proto(port Port) string {
	return cmp.Or(port.Proto, p.cardPort(port.Container).Proto)
}

// elsewhereTime is how long the app may listen on other ports alone before that is told.
const elsewhereTime = 2 * time.Second

// OtherPortError: the app does not listen on the port that was published, but on others.
type OtherPortError struct {
	Container int
	Listens   []int
}

func (e *OtherPortError) Error() string {
	var list []string
	for _, n := range e.Listens {
		list = append(list, strconv.Itoa(n))
	}
	return fmt.Sprintf("nothing listens on port %d inside; the app listens on %s", e.Container, strings.Join(list, ", "))
}

// Hint says how to publish the other port.
func (e *OtherPortError) Hint() string { return fmt.Sprintf("use -p %d", e.Listens[0]) }

// probe tells the caller when a published port answers.
func (e *Engine) probe(ctx context.Context, p *prepared, k *sandbox.Container, s RunSpec, port Port, open *atomic.Bool, pub front, cb RunCallbacks) {
	if cb.Address == nil {
		return
	}
	cp := p.cardPort(port.Container)
	addr := Address{Host: int(pub.Addr.Port()), Container: port.Container, Text: cp.Text}
	target := network.Target{Dial: dialer(k, port, open), Timeout: s.Wait, Scheme: p.proto(port), Path: cp.Path}
	target.Taken = func(c net.Conn) bool {
		from, ok1 := c.LocalAddr().(*net.TCPAddr)
		to, ok2 := c.RemoteAddr().(*net.TCPAddr)
		return ok1 && ok2 && netns.Accepted(strconv.Itoa(k.PID()), from.AddrPort(), to.AddrPort())
	}
	path := target.Path
	if r := p.card.Ready; r != nil && r.Port == port.Container {
		target.Path = r.Path
		if target.Timeout == 0 {
			target.Timeout = r.Timeout
		}
	}
	if target.Timeout == 0 {
		target.Timeout = time.Minute
	}
	ready, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		if err := elsewhere(ready, k.PID(), port.Container, s.Ports); err != nil {
			cancel(err)
		}
	}()
	ans, err := network.Ready(ready, target)
	var other *OtherPortError
	if errors.As(context.Cause(ready), &other) {
		err = other
	}
	cancel(nil)
	<-watched
	if ctx.Err() != nil {
		return
	}
	addr.Proto, addr.Ready = ans.Scheme, err == nil
	addr.URL = network.Rewrite(network.Address{Scheme: ans.Scheme, Port: uint16(port.Container), Path: path}, instance.Seen(pub.Addr))
	if ans.Scheme != "" && !network.IsWeb(ans.Scheme) {
		addr.URL = strings.TrimSuffix(addr.URL, "/")
	}
	addr.URL, addr.Guarded = pub.link(addr.URL, ans.Scheme)
	cb.Address(addr, err)
}

// elsewhere looks what listens in a container until the expected port does, and returns nil; or, when only ports do that
// nobody published, for a while, an *OtherPortError.
func elsewhere(ctx context.Context, init, expected int, published []Port) error {
	start := time.Now()
	var since time.Time
	for {
		listeners, err := netns.Listeners(strconv.Itoa(init))
		if err != nil {
			return nil // it is ending
		}
		var found []int
		for _, l := range listeners {
			if int(l.Port) == expected {
				return nil
			}
			known := l.Port >= 32768 // of the range that clients' ports are of (ip(7)): of internal use mostly
			for _, p := range published {
				known = known || p.Container == int(l.Port)
			}
			if !known {
				found = append(found, int(l.Port))
			}
		}
		switch {
		case len(found) == 0:
			since = time.Time{}
		case since.IsZero():
			since = time.Now()
		case time.Since(since) >= elsewhereTime:
			return &OtherPortError{Container: expected, Listens: found}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(network.Pause(time.Since(start))):
		}
	}
}
