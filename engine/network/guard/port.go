package guard

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"carrel/engine/network/netns"
)

const (
	// maxHeader bounds the header of a request in bytes; apps set cookies of some KiB.
	maxHeader = 256 << 10
	// headerTime is how long a client may take to send a header.
	headerTime = time.Minute
	// idleApp is how long an idle connection to the app is kept: shorter than any server keeps it, which would end it just
	// when the next request is sent.
	idleApp = time.Second
	// idleClient is the same on the other side, where a browser keeps connections.
	idleClient = 5 * time.Minute
	// firstPerson is the lowest number of a person's account (login.defs(5), UID_MIN); below are root and the system's.
	firstPerson = 1000
)

type connectFunc = func(context.Context) (net.Conn, error)

// Port is the gate in front of one published port. It is a network.Gate. Close it after the last Handle has returned.
type Port struct {
	guard *Guard
	once  sync.Once // starts what follows
	conns chan net.Conn
	ended chan struct{}
	serve *http.Server
	app   *http.Transport
	done  sync.WaitGroup

	mu    sync.Mutex
	proto string
	known chan struct{} // closed when proto is
}

// Port makes the gate of a further port of the app, open to its own person alone. proto is "http", "https" or "tcp" where
// that is known, else empty; see Speaks. host is the number under which it is published on the host, or 0.
func (g *Guard) Port(proto string) *Port {
	p := &Port{guard: g, conns: make(chan net.Conn), ended: make(chan struct{}), known: make(chan struct{})}
	p.Speaks(proto)
	return p
}

// Published says under which number of the host the port is served, once that is known: pages of one port of an app may ask
// the others.
func (p *Port) Published(number uint16) {
	p.guard.mu.Lock()
	defer p.guard.mu.Unlock()
	p.guard.ports[strconv.Itoa(int(number))] = true
}

// Speaks says which protocol the app speaks at this port, once that has been found out.
func (p *Port) Speaks(proto string) {
	if proto == "" {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.proto == "" {
		close(p.known)
	}
	p.proto = proto
}

func (p *Port) speaks() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.proto
}

// Close ends what is left of the gate: idle connections to the app.
func (p *Port) Close() {
	p.once.Do(func() {}) // a port that nobody has used does not begin now
	if p.serve == nil {
		return
	}
	select {
	case <-p.ended:
		return
	default:
		close(p.ended)
	}
	_ = p.serve.Close()
	p.app.CloseIdleConnections()
	p.done.Wait()
}

// person is whose process holds the other end of a connection.
type person int

const (
	unknown person = iota // somebody's on this machine; the kernel does not say whose
	far                   // another machine's
	own
	system // root, or an account of the system, such as a proxy's
	other
)

// who asks the kernel whose process has made a connection. A client that has closed its end already is nobody's any more,
// though what it sent is still to be read: on this machine that could be anybody, and counts as another.
func (g *Guard) who(client *net.TCPConn) person {
	from, to := plain(client.RemoteAddr().(*net.TCPAddr).AddrPort()), plain(client.LocalAddr().(*net.TCPAddr).AddrPort())
	uid, ok, err := netns.Owner(from, to)
	switch {
	case (err != nil || !ok) && !onHost(from.Addr(), to.Addr()):
		return far
	case err != nil || !ok && !kernelTells():
		return unknown
	case !ok:
		return other
	case uid == g.config.UID:
		return own
	case uid < firstPerson:
		return system
	}
	return other
}

func plain(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }

// kernelTells finds out whether the kernel tells at all whose a connection is: it can be made without that (INET_DIAG).
var kernelTells = sync.OnceValue(func() bool {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return false
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		return false
	}
	defer c.Close()
	_, ok, err := netns.Owner(c.LocalAddr().(*net.TCPAddr).AddrPort(), c.RemoteAddr().(*net.TCPAddr).AddrPort())
	return ok && err == nil
})

// onHost tells whether a connection from an address to one of this machine was made on this machine. Where that cannot be
// found out it counts as such.
func onHost(from, to netip.Addr) bool {
	if from.IsLoopback() || from == to {
		return true
	}
	mine, err := net.InterfaceAddrs()
	if err != nil {
		return true
	}
	for _, a := range mine {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Unmap().WithZone("") == from.WithZone("") {
			return true
		}
	}
	return false
}

