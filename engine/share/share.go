package share

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"html"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Spec is what is handed out.
type Spec struct {
	// Path is the image file, Title what it is called; the title may be empty.
	Path, Title string
	// Address is where it is served; an invalid one is that of Local. Port 0 is a free one.
	Address netip.Addr
	Port    uint16
	// Times ends the sharing after so many complete downloads; 0 for any number.
	Times int
	// For ends it after a time; 0 for none.
	For time.Duration
	// Event is told what happens, from several goroutines; it must return at once. nil for nobody.
	Event func(Event)
}

// EventKind is what happened.
type EventKind string

// What happens.
const (
	Begun  EventKind = "begun"  // somebody began to download
	Amount EventKind = "amount" // so much of it is sent
	Taken  EventKind = "taken"  // somebody has all of it
	Left   EventKind = "left"   // somebody went away before
)

// Event is something that happened.
type Event struct {
	Kind EventKind
	From string // the other computer's address
	Done int64  // bytes sent
	Size int64  // bytes of the file
}

// Sharing is a file that is being handed out.
type Sharing struct {
	// URL is the file's address, Page that of the page about it.
	URL, Page string
	// Name, Size and SHA256 are the file's: bytes, and hexadecimal.
	Name   string
	Size   int64
	SHA256 string

	spec  Spec
	file  *os.File
	title string
	word  string
	ended chan struct{}
	once  sync.Once
	mu    sync.Mutex
	taken int
	sent  map[string]int64 // bytes, by client, of those that have a part
	err   error
	until time.Time
}

// Start reads the file's checksum and begins to serve it. It fails when path is not a regular file, when there is no network,
// or the port is taken. The sharing goes on until ctx ends, Close is called, or the spec says so; the caller closes it.
func Start(ctx context.Context, s Spec) (*Sharing, error) {
	f, err := os.Open(s.Path)
	if err != nil {
		return nil, fmt.Errorf("share: %w", err)
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a file", s.Path)
	}
	var sum string
	if err == nil {
		sum, err = digest(ctx, f)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("share: %w", err)
	}
	if !s.Address.IsValid() {
		if s.Address, err = Local(); err != nil {
			f.Close()
			return nil, fmt.Errorf("share: %w", err)
		}
	}
	var l net.ListenConfig
	listener, err := l.Listen(ctx, "tcp", netip.AddrPortFrom(s.Address, s.Port).String())
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("share: %w", err)
	}
	random := make([]byte, 16)
	rand.Read(random)
	h := &Sharing{
		Name: filepath.Base(s.Path), Size: st.Size(), SHA256: sum,
		spec: s, file: f, title: s.Title, word: base64.RawURLEncoding.EncodeToString(random), ended: make(chan struct{}), sent: map[string]int64{},
	}
	if h.title == "" {
		h.title = h.Name
	}
	at := listener.Addr().(*net.TCPAddr).AddrPort()
	if s.Address.IsUnspecified() { // everywhere: the link names one
		if a, err := Local(); err == nil {
			at = netip.AddrPortFrom(a, at.Port())
		}
	}
	h.Page = "http://" + at.String() + "/" + h.word + "/"
	h.URL = h.Page + url.PathEscape(h.Name)
	if s.For > 0 {
		h.until = time.Now().Add(s.For)
	}
	ctx, cancel := context.WithCancel(ctx)
	server := &http.Server{
		Handler: h, ReadHeaderTimeout: 20 * time.Second, MaxHeaderBytes: 16 << 10, IdleTimeout: 30 * time.Second,
		BaseContext: func(net.Listener) context.Context { return ctx },
		ErrorLog:    nil,
	}
	go func() {
		defer cancel()
		defer f.Close()
		go func() {
			var timer <-chan time.Time
			if s.For > 0 {
				t := time.NewTimer(s.For)
				defer t.Stop()
				timer = t.C
			}
			select {
			case <-ctx.Done():
			case <-timer:
			case <-h.ended:
			}
			h.end()
			server.Close() // downloads that are under way end with it
		}()
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			h.mu.Lock()
			h.err = err
			h.mu.Unlock()
			h.end()
		}
	}()
	return h, nil
}

