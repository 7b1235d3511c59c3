package usernet

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// wire is a network whose link is a pair of sockets, so that frames can be made by hand.
type wire struct {
	t   testing.TB
	fd  int
	net *Net
}

func newWire(t testing.TB) *wire {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	n, err := Start(context.Background(), pair[0], Config{
		Gateway:  netip.MustParseAddr("10.97.3.1"),
		Gateway6: netip.MustParseAddr("fd97::1"),
		MTU:      1500,
		Dial: func(context.Context, string, netip.AddrPort) (net.Conn, error) {
			return nil, errors.New("nothing leaves this test")
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = n.Close()
		_ = unix.Close(pair[1])
	})
	return &wire{t, pair[1], n}
}

// ask is an ARP request for the gateway (RFC 826), reply how its answer begins.
var (
	ask = slices.Concat([]byte("\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\x02\x08\x06\x00\x01\x08\x00\x06\x04\x00\x01"),
		[]byte("\x02\x00\x00\x00\x00\x02\x0a\x61\x03\x02\x00\x00\x00\x00\x00\x00\x0a\x61\x03\x01"))
	reply = slices.Concat([]byte("\x02\x00\x00\x00\x00\x02"), []byte(gatewayMAC), []byte("\x08\x06\x00\x01\x08\x00\x06\x04\x00\x02"))
)

// alive sends the request and waits for the reply, past whatever else comes.
func (w *wire) alive() bool {
	if _, err := unix.Write(w.fd, ask); err != nil {
		w.t.Fatal(err)
	}
	buf := make([]byte, 4096)
	for {
		ready, err := unix.Poll([]unix.PollFd{{Fd: int32(w.fd), Events: unix.POLLIN}}, 20000)
		if err == unix.EINTR {
			continue
		}
		if ready == 0 || err != nil {
			return false
		}
		n, err := unix.Read(w.fd, buf)
		if err != nil || n == 0 {
			return false
		}
		if bytes.HasPrefix(buf[:n], reply) {
			return true
		}
	}
}

func TestFramesForOthersAreIgnored(t *testing.T) {
	w := newWire(t)
	frame := slices.Clone(ask)
	copy(frame, "\x02\x00\x00\x00\x00\x09")
	for _, f := range [][]byte{frame, {1}, bytes.Repeat([]byte{0xff}, 13), ask[:14], ask[:20]} {
		if _, err := unix.Write(w.fd, f); err != nil {
			t.Fatal(err)
		}
	}
	if !w.alive() {
		t.Error("the network no longer answers")
	}
}

// FuzzFrame sends what a container with the right to make raw packets may send. The first two bytes are the frame's type.
func FuzzFrame(f *testing.F) {
	for _, seed := range []string{
		"\x08\x06\x00\x01\x08\x00\x06\x04\x00\x01\x02\x00\x00\x00\x00\x02\x0a\x61\x03\x02\x00\x00\x00\x00\x00\x00\x0a\x61\x03\x01",
		// IPv4: a TCP SYN to 198.51.100.7:80, a UDP datagram to the gateway's port 53, an echo request, a fragment
		"\x08\x00\x45\x00\x00\x28\x00\x01\x00\x00\x40\x06\x00\x00\x0a\x61\x03\x02\xc6\x33\x64\x07\xc3\x50\x00\x50\x00\x00\x00\x01\x00\x00\x00\x00\x50\x02\xff\xff\x00\x00\x00\x00",
		"\x08\x00\x45\x00\x00\x2d\x00\x01\x00\x00\x40\x11\x00\x00\x0a\x61\x03\x02\x0a\x61\x03\x01\xc3\x50\x00\x35\x00\x19\x00\x00\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x01",
		"\x08\x00\x45\x00\x00\x20\x00\x01\x00\x00\x40\x01\x00\x00\x0a\x61\x03\x02\xc6\x33\x64\x07\x08\x00\x00\x00\x12\x34\x00\x01carl",
		"\x08\x00\x45\x00\x00\x20\x00\x01\x20\x00\x40\x11\x00\x00\x0a\x61\x03\x02\xc6\x33\x64\x07\xc3\x50\x00\x63\x00\x20\x00\x00carl",
		// IPv6: an echo request, a neighbour solicitation
		"\x86\xdd\x60\x00\x00\x00\x00\x08\x3a\x40\xfd\x97\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x07\x80\x00\x00\x00\x12\x34\x00\x01",
		"\x86\xdd\x60\x00\x00\x00\x00\x18\x3a\xff\xfd\x97\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\xfd\x97\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x87\x00\x00\x00\x00\x00\x00\x00\xfd\x97\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01",
	} {
		f.Add([]byte(seed))
	}
	w := newWire(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1500 {
			return
		}
		frame := slices.Concat([]byte(gatewayMAC), []byte("\x02\x00\x00\x00\x00\x02"), data)
		// An IPv4 header's checksum is made right, or nothing would get past it.
		if len(data) >= 22 && data[0] == 8 && data[1] == 0 {
			header := frame[14:]
			if size := int(header[0]&15) * 4; size >= 20 && size <= len(header) {
				header[10], header[11] = 0, 0
				var sum uint32
				for i := 0; i < size; i += 2 {
					sum += uint32(header[i])<<8 | uint32(header[i+1])
				}
				for sum > 0xffff {
					sum = sum&0xffff + sum>>16
				}
				header[10], header[11] = byte(^sum>>8), byte(^sum)
			}
		}
		if _, err := unix.Write(w.fd, frame); err != nil {
			t.Fatal(err)
		}
		if !w.alive() {
			t.Fatal("the network no longer answers")
		}
	})
}

func FuzzServerFailure(f *testing.F) {
	f.Add([]byte("\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x01\x04data\x07example\x00\x00\x01\x00\x01\x00\x00\x29\x10\x00\x00\x00\x00\x00\x00\x00"))
	f.Add(make([]byte, 12))
	f.Fuzz(func(t *testing.T, question []byte) {
		if len(question) < dnsHeader {
			return
		}
		answer := serverFailure(question)
		if len(answer) < dnsHeader || !bytes.Equal(answer[:2], question[:2]) || answer[2]&0x80 == 0 || answer[3]&15 != 2 {
			t.Errorf("%x is answered by %x", question, answer)
		}
	})
}
