package network

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/bits"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
)

// Subnet is a private network for one container: its two addresses in each family.
type Subnet struct {
	Address netip.Prefix // the container's, with the length of the network
	Gateway netip.Addr
	// Address6 and Gateway6 are zero where the host has no way to the IPv6 internet.
	Address6 netip.Prefix
	Gateway6 netip.Addr
}

// candidates are small networks that are rarely used elsewhere; a container can reach everything but its own.
var candidates = []string{"10.219.73.0/30", "172.29.219.72/30", "192.168.219.72/30", "100.89.219.72/30", "198.18.219.72/30"}

// ChooseSubnet picks a network for a container that hides nothing the host can reach: one that overlaps none of the host's
// own networks and routes and holds none of the given addresses, such as those of its resolvers and proxies.
func ChooseSubnet(inUse ...netip.Addr) (Subnet, error) {
	taken, err := hostNetworks()
	if err != nil {
		return Subnet{}, fmt.Errorf("choose a network for the container: %w", err)
	}
	prefix, err := choose(taken, inUse)
	if err != nil {
		return Subnet{}, err
	}
	first := prefix.Addr().Next()
	s := Subnet{Gateway: first, Address: netip.PrefixFrom(first.Next(), prefix.Bits())}
	if routes, err := os.ReadFile("/proc/net/ipv6_route"); err == nil && hasDefault6(string(routes)) {
		// A unique local network (RFC 4193) with an arbitrary number; every container may have the same.
		s.Gateway6 = netip.MustParseAddr("fd43:4152:5245:4c::1")
		s.Address6 = netip.MustParsePrefix("fd43:4152:5245:4c::2/64")
	}
	return s, nil
}

func choose(taken []netip.Prefix, inUse []netip.Addr) (netip.Prefix, error) {
next:
	for _, text := range candidates {
		prefix := netip.MustParsePrefix(text)
		for _, t := range taken {
			// A route to everything is the host's default route, or a VPN's half of it, and goes on behind the gateway.
			if t.Bits() > 1 && t.Overlaps(prefix) {
				continue next
			}
		}
		for _, addr := range inUse {
			if prefix.Contains(addr.Unmap()) {
				continue next
			}
		}
		return prefix, nil
	}
	// All overlap with something wide, such as a route for the whole of 10/8. Four addresses of it are the smallest loss.
	for _, text := range candidates {
		prefix, clear := netip.MustParsePrefix(text), true
		for _, t := range taken {
			clear = clear && !(t.Overlaps(prefix) && t.Bits() >= 24)
		}
		for _, addr := range inUse {
			clear = clear && !prefix.Contains(addr.Unmap())
		}
		if clear {
			return prefix, nil
		}
	}
	return netip.Prefix{}, fmt.Errorf("choose a network for the container: %s are all in use on this machine", strings.Join(candidates, ", "))
}

// hostNetworks lists the IPv4 networks of the host's devices and routes.
func hostNetworks() ([]netip.Prefix, error) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	var networks []netip.Prefix
	for _, a := range addrs {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil && prefix.Addr().Is4() {
			networks = append(networks, prefix.Masked())
		}
	}
	routes, err := os.ReadFile("/proc/net/route")
	if err != nil {
		return networks, nil
	}
	return append(networks, parseRoutes(string(routes))...), nil
}

// parseRoutes reads /proc/net/route: interface, destination, gateway, flags, refcnt, use, metric, mask …, addresses as
// hexadecimal words in the machine's byte order (proc_pid_net(5)).
func parseRoutes(table string) []netip.Prefix {
	var networks []netip.Prefix
	lines := bufio.NewScanner(strings.NewReader(table))
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 8 {
			continue
		}
		to, err := hex.DecodeString(fields[1])
		mask, err2 := strconv.ParseUint(fields[7], 16, 32)
		if err != nil || err2 != nil || len(to) != 4 {
			continue
		}
		var addr [4]byte
		binary.NativeEndian.PutUint32(addr[:], binary.BigEndian.Uint32(to))
		networks = append(networks, netip.PrefixFrom(netip.AddrFrom4(addr), bits.OnesCount32(uint32(mask))).Masked())
	}
	return networks
}

// hasDefault6 tells whether /proc/net/ipv6_route has a default route that leads somewhere: destination, its length, …, a
// device that is not lo, where the kernel keeps a route that rejects everything.
func hasDefault6(table string) bool {
	for line := range strings.Lines(table) {
		fields := strings.Fields(line)
		if len(fields) == 10 && fields[1] == "00" && strings.Trim(fields[0], "0") == "" && fields[9] != "lo" {
			return true
		}
	}
	return false
}

// proxyVariables are the environment variables by which programs find a proxy.
var proxyVariables = []string{"http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "ALL_PROXY"}

// ProxyAddresses are the addresses, not names, that the host's proxy settings lead to.
func ProxyAddresses(lookup func(string) (string, bool)) []netip.Addr {
	var all []netip.Addr
	for _, name := range proxyVariables {
		text, _ := lookup(name)
		if !strings.Contains(text, "://") {
			text = "http://" + text
		}
		u, err := url.Parse(text)
		if err != nil {
			continue
		}
		if ip, err := netip.ParseAddr(u.Hostname()); err == nil {
			all = append(all, ip)
		}
	}
	return all
}

// Proxies makes the host's proxy settings work inside a private network: a proxy that listens on the host's own loopback is
// not reachable there, so its URL is changed to the gateway's address, and the port is reported for usernet's
// Config.HostPorts. All other settings stay as they are. lookup is os.LookupEnv or the like; changed holds the variables
// to be set differently.
func Proxies(lookup func(string) (string, bool), gateway netip.Addr) (changed map[string]string, hostPorts map[uint16]netip.AddrPort) {
	changed, hostPorts = make(map[string]string), make(map[uint16]netip.AddrPort)
	for _, name := range proxyVariables {
		value, ok := lookup(name)
		if !ok || value == "" {
			continue
		}
		text := value
		if !strings.Contains(text, "://") {
			text = "http://" + text
		}
		u, err := url.Parse(text)
		if err != nil {
			continue
		}
		host := u.Hostname()
		ip, err := netip.ParseAddr(host)
		switch {
		case strings.EqualFold(host, "localhost"):
			ip = netip.AddrFrom4([4]byte{127, 0, 0, 1})
		case err != nil || !ip.Unmap().IsLoopback():
			continue
		}
		port := u.Port()
		if port == "" {
			port = map[string]string{"http": "80", "https": "443", "socks5": "1080", "socks5h": "1080", "socks4": "1080", "socks4a": "1080"}[u.Scheme]
		}
		number, err := strconv.ParseUint(port, 10, 16)
		if err != nil || number == 0 || number == 53 {
			continue
		}
		hostPorts[uint16(number)] = netip.AddrPortFrom(ip, uint16(number))
		u.Host = netip.AddrPortFrom(gateway, uint16(number)).String()
		changed[name] = u.String()
	}
	return changed, hostPorts
}
