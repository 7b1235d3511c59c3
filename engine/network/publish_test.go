package network_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"carrel/engine/network"
	"carrel/engine/network/internal/nstest"
	"carrel/engine/network/netns"
)

func TestMain(m *testing.M) {
	nstest.Main(m, map[string]nstest.Program{"container": container})
}

// container is an init that has one app in it, which echoes on 127.0.0.1 of its own network: "listen" starts it and answers
// its port, "dial PORT" connects to it.
func container(c *nstest.Conn, _ []string) error {
	if err := netns.LoopbackUp(); err != nil {
		return err
	}
	return c.Serve(func(message string) (string, int, error) {
		command := strings.Fields(message)
		if command[0] == "listen" {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				return "", -1, err
			}
			go echo(l)
			return strconv.Itoa(l.Addr().(*net.TCPAddr).Port), -1, nil
		}
		port, _ := strconv.Atoi(command[1])
		fd, err := netns.Dial(uint16(port), netip.Addr{}, time.Second)
		return "ok", fd, err
	})
}

// echo answers every connection with what it is sent.
func echo(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			_, _ = io.Copy(c, c)
		}()
	}
}

// app is a listener that can be opened late: a container's port on the host's own loopback.
type app struct {
	t        testing.TB
	addr     atomic.Pointer[net.TCPAddr]
	listener net.Listener
	dials    atomic.Int64
}

func (a *app) listen(serve func(net.Listener)) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(func() { l.Close() })
	a.listener = l
	go serve(l)
	a.addr.Store(l.Addr().(*net.TCPAddr))
}

func (a *app) dial(ctx context.Context) (net.Conn, error) {
	a.dials.Add(1)
	addr := a.addr.Load()
	if addr == nil {
		return nil, syscall.ECONNREFUSED
	}
	var d net.Dialer
	return d.DialContext(ctx, "tcp", addr.String())
}

func publish(t testing.TB, m network.Mapping, dial network.DialFunc) *network.Published {
	t.Helper()
	before := runtime.NumGoroutine()
	p, err := network.Publish(context.Background(), m, dial)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.Close()
		deadline := time.Now().Add(10 * time.Second)
		for runtime.NumGoroutine() > before && time.Now().Before(deadline) {
			runtime.Gosched()
		}
		if after := runtime.NumGoroutine(); after > before {
			buf := make([]byte, 1<<20)
			t.Errorf("%d goroutines before, %d after:\n%s", before, after, buf[:runtime.Stack(buf, true)])
		}
	})
	return p
}

func connect(t testing.TB, addr netip.AddrPort) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(60 * time.Second))
	t.Cleanup(func() { c.Close() })
	return c.(*net.TCPConn)
}

func TestPublishIntoANamespace(t *testing.T) {
	container := nstest.Start(t, "container")
	port, _, err := container.Call("listen")
	if err != nil {
		t.Fatal(err)
	}
	var one sync.Mutex
	p := publish(t, network.Mapping{ContainerPort: 1}, func(context.Context) (net.Conn, error) {
		one.Lock()
		defer one.Unlock()
		_, fd, err := container.Call("dial " + port)
		if err != nil {
			return nil, err
		}
		f := os.NewFile(uintptr(fd), "connection")
		defer f.Close()
		return net.FileConn(f)
	})
	if !p.Addr.Addr().IsLoopback() || p.Addr.Port() == 0 {
		t.Fatalf("published at %s", p.Addr)
	}
	var wg sync.WaitGroup
	for i := range 8 {
		c := connect(t, p.Addr)
		wg.Go(func() {
			block := bytes.Repeat([]byte{byte(i), 1, 2, 3}, 1<<18)
			want, got := sha256.Sum256(block), sha256.New()
			go func() {
				_, _ = c.Write(block)
				_ = c.CloseWrite()
			}()
			n, err := io.Copy(got, c)
			if err != nil || n != int64(len(block)) || !bytes.Equal(got.Sum(nil), want[:]) {
				t.Errorf("connection %d: %d bytes came back, %v; want %d, the same", i, n, err, len(block))
			}
		})
	}
	wg.Wait()
}

