package main

import (
	"fmt"
	"html"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"carrel/engine"
	far "carrel/internal/remote"
)

// here is where this program runs, seen from the computer that the person sits at; nil: it is this one.
func here(getenv func(string) string, user string) *far.Place {
	host, err := os.Hostname()
	if err != nil {
		host = "" // then nothing is known but what the environment says
	}
	return far.Find(getenv, user, host)
}

// tellWay tells somebody who sits at another computer how to reach addresses from there. It says whether it had to.
func (a *app) tellWay(addresses ...engine.Address) bool { return a.tellWayTo("", addresses...) }

// tellWayTo is tellWay to an app of another computer that shares this one's home folder; "": of this one.
func (a *app) tellWayTo(elsewhere string, addresses ...engine.Address) bool {
	s, err := a.settings()
	if err != nil {
		return false
	}
	p := here(os.Getenv, s.user.Name)
	if elsewhere != "" {
		p = p.Beside(s.user.Name, elsewhere)
	}
	if p == nil {
		return false
	}
	text := wayText(p, addresses)
	if text != "" {
		a.say("%s", text)
	}
	return text != ""
}

// wayText is what tellWay says; empty where there is nothing that could be reached.
func wayText(p *far.Place, addresses []engine.Address) string {
	var ports []int
	for _, addr := range addresses {
		u, err := url.Parse(addr.URL)
		if addr.Host == 0 || addr.Proto == "udp" || err != nil || !loopback(u.Hostname()) {
			continue // ssh carries no datagrams, and other addresses are reached without it
		}
		ports = append(ports, addr.Host)
	}
	if len(ports) == 0 {
		return ""
	}
	if line := p.Tunnel(ports...); line != "" {
		return fmt.Sprintf("this runs on %s; on the computer you sit at type\n\n    %s\n\nand open the address in the browser there", p, line)
	}
	var pages []string
	for _, port := range ports {
		pages = append(pages, "    "+p.Proxied(port))
	}
	return fmt.Sprintf("this runs on %s, which shows it, if it has jupyter-server-proxy, at\n\n%s\n", p, strings.Join(pages, "\n"))
}

func loopback(host string) bool {
	return host == "localhost" || host == "::1" || strings.HasPrefix(host, "127.")
}

// openGuarded makes a browser open an address whose code nobody else should see: what a program is started with everybody can
// read (proc_pid_cmdline(5)), so it is given a file of the person's own that leads on. Browsers in other worlds cannot read
// it: those of a snap, and those of a computer that VS Code or Windows has brought the person from.
func openGuarded(getenv func(string) string, dir string, open func(string) error, address string) error {
	_, noSnap := os.Stat("/snap")
	if noSnap == nil || getenv("VSCODE_IPC_HOOK_CLI") != "" || getenv("WSL_DISTRO_NAME") != "" {
		return open(address)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("open browser: %w", err)
	}
	file := filepath.Join(dir, "open.html")
	page := `<!doctype html><meta charset="utf-8"><title>Opening</title><meta http-equiv="refresh" content="0; url=` + html.EscapeString(address) + `">` + "\n"
	if err := os.WriteFile(file, []byte(page), 0o600); err != nil {
		return fmt.Errorf("open browser: %w", err)
	}
	return open((&url.URL{Scheme: "file", Path: file}).String())
}

// browse opens the address of an app in the person's browser; nil where there is none.
func browse(getenv func(string) string, dir string) func(string) error {
	open := browser(getenv)
	if open == nil {
		return nil
	}
	return func(address string) error {
		if u, err := url.Parse(address); err != nil || !u.Query().Has("carrel") {
			return open(address)
		}
		return openGuarded(getenv, dir, open, address)
	}
}
