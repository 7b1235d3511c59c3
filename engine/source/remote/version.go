package remote

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"os"

	"carrel/internal/atomicfile"
)

// errSame: the server has no other version than the cache.
var errSame = errors.New("the version in the cache")

// version is what a server without digests said of a file when it was last got, so that the same need not be got again (RFC
// 9110, section 13: conditional requests).
type version struct {
	ETag     string `json:"etag,omitempty"`
	Modified string `json:"modified,omitempty"` // Last-Modified, as it was sent
	Digest   string `json:"digest,omitempty"`   // of the last complete file, sha256:…
	Size     int64  `json:"size,omitempty"`
	// Begun is the validator of a file of which there is only a part, see download.Validator.
	Begun string `json:"begun,omitempty"`
}

// versionKey is how the cache calls an address. Addresses may hold secrets.
func (f *File) versionKey() string {
	sum := sha256.Sum256([]byte(f.source.URL))
	return "ref-" + hex.EncodeToString(sum[:16])
}

func (f *File) versionPath() string { return f.place(f.versionKey()) + ".json" }

// recall is what is known of the file's address.
func (f *File) recall() (v version) {
	data, err := os.ReadFile(f.versionPath())
	if err != nil || json.Unmarshal(data, &v) != nil {
		return version{}
	}
	return v
}

// remember notes what is known; without it the file is got again, which is no harm.
func (f *File) remember(v version) {
	if data, err := json.Marshal(v); err == nil {
		_ = atomicfile.WriteFile(f.versionPath(), data, 0o600)
	}
}

// unless are the fields that ask for the file only if it is another one; nil when that cannot be asked.
func (v version) unless() http.Header {
	h := http.Header{}
	if v.ETag != "" {
		h.Set("If-None-Match", v.ETag)
	}
	if v.Modified != "" {
		h.Set("If-Modified-Since", v.Modified)
	}
	if len(h) == 0 {
		return nil
	}
	return h
}
