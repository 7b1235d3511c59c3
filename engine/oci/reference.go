package oci

import (
	"fmt"
	"strings"
)

// Transport is where a reference points to.
type Transport string

// The transports this package reads.
const (
	Docker        Transport = "docker"         // docker://NAME[:TAG][@DIGEST], a registry
	Layout        Transport = "oci"            // oci:FOLDER[:TAG], an OCI image layout
	LayoutArchive Transport = "oci-archive"    // oci-archive:FILE[:TAG], the same in a tar file
	DockerArchive Transport = "docker-archive" // docker-archive:FILE[:NAME:TAG], what docker save writes
)

// Reference is a parsed reference.
type Reference struct {
	Transport Transport
	Name      string // of a registry image, as written
	Path      string // of the others
	Tag       string // of the others; may be empty
}

// ParseReference splits a reference at its transport. Names of registry images are checked by Open.
func ParseReference(ref string) (Reference, error) {
	bad := func(why string) (Reference, error) {
		return Reference{}, &Error{"open", ref, fmt.Errorf("%w: %s", ErrReference, why)}
	}
	scheme, rest, ok := strings.Cut(ref, ":")
	if !ok {
		return bad("it names no transport")
	}
	r := Reference{Transport: Transport(scheme)}
	switch r.Transport {
	case Docker:
		name := strings.TrimPrefix(rest, "//")
		if name == "" {
			return bad("no name")
		}
		r.Name = name
		return r, nil
	case Layout, LayoutArchive, DockerArchive:
		rest = strings.TrimPrefix(rest, "//")
		r.Path, r.Tag, _ = strings.Cut(rest, ":")
		if r.Path == "" {
			return bad("no path")
		}
		return r, nil
	}
	return bad(fmt.Sprintf("transport %q is unknown", scheme))
}

func (r Reference) String() string {
	if r.Transport == Docker {
		return "docker://" + r.Name
	}
	s := string(r.Transport) + ":" + r.Path
	if r.Tag != "" {
		s += ":" + r.Tag
	}
	return s
}
