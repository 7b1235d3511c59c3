package network

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"
)

const (
	// attemptTimeout is how long one connection may stay without an answer before another is tried. It is long, because a
	// server that is still starting often listens already, and then answers the waiting connection first.
	attemptTimeout = 10 * time.Second
	// silence is how long a server that has taken a connection may say nothing to a request until it counts as one that
	// speaks no HTTP, and waits for something else.
	silence = 5 * time.Second
	// quietTime is how long a connection of a protocol that we do not speak must last to count as accepted.
	quietTime = 50 * time.Millisecond
)

// Target is an address of a container of which somebody wants to know when it answers.
type Target struct {
	// Dial connects to the container's port itself. A published port would not do: it accepts always.
	Dial DialFunc
	// Scheme is "http", "https" or "tcp"; empty where it is to be found out.
	Scheme string
	// Path is asked for, over HTTP; "/" when empty.
	Path string
	// Host is sent as the Host header; "localhost" when empty.
	Host string
	// Taken tells whether the server has taken a connection, and not just the kernel for it. Where nothing is known of the
	// scheme, a server that takes connections and says nothing for some seconds then counts as "tcp"; nil: it does not.
	Taken func(net.Conn) bool
	// Timeout ends the waiting; 0 for no end but the context's.
	Timeout time.Duration
	// Once asks one question, and does not wait for a better answer.
	Once bool
}

// Answer is what a ready address said.
type Answer struct {
	// Scheme is the target's, or what was found: "http", "https" or "tcp".
	Scheme string
	// Status is the HTTP status; 0 for tcp.
	Status int
	// Silent: it is taken for tcp only because it says nothing. A slow page looks the same.
	Silent bool
	// After is the time from the call to the answer, Listening to the first accepted connection.
	After, Listening time.Duration
}

// ReadyState tells apart how far an address that is not ready got.
type ReadyState int

const (
	NothingListens ReadyState = iota // no connection was ever accepted
	NeverAnswers                     // connections are accepted, but nothing comes back
	AnswersErrors                    // HTTP answers, with status 500 or above
)

func (s ReadyState) String() string {
	return [...]string{"nothing listens", "listens but does not answer", "answers errors"}[s]
}

// NotReady is the error of Ready when the time is over: the state at the end.
type NotReady struct {
	State  ReadyState
	Status int           // the last HTTP status, for AnswersErrors
	After  time.Duration // how long was waited
	Err    error         // what went wrong in the last attempt; also the context's error
}

func (e *NotReady) Error() string {
	text := fmt.Sprintf("wait for an answer: %s after %s", e.State, e.After.Round(100*time.Millisecond))
	if e.State == AnswersErrors {
		text += fmt.Sprintf(": HTTP status %d", e.Status)
	}
	return text
}

func (e *NotReady) Unwrap() error { return e.Err }

// Hint says where to look next.
func (e *NotReady) Hint() string {
	switch e.State {
	case NothingListens:
		return "the app may still be starting, or serve another port than expected; its log tells"
	case NeverAnswers:
		return "the app may still be loading, or speak no HTTP at this port; its log tells"
	default:
		return "the app itself reports an error; its log tells which"
	}
}

// errorStatus is an answer that is no sign of readiness.
type errorStatus int

func (s errorStatus) Error() string { return fmt.Sprintf("HTTP status %d", int(s)) }

// Ready waits until an address answers: over HTTP any status below 500, redirections and refusals included; otherwise a
// connection that is accepted and not reset at once. It tries first at once, then after ever longer pauses (see
// Pause). When the time is over, or with Once, the error is *NotReady, which also wraps the context's error.
func Ready(ctx context.Context, t Target) (Answer, error) {
	start := time.Now()
	if t.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, t.Timeout)
		defer cancel()
	}
	if t.Path == "" {
		t.Path = "/"
	}
	if t.Host == "" {
		t.Host = "localhost"
	}
	var answer Answer
	var failure NotReady
	for {
		scheme, status, accepted, err := t.attempt(ctx)
		if accepted && answer.Listening == 0 {
			answer.Listening = time.Since(start)
		}
		if err == nil {
			answer.Scheme, answer.Status, answer.After = scheme, status, time.Since(start)
			if answer.Silent = scheme == silent; answer.Silent {
				answer.Scheme = "tcp"
			}
			return answer, nil
		}
		var bad errorStatus
		switch {
		case errors.As(err, &bad):
			failure.State, failure.Status = AnswersErrors, int(bad)
		case ctx.Err() != nil && failure.State != NothingListens:
			// The attempt was cut short: what is known is what the one before it said.
		case accepted:
			failure.State, failure.Status = NeverAnswers, 0
		case ctx.Err() == nil:
			failure.State, failure.Status = NothingListens, 0
		}
		if !final(err) || ctx.Err() == nil {
			failure.Err = err
		}
		if !t.Once {
			select {
			case <-ctx.Done():
			case <-time.After(Pause(time.Since(start))):
				if !errors.Is(err, net.ErrClosed) || accepted {
					continue
				}
			}
		}
		failure.After = time.Since(start)
		failure.Err = errors.Join(ctx.Err(), failure.Err)
		return answer, &failure
	}
}

