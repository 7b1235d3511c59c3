package usernet_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"carrel/engine/network/internal/nstest"
	"carrel/engine/network/netns"
	"carrel/engine/network/usernet"

	"golang.org/x/sys/unix"
)

var (
	link = netns.Config{
		Address:  netip.MustParsePrefix("10.97.3.2/30"),
		Gateway:  netip.MustParseAddr("10.97.3.1"),
		Address6: netip.MustParsePrefix("fd97::2/64"),
		Gateway6: netip.MustParseAddr("fd97::1"),
	}
	// outside stands for the world in these tests: connections to it are made to this machine's loopback.
	outside = netip.MustParsePrefix("198.51.100.0/24")
	// outside6 is the same for IPv6; both prefixes are for documentation (RFC 5737, RFC 3849).
	outside6 = netip.MustParsePrefix("2001:db8::/32")
)

func TestMain(m *testing.M) {
	nstest.Main(m, map[string]nstest.Program{"client": client})
}

// client is an init with a link and a few programs that use the network.
func client(c *nstest.Conn, args []string) error {
	config := link
	config.NoTap = args[0] == "veth"
	fd, err := netns.OpenLink(config)
	if err != nil {
		return err
	}
	if err := c.Send("link", fd); err != nil {
		return err
	}
	_ = unix.Close(fd)
	return c.Serve(func(message string) (string, int, error) {
		command := strings.Fields(message)
		answer, err := run(command[0], command[1:])
		return answer, -1, err
	})
}

func run(command string, args []string) (string, error) {
	switch command {
	case "get": // connect, send, half-close, read everything
		conn, err := net.DialTimeout("tcp", args[0], 20*time.Second)
		if err != nil {
			return "", err
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, args[1])
		_ = conn.(*net.TCPConn).CloseWrite()
		b, err := io.ReadAll(conn)
		return string(b), err
	case "upload", "download": // N bytes; the answer is their SHA-256 and the time in ns
		conn, err := net.DialTimeout("tcp", args[0], 20*time.Second)
		if err != nil {
			return "", err
		}
		defer conn.Close()
		size, _ := strconv.ParseInt(args[1], 10, 64)
		var hash hash.Hash = sha256.New()
		start := time.Now()
		if len(args) > 2 { // raw speed, without a hash
			hash = nil
		}
		if command == "upload" {
			err = upload(conn, size, hash)
			_ = conn.(*net.TCPConn).CloseWrite()
			_, _ = io.Copy(io.Discard, conn)
		} else {
			var to io.Writer = io.Discard
			if hash != nil {
				to = hash
			}
			_, err = io.Copy(to, conn)
		}
		var sum []byte
		if hash != nil {
			sum = hash.Sum(nil)
		}
		return fmt.Sprintf("%x %d", sum, time.Since(start)), err
	case "many": // N connections one after another, then N at once
		count, _ := strconv.Atoi(args[1])
		for range count {
			if answer, err := run("get", []string{args[0], "hello"}); err != nil || answer != "echo hello" {
				return answer, err
			}
		}
		errs := make(chan error, count)
		for range count {
			go func() {
				answer, err := run("get", []string{args[0], "hello"})
				if err == nil && answer != "echo hello" {
					err = fmt.Errorf("answer %q", answer)
				}
				errs <- err
			}()
		}
		var all error
		for range count {
			all = errors.Join(all, <-errs)
		}
		return "ok", all
	case "ask": // one datagram and its answer
		conn, err := net.DialTimeout("udp", args[0], 20*time.Second)
		if err != nil {
			return "", err
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		if _, err := io.WriteString(conn, args[1]); err != nil {
			return "", err
		}
		buf := make([]byte, 65536)
		n, err := conn.Read(buf)
		return string(buf[:n]), err
	case "lookup": // by the resolver at the gateway
		r := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			var d net.Dialer
			if len(args) > 1 {
				network = args[1]
			}
			return d.DialContext(ctx, network, net.JoinHostPort(link.Gateway.String(), "53"))
		}}
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		addrs, err := r.LookupNetIP(ctx, "ip4", args[0])
		return fmt.Sprint(addrs), err
	case "interfaces":
		all, err := net.Interfaces()
		var names []string
		for _, i := range all {
			names = append(names, i.Name)
		}
		return strings.Join(names, " "), err
	case "ping":
		return ping(netip.MustParseAddr(args[0]))
	}
	return "", fmt.Errorf("unknown command %q", command)
}

