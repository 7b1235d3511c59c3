package download

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

var (
	// ErrDigest: the bytes are not those that were announced.
	ErrDigest = errors.New("other content than announced")
	// ErrSize: there are more bytes than were announced, or than are allowed.
	ErrSize = errors.New("larger than announced")
)

// StatusError is an answer that is not the file asked for.
type StatusError struct {
	URL    string // without its query, which may hold secrets
	Status int
	Text   string // what the server says about it, shortened; may be empty
}

func (e *StatusError) Error() string {
	s := fmt.Sprintf("the server answers %d %s", e.Status, http.StatusText(e.Status))
	if e.Text != "" {
		s += ": " + e.Text
	}
	return s
}

// Source is what is to be got.
type Source struct {
	Client *http.Client // with a transport that is guarded, see Guard
	URL    string
	Header http.Header // further fields; may be nil
	Size   int64       // bytes; negative when not known
	Digest string      // SHA-256, hexadecimal; empty when not known
	// Most bounds a file of unknown size; 0 means no bound.
	Most int64
	// Validator is the server's name for the version of the file of which there is a part already, see Validator; the rest
	// is taken only of the same version (RFC 9110, section 13.1.5). Empty when not known.
	Validator string
}

// Watcher is told what happens to the file; any of its functions may be nil.
type Watcher struct {
	// Begin is called when writing begins at the file's start, the first time and whenever it has to begin again; not when
	// a file of which there is a part already is completed.
	Begin func() error
	// Answered is called with the header of every answer that begins with the file's start, before Begin.
	Answered func(http.Header)
	// Wrote is called after bytes were written to the file.
	Wrote func(b []byte)
	// Progress is called with the bytes that are there and the size, negative when not known.
	Progress func(done, total int64)
}

// Result is what was got.
type Result struct {
	Size   int64
	Digest string // SHA-256, hexadecimal
	Header http.Header
	Asked  int // requests that were made
}

// File gets a file into f. The first have bytes of f are taken for the file's first ones: they are read once and not
// asked for again; if it turns out that they were other ones the file is got anew. The transfer goes on where it was cut
// as long as attempts bring something. f is as long as the file then; after an error it holds what has come.
func File(ctx context.Context, s Source, f *os.File, have int64, l Limits, w Watcher) (Result, error) {
	t := &transfer{source: s, file: f, watcher: w, sum: sha256.New(), size: s.Size, tag: s.Validator, buffer: make([]byte, 256<<10)}
	l = l.usual()
	resumed := have > 0 && (s.Size < 0 || have <= s.Size)
	if resumed {
		n, err := io.CopyBuffer(t.sum, io.NewSectionReader(f, 0, have), t.buffer)
		if err != nil {
			return Result{}, err
		}
		t.at, t.begun = n, true // who follows the file begins only with bytes that came now
	}
	pause, stalls := l.Backoff, 0
	for attempt := 1; ; attempt++ {
		before := t.at
		err := t.once(ctx)
		if err == nil {
			err = t.compare()
		}
		switch {
		case err == nil:
			return Result{t.at, hex.EncodeToString(t.sum.Sum(nil)), t.header, t.asked}, nil
		case ctx.Err() != nil:
			return Result{}, context.Cause(ctx)
		case errors.Is(err, ErrDigest) && resumed:
			resumed = false
			if err := t.restart(); err != nil {
				return Result{}, err
			}
			continue
		case !Temporary(err) || t.refused:
			return Result{}, err
		case errors.Is(err, ErrStalled) && t.at == before:
			if stalls++; stalls > 1 { // patience has been shown
				return Result{}, err
			}
		}
		if t.at-before >= 1<<20 { // it goes on, if badly
			attempt, pause = 0, l.Backoff
		}
		if attempt >= l.Attempts {
			return Result{}, err
		}
		if err := Sleep(ctx, pause); err != nil {
			return Result{}, err
		}
		pause *= 2
	}
}

type transfer struct {
	source  Source
	file    *os.File
	watcher Watcher
	sum     hash.Hash
	at      int64 // bytes in the file
	size    int64 // of the whole; negative when not known
	begun   bool
	tag     string // the server's name for this version of the file
	header  http.Header
	asked   int
	refused bool // by an answer, or because there was none, where Guard has asked as often as makes sense
	buffer  []byte
}

// restart throws away what there is.
func (t *transfer) restart() error {
	t.at, t.begun = 0, false
	t.sum.Reset()
	return t.file.Truncate(0)
}

// once makes one request for what is missing.
func (t *transfer) once(ctx context.Context) error {
	if t.size >= 0 && t.at == t.size && t.at > 0 {
		return nil
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.source.URL, nil)
	if err != nil {
		return err
	}
	for name, values := range t.source.Header {
		req.Header[name] = values
	}
	if t.at > 0 {
		last := ""
		if t.size >= 0 {
			last = strconv.FormatInt(t.size-1, 10)
		}
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-%s", t.at, last))
		if t.tag != "" {
			req.Header.Set("If-Range", t.tag)
		}
	}
	t.asked++
	res, err := t.source.Client.Do(req)
	if err != nil {
		t.refused = !errors.Is(err, ErrStalled)
		return err
	}
	defer res.Body.Close()
	switch {
	case res.StatusCode == http.StatusOK:
		if t.at > 0 { // it does not know ranges, or the file is another one now
			if err := t.restart(); err != nil {
				return err
			}
		}
	case res.StatusCode == http.StatusPartialContent && t.at > 0:
		if from, ok := rangeStart(res.Header.Get("Content-Range")); !ok || from != t.at {
			return fmt.Errorf("asked for bytes from %d the server sends %q", t.at, res.Header.Get("Content-Range"))
		}
	case res.StatusCode == http.StatusRequestedRangeNotSatisfiable && t.at > 0:
		if err := t.restart(); err != nil {
			return err
		}
		return io.ErrUnexpectedEOF
	default:
		t.refused = true
		return Status(res)
	}
	return t.receive(res)
}

