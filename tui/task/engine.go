package task

import (
	"context"
	"time"

	"carrel/engine"
)

// Engine is what the screens need of *engine.Engine. All of it may be called from any goroutine, and none of it on the loop.
type Engine interface {
	Resolve(ctx context.Context, name string) (engine.Target, error)
	Images(ctx context.Context) ([]engine.ImageInfo, error)
	ListImages(ctx context.Context, soon func([]engine.ImageInfo)) ([]engine.ImageInfo, error)
	RemoveImage(ctx context.Context, path string) error
	Card(ctx context.Context, name string) (Card, error)
	Definition(ctx context.Context, name string) (string, error)

	Inspect(ctx context.Context, name string) (engine.Inspection, error)
	Files(ctx context.Context, name, at string) ([]engine.ImageFile, error)
	ReadFile(ctx context.Context, name, at string, limit int64) ([]byte, error)
	Find(ctx context.Context, name, at, words string, limit int) (found []engine.ImageFile, more bool, err error)
	Packages(ctx context.Context, name string) (engine.Installed, error)
	Sizes(ctx context.Context, name, at string) (engine.Sizes, error)
	CopyOut(ctx context.Context, name, at, dest string) (engine.Copied, error)
	Diff(ctx context.Context, before, after string) (engine.Difference, error)
	Changes(ctx context.Context, name string) (engine.Changes, error)
	Parts(ctx context.Context, name string, verify bool) (engine.Parts, error)

	Build(ctx context.Context, spec engine.BuildSpec, sink engine.Sink) (engine.ImageInfo, error)
	Start(ctx context.Context, spec engine.RunSpec) (engine.Instance, error)
	Instances(ctx context.Context) ([]engine.Instance, error)
	Instance(ctx context.Context, name string) (engine.Instance, error)
	Watch(ctx context.Context) (<-chan struct{}, error)
	Logs(ctx context.Context, name string, o engine.LogOptions, f func([]engine.LogLine) error) error
	Usage(ctx context.Context, name string) (engine.Usage, error)
	Stop(ctx context.Context, name string, grace time.Duration) error
	Restart(ctx context.Context, name string) (engine.Instance, error)
	Forget(ctx context.Context, name string) error

	Share(ctx context.Context, spec engine.ShareSpec) (*engine.Sharing, error)
	Push(ctx context.Context, name, ref string, sink engine.Sink) (engine.Pushed, error)

	Doctor(ctx context.Context) []engine.Check
	Folder(path string) engine.FolderState
	Port(n int) engine.PortState
	FreeSpace() (bytes int64, dir string)
	Guarded() (guarded, others bool)
	Cache(ctx context.Context) ([]engine.CacheUse, error)
	Prune(ctx context.Context, kinds ...string) (engine.Pruned, error)
	CommandLine(spec engine.RunSpec) string
	BuildCommandLine(spec engine.BuildSpec) string
}

// Memory keeps the answers of earlier launches, by the app's name. A memory that cannot be read is an empty one.
type Memory interface {
	Load(app string) map[string]string
	Save(app string, answers map[string]string) error
}

// Entry is one app of the catalog.
type Entry struct {
	Name   string
	Card   Card
	Raw    string // its definition file
	Source string // where it comes from, for a person: "built in"
	Err    error  // why it cannot be used
	// Versions are those to choose from, the newest first, where it stands for several: NAME:VERSION.
	Versions []string

	// Ask is what the person should know and agree to before it is built, a sentence each; empty when there is nothing to ask.
	Ask     []string
	consent string // what they agree to, for Library
}

// Catalog is what the screens need of the catalog of apps.
type Catalog interface {
	Entries(ctx context.Context) ([]Entry, error)
	// Allow remembers that the person has agreed to what an entry's Ask says.
	Allow(ctx context.Context, e Entry) error

	// Sources are where the apps come from.
	Sources(ctx context.Context) ([]Source, error)
	// AddSource fetches a catalog from an address, UpdateSource its newest state and says what changed; RemoveSource forgets
	// it, with its copy. Images built from it stay.
	AddSource(ctx context.Context, address string) (Source, error)
	UpdateSource(ctx context.Context, name string) (string, error)
	RemoveSource(ctx context.Context, name string) error
}

// Source is where apps come from.
type Source struct {
	Name    string
	Kind    string // "built-in", "folder", "git" …
	Address string // empty for what is built in
	Commit  string
	Apps    int
	Updated time.Time // zero for what is read as it is
	Added   bool      // it can be updated and removed
	Problem string
}
