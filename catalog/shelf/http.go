package shelf

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// StatusError is an answer of a web server that is not the thing asked for.
type StatusError struct {
	URL    string
	Status string
	Code   int
}

// Error names the answer.
func (e *StatusError) Error() string { return "get " + e.URL + ": the server answered " + e.Status }

// Hint says what to do.
func (e *StatusError) Hint() string {
	switch {
	case e.Code == http.StatusNotFound:
		return "check the address"
	case e.Code == http.StatusUnauthorized || e.Code == http.StatusForbidden:
		return "the server does not give it to everybody"
	case e.Code >= 500:
		return "the server has a problem; try again later"
	}
	return ""
}

// silence is how long a server may say nothing.
const silence = time.Minute

// client is for web servers that nobody vouches for: bounded headers, few redirects.
var client = &http.Client{
	Transport: &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout:    30 * time.Second,
		ResponseHeaderTimeout:  silence,
		MaxResponseHeaderBytes: 256 << 10,
		MaxIdleConnsPerHost:    4,
		IdleConnTimeout:        30 * time.Second,
	},
	CheckRedirect: func(req *http.Request, via []*http.Request) error {
		if len(via) >= 10 {
			return errors.New("the server redirects in a circle")
		}
		if via[0].URL.Scheme == "https" && req.URL.Scheme != "https" {
			return errors.New("the server redirects to an address that is not encrypted")
		}
		return nil
	},
}

// get opens what is at an address, of at most limit bytes: reading more is ErrTooLarge. The caller closes it.
func (s *Shelf) get(ctx context.Context, url string, limit int64) (io.ReadCloser, error) {
	c := s.Client
	if c == nil {
		c = client
	}
	ctx, cancel := context.WithCancelCause(ctx)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		cancel(nil)
		return nil, &AddressError{url, err.Error()}
	}
	req.Header.Set("User-Agent", "carrel")
	resp, err := c.Do(req)
	if err != nil {
		cancel(nil)
		return nil, &fetchError{err}
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		cancel(nil)
		return nil, &StatusError{url, resp.Status, resp.StatusCode}
	}
	if resp.ContentLength > limit {
		resp.Body.Close()
		cancel(nil)
		return nil, fmt.Errorf("get %s: %w: it has %d MB", url, ErrTooLarge, resp.ContentLength>>20)
	}
	b := &body{url: url, ctx: ctx, r: resp.Body, left: limit, cancel: cancel}
	b.timer = time.AfterFunc(silence, func() { cancel(errStalled) })
	return b, nil
}

var errStalled = errors.New("the server has gone silent")

// fetchError is a server that cannot be reached.
type fetchError struct{ err error }

func (e *fetchError) Error() string { return e.err.Error() }
func (e *fetchError) Hint() string  { return "check the address and the network" }
func (e *fetchError) Unwrap() error { return e.err }

// body is an answer with bounds of size and of silence.
type body struct {
	url    string
	ctx    context.Context // the request's, for why it was cancelled
	r      io.ReadCloser
	left   int64
	timer  *time.Timer
	cancel context.CancelCauseFunc
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	b.timer.Reset(silence)
	if b.left -= int64(n); b.left < 0 {
		return 0, fmt.Errorf("get %s: %w", b.url, ErrTooLarge)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		if errors.Is(context.Cause(b.ctx), errStalled) {
			err = errStalled
		}
		err = fmt.Errorf("get %s: %w", b.url, err)
	}
	return n, err
}

func (b *body) Close() error {
	b.timer.Stop()
	err := b.r.Close()
	b.cancel(nil)
	return err
}
