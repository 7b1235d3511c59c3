package card

import (
	"maps"
	"path"
	"slices"
	"strings"
	"time"
)

// Healthcheck is the HEALTHCHECK of a Docker image's configuration.
type Healthcheck struct {
	// Test is the command: CMD and words, or CMD-SHELL and a line. NONE switches it off.
	Test        []string
	StartPeriod time.Duration
}

// MergeOCI adds to a card what a Docker image says of itself, where the labels say nothing: exposed ports ("80/tcp", as
// the keys of ExposedPorts), volumes (paths, as the keys of Volumes; read-write), and a health check that asks an address
// of the image itself. UDP ports are left out. The card's own facts are never changed: one carrel.port label means that
// the labels tell the ports, and so for binds and readiness.
func MergeOCI(c Card, exposed, volumes []string, check *Healthcheck) Card {
	if len(c.Ports) == 0 {
		numbers := map[int]bool{}
		for _, e := range exposed {
			number, proto, _ := strings.Cut(e, "/")
			if n, ok := portNumber(number); ok && (proto == "" || strings.EqualFold(proto, "tcp")) && len(numbers) < maxEntries {
				numbers[n] = true
			}
		}
		// Which protocol a port speaks is not told: all but well-known others are taken for web pages.
		for _, n := range slices.Sorted(maps.Keys(numbers)) {
			p := Port{Container: n, Proto: HTTP, Path: "/"}
			switch {
			case n == 443 || n == 8443:
				p.Proto = HTTPS
			case notWeb[n]:
				p.Proto, p.Path = TCP, ""
			}
			c.Ports = append(c.Ports, p)
		}
	}
	if len(c.Binds) == 0 {
		dests := map[string]bool{}
		for _, v := range volumes {
			if v = path.Clean(v); path.IsAbs(v) && v != "/" && Clean(v) == v && len(v) <= maxText && len(dests) < maxEntries {
				dests[v] = true
			}
		}
		for _, d := range slices.Sorted(maps.Keys(dests)) {
			c.Binds = append(c.Binds, Bind{Dest: d, Mode: ReadWrite})
		}
	}
	if c.Ready == nil && check != nil {
		c.Ready = readyFrom(check)
	}
	return c
}

// notWeb are ports of databases and the like.
var notWeb = map[int]bool{
	21: true, 22: true, 25: true, 53: true, 110: true, 143: true, 389: true, 1433: true, 1521: true, 3306: true, 3389: true, 5432: true,
	5900: true, 5901: true, 6379: true, 11211: true, 27017: true,
}

// readyFrom finds the address of the image itself that a health check asks; nil when there is none.
func readyFrom(check *Healthcheck) *Ready {
	if len(check.Test) < 2 || check.Test[0] == "NONE" {
		return nil
	}
	line := strings.Join(check.Test[1:], " ")
	for _, scheme := range []string{"http://", "https://"} {
		_, rest, ok := strings.Cut(line, scheme)
		if !ok {
			continue
		}
		end := strings.IndexAny(rest, " \t\"'`;|&)")
		if end < 0 {
			end = len(rest)
		}
		host, file, _ := strings.Cut(rest[:end], "/")
		name, number, hasPort := strings.Cut(host, ":")
		if name != "localhost" && name != "127.0.0.1" && name != "0.0.0.0" {
			continue
		}
		if !hasPort {
			number = map[string]string{"http://": "80", "https://": "443"}[scheme]
		}
		if n, ok := portNumber(number); ok {
			return &Ready{Port: n, Path: "/" + Clean(file), Timeout: max(check.StartPeriod, 0)}
		}
	}
	return nil
}
