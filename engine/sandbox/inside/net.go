package inside

import (
	"net/netip"

	"golang.org/x/sys/unix"

	"carrel/engine/network/netns"
	"carrel/engine/sandbox/plan"
)

// setUpNetwork prepares the new network namespace that init is in. tun is an opened /dev/net/tun or -1.
func setUpNetwork(n *plan.Net, ctl *control, tun int) error {
	if err := netns.LoopbackUp(); err != nil {
		return opError{op: "set up network", err: err}
	}
	if !n.Outgoing {
		return nil
	}
	c := netns.Config{MTU: n.MTU}
	var err error
	if c.Address, err = netip.ParsePrefix(n.Address); err != nil {
		return opError{op: "set up network", err: err}
	}
	if c.Gateway, err = netip.ParseAddr(n.Gateway); err != nil {
		return opError{op: "set up network", err: err}
	}
	if n.Address6 != "" {
		if c.Address6, err = netip.ParsePrefix(n.Address6); err != nil {
			return opError{op: "set up network", err: err}
		}
		if c.Gateway6, err = netip.ParseAddr(n.Gateway6); err != nil {
			return opError{op: "set up network", err: err}
		}
	}
	if tun >= 0 {
		c.Tun = tun
	} else {
		c.NoTap = true
	}
	fd, err := netns.OpenLink(c)
	if err != nil {
		// A container without a way out still runs and can be reached; most programs then say themselves what they miss.
		ctl.note("no outgoing network in the container: " + err.Error())
		return nil
	}
	defer unix.Close(fd)
	if err := ctl.send(plan.Message{Kind: plan.MsgLink}, fd); err != nil {
		return opError{op: "hand over network link", err: err}
	}
	return nil
}