// attempt makes one connection and asks one question. accepted tells whether anybody listens.
func (t Target) attempt(ctx context.Context) (scheme string, status int, accepted bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	switch t.Scheme {
	case "tcp":
		accepted, err = t.quiet(ctx)
		return "tcp", 0, accepted, err
	case "http":
		status, accepted, err = t.ask(ctx, false)
		return "http", status, accepted, err
	case "https":
		status, accepted, err = t.ask(ctx, true)
		return "https", status, accepted, err
	case "":
	default:
		return "", 0, false, fmt.Errorf("wait for an answer: unknown scheme %q", t.Scheme)
	}
	status, accepted, err = t.ask(ctx, false)
	var other *otherProtocol
	switch {
	case errors.Is(err, errSilent):
		return silent, 0, true, nil
	case errors.As(err, &other):
		// What answers plain HTTP with anything else speaks TLS, or no HTTP at all.
		if status, _, err := t.ask(ctx, true); err == nil || errors.As(err, new(errorStatus)) {
			return "https", status, true, err
		}
		if other.reset {
			return "", 0, true, err
		}
		if ctx.Err() != nil {
			return "", 0, true, ctx.Err() // it was not found out
		}
		return "tcp", 0, true, nil
	default:
		return "http", status, accepted, err
	}
}

// silent is the scheme of attempt for a server that says nothing.
const silent = "silent"

var errSilent = errors.New("it takes connections and says nothing")

// otherProtocol is an answer that is not HTTP, or that says that HTTP is not wanted there.
type otherProtocol struct {
	reset bool // the connection was reset, which may also be an app that is going down or up
}

func (*otherProtocol) Error() string { return "the answer is not HTTP" }

// ask sends one HTTP request and reads the beginning of the answer.
func (t Target) ask(ctx context.Context, secure bool) (status int, accepted bool, err error) {
	conn, err := t.Dial(ctx)
	if err != nil {
		return 0, wasAccepted(err), err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if secure {
		// It is asked whether somebody answers, not who: apps make their own certificates.
		client := tls.Client(conn, &tls.Config{InsecureSkipVerify: true, ServerName: "localhost"}) //nolint:gosec
		if err := client.HandshakeContext(ctx); err != nil {
			return 0, true, err
		}
		conn = client
	}
	request := "GET " + t.Path + " HTTP/1.1\r\nHost: " + t.Host + "\r\nUser-Agent: carrel\r\nAccept: */*\r\nConnection: close\r\n\r\n"
	if _, err := io.WriteString(conn, request); err != nil {
		return 0, true, notHTTP(err)
	}
	reader := bufio.NewReader(conn)
	if t.Scheme == "" && !secure && t.Taken != nil {
		_ = conn.SetReadDeadline(time.Now().Add(silence))
		if ctx.Err() != nil {
			return 0, true, ctx.Err() // whose end would have been overruled
		}
		begin, err := reader.Peek(1)
		if len(begin) == 0 && errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() == nil && t.Taken(conn) {
			return 0, true, errSilent
		}
		_ = conn.SetReadDeadline(time.Time{})
		if ctx.Err() != nil {
			return 0, true, ctx.Err()
		}
	}
	if begin, err := reader.Peek(5); err != nil || string(begin) != "HTTP/" {
		if err == nil || len(begin) > 0 {
			return 0, true, &otherProtocol{}
		}
		return 0, true, notHTTP(err)
	}
	response, err := http.ReadResponse(reader, nil)
	if err != nil {
		return 0, true, err
	}
	defer response.Body.Close()
	switch {
	case response.StatusCode >= 500:
		return response.StatusCode, true, errorStatus(response.StatusCode)
	case response.StatusCode == http.StatusBadRequest && !secure && wantsTLS(response.Body):
		return 0, true, &otherProtocol{}
	}
	return response.StatusCode, true, nil
}

// wasAccepted tells a connection that was reset as soon as it was made from one that nobody took.
func wasAccepted(err error) bool { return errors.Is(err, syscall.ECONNRESET) }

// notHTTP tells a connection that was ended without a word from one that is only slow.
func notHTTP(err error) error {
	switch {
	case errors.Is(err, io.EOF):
		return &otherProtocol{}
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return &otherProtocol{reset: true}
	}
	return err
}

// wantsTLS recognises what Go, nginx and Apache answer to plain HTTP at a port for HTTPS.
func wantsTLS(body io.Reader) bool {
	text, _ := io.ReadAll(io.LimitReader(body, 4096))
	text = bytes.ToLower(text)
	for _, phrase := range []string{"to an https server", "to https port", "to an ssl-enabled", "to a tls"} {
		if bytes.Contains(text, []byte(phrase)) {
			return true
		}
	}
	return false
}

// quiet connects and waits a moment for a reset.
func (t Target) quiet(ctx context.Context) (accepted bool, err error) {
	conn, err := t.Dial(ctx)
	if err != nil {
		return wasAccepted(err), err
	}
	defer conn.Close()
	_ = conn.SetReadDeadline(time.Now().Add(quietTime))
	_, err = conn.Read(make([]byte, 1))
	if errors.Is(err, syscall.ECONNRESET) {
		return true, err
	}
	return true, nil
}

// IsWeb tells whether a scheme is one that a browser opens.
func IsWeb(scheme string) bool {
	return strings.EqualFold(scheme, "http") || strings.EqualFold(scheme, "https")
}
