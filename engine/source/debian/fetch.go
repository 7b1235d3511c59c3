package debian

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"carrel/internal/atomicfile"
)

const (
	fetchAttempts = 5
	firstBackOff  = 250 * time.Millisecond
	maxBackOff    = 30 * time.Second
	// stallTimeout ends an attempt in which nothing arrives for so long.
	stallTimeout = 45 * time.Second
	// maxRelease bounds an InRelease file in bytes; Debian's are about 150 KB.
	maxRelease = 16 << 20
)

// fetcher reads files of mirrors into a cache folder:
//
//	sha256/AB/ABCD…     files by the hash the signed index gives them
//	release/HASH.json   per URL of a Release: its bytes and what to ask the mirror with next time
type fetcher struct {
	cache   string
	client  *http.Client
	backOff func(attempt int) time.Duration
	warn    func(string)
}

func newFetcher(cache string, transport http.RoundTripper, warn func(string)) *fetcher {
	return &fetcher{
		cache:  cache,
		client: &http.Client{Transport: transport},
		warn:   warn,
		backOff: func(attempt int) time.Duration {
			d := firstBackOff << attempt
			return d/2 + rand.N(d)
		},
	}
}

// blobPath is where a file with that hash is kept.
func (f *fetcher) blobPath(sha256 string) string {
	return filepath.Join(f.cache, "sha256", sha256[:2], sha256)
}

// has tells that a file of that hash is in the cache; whether it is undamaged, blob finds out.
func (f *fetcher) has(sha256 string) bool {
	_, err := os.Stat(f.blobPath(sha256))
	return err == nil
}

// blob makes sure the file of that hash and size is in the cache and returns its path. The first of the URLs that has it
// serves. Progress, which may be nil, is told the bytes that arrived since the last call, negative ones when an attempt
// is thrown away.
func (f *fetcher) blob(ctx context.Context, urls []string, want indexFile, progress func(int64)) (string, error) {
	if progress == nil {
		progress = func(int64) {}
	}
	path := f.blobPath(want.sha256)
	err := checkFile(path, want)
	var damaged *HashError
	switch {
	case err == nil:
		now := time.Now()
		_ = os.Chtimes(path, now, now) // what is used last is pruned last
		progress(want.size)
		return path, nil
	case errors.As(err, &damaged):
		f.warn(fmt.Sprintf("fetched again: the cached file is damaged: %v", err))
	case !errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("read cache: %w", err)
	}
	for _, u := range urls {
		if err = f.download(ctx, u, want, path, progress); err == nil {
			return path, nil
		}
		if !errors.Is(err, ErrNotFound) {
			break
		}
	}
	return "", err
}

// checkFile compares a file of the cache with what it should be.
func checkFile(path string, want indexFile) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	h := sha256.New()
	n, err := io.Copy(h, file)
	if err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	return compareHash(path, want, n, h)
}

func compareHash(name string, want indexFile, size int64, h hash.Hash) error {
	if size != want.size {
		return &HashError{File: name, Want: fmt.Sprintf("%d bytes", want.size), Got: fmt.Sprintf("%d bytes", size)}
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != want.sha256 {
		return &HashError{File: name, Want: "sha256 " + want.sha256, Got: "sha256 " + got}
	}
	return nil
}

// download brings one file to path, in several attempts if need be, each going on where the last one stopped. The file
// appears at path whole and checked, or not at all.
func (f *fetcher) download(ctx context.Context, rawURL string, want indexFile, path string, progress func(int64)) (err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("make cache: %w", err)
	}
	file, err := atomicfile.Create(path, 0o644)
	if err != nil {
		return fmt.Errorf("make cache: %w", err)
	}
	d := &transfer{f: f, url: rawURL, want: want, out: file.File, hash: sha256.New(), progress: progress}
	defer func() {
		if err == nil {
			err = file.CommitCached() // whoever finds the file checks it again
		}
		if err != nil {
			progress(-d.size)
			err = errors.Join(err, file.Close())
		}
	}()
	restarted := false
	for attempt := 0; ; attempt++ {
		err := d.attempt(ctx)
		var bad *HashError
		switch {
		case err == nil:
			return nil
		case errors.As(err, &bad) && !restarted:
			// A joint of two answers, or a proxy's damaged copy: once more from the beginning.
			restarted = true
			if err := d.restart(); err != nil {
				return err
			}
		case errors.As(err, &bad):
			return err
		}
		if err := f.wait(ctx, attempt, err); err != nil {
			return err
		}
	}
}

