package shelf

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
)

// indexVersion is the form of an index.
const indexVersion = 1

// maxIndex bounds an index, in bytes.
const maxIndex = 32 << 20

// ErrIndex is a file that is no index, or one whose files are not what it says.
var ErrIndex = errors.New("not an index of a catalog")

// IndexFile is an index: the files of a folder with their digests, so that a web server that can do nothing but hand out
// files can serve a catalog. The files lie beside the index.
type IndexFile struct {
	Version int       `json:"carrel-catalog"`
	Files   []Indexed `json:"files"`
}

// Indexed is a file of an index.
type Indexed struct {
	// Path is below the index, with slashes.
	Path string `json:"path"`
	// Size is in bytes, SHA256 in hexadecimal.
	Size       int64  `json:"size"`
	SHA256     string `json:"sha256"`
	Executable bool   `json:"executable,omitempty"`
}

// MakeIndex reads a folder and returns its index. Hidden files, links and an index.json at the top are left out.
func MakeIndex(ctx context.Context, dir string) (IndexFile, error) {
	x := IndexFile{Version: indexVersion, Files: []Indexed{}}
	var total int64
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		if err != nil {
			return err
		}
		if rel != "." && strings.HasPrefix(d.Name(), ".") {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if !d.Type().IsRegular() || rel == "index.json" {
			return nil
		}
		f, err := os.Open(p)
		if err != nil {
			return err
		}
		defer f.Close()
		st, err := f.Stat()
		if err != nil {
			return err
		}
		sum := sha256.New()
		size, err := io.Copy(sum, f)
		if err != nil {
			return err
		}
		if total += size; total > MaxSize || len(x.Files) == MaxFiles {
			return fmt.Errorf("%w: a catalog has at most %d MB and %d files", ErrTooLarge, int64(MaxSize)>>20, MaxFiles)
		}
		x.Files = append(x.Files, Indexed{filepath.ToSlash(rel), size, hex.EncodeToString(sum.Sum(nil)), st.Mode()&0o100 != 0})
		return nil
	})
	if err != nil {
		return IndexFile{}, fmt.Errorf("make index: %w", err)
	}
	slices.SortFunc(x.Files, func(a, b Indexed) int { return strings.Compare(a.Path, b.Path) })
	return x, nil
}

// readIndex copies what the index at an address names into dir and returns the index's digest. Files that old has with the
// same digest are not fetched again.
func (s *Shelf) readIndex(ctx context.Context, address, dir, old string) (string, error) {
	s.say("reading %s", address)
	data, err := s.getAll(ctx, address, maxIndex)
	if err != nil {
		return "", err
	}
	var x IndexFile
	if err := json.Unmarshal(data, &x); err != nil {
		return "", fmt.Errorf("read %s: %w: %w", address, ErrIndex, err)
	}
	if x.Version != indexVersion {
		return "", fmt.Errorf("read %s: %w of form %d", address, ErrIndex, indexVersion)
	}
	base, err := url.Parse(address)
	if err != nil {
		return "", err
	}
	var total int64
	names := map[string]bool{}
	for _, f := range x.Files {
		clean := path.Clean(f.Path)
		if clean != f.Path || !filepath.IsLocal(f.Path) || names[f.Path] || f.Size < 0 || strings.ContainsRune(f.Path, 0) {
			return "", fmt.Errorf("read %s: %w: the name %q", address, ErrIndex, f.Path)
		}
		names[f.Path] = true
		total += f.Size
		if total > MaxSize || total < 0 || len(x.Files) > MaxFiles {
			return "", fmt.Errorf("read %s: %w", address, ErrTooLarge)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return "", err
	}
	defer root.Close()
	var have *os.Root
	if old != "" {
		if have, err = os.OpenRoot(old); err == nil {
			defer have.Close()
		}
	}
	s.say("fetching %d files", len(x.Files))
	u := unpacker{ctx: ctx, root: root, left: MaxSize}
	var mu sync.Mutex
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(4)
	for _, f := range x.Files {
		g.Go(func() error {
			data, ok := kept(have, f)
			if !ok {
				var err error
				// A path becomes part of an address with what is special there written out, and so names no other server.
				ref := &url.URL{Path: "./" + f.Path}
				if data, err = s.getAll(gctx, base.ResolveReference(ref).String(), f.Size+1); err != nil {
					return err
				}
			}
			if !f.is(data) {
				return fmt.Errorf("get %s: %w: it is not the file that the index names", f.Path, ErrIndex)
			}
			mu.Lock()
			defer mu.Unlock()
			return u.put(f.Path, strings.NewReader(string(data)), f.Executable)
		})
	}
	if err := g.Wait(); err != nil {
		return "", err
	}
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:]), nil
}

func (f Indexed) is(data []byte) bool {
	sum := sha256.Sum256(data)
	return int64(len(data)) == f.Size && hex.EncodeToString(sum[:]) == strings.ToLower(f.SHA256)
}

// kept is a file of the copy before, when it is the same.
func kept(root *os.Root, f Indexed) ([]byte, bool) {
	if root == nil {
		return nil, false
	}
	in, err := root.Open(f.Path)
	if err != nil {
		return nil, false
	}
	defer in.Close()
	if st, err := in.Stat(); err != nil || !st.Mode().IsRegular() || st.Size() != f.Size {
		return nil, false
	}
	data, err := io.ReadAll(io.LimitReader(in, f.Size+1))
	return data, err == nil && f.is(data)
}

func (s *Shelf) getAll(ctx context.Context, url string, limit int64) ([]byte, error) {
	r, err := s.get(ctx, url, limit)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}
