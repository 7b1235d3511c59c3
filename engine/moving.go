package engine

import (
	"fmt"

	"carrel/engine/launch"
)

// otherPorts is a launch of an app in this computer's network, when something else holds a port that the app's labels say it
// listens on: with a network of its own, in which that port is free, and the next free ones of this computer in its place. held
// says who holds which, a sentence each; none when nothing stands in the way.
func (e *Engine) otherPorts(s RunSpec, p *prepared) (moved RunSpec, held []string) {
	serves := s.Action == "" || s.Action == ActionRun || s.Action == ActionStart
	if !serves || len(s.Ports) > 0 || s.HostNetwork || p.network != launch.NetworkHost {
		return s, nil
	}
	moved = s
	moved.Ports = nil
	taken := map[int]bool{}
	for _, cp := range p.card.Ports {
		port := Port{Host: cp.Container, Container: cp.Container, UDP: cp.Proto == "udp"}
		if st := e.Port(cp.Container); !st.Free {
			if st.NextOne == 0 {
				return s, nil
			}
			for port.Host = st.NextOne; taken[port.Host]; port.Host++ {
			}
			held = append(held, fmt.Sprintf("port %d is taken by %s; the app gets a network of its own, and is at port %d", cp.Container, st.Holder, port.Host))
		}
		taken[port.Host] = true
		moved.Ports = append(moved.Ports, port)
	}
	return moved, held
}
