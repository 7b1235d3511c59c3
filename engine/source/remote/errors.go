package remote

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"carrel/engine/oci"
	"carrel/internal/download"
)

var (
	// ErrNoImage: what a server sent is not an image.
	ErrNoImage = errors.New("what the server sent is not an image")
	// ErrLibrary: a library cannot be asked, or does not answer as one.
	ErrLibrary = errors.New("the library does not answer")
)

// Error is what went wrong with a file that lies elsewhere.
type Error struct {
	Ref string
	Err error // wraps a sentinel of this package or of engine/oci where one fits
}

func (e *Error) Error() string { return fmt.Sprintf("pull %s: %v", e.Ref, e.Err) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Hint says what a person can do about it.
func (e *Error) Hint() string {
	library := strings.HasPrefix(e.Ref, "library:")
	status, isStatus := errors.AsType[*download.StatusError](e.Err)
	switch {
	case errors.Is(e.Err, oci.ErrReference) && library:
		return "write library://NAME:TAG or library://ENTITY/COLLECTION/NAME:TAG"
	case errors.Is(e.Err, oci.ErrReference):
		return "write docker://NAME:TAG, oras://NAME:TAG, library://ENTITY/COLLECTION/NAME:TAG or https://HOST/image.sif"
	case errors.Is(e.Err, ErrNoImage):
		return "open the address in a browser: it is perhaps a page with a link to the image, or asks to log in"
	case errors.Is(e.Err, oci.ErrNotFound) && library:
		return "check the name, the tag and the processor it is for; many images of the public library have been removed: the same software is often at docker://"
	case isStatus && status.Status == http.StatusNotFound, isStatus && status.Status == http.StatusGone:
		return "check the address: there is no such file"
	case isStatus && (status.Status == http.StatusUnauthorized || status.Status == http.StatusForbidden):
		return "the file is not public: download it with a browser, and use the file"
	case errors.Is(e.Err, ErrLibrary):
		return "check the network; another library is named in the settings: library = https://…; the same software is often at docker://"
	}
	// What registries' errors advise holds for other servers too.
	return (&oci.Error{Op: "pull", Ref: e.Ref, Err: e.Err}).Hint()
}