func (h *Sharing) end() {
	h.once.Do(func() {
		if h.ended != nil { // nil: a Sharing that Start did not make
			close(h.ended)
		}
	})
}

// Close ends it, downloads under way too.
func (h *Sharing) Close() { h.end() }

// Done is closed when it has ended.
func (h *Sharing) Done() <-chan struct{} { return h.ended }

// Taken is how many complete downloads there were; Err is why it ended by itself, nil when it was meant to.
func (h *Sharing) Taken() int { h.mu.Lock(); defer h.mu.Unlock(); return h.taken }

// Err is why it ended by itself; nil when it was meant to end.
func (h *Sharing) Err() error { h.mu.Lock(); defer h.mu.Unlock(); return h.err }

// Until is when it ends by itself; zero for never.
func (h *Sharing) Until() time.Time { return h.until }

// ServeHTTP answers one request.
func (h *Sharing) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	head := w.Header()
	head.Set("X-Content-Type-Options", "nosniff")
	head.Set("Referrer-Policy", "no-referrer")
	head.Set("Cache-Control", "no-store")
	rest, ok := strings.CutPrefix(r.URL.Path, "/"+h.word+"/")
	switch {
	case !ok || r.Method != http.MethodGet && r.Method != http.MethodHead:
		http.NotFound(w, r)
	case rest == "":
		head.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
		head.Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, fill(map[string]string{ // a browser that has gone away needs no page
			"Title": h.title, "Name": h.Name, "Path": url.PathEscape(h.Name), "URL": h.URL, "Size": size(h.Size), "SHA256": h.SHA256, "File": shellWord(h.Name),
		}))
	case rest == h.Name:
		head.Set("Content-Type", "application/octet-stream")
		head.Set("Content-Disposition", `attachment; filename*=UTF-8''`+url.PathEscape(h.Name))
		head.Set("ETag", `"`+h.SHA256+`"`)
		h.send(w, r)
	default:
		http.NotFound(w, r)
	}
}

// send hands the file out and tells how it goes.
func (h *Sharing) send(w http.ResponseWriter, r *http.Request) {
	from, _, _ := net.SplitHostPort(r.RemoteAddr)
	body := &watched{ReadSeeker: io.NewSectionReader(h.file, 0, h.Size), h: h, from: from, answer: http.NewResponseController(w)}
	if r.Method == http.MethodGet {
		h.tell(Event{Kind: Begun, From: from, Size: h.Size})
	}
	http.ServeContent(w, r, "", time.Time{}, body)
	if r.Method != http.MethodGet {
		return
	}
	at, _ := body.ReadSeeker.Seek(0, io.SeekCurrent)
	// Who took it in parts has all of it with the last one; a part alone, such as the last byte, is no copy. What was on its
	// way when they went does not count as a whole.
	gone := r.Context().Err() != nil
	if gone {
		body.sent = min(body.sent, h.Size-1)
	}
	if whole := h.count(from, body.sent); !whole || gone {
		h.tell(Event{Kind: Left, From: from, Done: at, Size: h.Size})
		return
	}
	h.tell(Event{Kind: Taken, From: from, Done: h.Size, Size: h.Size})
	h.mu.Lock()
	h.taken++
	enough := h.spec.Times > 0 && h.taken >= h.spec.Times
	h.mu.Unlock()
	if enough {
		go func() { // the answer's last bytes leave first
			<-r.Context().Done()
			h.end()
		}()
	}
}

// count adds to what a client was sent, and tells whether that is all of it.
func (h *Sharing) count(from string, bytes int64) (whole bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	bytes += h.sent[from]
	delete(h.sent, from)
	if bytes >= h.Size {
		return true
	}
	if len(h.sent) < mostClients {
		h.sent[from] = bytes
	}
	return false
}

