package network_test

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"carrel/engine/network"
)

// server starts an HTTP server and returns how to connect to it.
func server(t *testing.T, secure bool, handler http.HandlerFunc) network.DialFunc {
	t.Helper()
	s := httptest.NewUnstartedServer(handler)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	if secure {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return dialTo(s.Listener.Addr().String())
}

func dialTo(addr string) network.DialFunc {
	return func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", addr)
	}
}

// raw starts a server that does with each connection what serve does.
func raw(t *testing.T, serve func(*net.TCPConn)) network.DialFunc {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				serve(c.(*net.TCPConn))
			}()
		}
	}()
	return dialTo(l.Addr().String())
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

func TestReady(t *testing.T) {
	var starting atomic.Int32
	for _, test := range []struct {
		name   string
		dial   network.DialFunc
		scheme string
		path   string
		want   network.Answer
	}{
		{"http", server(t, false, status(200)), "http", "", network.Answer{Scheme: "http", Status: 200}},
		{"found out", server(t, false, status(200)), "", "", network.Answer{Scheme: "http", Status: 200}},
		{"redirection", server(t, false, status(302)), "", "", network.Answer{Scheme: "http", Status: 302}},
		{"password", server(t, false, status(401)), "", "", network.Answer{Scheme: "http", Status: 401}},
		{"path and host", server(t, false, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/api" || r.URL.RawQuery != "a=b" || r.Host != "localhost" {
				w.WriteHeader(500)
			}
		}), "", "/api?a=b", network.Answer{Scheme: "http", Status: 200}},
		{"still starting", server(t, false, func(w http.ResponseWriter, _ *http.Request) {
			if starting.Add(1) < 4 {
				w.WriteHeader(503)
			}
		}), "", "", network.Answer{Scheme: "http", Status: 200}},
		{"https", server(t, true, status(200)), "https", "", network.Answer{Scheme: "https", Status: 200}},
		{"https found out", server(t, true, status(404)), "", "", network.Answer{Scheme: "https", Status: 404}},
		{"tcp", raw(t, func(c *net.TCPConn) { _, _ = io.Copy(io.Discard, c) }), "tcp", "", network.Answer{Scheme: "tcp"}},
		{"tcp that speaks first", raw(t, func(c *net.TCPConn) { _, _ = io.WriteString(c, "SSH-2.0-OpenSSH_9.9\r\n") }), "", "", network.Answer{Scheme: "tcp"}},
		{"tcp that hangs up", raw(t, func(c *net.TCPConn) { _, _ = c.Read(make([]byte, 1024)) }), "", "", network.Answer{Scheme: "tcp"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := network.Ready(context.Background(), network.Target{Dial: test.dial, Scheme: test.scheme, Path: test.path, Timeout: time.Minute})
			if err != nil {
				t.Fatal(err)
			}
			if got.After <= 0 || got.Listening <= 0 || got.Listening > got.After {
				t.Errorf("after %s, listening after %s", got.After, got.Listening)
			}
			got.After, got.Listening = 0, 0
			if got != test.want {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}

func TestReadyWhenItListensLate(t *testing.T) {
	dial := server(t, false, status(200))
	var tries atomic.Int32
	got, err := network.Ready(context.Background(), network.Target{Timeout: time.Minute, Dial: func(ctx context.Context) (net.Conn, error) {
		if tries.Add(1) < 5 {
			return nil, syscall.ECONNREFUSED
		}
		return dial(ctx)
	}})
	if err != nil || got.Status != 200 || tries.Load() != 5 {
		t.Errorf("got %+v, %v after %d tries", got, err, tries.Load())
	}
}

func TestNotReady(t *testing.T) {
	refused := func(context.Context) (net.Conn, error) { return nil, syscall.ECONNREFUSED }
	asked := make(chan struct{}, 1)
	silent := raw(t, func(c *net.TCPConn) {
		_, _ = c.Read(make([]byte, 1024))
		asked <- struct{}{}
		_, _ = io.Copy(io.Discard, c)
	})
	for _, test := range []struct {
		name   string
		dial   network.DialFunc
		scheme string
		state  network.ReadyState
		status int
		text   string
	}{
		{"nothing listens", refused, "", network.NothingListens, 0, "nothing listens after"},
		{"silent", silent, "", network.NeverAnswers, 0, "does not answer"},
		{"resets", raw(t, func(c *net.TCPConn) { _, _ = c.Read(make([]byte, 1)); _ = c.SetLinger(0) }), "", network.NeverAnswers, 0, "does not answer"},
		{"tcp that resets", raw(t, func(c *net.TCPConn) { _ = c.SetLinger(0) }), "tcp", network.NeverAnswers, 0, "does not answer"},
		{"errors", server(t, false, status(502)), "", network.AnswersErrors, 502, "answers errors"},
		{"errors over https", server(t, true, status(500)), "", network.AnswersErrors, 500, "HTTP status 500"},
		{"no TLS", server(t, false, status(200)), "https", network.NeverAnswers, 0, "does not answer"},
	} {
		t.Run(test.name, func(t *testing.T) {
			// The waiting ends with the fourth connection, or when the silent server was asked.
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			go func() {
				select {
				case <-asked:
					cancel()
				case <-ctx.Done():
				}
			}()
			var dials atomic.Int32
			_, err := network.Ready(ctx, network.Target{Scheme: test.scheme, Timeout: time.Minute, Dial: func(ctx context.Context) (net.Conn, error) {
				if dials.Add(1) == 4 {
					cancel()
				}
				return test.dial(ctx)
			}})
			var failure *network.NotReady
			if !errors.As(err, &failure) {
				t.Fatalf("got %v, want *NotReady", err)
			}
			if failure.State != test.state || failure.Status != test.status || !strings.Contains(err.Error(), test.text) {
				t.Errorf("got %s, status %d: %v; want %s, status %d", failure.State, failure.Status, err, test.state, test.status)
			}
			if !errors.Is(err, context.Canceled) || failure.Hint() == "" {
				t.Errorf("%v does not wrap the context's error, or has no hint", err)
			}
		})
	}
}

func TestReadyHasATimeout(t *testing.T) {
	_, err := network.Ready(context.Background(), network.Target{Timeout: time.Millisecond, Dial: func(context.Context) (net.Conn, error) {
		return nil, syscall.ECONNREFUSED
	}})
	if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("got %v, want the deadline and the refusal", err)
	}
}

func TestReadyEndsWithTheContainer(t *testing.T) {
	_, err := network.Ready(context.Background(), network.Target{Dial: func(context.Context) (net.Conn, error) { return nil, net.ErrClosed }})
	if !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v, want net.ErrClosed", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = network.Ready(ctx, network.Target{Dial: func(context.Context) (net.Conn, error) { return nil, syscall.ECONNREFUSED }})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}
