package usernet

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"
)

const (
	dnsPort = 53
	// dnsTimeout is how long one resolver is given to answer before the next is asked; the usual client asks again after 5 s.
	dnsTimeout = 2 * time.Second
	// maxQuestions bounds the open questions of one client socket.
	maxQuestions = 64
	dnsHeader    = 12 // bytes, RFC 1035 section 4.1.1
)

var errNoResolver = errors.New("no resolver of the host answers")

// answerDNS passes the questions of one socket inside to the host's resolvers and their answers back, until the socket
// is quiet. Several questions may be open at once: the C library asks for both address families together.
func (n *Net) answerDNS(inside net.Conn) {
	var open sync.WaitGroup
	defer open.Wait()
	slots := make(chan struct{}, maxQuestions)
	buf := make([]byte, maxDatagram)
	for {
		_ = inside.SetReadDeadline(time.Now().Add(idleDNS))
		size, err := inside.Read(buf)
		if err != nil {
			return
		}
		if size < dnsHeader {
			continue
		}
		question := append([]byte(nil), buf[:size]...)
		select {
		case slots <- struct{}{}:
		default:
			continue
		}
		open.Go(func() {
			defer func() { <-slots }()
			if answer := n.resolve(question); answer != nil {
				_, _ = inside.Write(answer)
			}
		})
	}
}

// resolve asks the resolvers in turn, beginning with the one that answered last. It returns nil only when the network ends.
func (n *Net) resolve(question []byte) []byte {
	resolvers := n.config.Resolvers()
	start := int(n.resolver.Load())
	for i := range resolvers {
		index := (start + i) % len(resolvers)
		answer, err := n.ask(resolvers[index], question)
		if err == nil {
			n.resolver.Store(uint32(index))
			return answer
		}
		if n.ctx.Err() != nil {
			return nil
		}
	}
	return serverFailure(question)
}

// ask sends one question over UDP and returns the answer to it.
func (n *Net) ask(resolver netip.AddrPort, question []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(n.ctx, dnsTimeout)
	defer cancel()
	conn, err := n.config.Dial(ctx, "udp", resolver)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := conn.Write(question); err != nil {
		return nil, err
	}
	buf := make([]byte, maxDatagram)
	for {
		size, err := conn.Read(buf)
		if err != nil {
			return nil, err
		}
		// Anything else than an answer with our number is a stray or a forgery.
		if size >= dnsHeader && buf[0] == question[0] && buf[1] == question[1] && buf[2]&0x80 != 0 {
			return buf[:size:size], nil
		}
	}
}

// dialResolver connects over TCP, for answers that do not fit a datagram, to the first resolver that accepts.
func (n *Net) dialResolver(ctx context.Context) (net.Conn, error) {
	resolvers := n.config.Resolvers()
	start := int(n.resolver.Load())
	for i := range resolvers {
		attempt, cancel := context.WithTimeout(ctx, dnsTimeout)
		conn, err := n.config.Dial(attempt, "tcp", resolvers[(start+i)%len(resolvers)])
		cancel()
		if err == nil {
			return conn, nil
		}
	}
	return nil, errNoResolver
}

// serverFailure turns a question into the answer SERVFAIL (RFC 1035 section 4.1.1): the same number, operation and
// question, QR set, RCODE 2.
func serverFailure(question []byte) []byte {
	answer := append([]byte(nil), question...)
	answer[2] |= 0x80
	answer[3] = answer[3]&0x70 | 0x80 | 2
	// The question section is kept; whatever followed it, such as EDNS options, is not ours to answer.
	end, ok := questionEnd(answer)
	if !ok {
		end = dnsHeader
		binary.BigEndian.PutUint16(answer[4:], 0)
	}
	clear(answer[6:dnsHeader])
	return answer[:end]
}

// questionEnd finds the end of a message's single question; names in a question are not compressed in practice.
func questionEnd(message []byte) (int, bool) {
	if len(message) < dnsHeader || binary.BigEndian.Uint16(message[4:]) != 1 {
		return 0, false
	}
	at := dnsHeader
	for at < len(message) {
		length := int(message[at])
		if length > 63 {
			return 0, false
		}
		at += 1 + length
		if length == 0 {
			at += 4 // type and class
			return at, at <= len(message)
		}
	}
	return 0, false
}

// HostResolvers returns a function for Config.Resolvers that reads a resolv.conf (resolv.conf(5)), again whenever the file
// changes, as it does when a laptop moves to another network. Where it names nobody, 127.0.0.1 is asked, as the C library does.
func HostResolvers(file string) func() []netip.AddrPort {
	var (
		mu       sync.Mutex
		modified time.Time
		checked  time.Time
		current  []netip.AddrPort
	)
	return func() []netip.AddrPort {
		mu.Lock()
		defer mu.Unlock()
		if time.Since(checked) < time.Second {
			return current
		}
		checked = time.Now()
		info, err := os.Stat(file)
		if err == nil && info.ModTime().Equal(modified) && current != nil {
			return current
		}
		text, err := os.ReadFile(file)
		if err == nil {
			modified = info.ModTime()
		}
		current = parseResolvers(string(text))
		return current
	}
}

func parseResolvers(text string) []netip.AddrPort {
	var resolvers []netip.AddrPort
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "nameserver" {
			continue
		}
		if addr, err := netip.ParseAddr(fields[1]); err == nil {
			resolvers = append(resolvers, netip.AddrPortFrom(addr, dnsPort))
		}
	}
	if resolvers == nil {
		resolvers = []netip.AddrPort{netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), dnsPort)}
	}
	return resolvers
}

// ResolvConf is the container's resolv.conf: the gateway as resolver, and the host's search list and options.
func ResolvConf(host string, gateway netip.Addr) string {
	var b strings.Builder
	b.WriteString("nameserver " + gateway.String() + "\n")
	for line := range strings.Lines(host) {
		fields := strings.Fields(line)
		if len(fields) > 1 && (fields[0] == "search" || fields[0] == "domain" || fields[0] == "options") {
			b.WriteString(strings.Join(fields, " ") + "\n")
		}
	}
	return b.String()
}
