package netns_test

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"carrel/engine/network/internal/nstest"
	"carrel/engine/network/netns"

	"golang.org/x/sys/unix"
)

var link = netns.Config{
	Address:  netip.MustParsePrefix("10.97.3.2/30"),
	Gateway:  netip.MustParseAddr("10.97.3.1"),
	Address6: netip.MustParsePrefix("fd97::2/64"),
	Gateway6: netip.MustParseAddr("fd97::1"),
}

func TestMain(m *testing.M) {
	nstest.Main(m, map[string]nstest.Program{"namespace": namespace, "namespace4": namespace4})
}

// namespace4 is namespace with an IPv4-only link.
func namespace4(c *nstest.Conn, args []string) error {
	link.Address6, link.Gateway6 = netip.Prefix{}, netip.Addr{}
	return namespace(c, args)
}

// namespace is an init that does what it is told: one command in each message.
func namespace(c *nstest.Conn, _ []string) error {
	var open []net.Listener
	return c.Serve(func(message string) (string, int, error) {
		command := strings.Fields(message)
		switch command[0] {
		case "loopback":
			return "ok", -1, netns.LoopbackUp()
		case "link":
			config := link
			config.NoTap = command[1] == "veth"
			fd, err := netns.OpenLink(config)
			return "ok", fd, err
		case "listen":
			l, err := net.Listen("tcp", command[1])
			if err != nil {
				return "", -1, err
			}
			open = append(open, l)
			go greet(l)
			return l.Addr().String(), -1, nil
		case "dial":
			port, err := strconv.ParseUint(command[1], 10, 16)
			if err != nil {
				return "", -1, err
			}
			fd, err := netns.Dial(uint16(port), link.Address.Addr(), time.Second)
			return "ok", fd, err
		case "interfaces":
			all, err := net.Interfaces()
			var text []string
			for _, i := range all {
				addrs, _ := i.Addrs()
				text = append(text, fmt.Sprint(i.Name, " ", i.Flags&net.FlagUp != 0, " ", i.MTU, " ", addrs))
			}
			return strings.Join(text, "\n"), -1, err
		case "send":
			conn, err := net.Dial("udp", command[1])
			if err == nil {
				_, err = conn.Write([]byte("hello out there"))
				conn.Close()
			}
			return "ok", -1, err
		case "open":
			return "ok", -1, netns.OpenToUsers(0)
		case "read":
			b, err := os.ReadFile(command[1])
			return string(b), -1, err
		}
		return "", -1, fmt.Errorf("unknown command %q", message)
	})
}

func greet(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		_, _ = c.Write([]byte("hello from " + l.Addr().String()))
		_ = c.Close()
	}
}

func call(t *testing.T, p *nstest.Process, message string) (string, int) {
	t.Helper()
	answer, fd, err := p.Call(message)
	if err != nil {
		t.Fatalf("%s: %v", message, err)
	}
	return answer, fd
}

func TestDialReachesEveryKindOfListener(t *testing.T) {
	p := nstest.Start(t, "namespace")
	call(t, p, "loopback")
	_, fd := call(t, p, "link veth")
	defer unix.Close(fd)
	for _, address := range []string{"127.0.0.1:0", "[::1]:0", "0.0.0.0:0", "[::]:0", "10.97.3.2:0", "[fd97::2]:0", "127.0.1.1:0"} {
		t.Run(address, func(t *testing.T) {
			listening, _ := call(t, p, "listen "+address)
			_, port, _ := net.SplitHostPort(listening)
			_, fd := call(t, p, "dial "+port)
			file := os.NewFile(uintptr(fd), "connection")
			conn, err := net.FileConn(file)
			file.Close()
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, ok := conn.(*net.TCPConn); !ok {
				t.Errorf("connection is a %T, want *net.TCPConn", conn)
			}
			buf := make([]byte, 100)
			n, err := conn.Read(buf)
			if want := "hello from " + listening; string(buf[:n]) != want {
				t.Errorf("read %q, %v; want %q", buf[:n], err, want)
			}
		})
	}
	if _, _, err := p.Call("dial 9"); err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("dial a closed port: got %v, want connection refused", err)
	}
}

func TestListenersOfANamespace(t *testing.T) {
	p := nstest.Start(t, "namespace")
	call(t, p, "loopback")
	pid := strconv.Itoa(p.Cmd.Process.Pid)
	if got, err := netns.Listeners(pid); err != nil || len(got) != 0 {
		t.Fatalf("new namespace: %v, %v; want no listeners", got, err)
	}
	want := map[netip.AddrPort]bool{}
	for _, address := range []string{"127.0.0.1:0", "[::1]:0", "0.0.0.0:0", "[::]:0"} {
		listening, _ := call(t, p, "listen "+address)
		want[netip.MustParseAddrPort(listening)] = true
	}
	got, err := netns.Listeners(pid)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(want) {
		t.Errorf("got %v, want %v", got, want)
	}
	inodes := netns.SocketsOf(p.Cmd.Process.Pid)
	for _, l := range got {
		if !want[netip.AddrPortFrom(l.Addr, l.Port)] {
			t.Errorf("unexpected listener %v", l)
		}
		if l.UID != uint32(os.Getuid()) {
			t.Errorf("listener %v: want owner %d", l, os.Getuid())
		}
		if !slices.Contains(inodes, l.Inode) {
			t.Errorf("listener %v is not among the process's sockets %v", l, inodes)
		}
	}
}

