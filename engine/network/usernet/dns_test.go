package usernet_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"carrel/engine/network/usernet"
)

// pair listens on the same port over UDP and TCP. The number that is free for one may be in use for the other.
func pair(t *testing.T) (net.PacketConn, net.Listener) {
	t.Helper()
	for {
		packets, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		streams, err := net.Listen("tcp", packets.LocalAddr().String())
		if errors.Is(err, syscall.EADDRINUSE) {
			packets.Close()
			continue
		}
		if err != nil {
			packets.Close()
			t.Fatal(err)
		}
		t.Cleanup(func() { packets.Close() })
		t.Cleanup(func() { streams.Close() })
		return packets, streams
	}
}

// resolver answers every question for an IPv4 address with 192.0.2.77, over UDP and TCP; big makes it claim over UDP that
// the answer does not fit.
func resolver(t *testing.T, big bool) netip.AddrPort {
	t.Helper()
	packets, streams := pair(t)
	address := packets.LocalAddr().(*net.UDPAddr).AddrPort()
	go func() {
		buf := make([]byte, 65536)
		for {
			n, from, err := packets.ReadFrom(buf)
			if err != nil {
				return
			}
			// A stray answer with another number comes first; it must not be taken for ours.
			stray := answerTo(buf[:n], false)
			stray[0] ^= 0xff
			_, _ = packets.WriteTo(stray, from)
			_, _ = packets.WriteTo(answerTo(buf[:n], big), from)
		}
	}()
	go func() {
		for {
			c, err := streams.Accept()
			if err != nil {
				return
			}
			var length [2]byte
			if _, err := io.ReadFull(c, length[:]); err == nil {
				question := make([]byte, binary.BigEndian.Uint16(length[:]))
				_, _ = io.ReadFull(c, question)
				answer := answerTo(question, false)
				_, _ = c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...))
			}
			c.Close()
		}
	}()
	return address
}

// answerTo makes an answer as RFC 1035 section 4 draws it.
func answerTo(question []byte, truncated bool) []byte {
	end := 12
	for question[end] != 0 {
		end += 1 + int(question[end])
	}
	end += 5
	answer := slices.Clone(question[:end])
	answer[2], answer[3] = 0x81, 0x80
	clear(answer[6:12])
	if truncated {
		answer[2] |= 2
		return answer
	}
	answer[7] = 1
	return append(answer, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 77)
}

func TestDNS(t *testing.T) {
	good, big := resolver(t, false), resolver(t, true)
	dead, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refusing := dead.LocalAddr().(*net.UDPAddr).AddrPort()
	dead.Close()
	silentSocket, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silentSocket.Close()
	silent := silentSocket.LocalAddr().(*net.UDPAddr).AddrPort()
	for _, test := range []struct {
		name      string
		resolvers []netip.AddrPort
		network   string
		want      string
	}{
		{"one", []netip.AddrPort{good}, "", "[192.0.2.77]"},
		{"over TCP", []netip.AddrPort{good}, "tcp", "[192.0.2.77]"},
		{"too big for a datagram", []netip.AddrPort{big}, "", "[192.0.2.77]"},
		{"the first refuses", []netip.AddrPort{refusing, good}, "", "[192.0.2.77]"},
		{"the first is silent", []netip.AddrPort{silent, good}, "", "[192.0.2.77]"},
		{"all refuse", []netip.AddrPort{refusing}, "", "server misbehaving"},
		{"none", nil, "", "server misbehaving"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := start(t, "veth", usernet.Config{Resolvers: func() []netip.AddrPort { return test.resolvers }})
			got, _, err := p.Call("lookup data.example. " + test.network)
			if err != nil {
				got = err.Error()
			}
			if !strings.Contains(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestHostResolvers(t *testing.T) {
	file := filepath.Join(t.TempDir(), "resolv.conf")
	for _, test := range []struct{ name, text, want string }{
		{"several", "# ours\nsearch example.org\nnameserver 127.0.0.53\nnameserver\t2001:db8::53\nnameserver nonsense\n", "[127.0.0.53:53 [2001:db8::53]:53]"},
		{"a comment after", "nameserver 192.0.2.1 # office\n", "[192.0.2.1:53]"},
		{"a zone", "nameserver fe80::1%eth0\n", "[[fe80::1%eth0]:53]"},
		{"none", "options ndots:2\n", "[127.0.0.1:53]"},
		{"empty", "", "[127.0.0.1:53]"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if err := os.WriteFile(file, []byte(test.text), 0o644); err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprint(usernet.HostResolvers(file)()); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
	if got := fmt.Sprint(usernet.HostResolvers(file + ".missing")()); got != "[127.0.0.1:53]" {
		t.Errorf("missing file: got %s", got)
	}
	// A change is noticed.
	resolvers := usernet.HostResolvers(file)
	resolvers()
	if err := os.WriteFile(file, []byte("nameserver 192.0.2.9\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(file, time.Now(), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); fmt.Sprint(resolvers()) != "[192.0.2.9:53]"; {
		if time.Now().After(deadline) {
			t.Fatalf("after a change: got %v", resolvers())
		}
	}
}

func TestResolvConf(t *testing.T) {
	got := usernet.ResolvConf("nameserver 192.0.2.1\nsearch  a.example b.example\noptions edns0\n", netip.MustParseAddr("10.97.3.1"))
	if want := "nameserver 10.97.3.1\nsearch a.example b.example\noptions edns0\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
