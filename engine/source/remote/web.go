package remote

import (
	"net/url"
	"path"

	"carrel/engine/oci"
	"carrel/internal/download"
)

// maxFile bounds files of unknown size, in bytes.
const maxFile = 1 << 40

// findWeb is a file on a web server. Nothing is asked before it is got.
func findWeb(ref string, o Options) (*File, error) {
	u, err := url.Parse(ref)
	if err != nil || u.Host == "" {
		return nil, &Error{Ref: ref, Err: oci.ErrReference}
	}
	shown := *u
	shown.RawQuery, shown.User = "", nil // either may hold secrets
	client, end := o.client()
	f := &File{Ref: shown.String(), Name: path.Base(u.Path), Size: -1, options: o, close: end}
	f.source = download.Source{Client: client, URL: ref, Size: -1, Most: maxFile}
	f.explain = func(err error) error { return &Error{Ref: f.Ref, Err: oci.Explain(err)} }
	if f.Name == "/" || f.Name == "." {
		f.Name = u.Hostname()
	}
	return f, nil
}
