package build

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"carrel/engine/definition"
	"carrel/engine/oci"
	"carrel/engine/progress"
)

// StatusError is an answer of a server that is not the file asked for.
type StatusError struct {
	URL    string
	Status int
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("fetch %s: the server answers %d %s", e.URL, e.Status, http.StatusText(e.Status))
}

// Hint says what to do about it.
func (e *StatusError) Hint() string {
	switch e.Status {
	case http.StatusNotFound, http.StatusGone:
		return "check the address: there is no such file"
	case http.StatusUnauthorized, http.StatusForbidden:
		return "the file is not public: download it with a browser, and build from the file"
	}
	return "try again later"
}

// usualDockerHost is where Docker's daemon listens unless said otherwise.
const usualDockerHost = "unix:///var/run/docker.sock"

// DaemonError is a Docker daemon that cannot be asked.
type DaemonError struct {
	Host string
	Err  error
}

func (e *DaemonError) Error() string {
	return fmt.Sprintf("ask the Docker daemon at %s: %v", e.Host, e.Err)
}
func (e *DaemonError) Unwrap() error { return e.Err }

// Hint says what to do about it.
func (e *DaemonError) Hint() string {
	return "the variable DOCKER_HOST says where it listens, if not there; or, where Docker runs: docker save -o image.tar NAME, and build from docker-archive:image.tar"
}

// fetchDaemon gets an image out of Docker's daemon on this computer, as docker save does (Docker Engine API, ImageGet).
func (b *builder) fetchDaemon(ctx context.Context, def *definition.Stage) (base, error) {
	from := strings.TrimPrefix(def.Header.Get("From"), "//")
	host := cmp.Or(b.spec.DockerHost, usualDockerHost)
	network, address, _ := strings.Cut(host, "://")
	if network != "unix" && network != "tcp" {
		return base{}, &DaemonError{Host: host, Err: errors.New("only addresses of the form unix://PATH and tcp://HOST:PORT can be asked")}
	}
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, strings.TrimSuffix(address, "/"))
	}}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://docker/images/"+url.PathEscape(from)+"/get", nil)
	if err != nil {
		return base{}, err
	}
	file, _, err := b.download(&http.Client{Transport: transport}, req, "docker.tar")
	var status *StatusError
	if errors.As(err, &status) && status.Status == http.StatusNotFound {
		return base{}, fmt.Errorf("image %s of the Docker daemon: %w", from, oci.ErrNotFound)
	}
	if err != nil {
		return base{}, &DaemonError{Host: host, Err: err}
	}
	m, err := oci.Open(ctx, "docker-archive:"+file, oci.Options{})
	if err != nil {
		return base{}, err
	}
	b.atEnd(func() { m.Close() })
	out := b.ociBase(m)
	out.describe, out.reference = from, "docker-daemon:"+from+"@"+m.Digest
	return out, nil
}

// download puts the answer to a request into a file of the work folder and returns the SHA-256 of its bytes.
func (b *builder) download(client *http.Client, req *http.Request, name string) (file, sum string, err error) {
	res, err := client.Do(req)
	if err != nil {
		var ue *url.Error // which names the address and a method that nobody asked for
		if errors.As(err, &ue) {
			err = ue.Err
		}
		return "", "", fmt.Errorf("fetch %s: %w", req.URL, err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return "", "", &StatusError{URL: req.URL.String(), Status: res.StatusCode}
	}
	dir, err := os.MkdirTemp(b.dir, "download-")
	if err != nil {
		return "", "", err
	}
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return "", "", err
	}
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(f, h), &amounts{r: res.Body, b: b, total: max(res.ContentLength, 0)})
	if err = errors.Join(err, f.Close()); err != nil {
		return "", "", fmt.Errorf("fetch %s: %w", req.URL, err)
	}
	if res.ContentLength >= 0 && n != res.ContentLength {
		return "", "", fmt.Errorf("fetch %s: %w after %d of %d bytes", req.URL, io.ErrUnexpectedEOF, n, res.ContentLength)
	}
	return f.Name(), hex.EncodeToString(h.Sum(nil)), nil
}

// amounts tells how far a download is.
type amounts struct {
	r           io.Reader
	b           *builder
	done, total int64
	told        time.Time
}

func (a *amounts) Read(p []byte) (int, error) {
	n, err := a.r.Read(p)
	a.done += int64(n)
	if now := time.Now(); now.Sub(a.told) > tellEvery {
		a.told = now
		a.b.sink.Amount(progress.StepFetch, a.done, a.total, "bytes", "")
	}
	return n, err
}