// way is what becomes of a connection.
type way int

const (
	refused way = iota
	passed      // carried to the app as it is
	asked       // served here, and asked for a cookie
)

// decide chooses the way of a connection by whose it is, what the app is known to speak, and what the client sent first.
// What might be HTTP is asked: it is another server's fault, not a way in, if it is something else.
func decide(who person, proto string, begin byte) way {
	letter := begin >= 'A' && begin <= 'Z' || begin >= 'a' && begin <= 'z' || begin == '\r' || begin == '\n'
	switch {
	case proto == "http" || proto == "" && letter:
		return asked // another person is told there why not
	case who == own || who == system:
		return passed
	case who == far && proto != "":
		return passed // the port was opened to other machines on purpose
	}
	return refused
}

// Handle is what network.Gate says.
func (p *Port) Handle(ctx context.Context, client *net.TCPConn, connect connectFunc, pass func()) {
	who := p.guard.who(client)
	proto := p.speaks()
	var begin byte
	if proto == "" {
		var err error
		if begin, err = p.peek(ctx, client); err != nil {
			_ = client.Close()
			return
		}
		proto = p.speaks()
	}
	switch decide(who, proto, begin) {
	case passed:
		pass()
	case asked:
		p.once.Do(func() { p.begin(connect) })
		c := &conn{TCPConn: client, who: who, closed: make(chan struct{})}
		select {
		case p.conns <- c:
			<-c.closed
		case <-ctx.Done():
			_ = client.Close()
		}
	default:
		_ = client.SetLinger(0)
		_ = client.Close()
	}
}

// peek waits for the first byte that a client sends, without taking it, or until the protocol is known; then it may be 0.
func (p *Port) peek(ctx context.Context, client *net.TCPConn) (begin byte, err error) {
	raw, err := client.SyscallConn()
	if err != nil {
		return 0, err
	}
	peeked := make(chan struct{})
	var waiting sync.WaitGroup
	waiting.Go(func() {
		select {
		case <-p.known:
		case <-ctx.Done():
		case <-peeked:
		}
		_ = client.SetReadDeadline(time.Unix(1, 0))
	})
	var one [1]byte
	var n int
	var failure error
	err = raw.Read(func(fd uintptr) bool {
		n, _, failure = unix.Recvfrom(int(fd), one[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		return failure != unix.EAGAIN && failure != unix.EINTR
	})
	close(peeked)
	waiting.Wait()
	_ = client.SetReadDeadline(time.Time{})
	switch {
	case ctx.Err() != nil:
		return 0, ctx.Err()
	case err != nil && p.speaks() != "":
		return 0, nil
	case err != nil:
		return 0, err
	case failure != nil:
		return 0, failure
	case n == 0:
		return 0, io.EOF
	}
	return one[0], nil
}

// conn is a client's connection while it is served here.
type conn struct {
	*net.TCPConn
	who    person
	once   sync.Once
	closed chan struct{}
}

// Close is net.Conn's.
func (c *conn) Close() error {
	err := c.TCPConn.Close()
	c.once.Do(func() { close(c.closed) })
	return err
}

// listener hands on what Handle has accepted.
type listener struct{ p *Port }

func (l listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.p.conns:
		return c, nil
	case <-l.p.ended:
		return nil, net.ErrClosed
	}
}

func (l listener) Close() error   { return nil }
func (l listener) Addr() net.Addr { return &net.TCPAddr{} }

type whoKey struct{}

// begin starts the server, when the first request comes.
func (p *Port) begin(connect connectFunc) {
	silent := slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) // what a client does wrong is not the app's log
	p.app = &http.Transport{
		DialContext:        func(ctx context.Context, _, _ string) (net.Conn, error) { return connect(ctx) },
		DisableCompression: true, MaxIdleConnsPerHost: 16, IdleConnTimeout: idleApp, MaxResponseHeaderBytes: 4 * maxHeader,
		ExpectContinueTimeout: 10 * time.Second,
	}
	proxy := &httputil.ReverseProxy{
		Transport: p.app, FlushInterval: -1, ErrorLog: silent,
		Rewrite: rewrite, ErrorHandler: unreachable,
	}
	p.serve = &http.Server{
		Handler: p.handler(proxy), MaxHeaderBytes: maxHeader, ReadHeaderTimeout: headerTime, IdleTimeout: idleClient, ErrorLog: silent,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			if c, ok := c.(*conn); ok {
				return context.WithValue(ctx, whoKey{}, c.who)
			}
			return ctx
		},
	}
	p.done.Go(func() { _ = p.serve.Serve(listener{p}) }) // ends when Close says so
}