func (h *Sharing) tell(e Event) {
	if h.spec.Event != nil {
		h.spec.Event(e)
	}
}

// watched tells how much was read.
type watched struct {
	io.ReadSeeker
	h      *Sharing
	from   string
	answer *http.ResponseController
	told   time.Time
	sent   int64 // bytes
}

// patience is how long a client may take no more bytes before it is given up, and mostClients of how many it is kept which
// part they have.
const (
	patience    = 2 * time.Minute
	mostClients = 1000
)

func (b *watched) Read(p []byte) (int, error) {
	_ = b.answer.SetWriteDeadline(time.Now().Add(patience)) // where there are none it waits for as long as the kernel does
	n, err := b.ReadSeeker.Read(p)
	b.sent += int64(n)
	if now := time.Now(); now.Sub(b.told) > 250*time.Millisecond {
		b.told = now
		if at, e := b.ReadSeeker.Seek(0, io.SeekCurrent); e == nil {
			b.h.tell(Event{Kind: Amount, From: b.from, Done: at, Size: b.h.Size})
		}
	}
	return n, err
}

// digest is the SHA-256 of a file.
func digest(ctx context.Context, f *os.File) (string, error) {
	sum := sha256.New()
	buf := make([]byte, 1<<20)
	for {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		n, err := f.Read(buf)
		sum.Write(buf[:n])
		if errors.Is(err, io.EOF) {
			return hex.EncodeToString(sum.Sum(nil)), nil
		}
		if err != nil {
			return "", err
		}
	}
}

func size(n int64) string {
	if n < 1e6 {
		return fmt.Sprintf("%d kB", (n+999)/1000)
	}
	return fmt.Sprintf("%.0f MB", float64(n)/1e6)
}

// shellWord quotes a file's name for the commands on the page.
func shellWord(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-+:", r))
	}) {
		return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
	}
	return s
}

// fill puts values, their special characters escaped for HTML, in the places of the page.
func fill(values map[string]string) string {
	var pairs []string
	for k, v := range values {
		pairs = append(pairs, "{{."+k+"}}", html.EscapeString(v))
	}
	return strings.NewReplacer(pairs...).Replace(page)
}

// page is the page about a file. It is filled in by fill and not by html/template, whose use of reflection would keep every
// method of the program in the binary, a quarter more.
const page = `<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{.Title}}</title>
<style>
:root { color-scheme: light dark; --line: #8885; --accent: #5a50d6 }
@media (prefers-color-scheme: dark) { :root { --accent: #a9a3ff } }
body { font: 17px/1.5 system-ui, sans-serif; max-width: 40rem; margin: 3rem auto; padding: 0 1rem }
h1 { font-size: 1.6rem; margin-bottom: .2rem } p { margin: .6rem 0 } code, pre { font: 15px/1.5 ui-monospace, monospace }
pre { border-left: 3px solid var(--accent); padding: .4rem .8rem; overflow-x: auto; margin: .4rem 0 }
a.button { display: inline-block; background: var(--accent); color: Canvas; padding: .6rem 1.2rem; border-radius: .4rem; text-decoration: none; font-weight: 600 }
small { color: GrayText; overflow-wrap: anywhere }
</style>
<h1>{{.Title}}</h1>
<p>A container image: one file that holds an app with everything it needs.</p>
<p><a class="button" href="{{.Path}}" download>Download {{.Name}}</a> &nbsp; {{.Size}}</p>
<p>Run it with <b>Carrel</b>, straight from here:</p>
<pre>carrel pull {{.URL}}
carrel run {{.File}}</pre>
<p>or, after downloading it, with Apptainer or Singularity:</p>
<pre>apptainer run {{.File}}</pre>
<p><small>SHA-256 {{.SHA256}}<br>Compare it with the one the sender sees: <code>sha256sum {{.File}}</code>. The page is gone when the sender stops sharing.</small></p>
</html>
`
