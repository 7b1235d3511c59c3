package remote

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"carrel/engine/oci"
	"carrel/engine/sif"
	"carrel/internal/atomicfile"
	"carrel/internal/download"
)

// Options say how files are got.
type Options struct {
	Access oci.Access
	// Library is the address of the library for references that name none; empty for that of Sylabs.
	Library string
	// Platform is "OS/ARCH[/VARIANT]"; empty for linux on the processor this program runs on.
	Platform string
	// Net bounds the patience with servers. Transport replaces the usual HTTP transport.
	Net       download.Limits
	Transport http.RoundTripper
	// Cache keeps files, and what has come of broken downloads.
	Cache string
	// Progress is told of the bytes that are there and the size, negative when not known; it must return at once.
	Progress func(done, total int64)
}

// File is an image file that lies elsewhere.
type File struct {
	Ref    string
	Name   string // of a file, for a person
	Digest string // SHA-256 of the file, "sha256:…"; empty when it is not known before it is got
	Size   int64  // bytes; negative when not known
	// Manifest is the digest of the manifest by which a registry knows the file; empty elsewhere.
	Manifest string

	source  download.Source
	options Options
	explain func(error) error
	close   func()
}

// Is tells whether a reference is one of those that this package follows.
func Is(ref string) bool {
	for _, scheme := range []string{"oras:", "library:", "http://", "https://"} {
		if strings.HasPrefix(ref, scheme) {
			return true
		}
	}
	return false
}

// Find asks for a file by its reference. The caller closes it.
func Find(ctx context.Context, ref string, o Options) (*File, error) {
	switch {
	case strings.HasPrefix(ref, "oras:"):
		return findORAS(ctx, ref, o)
	case strings.HasPrefix(ref, "library:"):
		return findLibrary(ctx, ref, o)
	case Is(ref):
		return findWeb(ref, o)
	}
	return nil, &Error{Ref: ref, Err: oci.ErrReference}
}

func findORAS(ctx context.Context, ref string, o Options) (*File, error) {
	s, err := oci.OpenSIF(ctx, ref, oci.Options{Access: o.Access, Net: o.Net, Transport: o.Transport, Platform: o.Platform})
	if err != nil {
		return nil, err
	}
	return &File{
		Ref: ref, Name: s.Title, Digest: s.Digest, Size: s.Size, Manifest: s.Manifest,
		source: s.Source(), options: o, explain: s.Failed, close: s.Close,
	}, nil
}

// Close ends the connection.
func (f *File) Close() { f.close() }

// client is an HTTP client with bounded patience, and what ends its connections.
func (o *Options) client() (*http.Client, func()) {
	if o.Transport != nil {
		return &http.Client{Transport: download.Guard(o.Transport, o.Net)}, func() {}
	}
	t, end := o.Access.NewTransport(o.Net)
	return &http.Client{Transport: download.Guard(t, o.Net)}, end
}

// Cached gets the file into the cache, unless it is there, and returns its path, which is not to be changed.
func (f *File) Cached(ctx context.Context) (string, error) {
	if f.Digest != "" {
		path := f.place(f.Digest)
		if verify(ctx, path, f.Digest) == nil {
			f.used(path)
			return path, nil
		}
	}
	p, err := f.get(ctx)
	if errors.Is(err, errSame) {
		path := f.place(f.Digest)
		f.used(path)
		return path, nil
	}
	if err != nil {
		return "", err
	}
	defer p.Close()
	path := f.place(f.Digest)
	return path, p.Rename(path)
}

// To gets the file to a path. What is there is replaced only by the complete file; mode 0755, as an image's.
func (f *File) To(ctx context.Context, target string) error {
	p, err := f.get(ctx)
	if errors.Is(err, errSame) {
		kept, err := os.Open(f.place(f.Digest))
		if err != nil {
			return err
		}
		defer kept.Close()
		f.used(kept.Name())
		return copyTo(target, kept, f.Size)
	}
	if err != nil {
		return err
	}
	defer p.Close()
	if err := p.Chmod(0o755); err != nil {
		return err
	}
	if err := p.Sync(); err != nil {
		return fmt.Errorf("write %s: %w", target, err)
	}
	err = p.Rename(target)
	if !errors.Is(err, unix.EXDEV) {
		return err
	}
	// The cache is on another file system: the complete file is copied.
	if err := copyTo(target, p, f.Size); err != nil {
		return err
	}
	p.Discard()
	return nil
}

