package guard

import (
	"crypto/rand"
	"crypto/subtle"
	"net/url"
	"strings"
	"sync"
)

const (
	// parameter is the part of a query that holds the code.
	parameter = "carrel"
	// cookiePrefix begins the names of all gates' cookies. None of them ever reaches an app.
	cookiePrefix = "carrel-gate-"
)

// Config of a Guard.
type Config struct {
	// Name gives the app's name, for the command that gives a new link; nil where there is no such command.
	Name func() string
	// UID is whose app it is.
	UID uint32
	// Lasting links are good for any number of browsers. Otherwise a link is good for one, and Changed is called then,
	// from a goroutine of the gate's, because Link gives another one now.
	Lasting bool
	Changed func()
	// Hosts are names of this machine, beside localhost, under which its apps may be asked for. Anything else could be a
	// name that somebody lets point here (DNS rebinding). Addresses are always good.
	Hosts []string
}

// Guard holds the keys of one app, which all its ports share.
type Guard struct {
	config Config
	// Name and value of the cookie. There is one for all browsers of a person.
	cookie, session string

	mu    sync.Mutex
	code  string
	ports map[string]bool // host ports of this app, whose pages may ask each other
}

// New makes a guard with new keys.
func New(c Config) *Guard {
	if c.Changed == nil {
		c.Changed = func() {}
	}
	return &Guard{
		config: c, cookie: cookiePrefix + strings.ToLower(rand.Text()[:8]), session: rand.Text() + rand.Text(), code: rand.Text(),
		ports: make(map[string]bool),
	}
}

// Link is the address by which a browser gets in: address with the code in its query. What is no URL stays as it is.
func (g *Guard) Link(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return address
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if u.RawQuery != "" {
		u.RawQuery += "&"
	}
	u.RawQuery += parameter + "=" + g.code
	return u.String()
}

// Clean is a link without its code, which may be written down.
func Clean(link string) string {
	page, query, found := strings.Cut(link, "?")
	if !found {
		return link
	}
	query, fragment, marked := strings.Cut(query, "#")
	query, _ = cutCode(query)
	if query != "" {
		page += "?" + query
	}
	if marked {
		page += "#" + fragment
	}
	return page
}

// cutCode takes the code out of a query and leaves the rest as it was.
func cutCode(query string) (rest, code string) {
	if query == "" {
		return "", ""
	}
	kept := make([]string, 0, 4)
	for part := range strings.SplitSeq(query, "&") {
		if value, ok := strings.CutPrefix(part, parameter+"="); ok {
			code = value
			continue
		}
		kept = append(kept, part)
	}
	return strings.Join(kept, "&"), code
}

// spend tells whether a code is the present one, which it is once.
func (g *Guard) spend(code string) bool {
	g.mu.Lock()
	if !same(code, g.code) {
		g.mu.Unlock()
		return false
	}
	if !g.config.Lasting {
		g.code = rand.Text()
	}
	g.mu.Unlock()
	if !g.config.Lasting {
		g.config.Changed()
	}
	return true
}

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// stripCookies takes all gates' cookies out of a Cookie header (RFC 6265 section 4.2) and leaves the rest as it was; mine is
// the value of the named one.
func stripCookies(header, name string) (rest string, mine []string) {
	kept := make([]string, 0, 8)
	for part := range strings.SplitSeq(header, ";") {
		pair := strings.TrimSpace(part)
		if !strings.HasPrefix(pair, cookiePrefix) {
			if pair != "" {
				kept = append(kept, pair)
			}
			continue
		}
		if key, value, _ := strings.Cut(pair, "="); key == name {
			mine = append(mine, value)
		}
	}
	return strings.Join(kept, "; "), mine
}
