package network

import (
	"net/netip"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Address is where a program says, in its log, that it can be reached.
type Address struct {
	// Scheme is "http" or "https"; empty where the line named only a port.
	Scheme string
	// Host is as printed, without brackets: a name or address of the container; empty where none was.
	Host string
	// Port is never 0: where a URL named none it is its scheme's.
	Port uint16
	// Path is what follows, as printed: path, query with its token, fragment; empty or beginning with "/", "?" or "#".
	Path string
}

// Local tells whether the host is this machine by any name: loopback, every address, or none given.
func (a Address) Local() bool { return isLocal(a.Host) }

func isLocal(host string) bool {
	if host == "" || host == "*" || host == "+" || strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && (ip.IsUnspecified() || ip.Unmap().IsLoopback())
}

// String is the address as a URL, or as HOST:PORT where it has no scheme.
func (a Address) String() string {
	host := a.Host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	text := host + ":" + strconv.Itoa(int(a.Port)) + a.Path
	if a.Scheme != "" {
		text = a.Scheme + "://" + text
	}
	return text
}

// Rewrite is the URL at which an address of a container is reached where its port is published: scheme, path, query and
// token stay, host and port become the published ones. A port published on every address is reached by the loopback
// address. An address that named no scheme is taken for HTTP.
func Rewrite(a Address, published netip.AddrPort) string {
	ip := published.Addr().Unmap()
	switch {
	case ip == netip.IPv4Unspecified():
		ip = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	case ip == netip.IPv6Unspecified():
		ip = netip.IPv6Loopback()
	}
	scheme, path := a.Scheme, a.Path
	if scheme == "" {
		scheme = "http"
	}
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	return scheme + "://" + netip.AddrPortFrom(ip, published.Port()).String() + path
}

// longestLine is how much of a line is looked at: an address stands at its beginning.
const longestLine = 8 << 10

// FindAddresses finds the addresses that a program announces in a line of its log: URLs, HOST:PORT, and "port N". Colour
// codes may be in it. It is made to be called for every line of a log: most are refused at a glance.
//
// A URL counts where it names a port or this machine; links to documentation do neither. The other forms count only after a
// word such as "listening", so that a client's address in an access log is none, and not where the line tells of a failure
// or a connection. The same port is reported once a line, in its most telling form, unless two URLs differ (Jupyter
// prints one with the machine's name and one with 127.0.0.1).
func FindAddresses(line string) []Address {
	if len(line) > longestLine {
		line = line[:longestLine]
	}
	hasURL := strings.Contains(line, "://")
	if !hasURL && !hasDigit(line) {
		return nil
	}
	line = stripControls(line)
	if strings.Contains(line, " HTTP/1.") || strings.Contains(line, " HTTP/2") {
		return nil // an access log; it may quote the page the visitor came from
	}
	var found []Address
	if hasURL {
		found = findURLs(line)
	}
	candidates := append(findHostPorts(line), findPorts(line)...)
	if len(candidates) == 0 {
		return found
	}
	from := announcement(asciiLower(line))
	for _, c := range candidates {
		known := from < 0 || c.at < from
		for _, f := range found {
			known = known || f.Port == c.Port
		}
		if !known {
			found = append(found, c.Address)
		}
	}
	return found
}

// candidate is an address that counts if the words before it say so.
type candidate struct {
	Address
	at int // where it stands in the line
}

func hasDigit(s string) bool {
	for i := range len(s) {
		if isDigit(s[i]) {
			return true
		}
	}
	return false
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isWord(c byte) bool {
	return isDigit(c) || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c >= 0x80
}

// asciiLower keeps every byte at its place, which strings.ToLower does not.
func asciiLower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// stripControls takes out escape sequences (ECMA-48 section 5.4; operating system commands end in BEL or ESC \) and other
// control characters.
func stripControls(s string) string {
	clean := true
	for i := range len(s) {
		clean = clean && s[i] >= ' ' && s[i] != 0x7f
	}
	if clean {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == 0x1b && i+1 < len(s) && s[i+1] == '[':
			for i += 2; i < len(s) && (s[i] < 0x40 || s[i] > 0x7e); i++ {
			}
		case c == 0x1b && i+1 < len(s) && (s[i+1] == ']' || s[i+1] == 'P'):
			for i += 2; i < len(s) && s[i] != 7; i++ {
				if s[i] == 0x1b && i+1 < len(s) && s[i+1] == '\\' {
					i++
					break
				}
			}
		case c == 0x1b:
			i++
		case c == '\t' || c == '\r':
			b.WriteByte(' ')
		case c < ' ' || c == 0x7f:
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// findURLs finds http://, https:// and tcp:// addresses.
func findURLs(line string) []Address {
	var found []Address
	for from := 0; ; {
		i := strings.Index(line[from:], "://")
		if i < 0 {
			return found
		}
		i += from
		from = i + 3
		begin := i
		for begin > 0 && (isWord(line[begin-1]) && line[begin-1] < 0x80 || line[begin-1] == '+') {
			begin--
		}
		scheme := strings.ToLower(line[begin:i])
		if scheme != "http" && scheme != "https" && scheme != "tcp" {
			continue
		}
		a, end, ok := parseURL(scheme, line, i+3)
		from = end
		if !ok {
			continue
		}
		known := false
		for _, f := range found {
			known = known || f == a
		}
		if !known {
			found = append(found, a)
		}
	}
}

// parseURL reads what follows "://" at line[at]. end is where it stopped.
func parseURL(scheme, line string, at int) (a Address, end int, ok bool) {
	a.Scheme = scheme
	if scheme == "tcp" {
		a.Scheme = ""
	}
	rest := line[at:]
	host := ""
	switch {
	case strings.HasPrefix(rest, "["):
		i := strings.IndexByte(rest, ']')
		if i < 0 {
			return a, at, false
		}
		host, rest = rest[1:i], rest[i+1:]
		if _, err := netip.ParseAddr(host); err != nil {
			return a, at, false
		}
	case strings.HasPrefix(rest, "("):
		// Jupyter of 2018 printed http://(name or 127.0.0.1):8888/.
		i := strings.IndexByte(rest, ')')
		if i < 0 {
			return a, at, false
		}
		names := strings.Fields(rest[1:i])
		if len(names) == 0 {
			return a, at, false
		}
		host, rest = names[len(names)-1], rest[i+1:]
	default:
		i := 0
		for i < len(rest) && (isWord(rest[i]) && rest[i] < 0x80 || strings.IndexByte(".-*+", rest[i]) >= 0) {
			i++
		}
		host, rest = rest[:i], rest[i:]
		if v6 := strings.TrimPrefix(rest, "::"); host == "" && v6 != rest && strings.HasPrefix(v6, ":") {
			host, rest = "::", v6 // http://:::8000, brackets forgotten
		}
	}
	a.Host = host
	explicit := false
	if strings.HasPrefix(rest, ":") {
		port, width := number(rest[1:])
		if width == 0 {
			return a, len(line) - len(rest), false
		}
		a.Port, explicit, rest = port, true, rest[1+width:]
	}
	path := ""
	if rest != "" && strings.IndexByte("/?#", rest[0]) >= 0 {
		path = rest[:pathEnd(rest)]
	}
	end = len(line) - len(rest) + len(path)
	a.Path = strings.TrimRight(path, ".,;:!'")
	switch {
	case explicit && a.Port != 0:
		return a, end, true
	case explicit || host == "" || scheme == "tcp" || !isLocal(host):
		return a, end, false
	}
	a.Port = 80
	if scheme == "https" {
		a.Port = 443
	}
	return a, end, true
}

// pathEnd is where a path printed in a line of text ends: at a space, a quote, a bracket that was opened before it.
func pathEnd(s string) int {
	round, square := 0, 0
	for i, r := range s {
		switch r {
		case ' ', '"', '`', '<', '>', '\\', '|', '{', '}', '^', utf8.RuneError:
			return i
		case '(':
			round++
		case ')':
			if round--; round < 0 {
				return i
			}
		case '[':
			square++
		case ']':
			if square--; square < 0 {
				return i
			}
		}
		if r > 0x7f && !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			return i
		}
	}
	return len(s)
}

// number reads a port at the beginning of s; width 0 where there is none, or it runs on into something else.
func number(s string) (port uint16, width int) {
	for width < len(s) && isDigit(s[width]) {
		width++
	}
	n, err := strconv.ParseUint(s[:width], 10, 16)
	if err != nil || n == 0 || width < len(s) && isWord(s[width]) {
		return 0, 0
	}
	return uint16(n), width
}

// announcements begin words by which programs say that they serve; refusals, words by which they say something else.
var (
	announcements = []string{"listen", "serv", "start", "running", "bound", "bind", "available", "ready", "preview",
		"waiting for connections", "publish", "open", "visit", "go to", "accept", "address", "local:", "network:", "url"}
	refusals = []string{"in use", "refused", "fail", "cannot", "can't", "could not", "error", "unable", "connecting", "connected",
		"connection from", "connection to", "connect to", "denied", "closed", "timed out", "timeout", "reserved", "forbidden"}
)

// announcement is where the first announcing word begins, or -1: there is none, or the line tells of a failure.
func announcement(lower string) int {
	first := -1
	for _, word := range announcements {
		if i := strings.Index(lower, word); i >= 0 && (first < 0 || i < first) {
			first = i
		}
	}
	if first < 0 {
		return -1
	}
	for _, word := range refusals {
		if strings.Contains(lower, word) {
			return -1
		}
	}
	return first
}

// findHostPorts finds HOST:PORT, where HOST is an IP address, localhost, * or empty.
func findHostPorts(line string) []candidate {
	var found []candidate
	for i := 0; i+1 < len(line); i++ {
		if line[i] != ':' || !isDigit(line[i+1]) {
			continue
		}
		port, width := number(line[i+1:])
		if width == 0 {
			continue
		}
		if after := line[i+1+width:]; strings.HasPrefix(after, ":") || strings.HasPrefix(after, ".") && len(after) > 1 && isDigit(after[1]) {
			continue // a time of day, or an address that goes on
		}
		begin := i
		for begin > 0 && (isWord(line[begin-1]) && line[begin-1] != '_' && line[begin-1] < 0x80 || strings.IndexByte(".-:*[]%", line[begin-1]) >= 0) {
			begin--
		}
		host := strings.Trim(line[begin:i], "[]")
		if strings.HasSuffix(line[:begin], "/") { // within a URL, or a path
			continue
		}
		var ip netip.Addr
		if strings.Contains(host, ".") || strings.Contains(host, "::") {
			ip, _ = netip.ParseAddr(host)
		}
		switch {
		case ip.IsValid():
			host = ip.String()
		case host == "" && (begin == 0 || line[begin-1] == ' ' || strings.IndexByte("('\"=", line[begin-1]) >= 0):
		case host == "*" || strings.EqualFold(host, "localhost"):
		default:
			continue
		}
		path := ""
		if rest := line[i+1+width:]; strings.HasPrefix(rest, "/") {
			path = strings.TrimRight(rest[:pathEnd(rest)], ".,;:!'")
		}
		found = append(found, candidate{Address{Host: host, Port: port, Path: path}, begin})
		i += width
	}
	return found
}

// findPorts finds "port 3000", "port(s): 8080", `"port":27017` and "listening on 3000".
func findPorts(line string) []candidate {
	// The words without their first letters, so that most lines need not be copied to be compared in lower case.
	if !strings.Contains(line, "ort") && !strings.Contains(line, "ORT") && !strings.Contains(line, "isten") && !strings.Contains(line, "ISTEN") {
		return nil
	}
	lower := asciiLower(line)
	var found []candidate
	for _, word := range []string{"port", "listening on", "listening at"} {
		for at := 0; ; {
			i := strings.Index(lower[at:], word)
			if i < 0 {
				break
			}
			i += at
			at = i + len(word)
			if i > 0 && isWord(lower[i-1]) {
				continue
			}
			rest := lower[at:]
			if word == "port" {
				rest = strings.TrimPrefix(strings.TrimPrefix(rest, "(s)"), "s")
				rest = strings.TrimPrefix(strings.TrimPrefix(rest, " is"), " number")
			}
			trimmed := strings.TrimLeft(rest, " :=#\"'")
			if trimmed == rest || len(rest)-len(trimmed) > 4 {
				continue
			}
			port, width := number(trimmed)
			if width == 0 || word != "port" && port < 80 {
				continue
			}
			if after := trimmed[width:]; after != "" && strings.IndexByte(":-/", after[0]) >= 0 || len(after) > 1 && after[0] == '.' && isDigit(after[1]) {
				continue
			}
			found = append(found, candidate{Address{Port: port}, i})
		}
	}
	return found
}