func copyTo(target string, from io.ReaderAt, size int64) error {
	a, err := atomicfile.Create(target, 0o755)
	if err != nil {
		return err
	}
	defer a.Close()
	if _, err := io.Copy(a.File, io.NewSectionReader(from, 0, size)); err != nil {
		return fmt.Errorf("write %s: %w", target, err)
	}
	return a.Commit()
}

// used notes that a file of the cache was used: what is used last is pruned last.
func (f *File) used(path string) {
	now := time.Now()
	_ = os.Chtimes(path, now, now)
	f.tell(f.Size, f.Size)
}

// place is where the cache keeps a file.
func (f *File) place(digest string) string {
	return filepath.Join(f.options.Cache, "sif", strings.TrimPrefix(digest, "sha256:")+".sif")
}

// get downloads the file, and makes sure that it is an image. It is errSame when the cache has what the server has.
func (f *File) get(ctx context.Context) (*download.Partial, error) {
	key := f.Digest
	if key == "" {
		key = f.versionKey()
	}
	path := f.place(key)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	p, err := download.Begin(path)
	if err != nil {
		return nil, err
	}
	have, watcher := p.Have, download.Watcher{Progress: f.tell}
	known := version{}
	if f.Digest == "" { // nothing but the server's own names of versions tells what belongs together
		known = f.recall()
		if f.source.Validator = known.Begun; f.source.Validator == "" {
			have = 0
		}
		if have == 0 {
			if err := p.Truncate(0); err != nil {
				p.Close()
				return nil, err
			}
			if known.Digest != "" && verify(ctx, f.place(known.Digest), known.Digest) == nil {
				f.source.Header = known.unless()
			}
		}
		watcher.Answered = func(h http.Header) {
			known.ETag, known.Modified, known.Begun = h.Get("ETag"), h.Get("Last-Modified"), download.Validator(h)
			known.Digest = "" // of another version, perhaps
			if p.Stays() {
				f.remember(known)
			}
		}
	}
	res, err := download.File(ctx, f.source, p.File, have, f.options.Net, watcher)
	if err != nil {
		status, isStatus := errors.AsType[*download.StatusError](err)
		if isStatus && status.Status == http.StatusNotModified && f.source.Header != nil {
			p.Discard()
			p.Close()
			f.Digest, f.Size = known.Digest, known.Size
			return nil, errSame
		}
		if errors.Is(err, download.ErrDigest) || errors.Is(err, download.ErrSize) || f.Digest == "" && known.Begun == "" {
			p.Discard()
		}
		p.Close()
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, f.explain(err)
	}
	f.Digest, f.Size = "sha256:"+res.Digest, res.Size
	if watcher.Answered != nil && p.Stays() {
		known.Digest, known.Size, known.Begun = f.Digest, f.Size, ""
		f.remember(known)
	}
	if err := f.check(p); err != nil {
		p.Discard()
		p.Close()
		return nil, err
	}
	return p, nil
}

// check looks whether what came is an image: servers like to answer with a page.
func (f *File) check(p *download.Partial) error {
	kind, _, err := sif.Detect(fmt.Sprintf("/proc/self/fd/%d", p.Fd()))
	if err != nil {
		return err
	}
	switch kind {
	case sif.KindSIF, sif.KindSquashFS, sif.KindExt3:
		return nil
	}
	return &Error{Ref: f.Ref, Err: ErrNoImage}
}

func (f *File) tell(done, total int64) {
	if f.options.Progress != nil {
		f.options.Progress(done, total)
	}
}

// verify compares a file of the cache with its digest.
func verify(ctx context.Context, path, digest string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	for buffer := make([]byte, 1<<20); ; {
		n, err := f.Read(buffer)
		h.Write(buffer[:n])
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err == io.EOF:
			if "sha256:"+hex.EncodeToString(h.Sum(nil)) != digest {
				return fs.ErrInvalid
			}
			return nil
		case err != nil:
			return err
		}
	}
}
