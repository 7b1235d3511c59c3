package oci

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"

	"carrel/internal/atomicfile"
	"carrel/internal/download"
)

// RegistryName is a registry as files of passwords name it: from what a person writes, "docker://ghcr.io/", "docker.io",
// "https://lab:5000". The error is an *Error.
func RegistryName(text string) (string, error) {
	bare := text
	if _, rest, ok := strings.Cut(bare, "://"); ok {
		bare = rest
	}
	bare, _, _ = strings.Cut(bare, "/")
	if isHub(bare) {
		return name.DefaultRegistry, nil
	}
	if bare == "" {
		return "", &Error{"log in", text, fmt.Errorf("%w: a registry is HOST or HOST:PORT", errRegistry)}
	}
	r, err := name.NewRegistry(bare, name.StrictValidation)
	if err != nil {
		return "", &Error{"log in", text, fmt.Errorf("%w: %w", errRegistry, err)}
	}
	return r.RegistryStr(), nil
}

var errRegistry = errors.New("not a registry's name")

// CheckLogin asks a registry whether it knows a name and password. ErrUnauthorized when it does not.
func CheckLogin(ctx context.Context, registry string, l Login, o Options) error {
	fail := func(err error) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		err = classify(err)
		if errors.Is(err, ErrUnauthorized) {
			err = &refusedError{err}
		}
		return &Error{"log in", registry, err}
	}
	var options []name.Option
	if o.Access.IsInsecure(registry) {
		options = append(options, name.Insecure)
	}
	r, err := name.NewRegistry(registry, options...)
	if err != nil {
		return fail(err)
	}
	c, err := greet(ctx, r, &authn.Basic{Username: l.User, Password: l.Password}, nil, &o)
	if err != nil {
		return fail(err)
	}
	defer c.close()
	// A registry that wants tokens has said yes by giving one; one that wants the password itself has not seen it yet.
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.Scheme()+"://"+r.RegistryStr()+"/v2/", nil)
	if err != nil {
		return fail(err)
	}
	res, err := c.client.Do(req)
	if err != nil {
		return fail(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fail(download.Status(res))
	}
	return nil
}

// refusedError is a wrong password.
type refusedError struct{ err error }

func (e *refusedError) Error() string { return "the registry does not take this name and password" }
func (e *refusedError) Unwrap() error { return e.err }

// key is the name under which files of passwords keep a registry.
func key(registry string) string {
	if isHub(registry) {
		return authn.DefaultAuthKey
	}
	return registry
}

// StoreLogin writes a name and password into a file in the form of Docker's config.json, which only its owner can read; the
// rest of the file stays as it is.
func StoreLogin(path, registry string, l Login) error {
	return changeLogins(path, func(all map[string]json.RawMessage) error {
		entry, err := json.Marshal(map[string]string{"auth": base64.StdEncoding.EncodeToString([]byte(l.User + ":" + l.Password))})
		if err != nil {
			return err
		}
		forget(all, registry)
		all[key(registry)] = entry
		return nil
	})
}

// RemoveLogin takes a registry's password out of a file. It tells whether there was one.
func RemoveLogin(path, registry string) (bool, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	found := false
	err := changeLogins(path, func(all map[string]json.RawMessage) error {
		found = forget(all, registry)
		return nil
	})
	return found, err
}

func forget(all map[string]json.RawMessage, registry string) bool {
	found := false
	for k := range all {
		if hostOf(k) == registry || isHub(registry) && (isHub(k) || isHub(hostOf(k))) {
			delete(all, k)
			found = true
		}
	}
	return found
}

// hostOf is the registry of a key in a file of passwords, which may be an address.
func hostOf(key string) string {
	if _, rest, ok := strings.Cut(key, "://"); ok {
		key = rest
	}
	return strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(key, "/"), "/v1"), "/v2")
}

func changeLogins(path string, change func(map[string]json.RawMessage) error) error {
	document, all := map[string]json.RawMessage{}, map[string]json.RawMessage{}
	data, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return &CredentialsError{path, bareFile(err)}
	case len(bytes.TrimSpace(data)) > 0:
		if err := json.Unmarshal(data, &document); err != nil {
			return &CredentialsError{path, err}
		}
		if raw := document["auths"]; len(raw) > 0 {
			if err := json.Unmarshal(raw, &all); err != nil {
				return &CredentialsError{path, err}
			}
		}
	}
	if all == nil { // "auths": null
		all = map[string]json.RawMessage{}
	}
	if err := change(all); err != nil {
		return err
	}
	if document["auths"], err = json.Marshal(all); err != nil {
		return err
	}
	if data, err = json.MarshalIndent(document, "", "\t"); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return &CredentialsError{path, bareFile(err)}
	}
	if resolved, err := filepath.EvalSymlinks(path); err == nil {
		path = resolved // a link to a file kept elsewhere stays one
	}
	return atomicfile.WriteFile(path, append(data, '\n'), 0o600)
}

func bareFile(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}

// StoredLogin is a registry that a file knows a password for.
type StoredLogin struct {
	Registry string // as a person calls it
	User     string // empty where a program keeps it, or for tokens
	Path     string // the file
}

// Logins lists the registries that files know passwords for, without the passwords, and without asking programs.
func Logins(paths []string) ([]StoredLogin, error) {
	out := []StoredLogin{}
	var errs []error
	for _, path := range paths {
		file, err := readCredentials(path)
		if err != nil {
			errs = append(errs, &CredentialsError{path, err})
			continue
		}
		for k, c := range file.AuthConfigs {
			registry := hostOf(k)
			if isHub(k) || isHub(registry) {
				registry = dockerHub[0]
			}
			out = append(out, StoredLogin{registry, c.Username, path})
		}
		for k := range file.CredentialHelpers {
			out = append(out, StoredLogin{Registry: hostOf(k), Path: path})
		}
	}
	// A file may name a registry several times: by several addresses, or as one whose password a program keeps.
	slices.SortStableFunc(out, func(a, b StoredLogin) int {
		return cmp.Or(strings.Compare(a.Registry, b.Registry), slices.Index(paths, a.Path)-slices.Index(paths, b.Path), -strings.Compare(a.User, b.User))
	})
	out = slices.CompactFunc(out, func(a, b StoredLogin) bool {
		return a.Registry == b.Registry && a.Path == b.Path && (a.User == "" || b.User == "" || a.User == b.User)
	})
	return out, errors.Join(errs...)
}
