package instance

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"carrel/engine/network"
	"carrel/engine/network/guard"
	"carrel/engine/network/netns"
	"carrel/engine/share"
	"carrel/internal/amount"
)

const (
	// maxFound bounds how many ports that nobody declared are published.
	maxFound = 32
	// ephemeralPatience is how long a port of the range that the kernel gives to clients must be the only one that is
	// listened on until it is taken for the app's: notebook kernels talk among themselves on such ports.
	ephemeralPatience = time.Second
	// leastProbe is how long a port that begins to listen late may take to answer.
	leastProbe = 20 * time.Second
	// scanAfter is how long the log is searched for addresses after the last thing that happened.
	scanAfter = 5 * time.Second
	// scanLines is how many lines of log are searched in a second; an app at full speed prints no addresses.
	scanLines = 5000
)

// ports is what an instance serves: which ports, where they are published, and what is known of each. watch finds out.
type ports struct {
	s        *supervisor
	began    time.Time
	first    int // lowest ephemeral port
	nudge    chan struct{}
	scanTill atomic.Int64 // UnixNano until when scan searches the log
	scanned  atomic.Int64 // second<<20 | lines searched in it
	probes   sync.WaitGroup
	rest     rest // only used by watch

	mu      sync.Mutex
	all     []*port // the declared ones, then those found, in order of their finding
	printed map[uint16]network.Address
	// answered: it has been ready.
	answered bool
	resting  bool            // it has done nothing for a while, and nothing has ever listened
	told     map[string]bool // remarks that are made once
}

// port is one of them.
type port struct {
	spec      PortSpec
	declared  bool
	published *network.Published // nil in the host's network
	gate      *guard.Port        // in front of it, with Spec.Guard
	addr      netip.AddrPort     // where it is reached on the host
	opened    netip.AddrPort     // see seen
	listening bool
	wide      bool      // in the host's network, on an address that other computers may reach
	since     time.Time // it was first seen listening
	listed    bool      // an undeclared one that is shown
	proto     string    // found out
	ready     bool
	answered  time.Time         // since when it is ready
	standIn   *port             // answers for this one, which nothing listens on
	failure   *network.NotReady // the last probe's
	endProbe  context.CancelFunc
}

func newPorts(s *supervisor) *ports {
	p := &ports{s: s, began: time.Now(), first: firstEphemeral(), nudge: make(chan struct{}, 1), printed: map[uint16]network.Address{}, told: map[string]bool{}}
	p.scanTill.Store(p.began.Add(24 * time.Hour).UnixNano())
	s.guarded.Store(p)
	return p
}

// firstEphemeral is where the range of ports begins that the kernel chooses from (ip(7), ip_local_port_range).
func firstEphemeral() int {
	if data, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range"); err == nil {
		if fields := strings.Fields(string(data)); len(fields) == 2 {
			if n, err := strconv.Atoi(fields[0]); err == nil {
				return n
			}
		}
	}
	return 32768
}

// close ends what is published and returns when nothing is left of it.
func (p *ports) close() {
	p.mu.Lock()
	all := slices.Clone(p.all)
	p.mu.Unlock()
	for _, q := range all {
		if q.published != nil {
			_ = q.published.Close()
		}
	}
}

// publishDeclared opens the declared ports, before anything listens, and shows their addresses.
func (p *ports) publishDeclared(ctx context.Context) error {
	for _, spec := range p.s.spec.Ports {
		if spec.Container < 1 || spec.Container > 65535 || spec.Host < 0 || spec.Host > 65535 {
			return fmt.Errorf("publish port %d:%d: a port is between 1 and 65535", spec.Host, spec.Container)
		}
		q := &port{spec: spec, declared: true}
		if p.s.spec.HostNetwork {
			q.addr = netip.AddrPortFrom(loopback, uint16(spec.Container))
		} else if err := p.publish(ctx, q); err != nil {
			return err
		}
		p.mu.Lock()
		p.all = append(p.all, q)
		p.mu.Unlock()
	}
	p.s.keepPorts()
	p.show()
	return nil
}

var loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// publish opens a port on the host. Where the wished number is not to be had, and not asked for by all means, another one
// is taken and remarked.
func (p *ports) publish(ctx context.Context, q *port) error {
	m := network.Mapping{HostPort: uint16(q.spec.Host), ContainerPort: uint16(q.spec.Container), UDP: q.udp()}
	if q.spec.HostIP != "" {
		ip, err := netip.ParseAddr(q.spec.HostIP)
		if err != nil {
			return fmt.Errorf("publish port %d: address %q: %w", q.spec.Container, q.spec.HostIP, err)
		}
		m.HostIP = ip
	}
	dial := func(ctx context.Context) (net.Conn, error) { return p.dial(ctx, q) }
	var o network.Options
	if p.s.guard != nil && !m.UDP {
		q.gate = p.s.guard.Port(q.spec.Proto)
		o.Gate = q.gate
	}
	published, err := network.PublishWith(ctx, m, o, dial)
	var taken *network.PortTaken
	var forbidden *network.PortForbidden
	if err != nil && !q.spec.Fixed && (errors.As(err, &taken) || errors.As(err, &forbidden)) {
		refusal := err
		m.Wish = true
		if published, err = network.PublishWith(ctx, m, o, dial); err == nil && q.declared {
			p.s.log.Remark(fmt.Sprintf("%v; published on port %d instead", refusal, published.Addr.Port()))
		}
	}
	if err != nil {
		return p.s.nameHolder(err)
	}
	q.published, q.addr = published, published.Addr
	if q.gate != nil {
		q.gate.Published(published.Addr.Port())
	}
	return nil
}

// scan searches a piece of the app's output for addresses that it announces.
func (p *ports) scan(piece []byte) {
	now := time.Now()
	if now.UnixNano() > p.scanTill.Load() {
		return
	}
	second := now.Unix()
	for len(piece) > 0 {
		var line []byte
		line, piece, _ = bytes.Cut(piece, []byte("\n"))
		if len(line) == 0 {
			continue
		}
		old := p.scanned.Load()
		lines := int64(0)
		if old>>20 == second {
			lines = old&(1<<20-1) + 1
		}
		if lines > scanLines {
			return
		}
		p.scanned.Store(second<<20 | lines) // two streams may count past each other: it is only a brake
		for _, a := range network.FindAddresses(string(line)) {
			p.note(a)
		}
	}
}

// note remembers the most telling address that was printed for a port.
func (p *ports) note(a network.Address) {
	score := func(a network.Address) (n int) {
		if strings.ContainsAny(a.Path, "?#") {
			n += 4
		}
		if a.Scheme != "" {
			n += 2
		}
		if a.Local() {
			n++
		}
		return n
	}
	p.mu.Lock()
	old, known := p.printed[a.Port]
	better := !known || score(a) >= score(old)
	if better && (known || len(p.printed) < 1000) {
		p.printed[a.Port] = a
	}
	p.mu.Unlock()
	if better {
		p.poke()
	}
}

func (p *ports) poke() {
	select {
	case p.nudge <- struct{}{}:
	default:
	}
}

// watch looks what listens in the container and keeps the state up to date until ctx ends: often as long as the app is
// starting, seldom afterwards.
func (p *ports) watch(ctx context.Context, init int) {
	defer p.probes.Wait()
	idle := 5 * time.Second
	if p.s.spec.HostNetwork {
		idle *= 2 // everybody's sockets are in one table there
	}
	var pause time.Duration
	timer := time.NewTimer(0)
	defer timer.Stop()
	settled := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			p.look(ctx, init)
			p.rests(init)
			p.s.remarkMainEnded()
		case <-p.nudge:
			if !settled {
				p.look(ctx, init) // a printed address is a sign that something listens
			}
		}
		before := settled
		if settled = p.show(); settled && !before {
			debug.FreeOSMemory() // what the start needed is not needed again
		}
		pause = network.Pause(time.Since(p.began)) // soon after the start often, to find what listens as soon as it does
		switch {
		case settled:
			pause = idle
		case p.resting: // nobody waits any more
			pause = max(pause, time.Second)
		}
		timer.Reset(pause)
	}
}

