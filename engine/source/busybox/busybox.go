// Package busybox makes the smallest base there is: busybox, and a name for each of its programs; as Bootstrap: busybox of
// Singularity and Apptainer does (internal/pkg/build/sources/conveyorPacker_busybox.go there). Unlike those it also takes
// the busybox of this computer when the header names no MirrorURL.
package busybox

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
)

// NotStaticError is a program that cannot run in an empty root.
type NotStaticError struct{ Path string }

func (e *NotStaticError) Error() string {
	return e.Path + ": it needs libraries, which an empty base does not have"
}

// Hint says how to get another.
func (e *NotStaticError) Hint() string {
	return "install the static one (Debian, Ubuntu: apt-get install busybox-static), or name one with MirrorURL"
}

// MissingError: this computer has no busybox, and the header names none.
type MissingError struct{}

func (*MissingError) Error() string {
	return "Bootstrap: busybox without MirrorURL needs busybox on this computer, which it does not have"
}

// Hint says how to get one.
func (*MissingError) Hint() string {
	return "install it (Debian, Ubuntu: apt-get install busybox-static), write MirrorURL: with the address of a static busybox, or use Bootstrap: docker, From: busybox"
}

// Check tells whether the bytes of a program can be the base: a static one, for some Linux.
func Check(path string, program []byte) error {
	f, err := elf.NewFile(bytes.NewReader(program))
	if err != nil {
		return fmt.Errorf("%s: this is no program: %w", path, err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return &NotStaticError{path}
		}
	}
	return nil
}

// files are what a root needs besides.
var files = map[string]string{
	"etc/passwd": "root:!:0:0:root:/root:/bin/sh\n",
	"etc/group":  "root:x:0:\n",
	"etc/hosts":  "127.0.0.1   localhost localhost.localdomain localhost4 localhost4.localdomain4\n",
}

// Install fills a root with the program; its names are made by Names.
func Install(root string, program io.Reader) error {
	r, err := os.OpenRoot(root)
	if err != nil {
		return err
	}
	defer r.Close()
	for _, d := range []string{"bin", "sbin", "usr/bin", "usr/sbin", "etc", "root", "tmp", "var/tmp", "proc", "sys", "dev"} {
		if err := r.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	if err := errors.Join(r.Chmod("tmp", 0o777|os.ModeSticky), r.Chmod("var/tmp", 0o777|os.ModeSticky), r.Chmod("root", 0o700)); err != nil {
		return err
	}
	for name, text := range files {
		if err := r.WriteFile(name, []byte(text), 0o644); err != nil {
			return err
		}
	}
	f, err := r.OpenFile("bin/busybox", os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, program)
	return errors.Join(err, f.Chmod(0o755), f.Close())
}

// Names is the command, to be run in the root, that makes a link for each program of busybox.
func Names() []string { return []string{"/bin/busybox", "--install", "-s", "/bin"} }
