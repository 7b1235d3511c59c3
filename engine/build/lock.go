package build

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"carrel/engine/image"
	"carrel/engine/look"
	"carrel/engine/progress"
	"carrel/engine/source/debian"
	"carrel/engine/tree"
)

// Inputs are what an image was made of, as far as it can be named.
type Inputs struct {
	Definition string        `json:"definition"` // SHA-256 of the text
	Bases      []used        `json:"bases"`
	Files      []usedFile    `json:"files,omitempty"`    // copied by %files, by stage and place
	Packages   []usedPackage `json:"packages,omitempty"` // installed in the end, by manager and name
}

// used is a base.
type used struct {
	Stage string `json:"stage,omitempty"`
	Agent string `json:"agent"`
	From  string `json:"from,omitempty"` // as resolved, with a digest where there is one
	Key   string `json:"key,omitempty"`  // names the contents, on this computer
	// Digest names the contents, on every computer; empty where that is not known.
	Digest string `json:"digest,omitempty"`
	// Archives are those of Debian that packages came from.
	Archives []debian.Archive `json:"archives,omitempty"`
}

// usedFile is a file of the computer that built.
type usedFile struct {
	Stage  string `json:"stage,omitempty"`
	Path   string `json:"path"` // in the image
	SHA256 string `json:"sha256"`
}

// usedPackage is an installed package.
type usedPackage struct {
	Manager string `json:"manager"`
	Name    string `json:"name"`
	Version string `json:"version"`
	Arch    string `json:"arch,omitempty"`
	SHA256  string `json:"sha256,omitempty"` // of the file that it came in, where that is known
}

func (p usedPackage) String() string { return p.Manager + " " + p.Name + " " + p.Version }

// Lock is what a build used, to be written beside the definition: a build from it uses the same or fails.
type Lock struct {
	Format int `json:"format"` // 1
	Inputs
	// Time and Image are of a reproducible build: the time that it was told, and the SHA-256 of the image's bytes.
	Time  time.Time `json:"time,omitzero"`
	Image string    `json:"image,omitempty"`
}

// ParseLock reads the text of a lock file.
func ParseLock(data []byte) (*Lock, error) {
	var l Lock
	if err := json.Unmarshal(data, &l); err != nil {
		return nil, fmt.Errorf("read lock: %w", err)
	}
	if l.Format != 1 || l.Definition == "" {
		return nil, fmt.Errorf("read lock: format %d is not known", l.Format)
	}
	return &l, nil
}

// LockError is a build that cannot use what its lock names, or did not come to the same.
type LockError struct {
	Text string
	Err  error // may be nil
}

func (e *LockError) Error() string {
	if e.Err != nil {
		return e.Text + ": " + e.Err.Error()
	}
	return e.Text
}
func (e *LockError) Unwrap() error { return e.Err }

// Hint says what to do about it.
func (e *LockError) Hint() string {
	return "to build of what there is today and write that down, use --lock instead of --locked"
}

// pin is the base that the lock names for a stage; nil without a lock.
func (b *builder) pin(stage int) *used {
	if b.spec.Locked == nil || stage >= len(b.spec.Locked.Bases) {
		return nil
	}
	return &b.spec.Locked.Bases[stage]
}

// checkLock refuses a lock that is not of this definition.
func (b *builder) checkLock() error {
	l := b.spec.Locked
	if l == nil {
		return nil
	}
	if l.Definition != sha([]byte(b.file.Raw)) || len(l.Bases) != len(b.file.Stages) {
		return &LockError{Text: "the definition, or a build argument, has changed since the lock file was written"}
	}
	return nil
}

// checkBase compares the base that was found with the one that the lock names.
func (b *builder) checkBase(stage int, now used) error {
	pin := b.pin(stage)
	if pin == nil || pin.Digest == "" || pin.Digest == now.Digest {
		return nil
	}
	return &LockError{Text: fmt.Sprintf("the base %s is %s today, and the lock file names %s", now.From, short(now.Digest), short(pin.Digest))}
}

func short(digest string) string {
	if len(digest) > 19 {
		return digest[:19] + "…"
	}
	if digest == "" {
		return "unknown"
	}
	return digest
}

// checkFiles compares the files that were copied with those of the lock.
func (b *builder) checkFiles() error {
	if b.spec.Locked == nil {
		return nil
	}
	sortFiles(b.files)
	want := map[usedFile]bool{}
	for _, f := range b.spec.Locked.Files {
		want[f] = true
	}
	for _, f := range b.files {
		if !want[f] {
			return &LockError{Text: f.Path + " is not the file that the lock file names"}
		}
		delete(want, f)
	}
	for f := range want {
		return &LockError{Text: f.Path + " is named by the lock file and was not copied"}
	}
	return nil
}

func sortFiles(files []usedFile) {
	slices.SortFunc(files, func(a, b usedFile) int {
		if c := strings.Compare(a.Stage, b.Stage); c != 0 {
			return c
		}
		return strings.Compare(a.Path, b.Path)
	})
}

// hashing passes entries on and notes the files.
type hashing struct {
	tree.Sink
	b     *builder
	stage string
}

func (h hashing) Add(e tree.Entry, body io.Reader) error {
	if !e.IsRegular() || body == nil {
		return h.Sink.Add(e, body)
	}
	sum := sha256.New()
	err := h.Sink.Add(e, io.TeeReader(body, sum))
	h.b.files = append(h.b.files, usedFile{Stage: h.stage, Path: "/" + e.Path, SHA256: hex.EncodeToString(sum.Sum(nil))})
	return err
}

