package image

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"

	"carrel/engine/oci"
	"carrel/engine/sif"
	"carrel/engine/squashfs"
	"carrel/engine/tree"
)

// Kind is the form of an image.
type Kind string

// The kinds of images. Those of OCI can be written to a tree.Sink and tell their metadata, but have neither partitions
// nor an FS, since their contents are in layers; Contents looks into them.
const (
	SIF           Kind = "sif"
	SquashFS      Kind = "squashfs"
	Sandbox       Kind = "sandbox"
	OCILayout     Kind = "oci"
	OCIArchive    Kind = "oci-archive"
	DockerArchive Kind = "docker-archive"
	Registry      Kind = "registry" // an OCI image in a registry
	Ext3          Kind = "ext3"     // of Singularity before 2.4
)

// Detect tells what kind of image path holds, and "" when it is none or cannot be read.
func Detect(path string) Kind {
	k, _, err := sif.Detect(path)
	if err != nil || k == sif.KindUnknown {
		return ""
	}
	return Kind(k)
}

// Image is an open image. Its methods may be called from several goroutines.
type Image struct {
	Path string
	Kind Kind
	Size int64  // bytes of the file, or of the layers of an OCI image; 0 for a folder
	Arch string // as Go names it; "unknown" where the image does not say

	file     *os.File   // of a file
	sif      *sif.Image // of a SIF
	root     *os.Root   // of a folder
	oci      *oci.Image // of an OCI image
	system   Partition
	overlays []Partition
	problem  error // why the system cannot be used

	closers []func() error

	contents func() (*layers, error)
	metadata func() (Metadata, error)
}

// Partition is a file system within the image's file.
type Partition struct {
	Offset int64 // bytes from the start of the file
	Size   int64
	FS     string // "squashfs" or "ext3"
}

// Open opens an image. For a SIF that is one read; its file system is opened when it is asked for. A SIF that cannot be
// run (encrypted, without a system partition) opens; System and what needs it return the reason. An error for a file of
// another kind has a hint. The caller closes the image.
func Open(path string) (*Image, error) {
	m := &Image{Path: path, Kind: SIF, Arch: "unknown"}
	err := m.openSIF()
	if errors.Is(err, sif.ErrNotSIF) {
		err = m.openOther()
	}
	if err != nil {
		return nil, err
	}
	m.contents = sync.OnceValues(m.openContents)
	m.metadata = sync.OnceValues(m.readMetadata)
	return m, nil
}

// OpenFolder opens a folder, whatever is in it, as a sandbox.
func OpenFolder(path string) (*Image, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	m := &Image{Path: path, Kind: Sandbox, Arch: "unknown", root: root}
	m.contents = sync.OnceValues(m.openContents)
	m.metadata = sync.OnceValues(m.readMetadata)
	return m, nil
}

func (m *Image) openOther() error {
	kind, offset, err := sif.Detect(m.Path)
	if err != nil {
		return err
	}
	switch m.Kind = Kind(kind); m.Kind {
	case SquashFS:
		return m.openFile(offset, sif.FSSquash)
	case Ext3:
		return m.openFile(offset, sif.FSExt3)
	case Sandbox:
		m.root, err = os.OpenRoot(m.Path)
		return err
	case OCILayout, OCIArchive, DockerArchive:
		return m.openOCI()
	}
	return sif.Explain(m.Path, kind)
}

func (m *Image) openSIF() error {
	s, err := sif.Open(m.Path)
	if err != nil {
		return err
	}
	m.sif, m.file, m.Size, m.Arch = s, s.File(), s.Size, s.Arch
	primary, err := s.System()
	if err != nil {
		m.problem = err
		return nil
	}
	if primary.Arch != "unknown" {
		m.Arch = primary.Arch
	}
	m.system = partition(primary)
	for _, o := range s.Overlays() {
		m.overlays = append(m.overlays, partition(o))
	}
	return nil
}

func partition(o sif.Object) Partition { return Partition{o.Offset, o.Size, o.FS.String()} }

// openFile opens a file that is a file system from an offset on.
func (m *Image) openFile(offset int64, fs sif.FSType) error {
	f, err := os.Open(m.Path)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return err
	}
	m.file, m.Size = f, info.Size()
	m.system = Partition{offset, m.Size - offset, fs.String()}
	return nil
}

func (m *Image) openOCI() error {
	if strings.Contains(m.Path, ":") {
		return &pathError{m.Path}
	}
	o, err := oci.Open(context.Background(), string(m.Kind)+":"+m.Path, oci.Options{})
	if err != nil {
		return err
	}
	m.takeOCI(o)
	return nil
}

func (m *Image) takeOCI(o *oci.Image) {
	m.oci, m.Size = o, o.Size
	if arch := o.Arch(); arch != "" {
		m.Arch = arch
	}
	m.problem = &layersError{m.Path}
}

// OpenReference opens an image by a reference (docker://…, oci:…, see oci.ParseReference), of which only the manifest
// and the configuration are read. The caller closes it.
func OpenReference(ctx context.Context, ref string, opt oci.Options) (*Image, error) {
	r, err := oci.ParseReference(ref)
	if err != nil {
		return nil, err
	}
	o, err := oci.Open(ctx, ref, opt)
	if err != nil {
		return nil, err
	}
	m := &Image{Path: ref, Kind: Registry, Arch: "unknown"}
	if r.Transport != oci.Docker {
		m.Kind = Kind(r.Transport)
	}
	m.takeOCI(o)
	m.contents = sync.OnceValues(m.openContents)
	m.metadata = sync.OnceValues(m.readMetadata)
	return m, nil
}