// rewrite makes the request to the app the one that came, without the gate's cookies. ReverseProxy drops what tells of
// proxies before it, and cleans queries; the app is to get them as they were.
func rewrite(r *httputil.ProxyRequest) {
	r.Out.Host = r.In.Host
	target := &url.URL{Scheme: "http", Host: "app", Path: r.In.URL.Path, RawPath: r.In.URL.RawPath, RawQuery: r.In.URL.RawQuery, ForceQuery: r.In.URL.ForceQuery}
	if page, _, _ := strings.Cut(r.In.RequestURI, "?"); strings.HasPrefix(page, "/") && !strings.HasPrefix(page, "//") {
		target.Opaque = page // to the letter; for "//" net/url would put the scheme before it
	}
	r.Out.URL = target
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"} {
		if values, ok := r.In.Header[name]; ok {
			r.Out.Header[name] = values
		}
	}
	var kept []string
	for _, header := range r.In.Header["Cookie"] {
		if rest, _ := stripCookies(header, ""); rest != "" {
			kept = append(kept, rest)
		}
	}
	r.Out.Header.Del("Cookie")
	if kept != nil {
		r.Out.Header["Cookie"] = kept
	}
}

// unreachable answers when the app does not.
func unreachable(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, context.Canceled) {
		panic(http.ErrAbortHandler) // the client has gone
	}
	w.Header().Del("Date")
	http.Error(w, "The app does not answer. Its log may tell why.", http.StatusBadGateway)
}

// handler asks each request for a key.
func (p *Port) handler(app http.Handler) http.Handler {
	g := p.guard
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who, _ := r.Context().Value(whoKey{}).(person)
		rest, code := cutCode(r.URL.RawQuery)
		key := g.hasKey(r)
		switch {
		case who == other:
			g.refuse(w, r, foreign)
		case !knownHost(r.Host, g.config.Hosts):
			g.refuse(w, r, strangeIn)
		case code != "" && r.Method == http.MethodGet && (key || g.spend(code)):
			g.letIn(w, r, rest)
		case code != "" && !key:
			g.refuse(w, r, wrongCode)
		case !key:
			g.refuse(w, r, noKey)
		case r.Method == http.MethodConnect || r.URL.IsAbs():
			http.Error(w, "This is no proxy.", http.StatusBadRequest)
		case strange(r, g.hasPort):
			g.refuse(w, r, strangePage)
		default:
			// Where the app does not say these the server would (http.ResponseWriter).
			w.Header()["Date"], w.Header()["Content-Type"] = nil, nil
			app.ServeHTTP(w, r)
		}
	})
}

func (g *Guard) hasPort(port string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.ports[port]
}

func (g *Guard) hasKey(r *http.Request) bool {
	has := false
	for _, header := range r.Header["Cookie"] {
		_, values := stripCookies(header, g.cookie)
		for _, v := range values {
			has = same(v, g.session) || has
		}
	}
	return has
}

// letIn gives the browser its cookie and sends it on to the address without the code.
func (g *Guard) letIn(w http.ResponseWriter, r *http.Request, query string) {
	// Lax, not Strict: the way here may begin at a link elsewhere, or at a file.
	http.SetCookie(w, &http.Cookie{Name: g.cookie, Value: g.session, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode})
	to := "/" + strings.TrimLeft(r.URL.EscapedPath(), `/\`) // "//host" would lead elsewhere
	if query != "" {
		to += "?" + query
	}
	h := w.Header()
	h.Set("Location", to)
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	w.WriteHeader(http.StatusSeeOther)
}