func TestListenersOfProcesses(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := uint16(l.Addr().(*net.TCPAddr).Port)
	has := func(ls []netns.Listener) bool {
		return slices.ContainsFunc(ls, func(l netns.Listener) bool { return l.Port == port && l.Addr.IsLoopback() })
	}
	if got, err := netns.ListenersOf([]int{os.Getpid()}); err != nil || !has(got) {
		t.Errorf("own process: %v, %v; want port %d", got, err, port)
	}
	if got, err := netns.ListenersOf([]int{1 << 30}); err != nil || len(got) != 0 {
		t.Errorf("no process: %v, %v; want none", got, err)
	}
	if got, err := netns.ListenersOf(nil); err != nil || len(got) != 0 {
		t.Errorf("nil: %v, %v; want none", got, err)
	}
	l.Close()
	if got, err := netns.ListenersOf([]int{os.Getpid()}); err != nil || has(got) {
		t.Errorf("closed: %v, %v; want no port %d", got, err, port)
	}
}

func TestOpenLink(t *testing.T) {
	for _, kind := range []string{"veth", "tap"} {
		t.Run(kind, func(t *testing.T) {
			if kind == "tap" {
				f, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0)
				if err != nil {
					t.Skip("missing: permission to open /dev/net/tun")
				}
				f.Close()
			}
			p := nstest.Start(t, "namespace")
			call(t, p, "loopback")
			_, fd := call(t, p, "link "+kind)
			defer unix.Close(fd)

			got, _ := call(t, p, "interfaces")
			want := "lo true 65536 [127.0.0.1/8 ::1/128]\neth0 true 65520 [10.97.3.2/30 fd97::2/64"
			if !strings.HasPrefix(got, want) || strings.Count(got, "\n") != 1 {
				t.Errorf("interfaces:\n%s\nwant\n%s …]", got, want)
			}
			// The address is usable at once, also IPv6: the socket can be bound to it.
			call(t, p, "listen [fd97::2]:0")
			// What is sent to an address out there arrives at the descriptor, preceded by the question for the gateway's
			// hardware address.
			call(t, p, "send 192.0.2.7:99")
			if !asksFor(t, fd, link.Gateway) {
				t.Error("no ARP request for the gateway at the descriptor")
			}
			routes, _ := call(t, p, "read /proc/net/route")
			if !strings.Contains(routes, "eth0\t00000000\t0103610A") {
				t.Errorf("no default route in\n%s", routes)
			}
		})
	}
}

// asksFor reads frames until one is an ARP request (RFC 826) for addr.
func asksFor(t *testing.T, fd int, addr netip.Addr) bool {
	t.Helper()
	buf := make([]byte, 70000)
	for range 50 {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 5000)
		if err == unix.EINTR {
			continue
		}
		if n == 0 || err != nil {
			return false
		}
		size, err := unix.Read(fd, buf)
		if err != nil {
			t.Fatal(err)
		}
		frame := buf[:size]
		if size >= 42 && frame[12] == 8 && frame[13] == 6 && netip.AddrFrom4([4]byte(frame[38:42])) == addr {
			return true
		}
	}
	return false
}

func TestOpenLinkIPv4Only(t *testing.T) {
	p := nstest.Start(t, "namespace4")
	call(t, p, "loopback")
	_, fd := call(t, p, "link veth")
	defer unix.Close(fd)
	if got, _ := call(t, p, "interfaces"); !strings.HasSuffix(got, "eth0 true 65520 [10.97.3.2/30]") {
		t.Errorf("interfaces:\n%s\nwant only the IPv4 address on eth0", got)
	}
}

func TestLinkEndsWithItsDescriptor(t *testing.T) {
	p := nstest.Start(t, "namespace")
	_, fd := call(t, p, "link veth")
	unix.Close(fd)
	// The kernel takes network namespaces down in the background.
	deadline := time.Now().Add(20 * time.Second)
	for {
		got, _ := call(t, p, "interfaces")
		if !strings.Contains(got, "eth0") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("eth0 is still there:\n%s", got)
		}
	}
}

func TestOpenToUsers(t *testing.T) {
	p := nstest.Start(t, "namespace")
	call(t, p, "open")
	for name, want := range map[string]string{"ip_unprivileged_port_start": "0", "ping_group_range": "0\t0"} {
		if got, _ := call(t, p, "read /proc/sys/net/ipv4/"+name); strings.TrimSpace(got) != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}