// wait sleeps before the next attempt, or returns the error that ends them.
func (f *fetcher) wait(ctx context.Context, attempt int, cause error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("fetch: %w", context.Cause(ctx))
	}
	pause := f.backOff(attempt)
	var status *StatusError
	if errors.As(cause, &status) && status.Status < 500 && status.Status != http.StatusTooManyRequests && status.Status != http.StatusRequestTimeout {
		return cause
	}
	var dns *net.DNSError
	if errors.As(cause, &dns) && dns.IsNotFound {
		return cause // no such host, and there will be none in a second
	}
	if errors.Is(cause, fs.ErrNotExist) || errors.Is(cause, fs.ErrPermission) || attempt+1 >= fetchAttempts {
		return cause
	}
	var later *retryAfter
	if errors.As(cause, &later) {
		pause = min(max(pause, later.after), maxBackOff)
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return fmt.Errorf("fetch: %w", context.Cause(ctx))
	case <-timer.C:
		return nil
	}
}

// retryAfter is a server's wish to be asked again later.
type retryAfter struct {
	error
	after time.Duration
}

func (r *retryAfter) Unwrap() error { return r.error }

// transfer is the state of one download over its attempts.
type transfer struct {
	f        *fetcher
	url      string
	want     indexFile
	out      *os.File
	hash     hash.Hash
	size     int64
	progress func(int64)
}

func (d *transfer) restart() error {
	d.progress(-d.size)
	d.size = 0
	d.hash.Reset()
	if _, err := d.out.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return d.out.Truncate(0)
}

func (d *transfer) attempt(ctx context.Context) error {
	body, offset, err := d.f.open(ctx, d.url, d.size)
	if err != nil {
		return err
	}
	defer body.Close()
	if offset != d.size {
		if err := d.restart(); err != nil {
			return err
		}
	}
	// One byte more than wanted tells a file that is too long.
	_, err = io.Copy(d, io.LimitReader(body, d.want.size-d.size+1))
	if err != nil {
		return fmt.Errorf("fetch %s: %w", d.url, err)
	}
	return compareHash(d.url, d.want, d.size, d.hash)
}

func isHTTP(u string) bool { return strings.HasPrefix(u, "http") }

func (d *transfer) Write(p []byte) (int, error) {
	n, err := d.out.Write(p)
	d.hash.Write(p[:n])
	d.size += int64(n)
	d.progress(int64(n))
	return n, err
}

// fileURL is the address of a file of an archive. A plus sign is escaped as well, as apt does, since some servers of
// object stores take it for a blank.
func fileURL(base, name string) string {
	parts := strings.Split(name, "/")
	for i, part := range parts {
		parts[i] = strings.ReplaceAll(url.PathEscape(part), "+", "%2B")
	}
	return base + "/" + strings.Join(parts, "/")
}

// open starts to read a URL, from offset if the server can; it returns the offset it reads from.
func (f *fetcher) open(ctx context.Context, rawURL string, offset int64) (io.ReadCloser, int64, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, 0, fmt.Errorf("fetch: %w", err)
	}
	if u.Scheme == "file" {
		file, err := os.Open(u.Path)
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%w: %w", ErrNotFound, err)
		}
		if err != nil {
			return nil, 0, fmt.Errorf("fetch %s: %w", rawURL, err)
		}
		return file, 0, nil
	}
	header := http.Header{}
	if offset > 0 {
		header.Set("Range", fmt.Sprintf("bytes=%d-", offset))
	}
	res, err := f.get(ctx, rawURL, header)
	if err != nil {
		return nil, 0, err
	}
	switch {
	case res.StatusCode == http.StatusPartialContent && offset > 0:
		var first int64
		if _, err := fmt.Sscanf(res.Header.Get("Content-Range"), "bytes %d-", &first); err == nil && first == offset {
			return res.Body, offset, nil
		}
		res.Body.Close()
		return nil, 0, fmt.Errorf("fetch %s: the server sent another range than asked for", rawURL)
	case res.StatusCode == http.StatusOK:
		return res.Body, 0, nil
	}
	res.Body.Close()
	return nil, 0, statusError(rawURL, res)
}

func statusError(rawURL string, res *http.Response) error {
	err := error(&StatusError{URL: rawURL, Status: res.StatusCode})
	if seconds, e := strconv.Atoi(res.Header.Get("Retry-After")); e == nil && seconds > 0 {
		err = &retryAfter{error: err, after: time.Duration(seconds) * time.Second}
	}
	return err
}