// look compares what listens now with what did.
func (p *ports) look(ctx context.Context, init int) {
	listeners, err := p.listeners(init)
	if err != nil {
		return // the container is ending
	}
	slices.SortStableFunc(listeners, func(a, b netns.Listener) int { return cmp.Compare(a.Port, b.Port) })
	there, wide := make(map[int]netns.Listener), make(map[int]bool)
	p.mu.Lock()
	for _, l := range listeners {
		number := int(l.Port)
		wide[number] = wide[number] || !l.Addr.IsLoopback()
		if old, again := there[number]; !again || !old.Addr.IsUnspecified() && (l.Addr.IsUnspecified() || l.Addr.IsLoopback()) {
			there[number] = l
		}
		if !slices.ContainsFunc(p.all, func(q *port) bool { return q.spec.Container == number && !q.udp() }) && len(p.all) < len(p.s.spec.Ports)+4*maxFound {
			p.all = append(p.all, &port{spec: PortSpec{Host: number, Container: number}})
		}
	}
	var begun []*port
	for _, q := range p.all {
		if q.udp() {
			continue // nobody says when such a port begins to answer
		}
		l, listening := there[q.spec.Container]
		switch {
		case listening && !q.listening:
			q.listening, q.since = true, time.Now()
			if p.s.spec.HostNetwork {
				q.wide = wide[q.spec.Container]
				ip := l.Addr
				if ip.IsUnspecified() {
					ip = loopback
				}
				q.addr = netip.AddrPortFrom(ip, l.Port)
			}
			p.scanTill.Store(max(p.scanTill.Load(), time.Now().Add(scanAfter).UnixNano()))
		case !listening && q.listening:
			q.listening, q.ready, q.failure = false, false, nil
			if q.endProbe != nil {
				q.endProbe()
				q.endProbe = nil
			}
		}
		if q.listening && !q.declared && !q.listed && p.worthShowing(q) {
			q.listed = true
		}
		if q.listening && (q.declared || q.listed) && q.endProbe == nil {
			begun = append(begun, q)
		}
	}
	p.mu.Unlock()
	for _, q := range begun {
		p.begin(ctx, q)
	}
}

// worthShowing tells whether a port that nobody declared is one for people.
func (p *ports) worthShowing(q *port) bool {
	if q.spec.Container < p.first {
		return true
	}
	if _, printed := p.printed[uint16(q.spec.Container)]; printed {
		return true
	}
	for _, other := range p.all {
		if other.listening && (other.declared || other.listed) {
			return false
		}
	}
	return time.Since(q.since) >= ephemeralPatience
}

// listeners reads what listens in the container's network, or in the host's by processes of the container.
func (p *ports) listeners(init int) ([]netns.Listener, error) {
	if !p.s.spec.HostNetwork {
		return netns.Listeners(strconv.Itoa(init))
	}
	all, err := below(init)
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, q := range all {
		pids = append(pids, q.pid)
	}
	return netns.ListenersOf(pids)
}

