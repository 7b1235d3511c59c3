package sif

import (
	"errors"
	"fmt"
)

// Sentinels for what callers branch on; the errors returned wrap them with the file's name and the reason.
var (
	// ErrNotSIF: the file has no SIF header.
	ErrNotSIF = errors.New("not a SIF image")
	// ErrTruncated: the file is shorter than its own descriptors say.
	ErrTruncated = errors.New("the image is cut short")
	// ErrCorrupt: header, descriptors or content contradict themselves.
	ErrCorrupt = errors.New("the image is damaged")
	// ErrEncrypted: the system partition is encrypted.
	ErrEncrypted = errors.New("the image is encrypted")
	// ErrOCISIF: the file is an OCI image in SIF form, which has no system partition.
	ErrOCISIF = errors.New("the image is an OCI-SIF")
	// ErrNoSystem: the file is a SIF without a system partition, such as one that holds only data.
	ErrNoSystem = errors.New("the image has no system partition")
	// ErrWrongArch: the image is for another processor.
	ErrWrongArch = errors.New("the image is for another processor")
	// ErrLocked: another program is changing the image.
	ErrLocked = errors.New("the image is being changed by another program")
	// ErrFull: the descriptor table has no free place.
	ErrFull = errors.New("the image has no room for another partition")
	// ErrNoOverlay: the image has no overlay partition that could be removed.
	ErrNoOverlay = errors.New("the image has no overlay to remove")
	// ErrSigned: the change would make the image's signature invalid.
	ErrSigned = errors.New("the image is signed")
)

var hints = map[error]string{
	ErrNotSIF:    "only SIF files consist of parts with digests: carrel build new.sif FILE makes one of any image",
	ErrTruncated: "the file was copied or downloaded only in part: fetch it again",
	ErrCorrupt:   "the file was altered or damaged after it was written: fetch or build it again",
	ErrEncrypted: "encrypted images can be run by Apptainer with --pem-path or --passphrase; ask the sender for a plain one",
	ErrOCISIF:    "it was made with SingularityCE's --oci mode; ask the sender for a native SIF, or pull the image from its registry",
	ErrNoSystem:  "it holds data but nothing that could be run: ask its sender for the image that goes with it, or build one from its definition file",
	ErrLocked:    "wait until that program has ended, then try again",
	ErrFull:      "merge its overlays into one, or build a new image from it",
	ErrOtherKey:  "ask who made the image for the public key, and compare its fingerprint with what that person says",
	ErrNoKey:     "give a public key in PEM, or of PGP: gpg --export --armor NAME, apptainer key export FILE",
	ErrSigned:    "make a copy and remove its signature first, or keep the changes in an overlay beside it",
}

// Error is what went wrong with an image file.
type Error struct {
	Op     string // what was attempted: "open", "append overlay to", …
	Path   string
	Err    error  // one of the sentinels of this package, or a system error
	Detail string // what exactly was found, may be empty
}

func (e *Error) Error() string {
	if e.Detail == "" {
		return fmt.Sprintf("%s %s: %v", e.Op, e.Path, e.Err)
	}
	return fmt.Sprintf("%s %s: %v: %s", e.Op, e.Path, e.Err, e.Detail)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Hint says what a person can do about it, or nothing.
func (e *Error) Hint() string {
	for sentinel, hint := range hints {
		if errors.Is(e.Err, sentinel) {
			return hint
		}
	}
	return ""
}
