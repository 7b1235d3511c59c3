package engine

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"carrel/engine/launch"
	"carrel/engine/network"
	"carrel/engine/network/usernet"
)

// private tells whether a container has a network of its own, with a way out.
func (s RunSpec) private() bool {
	return !s.NoNetwork && (s.Isolated || len(s.Ports) > 0 || s.Guard == GuardOn)
}

// apart gives an app in the background that is to be guarded a network of its own, because only what is published can be;
// unless somebody insists on the host's.
func (s RunSpec) apart(guarded bool) RunSpec {
	s.Isolated = s.Isolated || guarded && !s.HostNetwork && !s.NoNetwork
	return s
}

// resolvConf is where the host says whom to ask for names (resolv.conf(5)).
const resolvConf = "/etc/resolv.conf"

// privateNetwork chooses the addresses of a container's own network and makes the host's proxies work in it: it changes
// their variables in o's environment where they name the host's loopback. The result says what may leave the network.
func privateNetwork(o *launch.Options) (usernet.Config, error) {
	c := usernet.Config{Resolvers: usernet.HostResolvers(resolvConf)}
	var used []netip.Addr
	for _, r := range c.Resolvers() {
		used = append(used, r.Addr())
	}
	env := make(map[string]string)
	for _, kv := range o.Host.Env {
		if k, v, ok := strings.Cut(kv, "="); ok {
			env[k] = v
		}
	}
	lookup := func(name string) (string, bool) {
		v, ok := env[name]
		return v, ok
	}
	subnet, err := network.ChooseSubnet(append(used, network.ProxyAddresses(lookup)...)...)
	if err != nil {
		return c, err
	}
	changed, ports := network.Proxies(lookup, subnet.Gateway)
	o.Subnet = subnet
	inside := make([]string, 0, len(o.Host.Env))
	for _, kv := range o.Host.Env {
		k, _, _ := strings.Cut(kv, "=")
		if v, ok := changed[k]; ok {
			kv = k + "=" + v
		}
		inside = append(inside, kv)
	}
	o.Host.Env = inside
	c.Gateway, c.Gateway6, c.HostPorts = subnet.Gateway, subnet.Gateway6, ports
	return c, nil
}

// outgoing carries the packets of a container's own network.
func outgoing(ctx context.Context, c usernet.Config, link *os.File) (*usernet.Net, error) {
	fd, err := unix.FcntlInt(link.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, fmt.Errorf("take over network link: %w", err)
	}
	return usernet.Start(ctx, fd, c)
}
