package guard_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"carrel/engine/network"
	"carrel/engine/network/guard"
	"carrel/internal/browser"
)

// site is an app behind a gate.
type site struct {
	guard   *guard.Guard
	gate    *guard.Port
	pub     *network.Published
	url     string
	changed atomic.Int32
}

// protect publishes what listens at addr, behind a gate.
func protect(t testing.TB, addr, proto string, c guard.Config) *site {
	t.Helper()
	s := &site{}
	c.Changed = func() { s.changed.Add(1) }
	if c.UID == 0 {
		c.UID = uint32(os.Getuid())
	}
	s.guard = guard.New(c)
	s.gate = s.guard.Port(proto)
	pub, err := network.PublishWith(context.Background(), network.Mapping{ContainerPort: 80}, network.Options{Gate: s.gate}, func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", addr)
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pub.Close() })
	s.pub, s.url = pub, "http://"+pub.Addr.String()
	s.gate.Published(pub.Addr.Port())
	return s
}

func serve(t testing.TB, h http.HandlerFunc) string {
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

func client() *http.Client {
	jar, _ := cookiejar.New(nil)
	return &http.Client{Jar: jar, Transport: &http.Transport{}, Timeout: time.Minute}
}

func get(t testing.TB, c *http.Client, address string) (status int, body string) {
	t.Helper()
	r, err := c.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	data, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(data)
}

// enter is a client that has come by the link.
func (s *site) enter(t testing.TB) *http.Client {
	t.Helper()
	c := client()
	if status, body := get(t, c, s.guard.Link(s.url+"/")); status != 200 {
		t.Fatalf("the link answers %d: %s", status, body)
	}
	return c
}

func TestLink(t *testing.T) {
	addr := serve(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s cookies %q", r.RequestURI, r.Header["Cookie"])
	})
	s := protect(t, addr, "http", guard.Config{Name: func() string { return "jupyter" }})
	stranger := client()
	for _, address := range []string{s.url, s.url + "/lab?token=x", s.url + "/?carrel=", s.url + "/?carrel=AAAAAAAAAAAAAAAAAAAAAAAAAA"} {
		status, body := get(t, stranger, address)
		if status != http.StatusForbidden || !strings.Contains(body, "carrel open jupyter") {
			t.Errorf("%s without a key: %d %s", address, status, body)
		}
	}
	link := s.guard.Link(s.url + "/lab?token=a%20b&x")
	head, err := client().Head(link)
	if err != nil || head.StatusCode != http.StatusForbidden {
		t.Errorf("a look at the head of the link: %v %v", head, err)
	}
	c := client()
	if status, body := get(t, c, link); status != 200 || body != `/lab?token=a%20b&x cookies []` {
		t.Errorf("by the link: %d %s", status, body)
	}
	if got := s.changed.Load(); got != 1 {
		t.Errorf("told of %d changes, want 1", got)
	}
	if status, body := get(t, c, s.url+"/again"); status != 200 || body != `/again cookies []` {
		t.Errorf("with the cookie: %d %s", status, body)
	}
	if status, _ := get(t, c, link); status != 200 {
		t.Errorf("the spent link, with the cookie: %d", status)
	}
	if status, body := get(t, stranger, link); status != http.StatusForbidden || !strings.Contains(body, "used already") {
		t.Errorf("the spent link, without: %d %s", status, body)
	}
	if next := s.guard.Link(s.url); next == link || s.enter(t) == nil {
		t.Error("there is no new link")
	}
	// What else a browser has is the app's.
	u, _ := url.Parse(s.url)
	c.Jar.SetCookies(u, []*http.Cookie{{Name: "session", Value: "1"}, {Name: "carrel-gate-another", Value: "2"}})
	if _, body := get(t, c, s.url); !strings.Contains(body, `cookies ["session=1"]`) {
		t.Errorf("the app got %s", body)
	}
}

