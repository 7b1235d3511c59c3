package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"runtime"
	"strings"

	"carrel/engine/oci"
	"carrel/internal/download"
)

// DefaultLibrary is the library of Sylabs.
const DefaultLibrary = "https://library.sylabs.io"

// libraryRef is a parsed reference to an image in a library.
type libraryRef struct {
	host string // empty for the configured library
	path string // "alpine", or ENTITY/COLLECTION/NAME
	tag  string // one tag, or a digest "sha256.…"
}

// parseLibrary reads library://[HOST/]PATH[:TAG]. One or three parts are a path without a host, as Singularity has it
// (scs-library-client, ParseAmbiguous); library:PATH and library:///PATH never have one.
func parseLibrary(ref string) (libraryRef, error) {
	bad := func(why string) (libraryRef, error) {
		return libraryRef{}, &Error{Ref: ref, Err: fmt.Errorf("%w: %s", oci.ErrReference, why)}
	}
	rest := strings.TrimPrefix(ref, "library:")
	hasHost := strings.HasPrefix(rest, "//") && !strings.HasPrefix(rest, "///")
	rest = strings.TrimLeft(rest, "/")
	var r libraryRef
	parts := strings.Split(rest, "/")
	if hasHost && len(parts) != 1 && len(parts) != 3 {
		r.host, parts = parts[0], parts[1:]
	}
	last := len(parts) - 1
	var tagged bool
	if parts[last], r.tag, tagged = strings.Cut(parts[last], ":"); !tagged {
		r.tag = "latest"
	}
	r.tag, _, _ = strings.Cut(r.tag, ",") // several tags are for pushing
	for _, p := range append(parts, r.tag) {
		if p == "" || p == "." || p == ".." || strings.ContainsAny(p, "?#@% \\:") {
			return bad("a part of the name is missing or not allowed")
		}
	}
	if strings.ContainsAny(r.host, "?#@% \\") {
		return bad("the host's name is not allowed")
	}
	r.path = strings.Join(parts, "/")
	return r, nil
}

// base is the address of the library, without a slash at its end.
func (r libraryRef) base(o *Options) string {
	if r.host == "" {
		if o.Library == "" {
			return DefaultLibrary
		}
		return strings.TrimSuffix(o.Library, "/")
	}
	if o.Access.IsInsecure(r.host) {
		return "http://" + r.host
	}
	return "https://" + r.host
}

// maxAnswer bounds what a library says about an image, in bytes.
const maxAnswer = 1 << 20

func findLibrary(ctx context.Context, ref string, o Options) (*File, error) {
	r, err := parseLibrary(ref)
	if err != nil {
		return nil, err
	}
	arch := runtime.GOARCH
	if parts := strings.Split(o.Platform, "/"); len(parts) > 1 {
		arch = parts[1]
	}
	client, end := o.client()
	base := r.base(&o)
	explain := func(err error) error {
		var status *download.StatusError
		err = oci.Explain(err)
		switch {
		case errors.As(err, &status) && status.Status == http.StatusNotFound, errors.Is(err, oci.ErrNotFound):
			err = fmt.Errorf("%w in the library %s for %s", oci.ErrNotFound, base, arch)
		case errors.Is(err, oci.ErrCorrupt), errors.Is(err, oci.ErrUnauthorized), errors.Is(err, oci.ErrRateLimited):
		default:
			err = fmt.Errorf("%w at %s (%w)", ErrLibrary, base, err)
		}
		return &Error{Ref: ref, Err: err}
	}
	query := "?arch=" + url.QueryEscape(arch)
	found, err := libraryImage(ctx, client, base+"/v1/images/"+r.path+":"+r.tag+query)
	if err != nil {
		end()
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, explain(err)
	}
	f := &File{Ref: ref, Name: path.Base(r.path), Size: -1, options: o, explain: explain, close: end}
	f.source = download.Source{Client: client, URL: base + "/v1/imagefile/" + r.path + ":" + r.tag + query, Size: -1, Most: maxFile}
	if hex, ok := strings.CutPrefix(found.Hash, "sha256."); ok && len(hex) == 64 && strings.Trim(hex, "0123456789abcdef") == "" {
		f.Digest, f.source.Digest = "sha256:"+hex, hex
	} // else "sif." and a UUID: what signed images of 2018 have
	if found.Size > 0 {
		f.Size, f.source.Size = found.Size, found.Size
	}
	return f, nil
}

// libraryAnswer is what a library says about an image (scs-library-client, client/models.go).
type libraryAnswer struct {
	Hash     string `json:"hash"`
	Size     int64  `json:"size"`
	Uploaded bool   `json:"uploaded"`
}

func libraryImage(ctx context.Context, client *http.Client, address string) (libraryAnswer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return libraryAnswer{}, err
	}
	req.Header.Set("User-Agent", "carrel")
	res, err := client.Do(req)
	if err != nil {
		return libraryAnswer{}, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return libraryAnswer{}, download.Status(res)
	}
	b, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return libraryAnswer{}, err
	}
	var answer struct {
		Data *libraryAnswer `json:"data"`
	}
	if err := json.Unmarshal(b, &answer); err != nil || answer.Data == nil {
		return libraryAnswer{}, errors.New("its answer is not that of a library")
	}
	if !answer.Data.Uploaded && answer.Data.Hash == "" {
		return libraryAnswer{}, oci.ErrNotFound
	}
	return *answer.Data, nil
}
