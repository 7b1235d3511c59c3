package source

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"carrel/internal/pattern"
)

// What a program of this computer sees while it fills a root. Everything else is this computer's, and read-only.
const (
	ToolTemp  = "/tmp"       // Place.Temp
	ToolRoot  = "/tmp/root"  // Place.Root: the root to be filled
	ToolHome  = "/tmp/home"  // its home folder, Place.Temp/home
	ToolCache = "/tmp/cache" // kept between builds
)

// Place is a root that is being filled.
type Place struct {
	Root string // folder of the root, as this process sees it
	Temp string // folder that is removed afterwards; programs see it as ToolTemp
	// Folders of this computer that programs have to see, such as a repository that lies on it.
	Folders []string
	// Find returns the absolute path of a program of this computer, "" where there is none.
	Find func(name string) string
	// Run runs a program of this computer as root, with the folders above, and returns its exit status.
	Run func(ctx context.Context, c Command) (status int, err error)
	// Inside runs a program of the root that is being filled.
	Inside func(ctx context.Context, c Command) (status int, err error)
	// Fetch returns the contents of a small file by its address: http, https or file.
	Fetch func(ctx context.Context, url string) ([]byte, error)
	// Warn tells a person something they should know.
	Warn func(text string)
}

// Command is a program to run.
type Command struct {
	Args []string // the first is a path
	Env  []string // besides PATH, HOME, LANG and proxies
	// CacheInRoot is a folder of the root at which the program sees ToolCache/NAME, too; it is removed afterwards.
	// Programs that put every path of theirs below the root need it.
	CacheInRoot string
}

// Must runs a program that has to succeed.
func (p *Place) Must(ctx context.Context, c Command) error {
	status, err := p.Run(ctx, c)
	if err == nil && status != 0 {
		err = &ExitError{Args: c.Args, Status: status}
	}
	return err
}

// ExitError is a program that failed.
type ExitError struct {
	Args   []string
	Status int
}

func (e *ExitError) Error() string {
	return fmt.Sprintf("%s: exit status %d", e.Args[0], e.Status)
}

// Hint says where to look.
func (e *ExitError) Hint() string {
	return "the last lines of the log are what " + e.Args[0] + " said; check MirrorURL, OSVersion and Include in the header"
}

// MissingToolError is a base that needs a program this computer does not have.
type MissingToolError struct {
	Agent string // "yum"
	Tools string // "dnf or yum"
	// Install says how to get it: commands, by distribution.
	Install string
	// Instead is an image of the same distribution that needs no program.
	Instead string
}

func (e *MissingToolError) Error() string {
	return fmt.Sprintf("Bootstrap: %s needs %s, which this computer does not have", e.Agent, e.Tools)
}

// Hint says how to get it, and what to use instead.
func (e *MissingToolError) Hint() string {
	return e.Install + ", or start from an image of it, which needs nothing: " + e.Instead
}

var osVersion = pattern.New(`(?i)%\{OSVERSION\}`)

// Expand puts the release in the place of %{OSVERSION} in an address. It is an error when the address asks for it and there
// is none.
func Expand(url, version string) (string, error) {
	if !osVersion.MatchString(url) {
		return url, nil
	}
	if version == "" {
		return "", fmt.Errorf("%s asks for the release: the header needs OSVersion", url)
	}
	return osVersion.ReplaceAllLiteralString(url, version), nil
}

// Local tells whether an address is a folder of this computer.
func Local(url string) bool {
	return strings.HasPrefix(url, "file:") || strings.HasPrefix(url, "/")
}

// Path is the folder or file of an address that is Local, without variables such as $repo at its end.
func Path(address string) string {
	p := address
	if u, err := url.Parse(address); err == nil && u.Scheme == "file" {
		p = u.Path
	}
	p, _, _ = strings.Cut(p, "/$")
	return p
}

// Words splits the value of Include, at spaces and commas.
func Words(texts ...string) []string {
	return strings.FieldsFunc(strings.Join(texts, " "), func(r rune) bool { return r == ' ' || r == ',' || r == '\t' })
}
