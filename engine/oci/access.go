package oci

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"strings"

	"github.com/docker/cli/cli/config/configfile"
	"github.com/docker/cli/cli/config/types"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"

	"carrel/internal/download"
)

// Access says how registries are reached, and who one is there. It crosses a process boundary as JSON: through a pipe
// only, since it may hold a password.
type Access struct {
	// Credentials are files in the form of Docker's config.json, the first that knows a registry counts. Files that do not
	// exist are left out. Programs that they name (credHelpers, credsStore) are asked.
	Credentials []string `json:"credentials,omitempty"`
	// Login is who one is at every registry that a reference names, whatever the files say; nil for none. Mirrors do not
	// get it.
	Login *Login `json:"login,omitempty"`
	// Insecure are registries (HOST[:PORT]) whose certificates are not looked at, and that are spoken to by HTTP where they do
	// not answer HTTPS. Those on this computer always are.
	Insecure []string `json:"insecure,omitempty"`
	// Mirrors are asked before a registry, in their order, as HOST[:PORT][/PATH], with "http://" before those without TLS.
	// The key is the registry as references name it, "docker.io".
	Mirrors map[string][]string `json:"mirrors,omitempty"`
}

// Login is a name and a password or token.
type Login struct {
	User     string `json:"user"`
	Password string `json:"password"`
}

// String keeps the password out of messages.
func (l *Login) String() string { return l.User }

// GoString does the same for %#v.
func (l *Login) GoString() string { return l.User }

// dockerHub are the names under which Docker's own registry goes, the first in references, the last in files of passwords.
var dockerHub = []string{"docker.io", name.DefaultRegistry, "registry-1.docker.io", "registry.hub.docker.com", authn.DefaultAuthKey}

// isHub tells whether a registry is Docker's own.
func isHub(registry string) bool {
	for _, n := range dockerHub {
		if registry == n {
			return true
		}
	}
	return false
}

// IsInsecure tells whether a registry may be spoken to without TLS, or with a certificate of its own: configured, or on this
// computer.
func (a *Access) IsInsecure(registry string) bool {
	for _, h := range a.Insecure {
		if registry == h {
			return true
		}
	}
	return isLocal(registry)
}

func isLocal(registry string) bool {
	host, _, _ := strings.Cut(registry, ":")
	return host == "localhost" || host == "127.0.0.1" || strings.HasPrefix(registry, "[::1]")
}

// NewTransport is the usual transport (download.NewTransport), which takes the certificates of insecure registries as they
// are. Others that those lead to, by redirections or for tokens, have to show who they are. end closes idle connections.
func (a *Access) NewTransport(l download.Limits) (t http.RoundTripper, end func()) {
	strict := download.NewTransport(l)
	loose := download.NewTransport(l)
	loose.TLSClientConfig = &tls.Config{InsecureSkipVerify: true} // it is what the person has asked for, by name
	return &byHost{a, strict, loose}, func() {
		strict.CloseIdleConnections()
		loose.CloseIdleConnections()
	}
}

// byHost chooses the transport by the host that is asked.
type byHost struct {
	access        *Access
	strict, loose http.RoundTripper
}

// RoundTrip makes a request.
func (b *byHost) RoundTrip(req *http.Request) (*http.Response, error) {
	if b.access.IsInsecure(req.URL.Host) {
		return b.loose.RoundTrip(req)
	}
	return b.strict.RoundTrip(req)
}

// endpoint is a place where a reference may be found.
type endpoint struct {
	ref    name.Reference
	mirror bool
}