// get makes one request whose body ends with an error when nothing arrives for stallTimeout.
func (f *fetcher) get(ctx context.Context, rawURL string, header http.Header) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	watch := time.AfterFunc(stallTimeout, func() {
		cancel(fmt.Errorf("nothing arrived for %s", stallTimeout))
	})
	end := func() { watch.Stop(); cancel(nil) }
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, rawURL, nil)
	if err != nil {
		end()
		return nil, fmt.Errorf("fetch: %w", err)
	}
	for name, values := range header {
		req.Header[name] = values
	}
	// A body in a content coding would not be the file the index describes.
	req.Header.Set("Accept-Encoding", "identity")
	res, err := f.client.Do(req)
	if err != nil {
		end()
		return nil, fmt.Errorf("fetch: %w", err)
	}
	res.Body = &watchedBody{ReadCloser: res.Body, watch: watch, end: end, ctx: ctx}
	return res, nil
}

type watchedBody struct {
	io.ReadCloser
	watch *time.Timer
	end   func()
	ctx   context.Context
}

func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if n > 0 {
		b.watch.Reset(stallTimeout)
	}
	if err != nil && err != io.EOF && b.ctx.Err() != nil {
		err = context.Cause(b.ctx)
	}
	return n, err
}

func (b *watchedBody) Close() error {
	b.end()
	return b.ReadCloser.Close()
}

// kept is a Release as the cache keeps it.
type kept struct {
	URL          string
	ETag         string `json:",omitempty"`
	LastModified string `json:",omitempty"`
	Body         []byte
	Detached     []byte `json:",omitempty"` // Release.gpg, when Body is a Release
}

func (f *fetcher) keptPath(rawURL string) string {
	sum := sha256.Sum256([]byte(rawURL))
	return filepath.Join(f.cache, "release", hex.EncodeToString(sum[:])+".json")
}

func (f *fetcher) readKept(rawURL string) (*kept, error) {
	b, err := os.ReadFile(f.keptPath(rawURL))
	if err != nil {
		return nil, err
	}
	k := &kept{}
	if err := json.Unmarshal(b, k); err != nil || k.URL != rawURL {
		return nil, fmt.Errorf("read kept index of %s: %w", rawURL, cmpErr(err, fs.ErrInvalid))
	}
	return k, nil
}

func cmpErr(err, otherwise error) error {
	if err != nil {
		return err
	}
	return otherwise
}

// keep writes what a mirror answered, so that the next question can be conditional and the next time may be offline.
func (f *fetcher) keep(k *kept) error {
	b, err := json.Marshal(k)
	if err != nil {
		return err
	}
	path := f.keptPath(k.URL)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("make cache: %w", err)
	}
	file, err := atomicfile.Create(path, 0o644)
	if err != nil {
		return fmt.Errorf("keep index: %w", err)
	}
	if _, err := file.Write(b); err != nil {
		return errors.Join(fmt.Errorf("keep index: %w", err), file.Close())
	}
	return file.CommitCached()
}

// small reads a file of bounded size whose hash nobody knows yet, asking only for a newer one than old when there is an
// old one; it returns old itself when the mirror has no newer.
func (f *fetcher) small(ctx context.Context, rawURL string, old *kept) (*kept, error) {
	for attempt := 0; ; attempt++ {
		k, err := f.smallOnce(ctx, rawURL, old)
		if err == nil {
			return k, nil
		}
		var status *StatusError
		if old != nil && !errors.As(err, &status) && ctx.Err() == nil {
			return nil, err // offline: what is kept serves, no need to insist
		}
		if err := f.wait(ctx, attempt, err); err != nil {
			return nil, err
		}
	}
}

func (f *fetcher) smallOnce(ctx context.Context, rawURL string, old *kept) (*kept, error) {
	k := &kept{URL: rawURL}
	var body io.ReadCloser
	if isHTTP(rawURL) {
		header := http.Header{}
		if old != nil && old.ETag != "" {
			header.Set("If-None-Match", old.ETag)
		}
		if old != nil && old.LastModified != "" {
			header.Set("If-Modified-Since", old.LastModified)
		}
		res, err := f.get(ctx, rawURL, header)
		if err != nil {
			return nil, err
		}
		defer res.Body.Close()
		if res.StatusCode == http.StatusNotModified && old != nil {
			return old, nil
		}
		if res.StatusCode != http.StatusOK {
			return nil, statusError(rawURL, res)
		}
		k.ETag, k.LastModified, body = res.Header.Get("ETag"), res.Header.Get("Last-Modified"), res.Body
	} else {
		file, _, err := f.open(ctx, rawURL, 0)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		body = file
	}
	b, err := io.ReadAll(io.LimitReader(body, maxRelease+1))
	if err != nil {
		return nil, fmt.Errorf("fetch %s: %w", rawURL, err)
	}
	if len(b) > maxRelease {
		return nil, fmt.Errorf("fetch %s: longer than %d bytes", rawURL, maxRelease)
	}
	k.Body = b
	return k, nil
}