func upload(w io.Writer, size int64, hash io.Writer) error {
	if hash != nil {
		w = io.MultiWriter(w, hash)
	}
	block := bytes.Repeat([]byte("0123456789abcdef"), 8192)
	for size > 0 {
		n, err := w.Write(block[:min(size, int64(len(block)))])
		size -= int64(n)
		if err != nil {
			return err
		}
	}
	return nil
}

// ping sends an echo request by a raw socket and waits for its answer or an error message about it.
func ping(addr netip.Addr) (string, error) {
	family, protocol, to := unix.AF_INET, unix.IPPROTO_ICMP, unix.Sockaddr(nil)
	request := []byte{8, 0, 0, 0, 0x12, 0x34, 0, 1, 'c', 'a', 'r', 'l'}
	if addr.Is4() {
		to = &unix.SockaddrInet4{Addr: addr.As4()}
		var sum uint32
		for i := 0; i < len(request); i += 2 {
			sum += uint32(request[i])<<8 | uint32(request[i+1])
		}
		sum = sum&0xffff + sum>>16
		request[2], request[3] = byte(^sum>>8), byte(^sum)
	} else {
		family, protocol, to = unix.AF_INET6, unix.IPPROTO_ICMPV6, &unix.SockaddrInet6{Addr: addr.As16()}
		request[0] = 128 // the kernel fills the checksum in (RFC 3542 section 3.1)
	}
	fd, err := unix.Socket(family, unix.SOCK_RAW, protocol)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	_ = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 20})
	if err := unix.Sendto(fd, request, 0, to); err != nil {
		return "", err
	}
	buf := make([]byte, 1500)
	for {
		n, _, err := unix.Recvfrom(fd, buf, 0)
		if err != nil {
			return "", err
		}
		icmp := buf[:n]
		if addr.Is4() {
			icmp = buf[20:n]
		} else if icmp[0] >= 133 && icmp[0] <= 137 {
			continue // neighbour discovery (RFC 4861)
		}
		return fmt.Sprintf("type %d code %d", icmp[0], icmp[1]), nil
	}
}

// dialer sends connections to outside addresses to the same port of this machine's loopback.
func dialer(ctx context.Context, network string, addr netip.AddrPort) (net.Conn, error) {
	switch {
	case outside.Contains(addr.Addr()):
		addr = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), addr.Port())
	case outside6.Contains(addr.Addr()):
		addr = netip.AddrPortFrom(netip.IPv6Loopback(), addr.Port())
	case addr.Addr() == netip.MustParseAddr("203.0.113.1"):
		return nil, &net.OpError{Op: "dial", Err: syscall.EHOSTUNREACH}
	case addr.Addr() == netip.MustParseAddr("203.0.113.2"):
		return nil, &net.OpError{Op: "dial", Err: syscall.ENETUNREACH}
	case !addr.Addr().IsLoopback():
		return nil, fmt.Errorf("test dials %s", addr)
	}
	var d net.Dialer
	return d.DialContext(ctx, network, addr.String())
}

// start makes a namespace with a network and returns what runs in it.
func start(t testing.TB, kind string, config usernet.Config) *nstest.Process {
	t.Helper()
	if kind == "tap" {
		f, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0)
		if err != nil {
			t.Skip("missing: permission to open /dev/net/tun")
		}
		f.Close()
	}
	p := nstest.Start(t, "client", kind)
	_, fd, err := p.Receive()
	if err != nil {
		t.Fatal(err)
	}
	config.Gateway, config.Gateway6 = link.Gateway, link.Gateway6
	if config.Dial == nil {
		config.Dial = dialer
	}
	before := runtime.NumGoroutine()
	n, err := usernet.Start(context.Background(), fd, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
		if after := goroutines(before); after > before {
			buf := make([]byte, 1<<20)
			t.Errorf("%d goroutines before, %d after:\n%s", before, after, buf[:runtime.Stack(buf, true)])
		}
	})
	return p
}

// goroutines waits a while for their number to sink to want.
func goroutines(want int) int {
	deadline := time.Now().Add(10 * time.Second)
	for runtime.NumGoroutine() > want && time.Now().Before(deadline) {
		runtime.Gosched()
	}
	return runtime.NumGoroutine()
}

