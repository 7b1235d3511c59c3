package guard

import (
	"fmt"
	"html"
	"net/http"
	"strings"
)

// words are what is said to whom is not let in.
func (g *Guard) words(why refusal, host string) (title, text string) {
	again := "Use the link that the program printed when it started the app."
	if g.config.Name != nil {
		again = "For a new link type, as the person who started it:\n\n    carrel open " + g.config.Name()
	}
	switch why {
	case wrongCode:
		return "This link has been used already", "Each link opens the app in one browser. " + again
	case foreign:
		return "This app is somebody else's", "A person on this machine has started it for themselves. Ask them, or start your own: carrel"
	case strangeIn:
		return "This app is not called " + host, "For safety it answers only under this machine's own names. Use 127.0.0.1 or localhost in the address."
	case strangePage:
		return "Another page asked for this", "A page from elsewhere made this browser ask the app for something, which was refused. Open the app by its own address."
	}
	return "This app is locked", "It belongs to the person who started it: several people use this machine, and only they may open it. " + again
}

const page = `<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>%[1]s</title>
<style>body{font:1.1em/1.5 system-ui,sans-serif;max-width:34em;margin:15vh auto;padding:0 1em;color:#222;background:#fff}
pre{background:#eee;padding:.6em 1em}@media(prefers-color-scheme:dark){body{color:#ddd;background:#1c1c1c}pre{background:#333}}</style>
<h1>%[1]s</h1>
%[2]s
</html>
`

// refuse answers who is not let in.
func (g *Guard) refuse(w http.ResponseWriter, r *http.Request, why refusal) {
	title, text := g.words(why, hostname(r.Host))
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
	if !strings.Contains(r.Header.Get("Accept"), "html") {
		h.Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprintf(w, "%s. %s\n", title, text)
		return
	}
	var body strings.Builder
	for part := range strings.SplitSeq(text, "\n\n") {
		tag := "p"
		if strings.HasPrefix(part, "    ") {
			tag, part = "pre", strings.TrimSpace(part)
		}
		fmt.Fprintf(&body, "<%s>%s</%s>\n", tag, html.EscapeString(part), tag)
	}
	h.Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(http.StatusForbidden)
	fmt.Fprintf(w, page, html.EscapeString(title), body.String())
}
