package build

import (
	_ "embed"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"carrel/engine/sandbox/plan"
	"carrel/internal/rmtree"
)

// Downloads of package managers are kept between builds: a folder of the cache is mounted while sections run, below /dev
// (which is a file system of its own then, so that nothing of it can become part of the image, and which no section empties
// to make the image smaller).
const downloadsDir = "/dev/.carrel"

// downloadVariables lead package managers to their folder.
var downloadVariables = map[string]string{
	"PIP_CACHE_DIR":     "pip",
	"UV_CACHE_DIR":      "uv",
	"CONDA_PKGS_DIRS":   "conda",
	"npm_config_cache":  "npm",
	"YARN_CACHE_FOLDER": "yarn",
	"R_USER_CACHE_DIR":  "R",      // install.packages by profile.R; pak, and others that ask R itself (tools::R_user_dir)
	"RENV_PATHS_ROOT":   "R/renv", // renv
	"GOMODCACHE":        "go",     // go
	"CCACHE_DIR":        "ccache", // compilers behind ccache
}

// rProfile is read by R during the build only, instead of the profile of its installation, which it reads first.
//
//go:embed profile.R
var rProfile []byte

const rProfilePath = "/dev/.carrel.Rprofile"

// downloads is the folder of the cache for package managers, in use by one build.
type downloads struct {
	dir  string         // of the host
	apt  string         // below dir: where apt works, this build's alone
	view *downloadsView // what sections see of dir; nil: dir itself
}

// openDownloads makes the folder ready. Packages for apt are linked into a folder of this build's own, because apt locks
// the one it works in, and because `apt-get clean`, with which many sections end, empties it.
func (b *builder) openDownloads() (*downloads, error) {
	d := &downloads{dir: filepath.Join(b.spec.Cache, kindDownloads, b.spec.IDKind)}
	keep := filepath.Join(d.dir, "apt", "keep")
	if err := os.MkdirAll(keep, 0o755); err != nil {
		return nil, err
	}
	if err := b.holdDownloads(d.dir); err != nil {
		return nil, err
	}
	for _, sub := range downloadVariables {
		if err := os.MkdirAll(filepath.Join(d.dir, sub), 0o755); err != nil {
			return nil, err
		}
	}
	old, err := filepath.Glob(filepath.Join(d.dir, "apt", "work-*"))
	if err != nil {
		return nil, err
	}
	for _, o := range old { // of builds that were killed
		if f, ok := unused(o); ok {
			_ = rmtree.Remove(o)
			f.Close()
		}
	}
	work, f, err := lockedFolder(filepath.Join(d.dir, "apt"), "work-")
	if err != nil {
		return nil, err
	}
	b.atEnd(func() {
		_ = rmtree.Remove(work)
		f.Close()
	})
	if err := os.Chmod(work, 0o755); err != nil {
		return nil, err
	}
	if err := os.Mkdir(filepath.Join(work, "partial"), 0o755); err != nil {
		return nil, err
	}
	debs, err := filepath.Glob(filepath.Join(keep, "*.deb"))
	if err != nil {
		return nil, err
	}
	for _, p := range debs {
		_ = unix.Link(p, filepath.Join(work, filepath.Base(p))) // pruned meanwhile: it is downloaded again
	}
	d.apt = filepath.Base(work)
	d.view, err = b.viewDownloads(d.dir)
	return d, err
}

// environment leads package managers to the mounted folder.
func (d *downloads) environment() []string {
	var env []string
	for name, sub := range downloadVariables {
		env = append(env, name+"="+downloadsDir+"/"+sub)
	}
	return append(env, "R_PROFILE="+rProfilePath)
}

// mounts put the folder at its place. That of apt is the one of the cache: see openDownloads.
func (d *downloads) mounts() []plan.Op {
	profile := plan.Op{Kind: plan.OpFile, Dest: rProfilePath, Content: rProfile}
	if d.view == nil {
		return []plan.Op{profile, {Kind: plan.OpBind, Source: d.dir, Dest: downloadsDir}}
	}
	return []plan.Op{
		profile,
		{Kind: plan.OpBind, Source: d.view.overlay.root, Dest: downloadsDir},
		{Kind: plan.OpBind, Source: filepath.Join(d.dir, "apt"), Dest: downloadsDir + "/apt"},
	}
}

// aptConf makes apt keep what it fetches (apt.conf(5)). Every time before it calls dpkg, new packages are linked to
// where they survive.
func (d *downloads) aptConf() string {
	work := downloadsDir + "/apt/" + d.apt
	return strings.Join([]string{
		`Dir::Cache::archives "` + work + `/";`,
		`APT::Keep-Downloaded-Packages "true";`,
		`Binary::apt::APT::Keep-Downloaded-Packages "true";`,
		`DPkg::Pre-Invoke {"ln -f ` + work + `/*.deb ` + downloadsDir + `/apt/keep/ 2>/dev/null || true";};`,
	}, "\n") + "\n"
}