// begin publishes a port, where it is not yet, and starts to ask it whether it answers.
func (p *ports) begin(ctx context.Context, q *port) {
	if !p.s.spec.HostNetwork && q.published == nil && (q.declared || !p.s.spec.Closed) {
		found := 0
		for _, other := range p.all {
			if !other.declared && other.published != nil {
				found++
			}
		}
		err := errors.New("too many ports")
		if found < maxFound {
			fresh := &port{spec: q.spec}
			if err = p.publish(ctx, fresh); err == nil {
				p.mu.Lock()
				q.published, q.gate, q.addr = fresh.published, fresh.gate, fresh.addr
				p.mu.Unlock()
			}
		}
		if err != nil {
			p.s.log.Remark(fmt.Sprintf("port %d of the app is not reachable: %v", q.spec.Container, err))
			p.mu.Lock()
			q.endProbe = func() {} // until it stops listening
			p.mu.Unlock()
			return
		}
	}
	probe, cancel := context.WithCancel(ctx)
	p.mu.Lock()
	q.endProbe = cancel
	at := q.addr
	p.mu.Unlock()
	p.probes.Go(func() {
		defer cancel()
		p.probe(probe, q, at)
	})
}

// show brings the state up to date and tells whether nothing is to be expected soon.
func (p *ports) show() (settled bool) {
	p.mu.Lock()
	p.findStandIns(time.Now())
	addresses := p.addresses()
	v := p.judge(time.Now())
	remarks := p.remarks()
	firstReady := v.state == StateReady && !p.answered
	p.answered = p.answered || firstReady
	p.mu.Unlock()
	for _, text := range remarks {
		p.s.log.Remark(text)
	}
	var took time.Duration
	p.s.update(func(r *record) {
		if r.State == StateStopping || !r.State.Live() {
			firstReady = false
			return
		}
		if v.keep {
			v.state, v.problem, v.hint = r.State, r.Problem, r.Hint
		}
		if firstReady {
			r.ReadyIn = time.Since(r.Started)
			took = r.ReadyIn
		}
		r.State, r.Problem, r.Hint, r.Addresses = v.state, v.problem, v.hint, addresses
	})
	if firstReady {
		p.scanTill.Store(time.Now().Add(scanAfter).UnixNano())
		if i := slices.IndexFunc(addresses, func(a Address) bool { return a.Ready }); i >= 0 {
			p.s.log.Remark(fmt.Sprintf("ready after %s: %s", amount.Lasted(took), guard.Clean(addresses[i].URL)))
		}
	}
	return v.settled
}

// verdict is a state and why.
type verdict struct {
	state         State
	problem, hint string
	keep          bool // the state is to stay what it is
	settled       bool // nothing is to be expected soon
}

// judge decides the state from what is known of the ports.
func (p *ports) judge(now time.Time) (v verdict) {
	spec := &p.s.spec
	wait := cmp.Or(spec.Wait, DefaultWait)
	must := 0
	if spec.Ready != nil {
		wait, must = cmp.Or(spec.Ready.Timeout, wait), spec.Ready.Port
	}
	over := now.After(p.began.Add(wait))
	var failed, trying, ready *port
	listened, complete := false, true
	for _, q := range p.all {
		if q.udp() {
			continue
		}
		listened = listened || !q.since.IsZero()
		complete = complete && (q.ready || !q.declared || q.standIn != nil)
		switch {
		case spec.Closed && !q.declared && !p.standsIn(q): // nobody can open it
		case q.ready && (must == 0 || must == q.spec.Container || over || p.instead(must, q, now)):
			ready = q
		case !q.listening || !q.declared && !q.listed:
		case q.failure != nil && (failed == nil || q.declared && !failed.declared):
			failed = q
		case q.failure == nil && !q.ready:
			trying = q
		}
	}
	if spec.Wait == 0 && spec.Ready == nil && len(spec.Ports) == 0 && !listened {
		over = now.After(p.began.Add(quietWait))
	}
	late := over // with nothing more to be expected
	over = over || p.resting
	if spec.Closed && len(spec.Ports) == 0 {
		return verdict{state: StateRunning, settled: now.After(p.began.Add(quietWait))}
	}
	defer func() { v.settled = late || ready != nil && complete }()
	switch {
	case ready != nil:
		return verdict{state: StateReady}
	case !over && !p.answered, p.resting && !late && trying != nil && failed == nil:
		return verdict{state: StateStarting}
	case failed != nil:
		f := failed.failure
		text := fmt.Sprintf("port %d is open, but does not answer", failed.spec.Container)
		if f.State == network.AnswersErrors {
			text = fmt.Sprintf("port %d answers with an error (HTTP status %d)", failed.spec.Container, f.Status)
		}
		return verdict{state: StateUnhealthy, problem: text, hint: f.Hint()}
	case trying != nil:
		return verdict{keep: true}
	case p.answered:
		return verdict{state: StateUnhealthy, problem: "it answered before, but nothing listens any more", hint: "its log tells why"}
	}
	v = verdict{state: StateRunning}
	if i := slices.IndexFunc(spec.Ports, func(s PortSpec) bool { return s.Proto != protoUDP }); i >= 0 {
		v.problem = fmt.Sprintf("nothing listens on port %d, which it was expected to serve", spec.Ports[i].Container)
		v.hint = "the app may still be starting, or serve nothing; its log tells"
	}
	return v
}