// layersError is why an OCI image cannot be mounted or looked into.
type layersError struct{ path string }

func (e *layersError) Error() string {
	return fmt.Sprintf("open %s: its contents are in layers", e.path)
}
func (e *layersError) Hint() string { return "convert it: carrel build new.sif " + e.path }

// pathError is for paths that references to OCI images cannot express.
type pathError struct{ path string }

func (e *pathError) Error() string {
	return fmt.Sprintf("open %s: the path of an OCI image must not contain a colon", e.path)
}
func (e *pathError) Hint() string { return "rename it" }

// Close closes what Open opened; file systems got from the image must no longer be used.
func (m *Image) Close() error {
	var errs []error
	for _, c := range m.closers {
		errs = append(errs, c())
	}
	return errors.Join(append(errs, m.close())...)
}

func (m *Image) close() error {
	switch {
	case m.root != nil:
		return m.root.Close()
	case m.oci != nil:
		return m.oci.Close()
	}
	return m.file.Close()
}

// File is the open file of a SIF or SquashFS, nil for other kinds. It stays the image's.
func (m *Image) File() *os.File { return m.file }

// System is where the image's main file system lies. It is an error for a folder.
func (m *Image) System() (Partition, error) {
	switch {
	case m.problem != nil:
		return Partition{}, m.problem
	case m.root != nil:
		return Partition{}, fmt.Errorf("open %s: a folder has no partition", m.Path)
	}
	return m.system, nil
}

// Overlays are the partitions laid over the system, lowest first.
func (m *Image) Overlays() []Partition { return m.overlays }

// SIF is the image as a SIF, nil for other kinds. It stays the image's.
func (m *Image) SIF() *sif.Image { return m.sif }

// OCI is the image as an OCI image, nil for other kinds. It stays the image's.
func (m *Image) OCI() *oci.Image { return m.oci }

// CheckArch returns an error when the image is known to be for another processor than goarch.
func (m *Image) CheckArch(goarch string) error {
	if m.sif == nil {
		return nil
	}
	return m.sif.CheckArch(goarch)
}

// Contents is FS for all kinds of images. The layers of an OCI image are read once for it, those of a registry's image
// downloaded, into an Index; other kinds ignore the options.
func (m *Image) Contents(ctx context.Context, opt IndexOptions) (fs.FS, error) {
	if m.oci == nil {
		return m.FS()
	}
	x, err := NewIndex(ctx, m.oci, opt)
	if err != nil {
		return nil, err
	}
	return x, nil
}

// FS is what a container made from the image sees: the system with its overlays. It implements fs.StatFS, fs.ReadDirFS,
// fs.ReadFileFS and fs.ReadLinkFS; symbolic links are followed within the image. It is valid until Close.
func (m *Image) FS() (fs.FS, error) {
	c, err := m.contents()
	if err != nil {
		return nil, err
	}
	return c.fs, nil
}

// Built is FS as the image was built: without the overlays that were added since. For an image without any it is FS.
func (m *Image) Built() (fs.FS, error) {
	c, err := m.contents()
	if err != nil {
		return nil, err
	}
	if c.built == nil {
		return c.fs, nil
	}
	return c.built, nil
}

// layers is an image's contents.
type layers struct {
	fs     fs.FS
	source tree.Source
	squash *squashfs.Reader // where they are one SquashFS and nothing else
	built  fs.FS            // the system without its overlays, where it has some
}

func (m *Image) openContents() (*layers, error) {
	switch {
	case m.problem != nil:
		return nil, m.problem
	case m.root != nil:
		return &layers{&folderFS{m.root}, tree.Dir(m.Path, tree.DirOptions{}), nil, nil}, nil
	}
	if m.system.FS == sif.FSExt3.String() && len(m.overlays) == 0 {
		r, err := m.openExt(m.system)
		if err != nil {
			return nil, err
		}
		return &layers{r.FS(), r, nil, nil}, nil
	}
	if len(m.overlays) == 0 {
		r, err := m.openSquash(m.system)
		if err != nil {
			return nil, err
		}
		return &layers{r.FS(), r, r, nil}, nil
	}
	stack, err := m.strata()
	if err != nil {
		return nil, err
	}
	u := newUnion(stack)
	return &layers{u, u, nil, newUnion(stack[:1])}, nil
}

// Stored is about how many bytes of the image's file a file takes, compressed; ok is false where that is not known: in
// folders, in layers, under overlays.
func (m *Image) Stored(info fs.FileInfo) (size int64, ok bool) {
	c, err := m.contents()
	in, isSquash := info.Sys().(*squashfs.Inode)
	if err != nil || c.squash == nil || !isSquash {
		return 0, false
	}
	size, err = c.squash.Stored(in)
	return size, err == nil
}

// WriteTo produces the image's contents, as FS shows them. It makes the image a tree.Source.
func (m *Image) WriteTo(ctx context.Context, sink tree.Sink) error {
	if m.oci != nil {
		return m.oci.WriteTo(ctx, sink)
	}
	c, err := m.contents()
	if err != nil {
		return err
	}
	return c.source.WriteTo(ctx, sink)
}