// echoServer answers each connection with "echo " and everything it was sent, after the client has half-closed.
func echoServer(t testing.TB, address string) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Skip("missing: " + address)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				b, _ := io.ReadAll(c)
				_, _ = c.Write(append([]byte("echo "), b...))
			}()
		}
	}()
	return l.Addr().(*net.TCPAddr).AddrPort()
}

func at(addr string, port uint16) string {
	return netip.AddrPortFrom(netip.MustParseAddr(addr), port).String()
}

func TestTCP(t *testing.T) {
	for _, kind := range []string{"veth", "tap"} {
		t.Run(kind, func(t *testing.T) {
			server, server6 := echoServer(t, "127.0.0.1:0"), echoServer(t, "[::1]:0")
			p := start(t, kind, usernet.Config{
				HostPorts: map[uint16]netip.AddrPort{3128: server},
				Deny:      []netip.Prefix{netip.MustParsePrefix("198.51.100.128/25")},
			})
			closed, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			nobody := closed.Addr().(*net.TCPAddr).AddrPort().Port()
			closed.Close()
			for _, test := range []struct{ name, to, want string }{
				{"IPv4", at("198.51.100.7", server.Port()), "echo hello"},
				{"IPv6", at("2001:db8::7", server6.Port()), "echo hello"},
				{"a port of the host that was opened", at("10.97.3.1", 3128), "echo hello"},
				{"another port of the gateway", at("10.97.3.1", server.Port()), "connection refused"},
				{"nobody listens", at("198.51.100.7", nobody), "connection refused"},
				{"host unreachable", at("203.0.113.1", 80), "no route to host"},
				{"network unreachable", at("203.0.113.2", 80), "network is unreachable"},
				{"denied", at("198.51.100.200", server.Port()), "no route to host"},
			} {
				t.Run(test.name, func(t *testing.T) {
					got, _, err := p.Call("get " + test.to + " hello")
					if err != nil {
						got = err.Error()
					}
					if !strings.Contains(got, test.want) {
						t.Errorf("got %q, want %q", got, test.want)
					}
				})
			}
		})
	}
}

func TestTCPManyConnections(t *testing.T) {
	server := echoServer(t, "127.0.0.1:0")
	p := start(t, "veth", usernet.Config{})
	if _, _, err := p.Call("get " + at("198.51.100.7", server.Port()) + " hello"); err != nil {
		t.Fatal(err)
	}
	before := runtime.NumGoroutine()
	if _, _, err := p.Call("many " + at("198.51.100.7", server.Port()) + " 500"); err != nil {
		t.Fatal(err)
	}
	if after := goroutines(before); after > before {
		t.Errorf("%d goroutines before, %d after", before, after)
	}
}

func TestTCPCarriesMuch(t *testing.T) {
	const size = 64 << 20
	hash := sha256.New()
	_ = upload(io.Discard, size, hash)
	want := fmt.Sprintf("%x", hash.Sum(nil))
	for _, kind := range []string{"veth", "tap"} {
		t.Run(kind, func(t *testing.T) {
			down, up, sums := bulkServers(t, size)
			p := start(t, kind, usernet.Config{})
			got, _, err := p.Call(fmt.Sprintf("download %s %d", at("198.51.100.7", down), size))
			if err != nil || !strings.HasPrefix(got, want) {
				t.Errorf("download: got %q, %v; want %s", got, err, want)
			}
			if _, _, err := p.Call(fmt.Sprintf("upload %s %d", at("198.51.100.7", up), size)); err != nil {
				t.Error(err)
			}
			if got := <-sums; got != want {
				t.Errorf("upload: got %q, want %s", got, want)
			}
		})
	}
}

// bulkServers serves size bytes on one port, and on another takes everything and reports its hash.
func bulkServers(t testing.TB, size int64) (down, up uint16, sums chan string) {
	t.Helper()
	sums = make(chan string, 1)
	serve := func(f func(net.Conn)) uint16 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				f(c)
				c.Close()
			}
		}()
		return l.Addr().(*net.TCPAddr).AddrPort().Port()
	}
	down = serve(func(c net.Conn) { _ = upload(c, size, nil) })
	up = serve(func(c net.Conn) {
		hash := sha256.New()
		if _, ok := t.(*testing.B); ok {
			_, _ = io.Copy(io.Discard, c)
		} else {
			_, _ = io.Copy(hash, c)
			sums <- fmt.Sprintf("%x", hash.Sum(nil))
		}
	})
	return down, up, sums
}

