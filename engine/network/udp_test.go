package network_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"carrel/engine/network"
	"carrel/engine/network/netns"
)

// dialUDP connects as an init does it for its container.
func dialUDP(port uint16) network.DialFunc {
	return func(context.Context) (net.Conn, error) {
		fd, err := netns.DialUDP(port)
		if err != nil {
			return nil, err
		}
		f := os.NewFile(uintptr(fd), "udp")
		defer f.Close()
		return net.FileConn(f)
	}
}

func TestPublishUDP(t *testing.T) {
	for _, listen := range []string{"127.0.0.1:0", "0.0.0.0:0", "[::1]:0"} {
		echo, err := net.ListenPacket("udp", listen)
		if listen == "[::1]:0" && err != nil {
			t.Skip("missing: [::1]")
		}
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			buf := make([]byte, 1<<16)
			for {
				n, from, err := echo.ReadFrom(buf)
				if err != nil {
					return
				}
				_, _ = echo.WriteTo(buf[:n], from)
			}
		}()
		p := publish(t, network.Mapping{ContainerPort: 53, UDP: true}, dialUDP(uint16(echo.LocalAddr().(*net.UDPAddr).Port)))
		for client := range 3 {
			c, err := net.Dial("udp", p.Addr.String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(30 * time.Second))
			for _, size := range []int{1, 1400, 60000, 0} {
				sent := make([]byte, size)
				for i := range sent {
					sent[i] = byte(client)
				}
				if _, err := c.Write(sent); err != nil {
					t.Fatal(err)
				}
				got := make([]byte, 1<<16)
				n, err := c.Read(got)
				if err != nil || n != size || size > 0 && got[size-1] != byte(client) {
					t.Errorf("%s: %d bytes came back of %d: %v", listen, n, size, err)
				}
			}
		}
		if open, total := p.Connections(); open != 3 || total != 3 {
			t.Errorf("%d flows are open of %d, want 3 of 3", open, total)
		}
		p.Close()
		if open, _ := p.Connections(); open != 0 {
			t.Errorf("%d flows are left", open)
		}
		echo.Close()
	}
}

func TestPublishUDPBeforeAnythingListens(t *testing.T) {
	free, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := uint16(free.LocalAddr().(*net.UDPAddr).Port)
	free.Close()
	p := publish(t, network.Mapping{ContainerPort: 53, UDP: true}, dialUDP(port))
	c, err := net.Dial("udp", p.Addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = c.Write([]byte("lost"))
	app, err := net.ListenPacket("udp", netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port).String())
	if err != nil {
		t.Fatal(err)
	}
	defer app.Close()
	buf := make([]byte, 10)
	for deadline := time.Now().Add(20 * time.Second); ; {
		if time.Now().After(deadline) {
			t.Fatal("no datagram came after the app has begun to listen")
		}
		_, _ = c.Write([]byte("here"))
		_ = app.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		// The first one may not have been looked at before there was an app.
		if n, _, err := app.ReadFrom(buf); err == nil && string(buf[:n]) == "here" {
			return
		}
	}
}

func TestPublishOnBothLoopbacks(t *testing.T) {
	six, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		t.Skip("missing: [::1]")
	}
	defer six.Close()
	a := &app{t: t}
	a.listen(echo)
	p := publish(t, network.Mapping{ContainerPort: 80}, a.dial)
	for _, host := range []string{"127.0.0.1", "::1"} {
		c, err := net.Dial("tcp", net.JoinHostPort(host, strconv.Itoa(int(p.Addr.Port()))))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_, _ = c.Write([]byte("x"))
		if _, err := c.Read(make([]byte, 1)); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
	// What somebody has on ::1 is not to wish for, but can be asked for.
	taken := uint16(six.Addr().(*net.TCPAddr).Port)
	if p := publish(t, network.Mapping{HostPort: taken, ContainerPort: 80, Wish: true}, a.dial); p.Addr.Port() == taken {
		t.Error("the wished number, which on ::1 is somebody else's")
	}
	q, err := network.Publish(context.Background(), network.Mapping{HostPort: taken, ContainerPort: 80}, a.dial)
	if err == nil {
		q.Close()
	} else if port := (*network.PortTaken)(nil); !asTaken(err, &port) {
		t.Errorf("a demanded number: %v", err) // somebody may have it on 127.0.0.1 by now
	}
}

// TestPublishedHereOnly: nobody gets to a published port by any other address of this computer.
func TestPublishedHereOnly(t *testing.T) {
	others := []netip.Addr{netip.MustParseAddr("127.0.0.2")}
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addresses {
		if p, err := netip.ParsePrefix(a.String()); err == nil && !p.Addr().IsLoopback() && !p.Addr().IsLinkLocalUnicast() {
			others = append(others, p.Addr())
		}
	}
	a := &app{t: t}
	a.listen(echo)
	for _, udp := range []bool{false, true} {
		p := publish(t, network.Mapping{ContainerPort: 80, UDP: udp}, a.dial)
		for _, other := range others {
			to := netip.AddrPortFrom(other, p.Addr.Port())
			if !udp {
				if c, err := net.Dial("tcp", to.String()); err == nil {
					c.Close()
					t.Errorf("%s takes connections", to)
				} else if !errors.Is(err, unix.ECONNREFUSED) {
					t.Errorf("%s: %v", to, err)
				}
				continue
			}
			c, err := net.Dial("udp", to.String())
			if err != nil {
				t.Fatal(err)
			}
			_, _ = c.Write([]byte("x"))
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, unix.ECONNREFUSED) { // icmp(7): nobody is there
				t.Errorf("udp %s: %v", to, err)
			}
			c.Close()
		}
	}
}

func asTaken(err error, to **network.PortTaken) bool {
	e, ok := err.(*network.PortTaken)
	*to = e
	return ok
}

func TestPause(t *testing.T) {
	for waited, want := range map[time.Duration]time.Duration{
		0: 2 * time.Millisecond, 50 * time.Millisecond: 2 * time.Millisecond, time.Second: 20 * time.Millisecond, time.Minute: 250 * time.Millisecond,
	} {
		if got := network.Pause(waited); got != want {
			t.Errorf("after %s: %s, want %s", waited, got, want)
		}
	}
}

func TestOwner(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer accepted.Close()
	from, to := accepted.RemoteAddr().(*net.TCPAddr).AddrPort(), accepted.LocalAddr().(*net.TCPAddr).AddrPort()
	uid, ok, err := netns.Owner(from, to)
	if err != nil || !ok || uid != uint32(os.Getuid()) {
		t.Errorf("the client is of user %d, %v, %v; want %d", uid, ok, err, os.Getuid())
	}
	c.Close()
	// A socket that nobody holds any more looks like root's; it must not be taken for that.
	if uid, ok, err := netns.Owner(from, to); ok || err != nil {
		t.Errorf("a closed client is of user %d, %v", uid, err)
	}
	if _, ok, _ := netns.Owner(netip.MustParseAddrPort("127.0.0.1:1"), to); ok {
		t.Error("there is an owner of a connection that nobody has made")
	}
}
