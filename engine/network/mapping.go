package network

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Mapping is one port of a container made reachable on the host.
type Mapping struct {
	// HostIP is the address on the host; the zero Addr means 127.0.0.1.
	HostIP netip.Addr
	// HostPort is the port there; 0 for any free one.
	HostPort uint16
	// ContainerPort is the port inside, never 0.
	ContainerPort uint16
	// Wish says that another port is taken where HostPort is not to be had: nobody asked for that very number.
	Wish bool
	// UDP: datagrams are carried, not connections.
	UDP bool
	// Proto is what is spoken there, where somebody said so: "tcp" for what is no HTTP, "http", "https".
	Proto string
}

// maxRange bounds how many ports one text may name; each published port is a listening socket.
const maxRange = 1024

// Host is HostIP with its default filled in.
func (m Mapping) Host() netip.Addr {
	if m.HostIP.IsValid() {
		return m.HostIP
	}
	return netip.AddrFrom4([4]byte{127, 0, 0, 1})
}

// Open tells whether other machines can reach the port: HostIP is not a loopback address.
func (m Mapping) Open() bool { return !m.Host().IsLoopback() }

// At is where other computers reach what listens on an address: " at 10.0.0.7", or, for all of a computer's, " at any of its
// addresses".
func At(ip netip.Addr) string {
	if ip.IsUnspecified() {
		return " at any of its addresses"
	}
	return " at " + ip.String()
}

// String is the text that ParseMapping reads as this mapping.
func (m Mapping) String() string {
	container := strconv.Itoa(int(m.ContainerPort))
	if m.UDP {
		container += "/udp"
	}
	if m.Proto != "" {
		container += "/" + m.Proto
	}
	if m.Wish && !m.HostIP.IsValid() && m.HostPort == m.ContainerPort {
		return container
	}
	text := strconv.Itoa(int(m.HostPort)) + ":" + container
	if m.HostIP.IsValid() {
		ip := m.HostIP.String()
		if m.HostIP.Is6() {
			ip = "[" + ip + "]"
		}
		text = ip + ":" + text
	}
	return text
}

// MappingError says what is wrong with the text of a mapping.
type MappingError struct {
	Text   string // as it was given
	Reason string
}

func (e *MappingError) Error() string { return fmt.Sprintf("port %q: %s", e.Text, e.Reason) }

// Hint shows the forms a mapping can have.
func (e *MappingError) Hint() string {
	return "write 8888, 8080:80 (host:container), 0:8888 for any free port, 127.0.0.1:8080:80, 5353:53/udp, or a range such as 8000-8003:8000-8003"
}

// ParseMapping reads [[IP:]HOST:]CONTAINER[/tcp|/udp|/http|/https], where HOST and CONTAINER are ports or ranges FIRST-LAST of the same
// length, HOST may be 0 or empty for any free port, and an IPv6 address stands in brackets. A range gives as many
// mappings. Where only the container's port is named its number is a wish for the host's. Errors are *MappingError.
func ParseMapping(text string) ([]Mapping, error) {
	fail := func(format string, args ...any) ([]Mapping, error) {
		return nil, &MappingError{Text: text, Reason: fmt.Sprintf(format, args...)}
	}
	rest := strings.TrimSpace(text)
	if rest == "" {
		return fail("empty")
	}
	rest, protocol, _ := strings.Cut(rest, "/")
	protocol = strings.ToLower(protocol)
	spoken := protocol
	switch protocol {
	case "", "tcp", "http", "https":
		if protocol == "" && strings.HasSuffix(text, "/") {
			return fail("no protocol after the slash")
		}
	case "udp":
		spoken = ""
	case "sctp":
		return fail("only tcp and udp ports can be published, not %s", protocol)
	default:
		return fail("unknown protocol %q", protocol)
	}

	var ip netip.Addr
	var parts []string
	if inner, bracketed := strings.CutPrefix(rest, "["); bracketed {
		address, after, closed := strings.Cut(inner, "]")
		after, colon := strings.CutPrefix(after, ":")
		if !closed || !colon {
			return fail("an IPv6 address is written [ADDRESS]:HOST:CONTAINER")
		}
		parts = append([]string{address}, strings.Split(after, ":")...)
	} else {
		parts = strings.Split(rest, ":")
		if len(parts) > 3 {
			return fail("too many colons; an IPv6 address stands in brackets")
		}
	}
	if len(parts) == 2 && strings.HasPrefix(rest, "[") || len(parts) == 2 && strings.Contains(parts[0], ".") {
		return fail("an address needs both ports: %s:%s:%s", parts[0], parts[1], parts[1])
	}
	if len(parts) > 3 {
		return fail("too many colons")
	}
	if len(parts) == 3 {
		var err error
		if ip, err = parseHostIP(parts[0]); err != nil {
			return fail("%v", err)
		}
		parts = parts[1:]
	}
	inside, err := parseRange(parts[len(parts)-1])
	if err != nil {
		return fail("%v", err)
	}
	if inside.first == 0 {
		return fail("the container's port cannot be 0")
	}
	host, wish := inside, len(parts) == 1
	if !wish {
		if parts[0] == "" {
			parts[0] = "0"
		}
		if host, err = parseRange(parts[0]); err != nil {
			return fail("%v", err)
		}
	}
	anyPort := host == portRange{}
	if !anyPort && host.first == 0 {
		return fail("a range cannot begin with port 0")
	}
	if !anyPort && host.size() != inside.size() {
		return fail("%d ports of the host for %d of the container", host.size(), inside.size())
	}
	mappings := make([]Mapping, 0, inside.size())
	for i := range inside.size() {
		m := Mapping{HostIP: ip, ContainerPort: inside.first + uint16(i), Wish: wish, UDP: protocol == "udp", Proto: spoken}
		if !anyPort {
			m.HostPort = host.first + uint16(i)
		}
		mappings = append(mappings, m)
	}
	return mappings, nil
}

func parseHostIP(text string) (netip.Addr, error) {
	switch text {
	case "":
		return netip.Addr{}, nil
	case "localhost":
		return netip.AddrFrom4([4]byte{127, 0, 0, 1}), nil
	case "*":
		return netip.IPv4Unspecified(), nil
	}
	ip, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("%q is not an IP address", text)
	}
	return ip, nil
}

type portRange struct{ first, last uint16 }

func (r portRange) size() int { return int(r.last) - int(r.first) + 1 }

func parseRange(text string) (portRange, error) {
	from, to, isRange := strings.Cut(text, "-")
	first, err := parsePort(from)
	if err != nil {
		return portRange{}, err
	}
	if !isRange {
		return portRange{first, first}, nil
	}
	last, err := parsePort(to)
	if err != nil {
		return portRange{}, err
	}
	r := portRange{first, last}
	if last < first {
		return portRange{}, fmt.Errorf("range %s runs backwards", text)
	}
	if r.size() > maxRange {
		return portRange{}, fmt.Errorf("range %s has %d ports, more than %d", text, r.size(), maxRange)
	}
	return r, nil
}

func parsePort(text string) (uint16, error) {
	if text == "" {
		return 0, errors.New("a port is missing")
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || text[0] == '+' {
		return 0, fmt.Errorf("%q is not a port number", text)
	}
	if n > 65535 {
		return 0, fmt.Errorf("port %d is above 65535", n)
	}
	return uint16(n), nil
}
