package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strconv"
	"time"
)

// insidePort is where the server listens inside a container.
const insidePort = "7777"

// serve is this program as a server: to everybody who connects to an address it sends that many bytes.
func serve(address, size string) error {
	n, err := strconv.ParseInt(size, 10, 64)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	defer listener.Close()
	for {
		c, err := listener.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			block := make([]byte, 256<<10)
			for left := n; left > 0; {
				w, err := c.Write(block[:min(left, int64(len(block)))])
				if err != nil {
					return // whoever asked went away
				}
				left -= int64(w)
			}
		}()
	}
}

// portQuestions ask how quickly bytes come out of a published port.
func portQuestions(ctx context.Context, l *lab) ([]question, error) {
	t, err := l.tree(ctx)
	if err != nil {
		return nil, err
	}
	sif, err := l.image(ctx, "zstd")
	if err != nil {
		return nil, err
	}
	size := int64(1 << 30)
	if l.quick {
		size = 256 << 20
	}
	p := l.user()
	number := strconv.FormatInt(size, 10)
	inside := []string{"/carrel-bench", "serve", "127.0.0.1:" + insidePort, number}
	everywhere := []string{"/carrel-bench", "serve", "0.0.0.0:" + insidePort, number}
	return []question{{
		title: "Throughput of a port, as " + p.name, unit: megabytesPerSecond, runs: 10,
		about: fmt.Sprintf("One connection that carries %d MiB out of the container, each end a process of its own.", size>>20),
		contenders: []contender{
			withOurs(l.throughput("Carrel, published port", p, size, func(port string) []string {
				return append([]string{l.carrel, "exec", "-p", port + ":" + insidePort, "-B", l.self + ":/carrel-bench:ro", sif}, inside...)
			})),
			withLess(l.throughput("plain loopback, no container", p, size, func(port string) []string {
				return []string{l.self, "serve", "127.0.0.1:" + port, number}
			}), "nothing between"),
			l.throughput("podman, slirp4netns", p, size, func(port string) []string {
				return append([]string{
					"podman", "--root", filepath.Join(p.home, "podman"), "run", "--rm", "--cgroups=disabled", "--network=slirp4netns",
					"-p", "127.0.0.1:" + port + ":" + insidePort, "-v", l.self + ":/carrel-bench:ro", "--rootfs", t.dir + ":O",
				}, everywhere...)
			}),
		},
	}}, nil
}

// throughput is a server that runs as long as it is measured.
func (l *lab) throughput(name string, p person, size int64, args func(port string) []string) contender {
	address := ""
	c := contender{name: name, missing: missing(args("")[0]), how: l.show(args("PORT"))}
	read := func(ctx context.Context) error {
		d := net.Dialer{Timeout: time.Second}
		conn, err := d.DialContext(ctx, "tcp", address)
		if err != nil {
			return err
		}
		defer conn.Close()
		stop := context.AfterFunc(ctx, func() { _ = conn.Close() }) // ends the copy
		defer stop()
		n, err := io.CopyBuffer(writerOnly{io.Discard}, conn.(*net.TCPConn), make([]byte, 256<<10))
		if err == nil && n != size {
			err = fmt.Errorf("%d bytes came of %d", n, size)
		}
		return err
	}
	c.prepare = func(ctx context.Context) error {
		port, err := freePort()
		if err != nil {
			return err
		}
		address = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		r, err := l.start(ctx, l.call(p, args(strconv.Itoa(port))...))
		if err != nil {
			return err
		}
		l.later(func() error { r.end(); return nil })
		if until(ctx, 20*time.Second, func() bool { err = read(ctx); return err == nil || r.ended() != nil }) && err == nil {
			return nil
		}
		return errors.Join(errors.New("it does not serve"), r.ended(), err)
	}
	c.run = func(ctx context.Context) (measure, error) {
		start := time.Now()
		err := read(ctx)
		return measure{values: []float64{float64(size) / 1e6 / time.Since(start).Seconds()}}, err
	}
	return c
}

// writerOnly hides what else a writer can do, so that the buffer of a copy is used.
type writerOnly struct{ io.Writer }