func TestCookie(t *testing.T) {
	s := protect(t, serve(t, func(http.ResponseWriter, *http.Request) {}), "http", guard.Config{Lasting: true})
	for _, path := range []string{"/", "//evil.example/x", `/\evil.example`} {
		c := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
		r, err := c.Get(s.guard.Link(s.url + path))
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		set := r.Header.Get("Set-Cookie")
		if r.StatusCode != http.StatusSeeOther || !strings.Contains(set, "HttpOnly") || !strings.Contains(set, "SameSite=Lax") {
			t.Errorf("%s: %d %s", path, r.StatusCode, set)
		}
		if to := r.Header.Get("Location"); strings.HasPrefix(to, "//") || strings.Contains(to, "://") || strings.HasPrefix(to, `/\`) || strings.Contains(to, "carrel=") {
			t.Errorf("%s leads to %s", path, to)
		}
	}
	if s.changed.Load() != 0 {
		t.Error("a lasting link has changed")
	}
}

func TestHostAndOrigin(t *testing.T) {
	s := protect(t, serve(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Host) }), "http", guard.Config{Hosts: []string{"node7"}})
	c := s.enter(t)
	for _, test := range []struct {
		host, origin string
		want         int
	}{
		{"", "", 200}, {"localhost:9000", "", 200}, {"node7:80", "", 200}, {"evil.example", "", 403},
		{"127.0.0.1:9000", "http://127.0.0.1:9000", 200}, {"", "http://127.0.0.1:1", 403},
	} {
		r, _ := http.NewRequest(http.MethodPost, s.url, strings.NewReader("x"))
		u, _ := url.Parse(s.url)
		for _, k := range c.Jar.Cookies(u) {
			r.AddCookie(k)
		}
		r.Host = test.host
		if test.origin != "" {
			r.Header.Set("Origin", test.origin)
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		if answer.StatusCode != test.want || test.want == 200 && test.host != "" && string(body) != test.host {
			t.Errorf("host %q, origin %q: %d %s, want %d", test.host, test.origin, answer.StatusCode, body, test.want)
		}
	}
}

func TestAsItIs(t *testing.T) {
	sum := make(chan string, 1)
	addr := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/upload":
			h := sha256.New()
			n, _ := io.Copy(h, r.Body)
			sum <- fmt.Sprintf("%d %x %d %v", n, h.Sum(nil), r.ContentLength, r.TransferEncoding)
		case "/events":
			w.Header().Set("Content-Type", "text/event-stream")
			for i := range 2 {
				fmt.Fprintf(w, "data: %d\n\n", i)
				w.(http.Flusher).Flush()
				if i == 0 {
					<-sum // the first event has to arrive before the second is made
				}
			}
		case "/head":
			w.Header()["Date"], w.Header()["Content-Type"] = nil, nil
			fmt.Fprintf(w, "%s %s %v %v", r.RequestURI, r.UserAgent(), r.Header["Accept-Encoding"], r.Header["X-Forwarded-For"])
		case "/long":
			fmt.Fprint(w, len(r.Header.Get("X-Long")))
		}
	})
	s := protect(t, addr, "http", guard.Config{})
	c := s.enter(t)
	t.Run("upload", func(t *testing.T) {
		data := make([]byte, 16<<20)
		_, _ = rand.Read(data)
		for _, length := range []int64{int64(len(data)), -1} {
			r, _ := http.NewRequest(http.MethodPost, s.url+"/upload", io.MultiReader(bytes.NewReader(data)))
			r.ContentLength = length
			r.Header.Set("Expect", "100-continue")
			answer, err := c.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			answer.Body.Close()
			coding := "[]"
			if length < 0 {
				coding = "[chunked]"
			}
			if got, want := <-sum, fmt.Sprintf("%d %x %d %s", len(data), sha256.Sum256(data), length, coding); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		}
	})
	t.Run("event stream", func(t *testing.T) {
		r, err := c.Get(s.url + "/events")
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		lines := bufio.NewScanner(r.Body)
		if !lines.Scan() || lines.Text() != "data: 0" {
			t.Errorf("got %q %v", lines.Text(), lines.Err())
		}
		sum <- ""
		rest, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		_ = rest
	})
	t.Run("header", func(t *testing.T) {
		r, _ := http.NewRequest(http.MethodGet, s.url+"/head?a;b&c=%zz", nil)
		r.Header.Set("X-Forwarded-For", "192.0.2.1")
		r.Header.Set("User-Agent", "")
		r.Header.Set("Accept-Encoding", "br")
		answer, err := c.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		body, _ := io.ReadAll(answer.Body)
		if want := "/head?a;b&c=%zz  [br] [192.0.2.1]"; string(body) != want {
			t.Errorf("the app got %q, want %q", body, want)
		}
		if answer.Header.Get("Date") != "" || answer.Header.Get("Content-Type") != "" {
			t.Errorf("the answer has more than the app said: %v", answer.Header)
		}
	})
	t.Run("long header", func(t *testing.T) {
		for size, want := range map[int]int{100 << 10: 200, 400 << 10: 431} {
			r, _ := http.NewRequest(http.MethodGet, s.url+"/long", nil)
			r.Header.Set("X-Long", strings.Repeat("x", size))
			answer, err := c.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			answer.Body.Close()
			if answer.StatusCode != want {
				t.Errorf("%d bytes: %d, want %d", size, answer.StatusCode, want)
			}
		}
	})
}

// TestWebSocket upgrades by hand (RFC 6455 section 1.3) and sends frames both ways.
func TestWebSocket(t *testing.T) {
	app, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer app.Close()
	go func() {
		for {
			c, err := app.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				reader := bufio.NewReader(c)
				r, err := http.ReadRequest(reader)
				if err != nil {
					return
				}
				if r.Header.Get("Upgrade") == "" {
					_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
					return
				}
				_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
				_, _ = io.Copy(c, reader)
			}()
		}
	}()
	s := protect(t, app.Addr().String(), "", guard.Config{})
	c := s.enter(t)
	u, _ := url.Parse(s.url)
	dial := func(cookie bool, origin string) (*http.Response, net.Conn, *bufio.Reader) {
		conn, err := net.Dial("tcp", u.Host)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		request := "GET /ws HTTP/1.1\r\nHost: " + u.Host + "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: " + origin + "\r\n"
		if cookie {
			k := c.Jar.Cookies(u)[0]
			request += "Cookie: " + k.Name + "=" + k.Value + "\r\n"
		}
		_, _ = io.WriteString(conn, request+"\r\n")
		reader := bufio.NewReader(conn)
		r, err := http.ReadResponse(reader, nil)
		if err != nil {
			t.Fatal(err)
		}
		return r, conn, reader
	}
	if r, _, _ := dial(false, s.url); r.StatusCode != http.StatusForbidden {
		t.Errorf("without the cookie: %d", r.StatusCode)
	}
	if r, _, _ := dial(true, "http://127.0.0.1:1"); r.StatusCode != http.StatusForbidden {
		t.Errorf("for a page of another origin: %d", r.StatusCode)
	}
	r, conn, reader := dial(true, s.url)
	if r.StatusCode != http.StatusSwitchingProtocols || r.Header.Get("Sec-Websocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		t.Fatalf("got %d %v", r.StatusCode, r.Header)
	}
	// A text frame of 100,000 bytes, masked with zeros (section 5.2).
	frame := append([]byte{0x81, 0xff, 0, 0, 0, 0, 0, 1, 0x86, 0xa0, 0, 0, 0, 0}, bytes.Repeat([]byte("ö"), 50000)...)
	for range 3 {
		go func() { _, _ = conn.Write(frame) }()
		got := make([]byte, len(frame))
		if _, err := io.ReadFull(reader, got); err != nil || !bytes.Equal(got, frame) {
			t.Fatalf("the frame came back otherwise: %v", err)
		}
	}
	_ = conn.(*net.TCPConn).CloseWrite()
	if _, err := reader.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("got %v at the end", err)
	}
}

func TestNotHTTP(t *testing.T) {
	secure := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "secure") }))
	defer secure.Close()
	for _, proto := range []string{"https", ""} {
		s := protect(t, secure.Listener.Addr().String(), proto, guard.Config{})
		c := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}}
		if _, body := get(t, c, "https://"+s.pub.Addr.String()); body != "secure" {
			t.Errorf("%q: got %q", proto, body)
		}
	}
	// A server that speaks first: it is not known to be none of HTTP until that is found out.
	talker, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer talker.Close()
	go func() {
		for {
			c, err := talker.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, "RFB 003.008\n")
			c.Close()
		}
	}()
	s := protect(t, talker.Addr().String(), "", guard.Config{})
	conn, err := net.Dial("tcp", s.pub.Addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	s.gate.Speaks("tcp")
	if data, err := io.ReadAll(conn); err != nil || string(data) != "RFB 003.008\n" {
		t.Errorf("got %q %v", data, err)
	}
}

// asPerson makes a connection that belongs to another person, where this user may: the kernel keeps for each socket the
// file system user of its maker.
func asPerson(addr string) (net.Conn, error) {
	var conn net.Conn
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		_, _ = unix.SetfsuidRetUid(4711)
		defer func() { _, _ = unix.SetfsuidRetUid(os.Getuid()) }()
		conn, err = net.Dial("tcp4", addr)
	}()
	<-done
	return conn, err
}

func TestAnotherPerson(t *testing.T) {
	var seen atomic.Int32
	handler := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { seen.Add(1) })
	plain, secure := httptest.NewServer(handler), httptest.NewTLSServer(handler)
	defer plain.Close()
	defer secure.Close()
	// Root can be anybody; anybody else is another than whose app this is.
	config := guard.Config{Lasting: true}
	if os.Getuid() != 0 {
		config.UID = uint32(os.Getuid()) + 1
	}
	s := protect(t, plain.Listener.Addr().String(), "http", config)
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		DialContext:     func(_ context.Context, _, addr string) (net.Conn, error) { return asPerson(addr) },
	}
	if status, body := get(t, &http.Client{Transport: transport}, s.guard.Link(s.url)); status != http.StatusForbidden || !strings.Contains(body, "somebody else") {
		t.Errorf("with the right link: %d %s", status, body)
	}
	s = protect(t, secure.Listener.Addr().String(), "https", config)
	if r, err := (&http.Client{Transport: transport}).Get("https://" + s.pub.Addr.String()); err == nil {
		t.Errorf("over TLS: %d", r.StatusCode)
	}
	if seen.Load() != 0 {
		t.Errorf("the app was asked %d times", seen.Load())
	}
}

// TestClosedAtOnce is about clients that close their end before anybody asks the kernel whose they are: what they sent would
// still be read by the app.
func TestClosedAtOnce(t *testing.T) {
	app, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer app.Close()
	got := make(chan string, 4)
	go func() {
		for {
			c, err := app.Accept()
			if err != nil {
				return
			}
			begin := make([]byte, 6)
			n, _ := io.ReadAtLeast(c, begin, 1) // of one that was reset: what came before
			got <- string(begin[:n])
			_, _ = io.WriteString(c, "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
			c.Close()
		}
	}()
	config := guard.Config{UID: uint32(os.Getuid()) + 1} // so that this process is another person's
	if os.Getuid() == 0 {
		config.UID = 0 // but root may enter everywhere: asPerson
	}
	config.Lasting = true
	for _, proto := range []string{"tcp", "https", "http"} {
		s := protect(t, app.Addr().String(), proto, config)
		cookie := ""
		if proto == "http" { // asked by a stolen cookie
			c := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
			if os.Getuid() == 0 { // nobody else can be both
				r, err := c.Get(s.guard.Link(s.url))
				if err != nil {
					t.Fatal(err)
				}
				r.Body.Close()
				cookie, _, _ = strings.Cut(r.Header.Get("Set-Cookie"), ";")
			}
		}
		gate := hold{gate: s.gate, let: make(chan struct{}), done: make(chan struct{})}
		pub, err := network.PublishWith(context.Background(), network.Mapping{ContainerPort: 80}, network.Options{Gate: gate}, func(ctx context.Context) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", app.Addr().String())
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, linger := range []int{-1, 0} { // closed in good order, and with a reset
			conn, err := asPerson(pub.Addr.String())
			if err != nil {
				t.Fatal(err)
			}
			_ = conn.(*net.TCPConn).SetLinger(linger)
			if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: localhost\r\nCookie: "+cookie+"\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			conn.Close()
			gate.let <- struct{}{}
			<-gate.done
		}
		pub.Close()
		select {
		case data := <-got:
			t.Errorf("%s: %q of a client that had gone came through", proto, data)
		default:
		}
	}
}

// hold is a gate that looks at each connection only when it is told to.
type hold struct {
	gate      network.Gate
	let, done chan struct{}
}

func (h hold) Handle(ctx context.Context, client *net.TCPConn, connect func(context.Context) (net.Conn, error), pass func()) {
	<-h.let
	h.gate.Handle(ctx, client, connect, pass)
	h.done <- struct{}{}
}

func (h hold) Close() {}

// TestWaits holds a browser that comes before the app listens.
func TestWaits(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := free.Addr().String()
	free.Close()
	s := protect(t, addr, "http", guard.Config{})
	answer := make(chan string)
	go func() {
		r, err := client().Get(s.guard.Link(s.url))
		if err != nil {
			answer <- err.Error()
			return
		}
		defer r.Body.Close()
		body, _ := io.ReadAll(r.Body)
		answer <- string(body)
	}()
	for s.changed.Load() == 0 {
		runtime.Gosched() // until the browser was let in
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	server := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "at last") })}
	go func() { _ = server.Serve(l) }()
	defer server.Close()
	if got := <-answer; got != "at last" {
		t.Errorf("got %s", got)
	}
}

// TestClose ends a gate at which somebody waits for an app that never listens.
func TestClose(t *testing.T) {
	before := runtime.NumGoroutine()
	s := protect(t, "127.0.0.1:1", "http", guard.Config{})
	ended := make(chan error)
	go func() {
		_, err := client().Get(s.guard.Link(s.url))
		ended <- err
	}()
	for s.changed.Load() == 0 {
		runtime.Gosched()
	}
	s.pub.Close()
	if err := <-ended; err == nil {
		t.Error("the request was answered")
	}
	for deadline := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before; runtime.Gosched() {
		if time.Now().After(deadline) {
			buf := make([]byte, 1<<20)
			t.Fatalf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, buf[:runtime.Stack(buf, true)])
		}
	}
}

func TestBrowser(t *testing.T) {
	addr := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/data":
			fmt.Fprintf(w, "%q", r.Header["Cookie"])
		default:
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprint(w, "<title>The app</title><p>hello")
		}
	})
	s := protect(t, addr, "http", guard.Config{Name: func() string { return "stats" }})
	b, err := browser.Start(t.Context(), browser.Options{})
	if errors.Is(err, browser.ErrMissing) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	show := func(address string) string {
		t.Helper()
		if err := b.Open(t.Context(), address); err != nil {
			t.Fatal(err)
		}
		var text string
		if err := b.Run(t.Context(), "return location.href + ' ' + document.body.innerText", &text); err != nil {
			t.Fatal(err)
		}
		return text
	}
	if got := show(s.url + "/lab"); !strings.Contains(got, "locked") || !strings.Contains(got, "carrel open stats") {
		t.Errorf("without the link the page says %q", got)
	}
	// As `carrel open` does it: by a file that leads on.
	page := t.TempDir() + "/open.html"
	if err := os.WriteFile(page, fmt.Appendf(nil, `<meta http-equiv="refresh" content="0; url=%s">`, s.guard.Link(s.url+"/lab?x=1")), 0o600); err != nil {
		t.Fatal(err)
	}
	_ = show("file://" + page)
	got := ""
	for deadline := time.Now().Add(20 * time.Second); !strings.HasSuffix(got, "hello") && time.Now().Before(deadline); {
		if err := b.Run(t.Context(), "return location.href + ' ' + (document.body ? document.body.innerText : '')", &got); err != nil {
			t.Fatal(err)
		}
	}
	if want := s.url + "/lab?x=1 hello"; got != want {
		t.Errorf("by the link it shows %q, want %q", got, want)
	}
	if err := b.Run(t.Context(), "return (async () => (await fetch('/data', {method: 'POST'})).text())()", &got); err != nil || got != "[]" {
		t.Errorf("a script of the page got %q, %v", got, err)
	}
}
