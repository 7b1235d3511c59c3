package oci

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"golang.org/x/sys/unix"

	"carrel/internal/download"
)

// Sentinels for what callers branch on.
var (
	ErrReference    = errors.New("not an image reference")
	ErrNotFound     = errors.New("image not found")
	ErrUnauthorized = errors.New("access denied")
	ErrRateLimited  = errors.New("too many requests")
	ErrUnreachable  = errors.New("registry not reachable")
	// ErrTLS: the connection cannot be encrypted so that one knows who answers.
	ErrTLS = errors.New("no trustworthy connection")
	// ErrServer: the registry answers, but not as one should.
	ErrServer     = errors.New("the registry does not work as it should")
	ErrNoPlatform = errors.New("image not available for this platform")
	// ErrSchema1: the image is in the form of before 2016, Docker's manifest of version 2, schema 1.
	ErrSchema1 = errors.New("an image in a form of before 2016 (Docker's schema 1), which is not read any more")
	// ErrCorrupt: an image contradicts itself: wrong digests or sizes, entries that are not allowed.
	ErrCorrupt = errors.New("damaged or hostile image")
	// ErrLimit: an image has more entries or bytes than Options.Limits allow.
	ErrLimit = errors.New("image exceeds the limit")
	// ErrIsSIF: the reference is of a SIF file that the registry keeps, not of a container image.
	ErrIsSIF = errors.New("a SIF file, not a container image")
	// ErrNotSIF: the reference is of a container image, or of something else, not of a SIF file.
	ErrNotSIF = errors.New("not a SIF file")
)

// Error is what went wrong with an image as a whole.
type Error struct {
	Op  string // "pull", "open"
	Ref string
	Err error // wraps one of the sentinels where one fits
}

