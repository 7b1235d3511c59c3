package engine

import (
	"context"
	"fmt"
	"sort"

	"carrel/engine/card"
	"carrel/engine/definition"
	"carrel/engine/doctor"
	"carrel/engine/image"
	"carrel/engine/source/remote"
)

// Inspection is what an image says about itself.
type Inspection struct {
	ImageInfo
	Labels      map[string]string `json:"labels"`
	Definition  string            `json:"definition,omitempty"`
	Runscript   string            `json:"runscript,omitempty"`
	Startscript string            `json:"startscript,omitempty"`
	Test        string            `json:"test,omitempty"`
	Help        string            `json:"help,omitempty"`
	Environment map[string]string `json:"environment,omitempty"` // text of files by path
	Apps        []string          `json:"apps,omitempty"`        // names of SCIF apps

	metadata image.Metadata
}

// Inspect reads what an image says about itself, without starting it. Of an image in a registry it is what the
// configuration says, without any layer; Path is then the reference.
func (e *Engine) Inspect(ctx context.Context, name string) (Inspection, error) {
	img, t, done, err := e.openOutline(ctx, "inspect", name)
	if err != nil {
		return Inspection{}, err
	}
	defer done()
	info := e.describeRemote(t, img)
	if img.Kind != image.Registry && t.Kind != TargetRemote || t.Built {
		if info, err = e.describe(t.Path); err != nil {
			return Inspection{}, err
		}
		info.Size = max(info.Size, img.Size) // of a folder in OCI's form, its layers
	}
	m, err := img.Metadata()
	if err != nil {
		return Inspection{}, err
	}
	out := Inspection{
		ImageInfo: info, Labels: m.Labels, Definition: img.Definition(), Runscript: m.Runscript, Startscript: m.Startscript,
		Test: m.Test, Help: m.Help, Environment: m.Environment, metadata: m,
	}
	out.metadata.Definition = out.Definition
	for name := range m.Apps {
		out.Apps = append(out.Apps, name)
	}
	sort.Strings(out.Apps)
	return out, nil
}

// Selection is a part of what an image says about itself.
type Selection = image.Selection

// Everything selects all there is.
var Everything = image.Everything

// Text is a part of an Inspection as `apptainer inspect` prints it. It is not made harmless for a terminal beyond what
// package image does: it may have several lines.
func (in *Inspection) Text(s Selection) string { return in.metadata.Text(s) }

// Document is the same as `apptainer inspect --json` prints it.
func (in *Inspection) Document(s Selection) ([]byte, error) { return in.metadata.Document(s) }

// open opens the image that a name stands for; one in a registry, or behind a reference, without fetching its layers.
func (e *Engine) open(ctx context.Context, verb, name string) (*image.Image, Target, error) {
	t, err := e.Resolve(ctx, name)
	switch {
	case err != nil:
		return nil, t, err
	case t.Built:
		img, err := image.Open(t.Path)
		return img, t, err
	case t.Kind == TargetRemote:
		img, err := e.openRemote(ctx, t.Ref, "", nil)
		return img, t, err
	}
	return nil, t, &notBuiltError{verb, name}
}

// openOutline is open for who wants to know only what an image says about itself: of an image file that lies elsewhere no more
// than that is fetched, where the server allows. The caller calls done.
func (e *Engine) openOutline(ctx context.Context, verb, name string) (img *image.Image, t Target, done func(), err error) {
	t, err = e.Resolve(ctx, name)
	if err == nil && t.Kind == TargetRemote && !t.Built && remote.Is(t.Ref) {
		if img, done, err = e.outline(ctx, t.Ref); img != nil || err != nil {
			return img, t, done, err
		}
	}
	if img, t, err = e.open(ctx, verb, name); err != nil {
		return nil, t, nil, err
	}
	return img, t, func() { img.Close() }, nil
}

// outline opens what a file that lies elsewhere says about itself; nil where that cannot be had without the whole.
func (e *Engine) outline(ctx context.Context, ref string) (*image.Image, func(), error) {
	o := e.remoteOptions("", nil)
	dir, release, err := e.scratch("outline-")
	if err != nil {
		return nil, nil, err
	}
	o.Cache = dir
	img, err := func() (*image.Image, error) {
		f, err := remote.Find(ctx, ref, o)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		path, _, ok, err := f.Outline(ctx) // it goes with the folder
		if !ok || err != nil {
			return nil, err
		}
		return image.Open(path)
	}()
	if img == nil || err != nil {
		release()
		return nil, nil, err
	}
	return img, func() { img.Close(); release() }, nil
}

// notBuiltError is a catalog entry of which there is no image yet.
type notBuiltError struct{ verb, name string }

func (e *notBuiltError) Error() string {
	return fmt.Sprintf("%s %s: its image is not built yet", e.verb, e.name)
}
func (e *notBuiltError) Hint() string { return "build it: carrel build " + e.name }

func (e *Engine) describeRemote(t Target, img *image.Image) ImageInfo {
	info := ImageInfo{Name: t.Name, Path: t.Ref, Kind: string(img.Kind), Size: img.Size, Arch: img.Arch}
	if labels, err := img.Labels(); err == nil {
		info.Title = labels["org.opencontainers.image.title"]
	}
	if m := img.OCI(); m != nil {
		info.ModTime = m.Config.Created
	}
	return info
}

// Card is how an image, or a catalog entry that may not be built yet, explains itself.
func (e *Engine) Card(ctx context.Context, name string) (card.Card, error) {
	t, err := e.Resolve(ctx, name)
	if err != nil {
		return card.Card{}, err
	}
	if t.Kind == TargetCatalog {
		entry, err := e.c.Catalog.Lookup(t.Name)
		if err != nil {
			return card.Card{}, err
		}
		f, err := definition.ParseString(entry.Text, definition.Options{Name: entry.Name, AllowUndefined: true})
		if err != nil {
			return card.Card{}, err
		}
		c, _ := card.Parse(f.Final().LabelMap())
		return c, nil
	}
	if !t.Built {
		return card.Card{}, nil
	}
	img, err := image.Open(t.Path)
	if err != nil {
		return card.Card{}, err
	}
	defer img.Close()
	labels, err := img.Labels()
	if err != nil {
		return card.Card{}, err
	}
	c, _ := card.Parse(labels)
	return c, nil
}

// Doctor says what this computer can and cannot do.
func (e *Engine) Doctor(ctx context.Context) []Check {
	found := doctor.Run(ctx, doctor.Config{ImageDir: e.imageDir(), Home: e.c.User.Home, Self: e.c.Self, Env: e.c.User.Env})
	out := make([]Check, 0, len(found))
	for _, c := range found {
		out = append(out, Check{
			Name: c.Name, Status: Status(c.Status), Title: c.Title, Term: c.Term, Detail: c.Detail, Advice: c.Advice, Admin: c.Admin,
		})
	}
	return out
}
