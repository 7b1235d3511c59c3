package debian

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// release is the part of a Release file that is used here (repository format, "Release" files).
type release struct {
	origin, label, suite, codename string
	date, validUntil               time.Time // zero when not given
	byHash                         bool
	notAutomatic                   bool
	noSupportForAll                bool
	architectures, components      []string
	files                          map[string]indexFile // by path below the suite's folder
}

type indexFile struct {
	size   int64
	sha256 string // lower-case hexadecimal
}

// parseRelease reads a Release file. Only entries with a SHA-256 are kept: older hashes prove nothing.
func parseRelease(b []byte) (*release, error) {
	p, err := newControlReader(bytes.NewReader(b)).next()
	if err != nil {
		return nil, fmt.Errorf("parse Release: %w", err)
	}
	fields, err := parseParagraph(p)
	if err != nil {
		return nil, fmt.Errorf("parse Release: %w", err)
	}
	r := &release{
		origin:          fields.get("Origin"),
		label:           fields.get("Label"),
		suite:           fields.get("Suite"),
		codename:        fields.get("Codename"),
		byHash:          strings.EqualFold(fields.get("Acquire-By-Hash"), "yes"),
		notAutomatic:    strings.EqualFold(fields.get("NotAutomatic"), "yes"),
		noSupportForAll: strings.EqualFold(fields.get("No-Support-for-Architecture-all"), "Packages"),
		architectures:   strings.Fields(fields.get("Architectures")),
		components:      strings.Fields(fields.get("Components")),
		files:           map[string]indexFile{},
	}
	if r.date, err = releaseTime(fields.get("Date")); err != nil {
		return nil, fmt.Errorf("parse Release: Date: %w", err)
	}
	if r.validUntil, err = releaseTime(fields.get("Valid-Until")); err != nil {
		return nil, fmt.Errorf("parse Release: Valid-Until: %w", err)
	}
	for line := range strings.SplitSeq(fields.get("SHA256"), "\n") {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		if len(f) != 3 || !isSHA256(f[0]) {
			return nil, fmt.Errorf("parse Release: SHA256: not an entry: %.80q", line)
		}
		size, err := strconv.ParseInt(f[1], 10, 64)
		if err != nil || size < 0 {
			return nil, fmt.Errorf("parse Release: SHA256: not a size: %.40q", f[1])
		}
		r.files[f[2]] = indexFile{size: size, sha256: strings.ToLower(f[0])}
	}
	return r, nil
}

// releaseTime reads the date format of Release files, that of RFC 2822 in UTC; an empty text gives the zero time.
func releaseTime(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{"Mon, 2 Jan 2006 15:04:05 MST", "Mon, 2 Jan 2006 15:04:05 -0700"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("not a date: %.40q", s)
}

func isSHA256(s string) bool {
	if len(s) != 64 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if !(isDigit(c) || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F') {
			return false
		}
	}
	return true
}

// index is one Packages file as it can be downloaded.
type index struct {
	path        string // below the suite's folder
	compression string // "", "xz", "gz" or "zst"
	file        indexFile
}

// packagesIndex picks the compressed form of a component's Packages file: one that is in the cache already; otherwise on a
// fast way to the mirror the one that is quickest to decompress, on a slow one the smallest.
func (r *release) packagesIndex(component, arch string, fast bool, cached func(sha256 string) bool) (index, error) {
	base := component + "/binary-" + arch + "/Packages"
	order := []string{"xz", "zst", "gz", ""}
	if fast {
		order = []string{"zst", "gz", "xz", ""}
	}
	var found []index
	for _, c := range order {
		path := base
		if c != "" {
			path += "." + c
		}
		if f, ok := r.files[path]; ok {
			found = append(found, index{path: path, compression: c, file: f})
		}
	}
	for _, x := range found {
		if cached(x.file.sha256) {
			return x, nil
		}
	}
	if len(found) > 0 {
		return found[0], nil
	}
	if len(r.architectures) > 0 && !slices.Contains(r.architectures, arch) {
		return index{}, fmt.Errorf("suite %s has no packages for %s, only for %s", r.name(), arch, strings.Join(r.architectures, ", "))
	}
	return index{}, fmt.Errorf("suite %s has no component %s, only %s", r.name(), component, strings.Join(r.components, ", "))
}

// packagesForAll tells that the index of an architecture holds the packages for all architectures as well, as it does
// unless the Release says otherwise (repository format, "No-Support-for-Architecture-all").
func (r *release) packagesForAll() bool {
	return r.noSupportForAll || !slices.Contains(r.architectures, "all")
}

// component tells whether the suite has an index of a component for an architecture.
func (r *release) component(name, arch string) bool {
	for _, c := range []string{".xz", ".gz", ".zst", ""} {
		if _, ok := r.files[name+"/binary-"+arch+"/Packages"+c]; ok {
			return true
		}
	}
	return false
}

func (r *release) name() string {
	if r.codename != "" {
		return r.codename
	}
	return r.suite
}
