package oci

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"carrel/internal/download"
)

// connection is a registry that has been greeted, with the right to do something with one repository.
type connection struct {
	ref      name.Reference
	platform v1.Platform
	trip     *transport.Wrapper
	client   *http.Client
	options  []remote.Option
	close    func()
}

// connect greets a reference's registry (OCI distribution specification, "Determining Support") and gets a token where it
// wants one. scope is transport.PullScope or PushScope. The caller closes the connection.
func connect(ctx context.Context, at endpoint, scope string, platform v1.Platform, o *Options) (*connection, error) {
	repository := at.ref.Context()
	auth, trouble := o.Access.authenticator(repository, at.mirror)
	c, err := greet(ctx, repository.Registry, auth, []string{repository.Scope(scope)}, o)
	if err != nil {
		return nil, joinTrouble(classify(err), trouble)
	}
	c.ref, c.platform = at.ref, platform
	c.options = []remote.Option{
		remote.WithContext(ctx), remote.WithTransport(c.trip), remote.WithPlatform(platform), remote.WithJobs(o.concurrency()),
	}
	return c, nil
}

// joinTrouble adds what was wrong with the passwords to a refusal.
func joinTrouble(err, trouble error) error {
	if trouble == nil || !isRefusal(err) {
		return err
	}
	return fmt.Errorf("%w; %w", err, trouble)
}

// userAgent is how this program calls itself.
const userAgent = "carrel"

func greet(ctx context.Context, registry name.Registry, auth authn.Authenticator, scopes []string, o *Options) (*connection, error) {
	base, end := o.Transport, func() {}
	if base == nil {
		base, end = o.Access.NewTransport(o.Net)
	}
	trip, err := transport.NewWithContext(ctx, registry, auth, transport.NewUserAgent(&bounded{download.Guard(base, o.Net)}, userAgent), scopes)
	if err != nil {
		end()
		return nil, err
	}
	wrapper, ok := trip.(*transport.Wrapper)
	if !ok {
		end()
		return nil, fmt.Errorf("transport of type %T", trip)
	}
	return &connection{trip: wrapper, client: &http.Client{Transport: trip}, close: end}, nil
}

// blob is where a blob of the reference's repository is (OCI distribution specification, "Pulling blobs").
func (c *connection) blob(digest string) string {
	repository := c.ref.Context()
	return fmt.Sprintf("%s://%s/v2/%s/blobs/%s", repository.Scheme(), repository.RegistryStr(), repository.RepositoryStr(), digest)
}

// maxRedirects bounds how often a request is sent elsewhere. The client inside of go-containerregistry has no bound, and keeps
// every request of the chain.
const maxRedirects = 10

// errRedirects is worded as net/http words it, by which such errors are told.
var errRedirects = fmt.Errorf("stopped after %d redirects", maxRedirects)

// bounded keeps manifests and redirections from being endless, whatever the registry sends.
type bounded struct{ base http.RoundTripper }

// RoundTrip makes a request.
func (b *bounded) RoundTrip(req *http.Request) (*http.Response, error) {
	n := 0
	for r := req.Response; r != nil && r.Request != nil; r = r.Request.Response {
		if n++; n > maxRedirects {
			return nil, errRedirects
		}
	}
	res, err := b.base.RoundTrip(req)
	if err == nil && strings.Contains(req.URL.Path, "/manifests/") {
		res.Body = &boundedBody{res.Body, maxDocument}
	}
	return res, err
}

type boundedBody struct {
	io.ReadCloser
	left int
}

func (b *boundedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left -= n; b.left < 0 {
		return 0, fmt.Errorf("%w: a manifest of more than %d bytes", ErrLimit, maxDocument)
	}
	return n, err
}
