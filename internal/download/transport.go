package download

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

// ErrStalled: a server sent nothing for as long as Limits.Idle.
var ErrStalled = errors.New("the server stopped sending")

// Limits bound the patience with a server. Zero values mean the usual ones.
type Limits struct {
	// Idle is how long a connection may stand still; usually a minute.
	Idle time.Duration
	// Attempts is how often a request is made that the server or the network may answer better later; usually 4.
	Attempts int
	// Backoff is the pause before the second attempt, doubled with each further one; usually 400 ms.
	Backoff time.Duration
	// Patience is the longest time a server may ask to wait by Retry-After; usually 20 s. If it wants more, its answer stands.
	Patience time.Duration
}

func (l Limits) usual() Limits {
	set := func(d *time.Duration, usual time.Duration) {
		if *d <= 0 {
			*d = usual
		}
	}
	set(&l.Idle, time.Minute)
	set(&l.Backoff, 400*time.Millisecond)
	set(&l.Patience, 20*time.Second)
	if l.Attempts <= 0 {
		l.Attempts = 4
	}
	return l
}

// maxHeader bounds the header of an answer, in bytes.
const maxHeader = 256 << 10

// NewTransport is an HTTP transport with the proxy of the environment, whose header's size and whose waiting are bounded.
// Bytes arrive as they were sent: no decompression on the way. The caller closes its idle connections.
func NewTransport(l Limits) *http.Transport {
	l = l.usual()
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: min(l.Idle, 20*time.Second), KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout:    min(l.Idle, 20*time.Second),
		MaxResponseHeaderBytes: maxHeader,
		MaxIdleConnsPerHost:    8,
		IdleConnTimeout:        time.Minute,
		ForceAttemptHTTP2:      true,
		DisableCompression:     true,
		ReadBufferSize:         64 << 10,
		WriteBufferSize:        64 << 10,
	}
}

// Guard watches over the requests made through base: one that stands still ends with ErrStalled, in whichever direction
// bytes go, and one that only asks (GET, HEAD) is repeated when the server says "later" or has a fault of its own.
func Guard(base http.RoundTripper, l Limits) http.RoundTripper { return &guard{base, l.usual()} }

type guard struct {
	base   http.RoundTripper
	limits Limits
}

// RoundTrip makes a request, and again as long as that may help.
func (g *guard) RoundTrip(req *http.Request) (*http.Response, error) {
	pause := g.limits.Backoff
	for attempt := 1; ; attempt++ {
		res, err := g.once(req)
		repeatable := req.Method == http.MethodGet || req.Method == http.MethodHead
		if !repeatable || attempt >= g.limits.Attempts || req.Context().Err() != nil {
			return res, err
		}
		wait := pause
		switch {
		case err != nil && (!Temporary(err) || errors.Is(err, ErrStalled)):
			return nil, err
		case err == nil && !again(res.StatusCode):
			return res, nil
		case err == nil:
			if asked, ok := retryAfter(res.Header.Get("Retry-After")); ok {
				if asked > g.limits.Patience {
					return res, nil
				}
				wait = max(asked, wait)
			}
			// What is left of a short answer is read so that the connection can be used again.
			_, _ = io.CopyN(io.Discard, res.Body, 64<<10)
			res.Body.Close()
		}
		if err := Sleep(req.Context(), wait); err != nil {
			return nil, err
		}
		pause *= 2
	}
}

// again tells whether a status is about the moment rather than about what was asked for.
func again(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway,
		http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// retryAfter reads the two forms of the field: seconds, or a date.
func retryAfter(value string) (time.Duration, bool) {
	if value == "" {
		return 0, false
	}
	if seconds, err := strconv.Atoi(value); err == nil && seconds >= 0 {
		return min(time.Duration(seconds), 1e6) * time.Second, true
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, time.Until(at)), true
	}
	return 0, false
}

// Sleep waits for d, or until ctx ends, whose cause it then returns.
func Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (g *guard) once(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(req.Context())
	w := &watch{ctx: ctx, cancel: cancel, idle: g.limits.Idle}
	if req.Body != nil && req.Body != http.NoBody {
		w.idle *= 5 // what was received, the server may want to examine and move before it answers
	}
	w.timer = time.AfterFunc(w.idle, func() { cancel(fmt.Errorf("%w for %s", ErrStalled, w.idle)) })
	out := req.Clone(ctx)
	if req.Body != nil && req.Body != http.NoBody {
		out.Body = &sent{req.Body, w}
	}
	res, err := g.base.RoundTrip(out)
	w.timer.Stop()
	if err != nil {
		err = w.explain(err)
		cancel(nil)
		return nil, err
	}
	res.Body = &received{res.Body, w}
	return res, nil
}

// watch ends a request that stands still. Its timer runs only while bytes are waited for.
type watch struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	idle   time.Duration
	timer  *time.Timer
}

// explain is the error that ended a request, which is not that of the context when the watch ended it.
func (w *watch) explain(err error) error {
	if cause := context.Cause(w.ctx); errors.Is(cause, ErrStalled) {
		return cause
	}
	return err
}

// sent is a request's body; every piece that is fetched for sending shows that the connection is alive.
type sent struct {
	io.ReadCloser
	w *watch
}

func (s *sent) Read(b []byte) (int, error) {
	s.w.timer.Reset(s.w.idle)
	return s.ReadCloser.Read(b)
}

// received is an answer's body.
type received struct {
	io.ReadCloser
	w *watch
}

func (r *received) Read(b []byte) (int, error) {
	r.w.timer.Reset(r.w.idle)
	n, err := r.ReadCloser.Read(b)
	r.w.timer.Stop()
	if err != nil && err != io.EOF {
		err = r.w.explain(err)
	}
	return n, err
}

func (r *received) Close() error {
	r.w.timer.Stop()
	err := r.ReadCloser.Close()
	r.w.cancel(nil)
	return err
}
