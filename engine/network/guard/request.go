package guard

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// refusal is why a request is not let in.
type refusal int

const (
	admitted    refusal = iota
	noKey               // neither cookie nor code
	wrongCode           // a code, but not this one: it was used already
	foreign             // another person's process
	strangeIn           // a Host that is no name of this machine
	strangePage         // a page of another origin made the browser ask
)

// knownHost tells whether a Host header means this machine: an address, localhost or a name below it (RFC 6761 section 6.3),
// or one of the given names. A page that lets its own name point here is found out by it.
func knownHost(host string, names []string) bool {
	name := strings.ToLower(hostname(host))
	if _, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil {
		return true
	}
	name = strings.TrimSuffix(name, ".")
	if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return true
	}
	for _, known := range names {
		if name != "" && strings.EqualFold(name, strings.TrimSuffix(known, ".")) {
			return true
		}
	}
	return false
}

// hostname is a Host header without its port.
func hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return host
}

func portOf(host string) string {
	if _, port, err := net.SplitHostPort(host); err == nil {
		return port
	}
	return "80"
}

// strange tells whether a page of another origin made the browser send a request that could do something with the app's
// cookie, or read what it answers. Links that are followed from elsewhere are not strange, if they fill the window.
// Browsers say who asks in Origin (RFC 6454 section 7, Fetch section 3.2) and Sec-Fetch-* (Fetch Metadata); what is not a
// browser says neither. own tells whether a port is one of the same app's.
func strange(r *http.Request, own func(port string) bool) bool {
	family := func(text string) bool {
		u, err := url.Parse(text)
		if err != nil || u.Host == "" || !strings.EqualFold(u.Hostname(), strings.Trim(hostname(r.Host), "[]")) {
			return false
		}
		return strings.EqualFold(u.Host, r.Host) || portOf(u.Host) == portOf(r.Host) || own(portOf(u.Host))
	}
	origin, site := r.Header.Get("Origin"), r.Header.Get("Sec-Fetch-Site")
	safe := r.Method == http.MethodGet || r.Method == http.MethodHead
	upgrade := r.Header.Get("Upgrade") != ""
	switch {
	case origin != "":
		if family(origin) {
			return false
		}
		// A page may ask in its own name; what it must not is change anything, or open a web socket, which no rule of the
		// browser's keeps it from reading.
		if !safe || upgrade {
			return true
		}
	case site == "":
		return false
	}
	if site == "same-site" || site == "cross-site" {
		whole := r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document" && safe
		return !whole && !family(r.Header.Get("Referer"))
	}
	return origin != "" && site == "" // a browser of before Sec-Fetch
}