// addresses lists what can be shown.
func (p *ports) addresses() []Address {
	var list []Address
	for _, q := range p.all {
		shown := q.declared && (q.listening || !p.s.spec.HostNetwork) || q.listed && q.listening && q.addr.IsValid() && !p.standsIn(q)
		if !shown {
			continue
		}
		served := q // what answers there
		if q.standIn != nil {
			served = q.standIn
		}
		a, printed := p.printed[uint16(served.spec.Container)]
		q.seen()
		shownAs := *q
		shownAs.proto = served.proto
		address := Address{
			URL: shownAs.url(a), Host: int(q.addr.Port()), Container: q.spec.Container, Text: q.spec.Text, Ready: served.ready,
			Proto: cmp.Or(served.proto, q.spec.Proto),
		}
		if printed && address.Proto == "" {
			address.Proto = a.Scheme
		}
		if q.gate != nil && (address.Proto == "" || address.Proto == "http") {
			address.URL, address.Guarded = p.s.guard.Link(address.URL), true
		}
		list = append(list, address)
	}
	// The first one is what a person opens.
	slices.SortStableFunc(list, func(a, b Address) int { return cmp.Compare(rank(a), rank(b)) })
	return list
}

// rank is 0 for what is, or may be, a page.
func rank(a Address) int {
	if a.Proto == "" || network.IsWeb(a.Proto) {
		return 0
	}
	return 1
}

// seen is where a person opens the port.
func (q *port) seen() netip.AddrPort {
	if q.published == nil {
		return q.addr
	}
	if !q.opened.IsValid() {
		q.opened = Seen(q.addr)
	}
	return q.opened
}

// Seen is the address under which one is opened that may be all addresses of this machine: the one by which other machines
// reach it, where there is one, since that is what such a port is published for.
func Seen(a netip.AddrPort) netip.AddrPort {
	if !a.Addr().IsUnspecified() {
		return a
	}
	family := "udp4"
	if a.Addr().Is6() { // which takes no others
		family = "udp6"
	}
	ip, ok := share.LocalIn(family)
	if !ok {
		return a
	}
	return netip.AddrPortFrom(ip, a.Port())
}

// url is what a browser opens; a is what the app printed, or zero.
func (q *port) url(a network.Address) string {
	scheme := cmp.Or(q.proto, q.spec.Proto, a.Scheme, "http")
	if !network.IsWeb(scheme) {
		u := network.Rewrite(network.Address{Scheme: scheme}, q.seen())
		return strings.TrimSuffix(u, "/")
	}
	path := q.spec.Path
	if page, query := cutQuery(a.Path); page != "" && page != "/" || path == "" {
		path = a.Path // what the app says of itself is more than what its image says of it
	} else {
		path += query
	}
	return network.Rewrite(network.Address{Scheme: scheme, Path: path}, q.seen())
}

// cutQuery parts a path from its query and fragment.
func cutQuery(path string) (page, query string) {
	if i := strings.IndexAny(path, "?#"); i >= 0 {
		return path[:i], path[i:]
	}
	return path, ""
}