// endpoints are the mirrors of a reference and, last, the registry that it names.
func (a *Access) endpoints(reference string) ([]endpoint, error) {
	own, err := a.parse(reference)
	if err != nil {
		return nil, err
	}
	var out []endpoint
	for _, m := range a.mirrors(own.Context().RegistryStr()) {
		var options []name.Option
		bare, plain := strings.CutPrefix(m, "http://")
		bare = strings.TrimSuffix(strings.TrimPrefix(bare, "https://"), "/")
		host, _, _ := strings.Cut(bare, "/")
		if plain || a.IsInsecure(host) {
			options = append(options, name.Insecure)
		}
		separator := ":"
		if _, isDigest := own.(name.Digest); isDigest {
			separator = "@"
		}
		ref, err := name.ParseReference(bare+"/"+own.Context().RepositoryStr()+separator+own.Identifier(), options...)
		if err != nil {
			return nil, fmt.Errorf("%w: mirror %q: %w", ErrReference, m, err)
		}
		if ref.Context().RegistryStr() != host { // without a dot or a port it would be a folder of Docker Hub
			return nil, fmt.Errorf("%w: mirror %q is not HOST:PORT", ErrReference, m)
		}
		out = append(out, endpoint{ref, true})
	}
	return append(out, endpoint{own, false}), nil
}

func (a *Access) mirrors(registry string) []string {
	if list := a.Mirrors[registry]; list != nil || !isHub(registry) {
		return list
	}
	for _, n := range dockerHub {
		if list := a.Mirrors[n]; list != nil {
			return list
		}
	}
	return nil
}

// parse reads NAME[:TAG][@DIGEST].
func (a *Access) parse(reference string) (name.Reference, error) {
	host, _, _ := strings.Cut(reference, "/")
	var options []name.Option
	if a.IsInsecure(host) {
		options = append(options, name.Insecure)
	}
	return parseName(reference, options)
}

// CredentialsError is a file of passwords, or a program that keeps them, that is of no use.
type CredentialsError struct {
	Path string
	Err  error
}

func (e *CredentialsError) Error() string {
	return fmt.Sprintf("read passwords in %s: %v", e.Path, e.Err)
}

// Unwrap returns the cause.
func (e *CredentialsError) Unwrap() error { return e.Err }

// Hint says what to do about it.
func (e *CredentialsError) Hint() string {
	return "repair or remove the file " + e.Path + "; `carrel login` stores a password anew"
}

// authenticator finds out who one is at a repository's registry. Without an answer one is nobody, which does for public
// images; trouble is then what to tell when it did not.
func (a *Access) authenticator(target authn.Resource, mirror bool) (auth authn.Authenticator, trouble error) {
	if a.Login != nil && !mirror {
		return &authn.Basic{Username: a.Login.User, Password: a.Login.Password}, nil
	}
	for _, path := range a.Credentials {
		c, err := lookUp(path, target.String(), target.RegistryStr())
		if err != nil {
			if trouble == nil {
				trouble = &CredentialsError{path, err}
			}
			continue
		}
		if c != nil {
			return authn.FromConfig(*c), nil
		}
	}
	return authn.Anonymous, trouble
}

// readCredentials reads a file of passwords; one that does not exist is empty.
func readCredentials(path string) (*configfile.ConfigFile, error) {
	c := configfile.New(path)
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		if pathError, ok := errors.AsType[*fs.PathError](err); ok {
			err = pathError.Err
		}
		return nil, err
	}
	defer f.Close()
	if err := c.LoadFromReader(f); err != nil {
		return nil, err
	}
	return c, nil
}

// lookUp finds what a file says about a repository, or its registry; nil for nothing.
func lookUp(path, repository, registry string) (*authn.AuthConfig, error) {
	file, err := readCredentials(path)
	if err != nil {
		return nil, err
	}
	keys := []string{repository, registry}
	if isHub(registry) {
		keys = append([]string{repository, authn.DefaultAuthKey}, dockerHub...)
	}
	for _, key := range keys {
		c, err := file.GetAuthConfig(key)
		if err != nil {
			return nil, err
		}
		c.ServerAddress = "" // always set
		if c == (types.AuthConfig{}) {
			continue
		}
		return &authn.AuthConfig{Username: c.Username, Password: c.Password, Auth: c.Auth, IdentityToken: c.IdentityToken, RegistryToken: c.RegistryToken}, nil
	}
	return nil, nil
}