// packages lists what is installed in the finished tree.
func (b *builder) packages(ctx context.Context, fsys fs.FS) ([]usedPackage, error) {
	found, err := look.Packages(ctx, fsys)
	if err == nil {
		err = found.Unread.Err()
	}
	if err != nil {
		return nil, err
	}
	var out []usedPackage
	for _, p := range found.Packages {
		out = append(out, usedPackage{Manager: p.Manager, Name: p.Name, Version: p.Version, Arch: p.Arch})
	}
	slices.SortFunc(out, func(a, b usedPackage) int { return strings.Compare(a.String()+a.Arch, b.String()+b.Arch) })
	return slices.Compact(out), nil
}

// packageFiles are the digests of Debian's packages, by name and version: of the base, and those that apt has fetched.
func (b *builder) packageFiles() map[string]string {
	out := map[string]string{}
	for _, p := range b.debs {
		out[p.Name+" "+p.Version] = p.SHA256
	}
	if b.fetched == nil {
		return out
	}
	kept, _ := filepath.Glob(filepath.Join(b.fetched.dir, "apt", "keep", "*.deb")) // the pattern is well formed
	for _, file := range kept {
		parts := strings.Split(strings.TrimSuffix(filepath.Base(file), ".deb"), "_") // NAME_VERSION_ARCH, ":" as %3a
		if len(parts) != 3 {
			continue
		}
		name := parts[0] + " " + strings.ReplaceAll(parts[1], "%3a", ":")
		if sum, err := fileDigest(file); err == nil && out[name] == "" {
			out[name] = sum
		}
	}
	return out
}

func fileDigest(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// maxDeviations is how many differences of a result an error names.
const maxDeviations = 5

// checkPackages compares what is installed with the lock, before anything is packed.
func (b *builder) checkPackages() error {
	l := b.spec.Locked
	if l == nil || b.installed == nil {
		return nil
	}
	names := func(list []usedPackage) map[string]bool {
		out := map[string]bool{}
		for _, p := range list {
			out[p.String()] = true
		}
		return out
	}
	want, now := names(l.Packages), names(b.installed)
	var diff []string
	for _, p := range b.installed {
		if !want[p.String()] {
			diff = append(diff, "+"+p.String())
		}
	}
	for _, p := range l.Packages {
		if !now[p.String()] {
			diff = append(diff, "-"+p.String())
		}
	}
	if len(diff) == 0 {
		return nil
	}
	n := len(diff)
	text := strings.Join(diff[:min(n, maxDeviations)], ", ")
	if n > maxDeviations {
		text += fmt.Sprintf(" and %d more", n-maxDeviations)
	}
	return &LockError{Text: "other packages are installed than the lock file names: " + text}
}

// complete finds out what belongs to the inputs once the tree is finished, and compares it with the lock.
func (b *builder) complete(ctx context.Context, s *stage) error {
	sortFiles(b.files)
	if s.streamed == nil {
		r, err := os.OpenRoot(s.root)
		if err != nil {
			return err
		}
		defer r.Close()
		if b.installed, err = b.packages(ctx, r.FS()); err != nil {
			return err
		}
	}
	return b.checkPackages()
}

func (b *builder) allInputs() Inputs {
	return Inputs{Definition: sha([]byte(b.file.Raw)), Bases: b.used, Files: b.files, Packages: b.installed}
}

// lock is what is written beside the definition.
func (b *builder) lock(ctx context.Context) (*Lock, error) {
	if !b.spec.Lock && b.spec.Locked == nil {
		return nil, nil
	}
	l := &Lock{Format: 1, Inputs: b.allInputs()}
	l.Bases = slices.Clone(l.Bases)
	for i := range l.Bases {
		l.Bases[i].Key = "" // of this computer
	}
	if l.Packages == nil && !b.spec.Sandbox { // the base went into the image as it is
		img, err := image.Open(b.spec.Target)
		if err != nil {
			return nil, err
		}
		defer img.Close()
		fsys, err := img.FS()
		if err != nil {
			return nil, err
		}
		if l.Packages, err = b.packages(ctx, fsys); err != nil {
			return nil, err
		}
	}
	files := b.packageFiles() // told by the lock only: they depend on what the cache still has
	l.Packages = slices.Clone(l.Packages)
	for i, p := range l.Packages {
		if p.Manager == "dpkg" {
			l.Packages[i].SHA256 = files[p.Name+" "+p.Version]
		}
	}
	if b.spec.Reproducible && !b.spec.Sandbox {
		var err error
		l.Time = b.spec.Time.UTC()
		if l.Image, err = fileDigest(b.spec.Target); err != nil {
			return nil, err
		}
	}
	if was := b.spec.Locked; was != nil && was.Image != "" && l.Image != "" && was.Image != l.Image {
		b.sink.Notice(progress.StepPack, "the image was made of what the lock file names, but its bytes are not the same as then")
	}
	return l, nil
}

// contentDigest names the contents of an image file or folder on every computer; it is worked out for locks and
// reproducible images only.
func (b *builder) contentDigest(ctx context.Context, path string) (string, error) {
	if !b.spec.Lock && b.spec.Locked == nil && !b.spec.Reproducible {
		return "", nil
	}
	st, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if !st.IsDir() {
		sum, err := fileDigest(path)
		return "sha256:" + sum, err
	}
	d, err := digestTree(ctx, path)
	if err != nil {
		return "", err
	}
	return "tree:" + d.all(), nil
}

// gone makes a base that the lock names and that is no longer there an error of its own.
func (b *builder) gone(stage int, err error) error {
	var lock *LockError
	if pin := b.pin(stage); pin == nil || err == nil || errors.As(err, &lock) || errors.Is(err, context.Canceled) {
		return err
	}
	return &LockError{Text: "the base that the lock file names cannot be had", Err: err}
}