func (t *transfer) receive(res *http.Response) error {
	t.header = res.Header
	if t.source.Digest == "" {
		t.tag = Validator(res.Header)
	}
	if t.at == 0 && t.watcher.Answered != nil {
		t.watcher.Answered(res.Header)
	}
	if t.size < 0 && res.ContentLength >= 0 {
		t.size = t.at + res.ContentLength
	}
	most := t.size
	if most < 0 {
		most = t.source.Most
	}
	if t.source.Most > 0 && most > t.source.Most {
		return fmt.Errorf("%w: %d bytes, of %d allowed", ErrSize, most, t.source.Most)
	}
	if !t.begun {
		t.begun = true
		if t.watcher.Begin != nil {
			if err := t.watcher.Begin(); err != nil {
				return err
			}
		}
	}
	for {
		n, err := res.Body.Read(t.buffer)
		if n > 0 {
			b := t.buffer[:n]
			if most > 0 && t.at+int64(n) > most || t.size == 0 {
				return fmt.Errorf("%w: more than %d bytes", ErrSize, most)
			}
			if _, err := t.file.WriteAt(b, t.at); err != nil {
				return &writeError{err}
			}
			t.sum.Write(b)
			t.at += int64(n)
			if t.watcher.Wrote != nil {
				t.watcher.Wrote(b)
			}
			if t.watcher.Progress != nil {
				t.watcher.Progress(t.at, t.size)
			}
		}
		switch {
		case err == io.EOF && t.size >= 0 && t.at < t.size:
			return io.ErrUnexpectedEOF
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
	}
}

func (t *transfer) compare() error {
	if got := hex.EncodeToString(t.sum.Sum(nil)); t.source.Digest != "" && got != t.source.Digest {
		return fmt.Errorf("%w: digest is sha256:%s, not sha256:%s", ErrDigest, got, t.source.Digest)
	}
	return nil
}

// Validator is what an answer says of the version of the file that it holds, so that the rest can be asked of the same: a strong
// entity tag, or a date of change that was past for sure when the answer was made (RFC 9110, sections 8.8.2.2 and 13.1.5). It is
// empty when there is none.
func Validator(h http.Header) string {
	if tag := h.Get("ETag"); tag != "" && !strings.HasPrefix(tag, "W/") {
		return tag
	}
	changed, err := http.ParseTime(h.Get("Last-Modified"))
	if err != nil {
		return ""
	}
	sent, err := http.ParseTime(h.Get("Date"))
	if err != nil || sent.Sub(changed) < time.Second {
		return ""
	}
	return h.Get("Last-Modified")
}

// rangeStart is the first byte's number in a Content-Range field, "bytes 5-9/10".
func rangeStart(field string) (int64, bool) {
	text, ok := strings.CutPrefix(field, "bytes ")
	first, _, ok2 := strings.Cut(text, "-")
	n, err := strconv.ParseInt(first, 10, 64)
	return n, ok && ok2 && err == nil
}

// maxText is how much of a server's explanation is kept, in bytes.
const maxText = 300

// Status is the error for an answer that is not what was asked for, with what it says for itself.
func Status(res *http.Response) error {
	b, _ := io.ReadAll(io.LimitReader(res.Body, maxText)) // an explanation that is cut explains less
	u := *res.Request.URL
	u.RawQuery, u.User = "", nil
	e := &StatusError{URL: u.String(), Status: res.StatusCode}
	if kind := res.Header.Get("Content-Type"); !strings.Contains(kind, "html") && !strings.Contains(kind, "xml") {
		e.Text = strings.Join(strings.Fields(strings.ToValidUTF8(string(b), "?")), " ")
	}
	return e
}

// writeError is trouble with the own disk, for which no server can do anything.
type writeError struct{ err error }

func (e *writeError) Error() string { return e.err.Error() }
func (e *writeError) Unwrap() error { return e.err }

// Temporary tells whether an error may be gone when the same is tried again: cut and standing connections, refusals of
// the moment; not names that do not exist, certificates, or answers about the thing itself.
func Temporary(err error) bool {
	if status, ok := errors.AsType[*StatusError](err); ok {
		return again(status.Status)
	}
	if _, own := errors.AsType[*writeError](err); own || errors.Is(err, ErrDigest) || errors.Is(err, ErrSize) ||
		errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		return dns.IsTemporary
	}
	if IsTLS(err) || strings.Contains(err.Error(), "response headers exceeded") || strings.Contains(err.Error(), "redirects") {
		return false
	}
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || errors.Is(err, ErrStalled) {
		return true
	}
	if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ENETUNREACH) || errors.Is(err, syscall.EHOSTUNREACH) {
		return false // nobody is there, and will not be in a second
	}
	_, isNet := errors.AsType[net.Error](err)
	return isNet
}

// IsTLS tells whether an error is about the encryption of a connection: its certificate, or that there is none.
func IsTLS(err error) bool {
	_, certificate := errors.AsType[*tls.CertificateVerificationError](err)
	_, record := errors.AsType[tls.RecordHeaderError](err)
	_, alert := errors.AsType[tls.AlertError](err)
	_, authority := errors.AsType[x509.UnknownAuthorityError](err)
	_, host := errors.AsType[x509.HostnameError](err)
	_, invalid := errors.AsType[x509.CertificateInvalidError](err)
	return certificate || record || alert || authority || host || invalid || strings.Contains(err.Error(), "server gave HTTP response to HTTPS client")
}