func TestUDP(t *testing.T) {
	for _, kind := range []string{"veth", "tap"} {
		t.Run(kind, func(t *testing.T) {
			server, err := net.ListenPacket("udp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer server.Close()
			go func() {
				buf := make([]byte, 65536)
				for {
					n, from, err := server.ReadFrom(buf)
					if err != nil {
						return
					}
					_, _ = server.WriteTo(append([]byte("echo "), buf[:n]...), from)
				}
			}()
			port := server.LocalAddr().(*net.UDPAddr).AddrPort().Port()
			p := start(t, kind, usernet.Config{Deny: []netip.Prefix{netip.MustParsePrefix("203.0.113.9/32")}})
			long := strings.Repeat("x", 40000)
			for _, test := range []struct{ name, message, want string }{
				{"small", "ask " + at("198.51.100.7", port) + " hello", "echo hello"},
				{"large", "ask " + at("198.51.100.7", port) + " " + long, "echo " + long},
				{"gateway", "ask " + at("10.97.3.1", port) + " hello", "connection refused"},
				{"denied", "ask 203.0.113.9:99 hello", "no route to host"},
			} {
				t.Run(test.name, func(t *testing.T) {
					got, _, err := p.Call(test.message)
					if err != nil {
						got = err.Error()
					}
					if !strings.Contains(got, test.want) {
						t.Errorf("got %.100q, want %.100q", got, test.want)
					}
				})
			}
			server.Close()
			t.Run("nobody listens", func(t *testing.T) {
				if got, _, err := p.Call("ask " + at("198.51.100.7", port) + " hello"); err == nil || !strings.Contains(err.Error(), "connection refused") {
					t.Errorf("got %q, %v; want connection refused", got, err)
				}
			})
		})
	}
}

func TestPing(t *testing.T) {
	p := start(t, "veth", usernet.Config{Deny: []netip.Prefix{netip.MustParsePrefix("203.0.113.9/32"), netip.MustParsePrefix("2001:db8:9::/48")}})
	tests := []struct{ name, to, want string }{
		{"gateway", "10.97.3.1", "type 0 code 0"},
		{"gateway, IPv6", "fd97::1", "type 129 code 0"},
		{"denied", "203.0.113.9", "type 3 code 13"},
		{"denied, IPv6", "2001:db8:9::1", "type 1 code 1"},
	}
	if _, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, unix.IPPROTO_ICMP); errors.Is(err, unix.EACCES) {
		// The host forbids its users to ping, and the container is told so. (Where it allows it, a test sends nothing out.)
		tests = append(tests, struct{ name, to, want string }{"forbidden", "198.51.100.7", "type 3 code 13"})
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got, _, err := p.Call("ping " + test.to); got != test.want {
				t.Errorf("got %q, %v; want %q", got, err, test.want)
			}
		})
	}
}

func TestClosesWithItsContext(t *testing.T) {
	p := nstest.Start(t, "client", "veth")
	_, fd, err := p.Receive()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	n, err := usernet.Start(ctx, fd, usernet.Config{Gateway: link.Gateway, Dial: dialer})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	_ = n.Close()
	_ = n.Close()
	// The link is gone with its last descriptor; the kernel takes namespaces down in the background.
	for deadline := time.Now().Add(20 * time.Second); ; {
		got, _, err := p.Call("interfaces")
		if err != nil {
			t.Fatal(err)
		}
		if got == "lo" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("interfaces are %s, want only lo", got)
		}
	}
	if _, err := usernet.Start(context.Background(), -1, usernet.Config{Gateway: link.Gateway}); err == nil {
		t.Error("started on no descriptor")
	}
}

func BenchmarkTCP(b *testing.B) {
	const size = 1 << 30
	for _, kind := range []string{"veth", "tap"} {
		for _, direction := range []string{"download", "upload"} {
			b.Run(kind+"/"+direction, func(b *testing.B) {
				down, up, _ := bulkServers(b, size)
				p := start(b, kind, usernet.Config{})
				port := down
				if direction == "upload" {
					port = up
				}
				b.SetBytes(size)
				for b.Loop() {
					if _, _, err := p.Call(fmt.Sprintf("%s %s %d raw", direction, at("198.51.100.7", port), size)); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
