package debian

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// ErrNotFound is what a mirror answers for a file it does not have.
var ErrNotFound = errors.New("not found on the mirror")

// Reasons a Release's signature is refused; SignatureError wraps one of them.
var (
	ErrUnsigned         = errors.New("not signed")
	ErrNoKey            = errors.New("signed by a key that is in none of the keyrings")
	ErrBadSignature     = errors.New("signature does not match")
	ErrKeyExpired       = errors.New("signing key has expired")
	ErrKeyRevoked       = errors.New("signing key has been revoked")
	ErrSignatureExpired = errors.New("signature has expired")
	ErrWeakSignature    = errors.New("signature uses a broken hash")
)

// SignatureError tells why the signed index of a suite is not trusted.
type SignatureError struct {
	URL    string
	Reason error    // one of the sentinels above
	Keys   []string // the ids of the keys it is signed by, 16 hexadecimal digits each
}

func (e *SignatureError) Error() string {
	s := "verify " + e.URL + ": " + e.Reason.Error()
	if len(e.Keys) > 0 {
		s += " (" + strings.Join(e.Keys, ", ") + ")"
	}
	return s
}

func (e *SignatureError) Unwrap() error { return e.Reason }

// Hint says what to do about it.
func (e *SignatureError) Hint() string {
	switch {
	case errors.Is(e.Reason, ErrNoKey):
		return "install the archive's keys on this computer (Ubuntu's, on Debian: the package ubuntu-keyring or ubuntu-archive-keyring; Debian's, elsewhere: debian-archive-keyring), or put them as a file into /etc/apt/trusted.gpg.d"
	case errors.Is(e.Reason, ErrKeyExpired), errors.Is(e.Reason, ErrSignatureExpired):
		return "check this computer's clock; releases out of support stay signed by expired keys, and are taken from the distribution's own archive of old releases, which MirrorURL names"
	case errors.Is(e.Reason, ErrUnsigned):
		return "use a mirror that is signed"
	}
	return "the mirror's index was altered or damaged on its way: try another mirror"
}

// ExpiredError tells that a Release is older than it says it may get.
type ExpiredError struct {
	URL   string
	Until time.Time
}

func (e *ExpiredError) Error() string {
	return fmt.Sprintf("verify %s: valid until %s only", e.URL, e.Until.UTC().Format(time.RFC1123))
}

// Hint says what to do about it.
func (e *ExpiredError) Hint() string {
	return "the mirror is not kept up to date, or this computer's clock is wrong; what a certain day had is in the distribution's snapshots, which MirrorURL can name"
}

// SuiteError tells that a mirror does not have the suite.
type SuiteError struct {
	Suite, Mirror string
	Err           error
}

func (e *SuiteError) Error() string {
	return fmt.Sprintf("find suite %s on %s: %v", e.Suite, e.Mirror, e.Err)
}

func (e *SuiteError) Unwrap() error { return e.Err }

// Hint says what to do about it.
func (e *SuiteError) Hint() string {
	if !errors.Is(e.Err, ErrNotFound) {
		return "check that the mirror can be reached from this machine"
	}
	if distributionOf(e.Suite) == "ubuntu" {
		return e.Suite + " is a suite of Ubuntu: leave MirrorURL out or give a mirror of Ubuntu; releases out of support are in Ubuntu's own archive of old releases"
	}
	return "check the suite's name (OSVersion); releases out of support are in Debian's own archive, which MirrorURL can name"
}

// HashError tells that a file is not the one the signed index describes.
type HashError struct {
	File      string
	Want, Got string // SHA-256 in hexadecimal, or a size in bytes with its unit
}

func (e *HashError) Error() string {
	return fmt.Sprintf("verify %s: is %s, should be %s", e.File, e.Got, e.Want)
}

// Hint says what to do about it.
func (e *HashError) Hint() string {
	return "the mirror is being updated or a proxy altered the file: try again later or with another mirror"
}

// MissingError tells that a package, or everything that would satisfy a relation, is not in the suite.
type MissingError struct {
	Wanted      string   // the package or relation
	By          string   // the package that needs it; "" when it was asked for
	Suites      []string // where it was looked for
	Suggestions []string // packages with a name like it
}

func (e *MissingError) Error() string {
	s := "resolve packages: "
	if e.By != "" {
		s += e.By + " needs " + e.Wanted + ", which"
	} else {
		s += e.Wanted
	}
	return s + " is not in " + strings.Join(e.Suites, ", ")
}

// Hint says what to do about it.
func (e *MissingError) Hint() string {
	if len(e.Suggestions) > 0 {
		return "did you mean " + strings.Join(e.Suggestions, ", ") + "?"
	}
	return "check the package's name for this suite; it may be in another component than the ones asked for"
}

// ConflictError tells that two packages cannot be installed together.
type ConflictError struct {
	Package, Field, Relation string // "exim4 Conflicts mail-transport-agent"
	With                     string // the package that stands in its way
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("resolve packages: %s %s %s, but %s is needed too", e.Package, strings.ToLower(e.Field), e.Relation, e.With)
}

// Hint says what to do about it.
func (e *ConflictError) Hint() string { return "leave one of the two out of the packages to include" }

// ArchiveError tells that a package file is damaged or hostile.
type ArchiveError struct {
	Package string
	Entry   string // the archive member or path it happened at; may be ""
	Err     error
}

func (e *ArchiveError) Error() string {
	if e.Entry == "" {
		return fmt.Sprintf("unpack %s: %v", e.Package, e.Err)
	}
	return fmt.Sprintf("unpack %s: %s: %v", e.Package, e.Entry, e.Err)
}

func (e *ArchiveError) Unwrap() error { return e.Err }

// StatusError is an answer of a mirror other than success.
type StatusError struct {
	URL    string
	Status int
}

func (e *StatusError) Error() string { return fmt.Sprintf("fetch %s: status %d", e.URL, e.Status) }

// Is makes a 404 or 410 an ErrNotFound.
func (e *StatusError) Is(target error) bool {
	return target == ErrNotFound && (e.Status == 404 || e.Status == 410)
}