func (e *Error) Error() string { return fmt.Sprintf("%s %s: %v", e.Op, e.Ref, e.Err) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Hint says what a person can do about it, or nothing.
func (e *Error) Hint() string {
	dns, isDNS := errors.AsType[*net.DNSError](e.Err)
	_, isRefused := errors.AsType[*refusedError](e.Err)
	trouble, isTrouble := errors.AsType[*CredentialsError](e.Err)
	switch {
	case errors.Is(e.Err, ErrReference):
		return "write docker://NAME:TAG, oras://NAME:TAG, oci:FOLDER, oci-archive:FILE or docker-archive:FILE"
	case errors.Is(e.Err, ErrNotFound):
		return "check the name and the tag; a tag may have been removed by its owner"
	case isTrouble:
		return trouble.Hint()
	case isRefused:
		return "check both; many registries want a token, made on their web page, instead of the password"
	case errors.Is(e.Err, errRegistry):
		return "write it as in references: docker.io, ghcr.io, lab.example.org:5000"
	case errors.Is(e.Err, ErrUnauthorized) && e.Op == "push":
		return "pushing needs an account with the right to write there: carrel login " + registryOf(e.Ref)
	case errors.Is(e.Err, ErrUnauthorized):
		return "the image is private or does not exist under this name; check the name, or log in: carrel login " + registryOf(e.Ref)
	case errors.Is(e.Err, ErrRateLimited):
		return "the registry limits how much may be pulled without an account: wait, log in (carrel login " + registryOf(e.Ref) + "), or name a mirror in the settings"
	case errors.Is(e.Err, ErrTLS):
		return "if it is a registry of your own that speaks HTTP or has a certificate of its own, list it in the settings: insecure_registries = " + registryOf(e.Ref)
	case isDNS && dns.IsNotFound:
		return "there is no computer of the name " + dns.Name + ": check how it is written, and the network"
	case errors.Is(e.Err, ErrUnreachable):
		return "check the network, the proxy settings and the registry's name"
	case errors.Is(e.Err, ErrServer):
		return "try again later; if it stays like this, tell those who run the registry"
	case errors.Is(e.Err, ErrNoPlatform):
		return "choose another platform (--platform OS/PROCESSOR) or another tag"
	case errors.Is(e.Err, ErrSchema1):
		return "take a newer tag; or, where an old Docker has it: docker save -o image.tar NAME, and build from docker-archive:image.tar"
	case errors.Is(e.Err, ErrIsSIF):
		return "write oras:// instead of docker://"
	case errors.Is(e.Err, ErrNotSIF):
		return "write docker:// instead of oras://, if it is a container image"
	case errors.Is(e.Err, ErrLimit):
		return "an image that unpacks to so much, or to so many files, is most likely broken or made to do harm: ask its maker, or take another tag"
	case errors.Is(e.Err, ErrCorrupt):
		return "pull it again; if that does not help, its maker must repair it"
	}
	return ""
}

// registryOf is the registry that a reference names, as a person calls it.
func registryOf(ref string) string {
	_, rest, ok := strings.Cut(ref, "://")
	if !ok {
		rest = ref
	}
	host, _, more := strings.Cut(rest, "/")
	if e := hostOf(host); e != "" && !more && !ok {
		return e // a registry's name alone
	}
	if !more || !strings.ContainsAny(host, ".:") && host != "localhost" {
		return dockerHub[0]
	}
	return host
}

// LayerError is what went wrong within a layer.
type LayerError struct {
	Layer string // digest, or diffID where an archive knows no digest
	Entry string // name as the layer has it; empty when it is not about one entry
	Err   error
}

func (e *LayerError) Error() string {
	if e.Entry == "" {
		return fmt.Sprintf("layer %s: %v", e.Layer, e.Err)
	}
	return fmt.Sprintf("layer %s: entry %q: %v", e.Layer, e.Entry, e.Err)
}

// Unwrap returns the cause.
func (e *LayerError) Unwrap() error { return e.Err }

// classify gives a registry's or the network's error the sentinel that fits.
func classify(err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	for _, known := range []error{ErrReference, ErrNotFound, ErrUnauthorized, ErrRateLimited, ErrUnreachable, ErrTLS, ErrServer, ErrCorrupt, ErrLimit, ErrNoPlatform} {
		if errors.Is(err, known) {
			return err
		}
	}
	for _, own := range []error{unix.ENOSPC, unix.EDQUOT, unix.EROFS, unix.EIO} { // of a file here, not of the registry
		if errors.Is(err, own) {
			return err
		}
	}
	if e, ok := errors.AsType[*transport.Error](err); ok {
		return ofStatus(e.StatusCode, errors.New(explain(e)))
	}
	if e, ok := errors.AsType[*download.StatusError](err); ok {
		return ofStatus(e.Status, err)
	}
	text := err.Error()
	switch {
	case errors.Is(err, download.ErrDigest), errors.Is(err, download.ErrSize), strings.Contains(text, "error verifying"):
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	case download.IsTLS(err):
		return fmt.Errorf("%w (%w)", ErrTLS, bare(err))
	case errors.Is(err, download.ErrStalled):
		return fmt.Errorf("%w: it stopped sending", ErrServer)
	case strings.Contains(text, "response headers exceeded"):
		return fmt.Errorf("%w: the header of its answer is far too large", ErrServer)
	case strings.Contains(text, "redirects"): // net/http has no sentinel for it
		return fmt.Errorf("%w: it sends us in a circle (%w)", ErrServer, bare(err))
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return fmt.Errorf("%w: the transfer was cut off (%w)", ErrServer, bare(err))
	case strings.Contains(text, "unexpected end of JSON"), strings.Contains(text, "invalid character"):
		return fmt.Errorf("%w: its answer is not that of a registry (%w)", ErrServer, bare(err))
	}
	_, isURL := errors.AsType[*url.Error](err)
	_, isNet := errors.AsType[net.Error](err)
	if isURL || isNet {
		return fmt.Errorf("%w (%w)", ErrUnreachable, bare(err))
	}
	return err
}

// Explain gives an error of the network, or of a download, the sentinel of this package that fits.
func Explain(err error) error { return classify(err) }

// bare is an error without the address and the method that net/http puts before it.
func bare(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}

func ofStatus(status int, err error) error {
	switch {
	case status == http.StatusNotFound:
		return fmt.Errorf("%w (%w)", ErrNotFound, err)
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return fmt.Errorf("%w (%w)", ErrUnauthorized, err)
	case status == http.StatusTooManyRequests:
		return fmt.Errorf("%w (%w)", ErrRateLimited, err)
	case status >= 500:
		return fmt.Errorf("%w (%w)", ErrServer, err)
	}
	return err
}

func isRefusal(err error) bool {
	return errors.Is(err, ErrUnauthorized) || errors.Is(err, ErrRateLimited)
}

// maxExplanation bounds what is repeated of a registry's own words, in bytes.
const maxExplanation = 400

// explain is what a registry says about its refusal (OCI distribution specification, "Error Codes").
func explain(e *transport.Error) string {
	var words []string
	for _, d := range e.Errors {
		text := string(d.Code)
		if d.Message != "" {
			text += ": " + d.Message
		}
		words = append(words, text)
	}
	text := strings.Join(words, "; ")
	if text == "" {
		text = http.StatusText(e.StatusCode)
	}
	if len(text) > maxExplanation {
		text = strings.ToValidUTF8(text[:maxExplanation], "") + "…"
	}
	return fmt.Sprintf("status %d, %s", e.StatusCode, text)
}