func TestPublishHalfClose(t *testing.T) {
	a := &app{t: t}
	a.listen(func(l net.Listener) {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			// The whole question is read to its end before the answer begins.
			question, _ := io.ReadAll(c)
			_, _ = c.Write(append([]byte("answer to "), question...))
			_ = c.Close()
		}
	})
	p := publish(t, network.Mapping{ContainerPort: 80}, a.dial)
	c := connect(t, p.Addr)
	_, _ = io.WriteString(c, "question")
	_ = c.CloseWrite()
	if got, err := io.ReadAll(c); string(got) != "answer to question" {
		t.Errorf("got %q, %v", got, err)
	}

	// The other way round: the app ends its side first, and still reads.
	late := make(chan string, 1)
	b := &app{t: t}
	b.listen(func(l net.Listener) {
		c, err := l.Accept()
		if err != nil {
			return
		}
		_, _ = io.WriteString(c, "greeting")
		_ = c.(*net.TCPConn).CloseWrite()
		rest, _ := io.ReadAll(c)
		late <- string(rest)
	})
	p = publish(t, network.Mapping{ContainerPort: 80}, b.dial)
	c = connect(t, p.Addr)
	if got, err := io.ReadAll(c); string(got) != "greeting" {
		t.Errorf("got %q, %v", got, err)
	}
	_, _ = io.WriteString(c, "still here")
	_ = c.CloseWrite()
	if got := <-late; got != "still here" {
		t.Errorf("the app read %q after it had ended its own side", got)
	}
}

func TestPublishPassesResetsOn(t *testing.T) {
	a := &app{t: t}
	end := make(chan string, 1)
	a.listen(func(l net.Listener) {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			question := make([]byte, 5)
			_, _ = io.ReadFull(c, question)
			if string(question) == "reset" {
				_, _ = io.WriteString(c, "partial")
				_ = c.(*net.TCPConn).SetLinger(0)
				_ = c.Close()
				continue
			}
			_, err = io.ReadAll(c)
			end <- fmt.Sprint(errors.Is(err, syscall.ECONNRESET))
			_ = c.Close()
		}
	})
	p := publish(t, network.Mapping{ContainerPort: 80}, a.dial)
	c := connect(t, p.Addr)
	_, _ = io.WriteString(c, "reset")
	if got, err := io.ReadAll(c); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the app's reset arrived as %q, %v", got, err)
	}
	c = connect(t, p.Addr)
	_, _ = io.WriteString(c, "leave")
	_ = c.SetLinger(0)
	_ = c.Close()
	if got := <-end; got != "true" {
		t.Error("the client's reset arrived as an orderly end")
	}
}

func TestPublishWaitsForTheApp(t *testing.T) {
	a := &app{t: t}
	p := publish(t, network.Mapping{ContainerPort: 80}, a.dial)
	const clients = 50
	conns := make([]*net.TCPConn, clients)
	for i := range conns {
		conns[i] = connect(t, p.Addr)
		fmt.Fprintf(conns[i], "client %d", i)
		_ = conns[i].CloseWrite()
	}
	leaver := connect(t, p.Addr)
	_ = leaver.Close()
	for {
		if open, total := p.Connections(); total == clients+1 && open == clients {
			break // all wait but the one that left
		}
		runtime.Gosched()
	}
	a.listen(echo)
	for i, c := range conns {
		if got, err := io.ReadAll(c); string(got) != fmt.Sprintf("client %d", i) {
			t.Errorf("client %d got %q, %v", i, got, err)
		}
	}
}

func TestPublishLosesPatience(t *testing.T) {
	a := &app{t: t}
	p, err := network.PublishWith(context.Background(), network.Mapping{ContainerPort: 80}, network.Options{Patience: 20 * time.Millisecond}, a.dial)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if got, err := io.ReadAll(connect(t, p.Addr)); len(got) > 0 || !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %q, %v; want a reset", got, err)
	}
}

