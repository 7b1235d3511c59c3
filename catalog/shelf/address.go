package shelf

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"path/filepath"
	"strings"

	"carrel/catalog"
	"carrel/internal/pattern"
)

// ErrAddress is an address that names no catalog.
var ErrAddress = errors.New("not the address of a catalog")

// AddressError is an address that names no catalog; it is ErrAddress.
type AddressError struct{ Address, Why string }

// Error says what is wrong.
func (e *AddressError) Error() string { return fmt.Sprintf("address %q: %s", e.Address, e.Why) }

// Hint names the forms there are.
func (e *AddressError) Hint() string {
	return "give a folder, a git repository (https://host/owner/name.git, host/owner/name), a packed folder (https://…/name.tar.gz) or an index (https://…/index.json)"
}

// Unwrap is ErrAddress.
func (e *AddressError) Unwrap() error { return ErrAddress }

// archives are the endings of packed folders.
var archives = []string{".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.zst", ".zip"}

// forges are hosts of which an address with an owner and a name is a git repository.
var forges = pattern.New(`^(www\.)?(github\.com|gitlab\.[a-z.-]+|codeberg\.org|bitbucket\.org|git\.[a-z0-9.-]+)$`)

// scp is git's short form of an SSH address: user@host:path (git-clone(1), "GIT URLS").
var scp = pattern.New(`^[A-Za-z0-9._-]+@[A-Za-z0-9.-]+:[^:].*$`)

// place is a place a catalog is taken from.
type place struct {
	kind    catalog.Kind
	address string // as it is fetched
	name    string // what it is called when nobody says otherwise
}

// parse finds out what an address is. isDir tells of folders of this computer.
func parse(address, cwd, home string, isDir func(string) bool) (place, error) {
	bad := func(why string) (place, error) { return place{}, &AddressError{address, why} }
	if address == "" {
		return bad("it is empty")
	}
	if strings.HasPrefix(address, "-") || strings.ContainsFunc(address, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return bad("that cannot be an address")
	}
	local := address
	if local == "~" || strings.HasPrefix(local, "~/") {
		local = filepath.Join(home, local[1:])
	}
	if !filepath.IsAbs(local) {
		local = filepath.Join(cwd, local)
	}
	if isDir(local) {
		local = filepath.Clean(local)
		return place{catalog.Folder, local, filepath.Base(local)}, nil
	}
	if scp.MatchString(address) {
		_, p, _ := strings.Cut(address, ":")
		return place{catalog.Git, address, repository(p)}, nil
	}
	address, isGit := strings.CutPrefix(address, "git+")
	if !strings.Contains(address, "://") {
		host, rest, _ := strings.Cut(address, "/")
		if forges.MatchString(host) && strings.Count(strings.Trim(rest, "/"), "/") >= 1 {
			return place{catalog.Git, "https://" + strings.TrimSuffix(address, "/"), repository(rest)}, nil
		}
		return bad("there is no such folder here, and it is not a web address")
	}
	u, err := url.Parse(address)
	if err != nil {
		return bad("it cannot be read: " + err.Error())
	}
	if u.User != nil {
		if _, secret := u.User.Password(); secret {
			return bad("it holds a password, which would be kept in plain text; use git's credential helper or an SSH key")
		}
	}
	name := repository(u.Path)
	switch u.Scheme {
	case "ssh", "git", "file":
		return place{catalog.Git, address, name}, nil
	case "http", "https":
	default:
		return bad("addresses that begin with " + u.Scheme + ":// are not known")
	}
	if u.Host == "" {
		return bad("it names no computer")
	}
	lower := strings.ToLower(u.Path)
	switch {
	case isGit || strings.HasSuffix(lower, ".git"):
		return place{catalog.Git, address, name}, nil
	case isArchive(lower):
		return place{catalog.Archive, address, archiveName(u.Path)}, nil
	case forges.MatchString(u.Host) && !strings.HasSuffix(lower, ".json") && strings.Count(strings.Trim(u.Path, "/"), "/") == 1:
		return place{catalog.Git, strings.TrimSuffix(address, "/"), name}, nil
	case strings.HasSuffix(lower, ".json"):
		return place{catalog.Index, address, indexName(u)}, nil
	}
	u.Path = strings.TrimSuffix(u.Path, "/") + "/index.json"
	return place{catalog.Index, u.String(), indexName(u)}, nil
}

func isArchive(lower string) bool {
	for _, a := range archives {
		if strings.HasSuffix(lower, a) {
			return true
		}
	}
	return false
}

// repository is the name of a repository's path.
func repository(p string) string {
	return strings.TrimSuffix(path.Base(strings.TrimSuffix(p, "/")), ".git")
}

// archiveName is the name of a packed folder; archives that forges make of a branch lie below the repository's name.
func archiveName(p string) string {
	if before, _, ok := strings.Cut(p, "/archive/"); ok {
		return repository(before)
	}
	base := path.Base(p)
	for {
		ext := path.Ext(base)
		if ext == "" || !isArchive(strings.ToLower(ext)) && strings.ToLower(ext) != ".gz" && strings.ToLower(ext) != ".xz" && strings.ToLower(ext) != ".zst" {
			return base
		}
		base = strings.TrimSuffix(base, ext)
	}
}

// indexName is the folder an index lies in, or its host.
func indexName(u *url.URL) string {
	if dir := path.Base(path.Dir(u.Path)); dir != "/" && dir != "." {
		return dir
	}
	return u.Hostname()
}

// nameRule is what a catalog may be called: a folder's name on every file system, and the first part of an entry's name.
var nameRule = pattern.New(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// tidy makes a name that fits the rule of one that does not.
func tidy(name string) string {
	out := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '.', r == '_', r == '-':
			return r
		}
		return '-'
	}, name)
	out = strings.TrimLeft(out, "._-")
	if len(out) > 64 {
		out = out[:64]
	}
	if out == "" {
		return "catalog"
	}
	return out
}