func TestPublishEndsWhenTheContainerDoes(t *testing.T) {
	p := publish(t, network.Mapping{ContainerPort: 80}, func(context.Context) (net.Conn, error) { return nil, net.ErrClosed })
	c, err := net.Dial("tcp", p.Addr.String())
	if err == nil {
		_, err = io.ReadAll(c)
		c.Close()
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %v; want a reset", err)
	}
}

func TestPublishCloseEndsConnections(t *testing.T) {
	a := &app{t: t}
	a.listen(echo)
	ctx, cancel := context.WithCancel(context.Background())
	p, err := network.Publish(ctx, network.Mapping{ContainerPort: 80}, a.dial)
	if err != nil {
		t.Fatal(err)
	}
	c := connect(t, p.Addr)
	_, _ = io.WriteString(c, "x")
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	cancel()
	_ = p.Close()
	_ = p.Close()
	if _, err := io.ReadAll(c); err == nil {
		t.Error("the connection ended in order, as if the app had ended it; want a reset")
	}
	if c, err := net.Dial("tcp", p.Addr.String()); err == nil {
		c.Close()
		t.Error("the port is still open")
	}
}

func TestPublishManyConnections(t *testing.T) {
	count := 10000
	if testing.Short() {
		count = 500
	}
	a := &app{t: t}
	a.listen(func(l net.Listener) {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.Copy(c, c)
			_ = c.(*net.TCPConn).SetLinger(0) // leaves no TIME_WAIT behind to fill the port range
			_ = c.Close()
		}
	})
	p := publish(t, network.Mapping{ContainerPort: 80}, a.dial)
	descriptors := openDescriptors(t)
	goroutines := runtime.NumGoroutine()
	for i := range count {
		c, err := net.Dial("tcp", p.Addr.String())
		if err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
		switch i % 3 {
		case 0: // used and left in order
			_, _ = io.WriteString(c, "hello")
			_ = c.(*net.TCPConn).CloseWrite()
			_, _ = io.ReadAll(c)
		case 1: // left at once
		case 2: // left with a reset
			_, _ = io.WriteString(c, "hello")
			_ = c.(*net.TCPConn).SetLinger(0)
		}
		_ = c.Close()
	}
	deadline := time.Now().Add(30 * time.Second)
	for {
		open, total := p.Connections()
		if open == 0 && total == int64(count) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d connections are still open", open, total)
		}
		runtime.Gosched()
	}
	for runtime.NumGoroutine() > goroutines && time.Now().Before(deadline) {
		runtime.Gosched()
	}
	if now := runtime.NumGoroutine(); now > goroutines {
		t.Errorf("%d goroutines before, %d after", goroutines, now)
	}
	// The runtime keeps pipes for splice(2) in a pool, which the garbage collector empties.
	for openDescriptors(t) > descriptors+64 && time.Now().Before(deadline) {
		runtime.GC()
	}
	if now := openDescriptors(t); now > descriptors+64 {
		t.Errorf("%d descriptors before, %d after", descriptors, now)
	}
}

func openDescriptors(t *testing.T) int {
	t.Helper()
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(names)
}

func TestPublishTakenPort(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := uint16(l.Addr().(*net.TCPAddr).Port)
	nobody := func(context.Context) (net.Conn, error) { return nil, net.ErrClosed }

	_, err = network.Publish(context.Background(), network.Mapping{HostPort: port, ContainerPort: 80}, nobody)
	var taken *network.PortTaken
	if !errors.As(err, &taken) {
		t.Fatalf("got %v, want *PortTaken", err)
	}
	if taken.PID != os.Getpid() || !strings.Contains(taken.Command, filepath.Base(os.Args[0])) || taken.UID != os.Getuid() {
		t.Errorf("holder is process %d %q of user %d, want %d, this test", taken.PID, taken.Command, taken.UID, os.Getpid())
	}
	if taken.Free == 0 || taken.Free == port || !strings.Contains(taken.Hint(), strconv.Itoa(int(taken.Free))) {
		t.Errorf("free port %d, hint %q", taken.Free, taken.Hint())
	}
	if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), "process "+strconv.Itoa(os.Getpid())) {
		t.Errorf("error %q", err)
	}
	// An address of another family is not in the way; a wildcard is.
	if p, err := network.Publish(context.Background(), network.Mapping{HostIP: netip.IPv4Unspecified(), HostPort: port, ContainerPort: 80}, nobody); err == nil {
		p.Close()
		t.Error("published on 0.0.0.0 beside 127.0.0.1")
	}

	p := publish(t, network.Mapping{HostPort: port, ContainerPort: 80, Wish: true}, nobody)
	if got := p.Addr.Port(); got == port || got == 0 {
		t.Errorf("wish %d gave %d", port, got)
	}
	if free, err := network.FreePort(context.Background(), netip.Addr{}, port); err != nil || free == port || free == 0 {
		t.Errorf("free port near %d: %d, %v", port, free, err)
	}
	l.Close()
	if free, err := network.FreePort(context.Background(), netip.Addr{}, port); err != nil || free != port {
		t.Errorf("free port %d: got %d, %v", port, free, err)
	}
}

func TestPublishRefusals(t *testing.T) {
	nobody := func(context.Context) (net.Conn, error) { return nil, net.ErrClosed }
	_, err := network.Publish(context.Background(), network.Mapping{HostIP: netip.MustParseAddr("192.0.2.1"), ContainerPort: 80}, nobody)
	var missing *network.AddressMissing
	if !errors.As(err, &missing) || missing.Hint() == "" {
		t.Errorf("foreign address: got %v, want *AddressMissing", err)
	}
	if _, err := network.Publish(context.Background(), network.Mapping{HostPort: 0}, nobody); err == nil {
		t.Error("published port 0 of the container")
	}
	first, _ := os.ReadFile("/proc/sys/net/ipv4/ip_unprivileged_port_start")
	if os.Getuid() == 0 || strings.TrimSpace(string(first)) != "1024" {
		t.Skip("missing: a user who may not listen on low ports")
	}
	_, err = network.Publish(context.Background(), network.Mapping{HostPort: 80, ContainerPort: 80}, nobody)
	var forbidden *network.PortForbidden
	if !errors.As(err, &forbidden) || forbidden.First != 1024 || !strings.Contains(forbidden.Hint(), "8080") {
		t.Errorf("port 80: got %v, want *PortForbidden", err)
	}
	p := publish(t, network.Mapping{HostPort: 80, ContainerPort: 80, Wish: true}, nobody)
	if p.Addr.Port() < 1024 {
		t.Errorf("wish 80 gave %d", p.Addr.Port())
	}
}

// BenchmarkThroughput compares a published port with a plain connection; each carries 1 GiB at a time.
func BenchmarkThroughput(b *testing.B) {
	const size = 1 << 30
	block := make([]byte, 256<<10)
	serve := func(l net.Listener) {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for left := size; left > 0; left -= len(block) {
					if _, err := c.Write(block); err != nil {
						return
					}
				}
			}()
		}
	}
	a := &app{t: b}
	a.listen(serve)
	read := func(b *testing.B, addr netip.AddrPort) {
		b.SetBytes(size)
		buf := make([]byte, 256<<10)
		for b.Loop() {
			c, err := net.Dial("tcp", addr.String())
			if err != nil {
				b.Fatal(err)
			}
			var total int
			for {
				n, err := c.Read(buf)
				total += n
				if err != nil {
					break
				}
			}
			c.Close()
			if total != size {
				b.Fatalf("%d bytes arrived", total)
			}
		}
	}
	b.Run("plain", func(b *testing.B) { read(b, a.addr.Load().AddrPort()) })
	b.Run("published", func(b *testing.B) {
		p, err := network.Publish(context.Background(), network.Mapping{ContainerPort: 80}, a.dial)
		if err != nil {
			b.Fatal(err)
		}
		defer p.Close()
		read(b, p.Addr)
	})
}
