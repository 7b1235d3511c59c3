package debian

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

var hostArch = Architecture(runtime.GOARCH)

func processors() int { return runtime.GOMAXPROCS(0) }

// Report is what Install did.
type Report struct {
	Packages []InstalledPackage // by name
	Size     int64              // of the package files, in bytes
	// IgnoredOwners counts files whose owner could not be set, SkippedDevices device nodes that could not be made,
	// for want of privilege.
	IgnoredOwners, SkippedDevices int64
	SourcesList                   string // the content of /etc/apt/sources.list
}

// InstalledPackage names a package exactly.
type InstalledPackage struct {
	Name, Version, Arch, SHA256 string
}

// Packages chooses the packages that Install would install, by name. It reads the package indexes, nothing more.
func (p *Prepared) Packages(ctx context.Context) ([]InstalledPackage, error) {
	s, err := p.resolve(ctx)
	if err != nil {
		return nil, err
	}
	return s.list(), nil
}

func (s *selection) list() []InstalledPackage {
	var all []InstalledPackage
	for _, p := range s.packages {
		all = append(all, InstalledPackage{Name: p.Name, Version: p.Version, Arch: p.Arch, SHA256: p.SHA256})
	}
	slices.SortFunc(all, func(a, b InstalledPackage) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

// Fetch brings every package that Install needs to the cache, so that Install finds them without the network.
func (p *Prepared) Fetch(ctx context.Context) error {
	s, err := p.resolve(ctx)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	p.download(ctx, group, s, func(*Package, string) {})
	return group.Wait()
}

// Install makes the root in an empty folder, which it makes too when it is missing. Commands of the packages run through
// the runner, which must see that folder as its root. After an error the folder's content is of no use; the caller
// removes it. The files of the cache stay whole whatever happens.
func (p *Prepared) Install(ctx context.Context, folder string, runner Runner) (*Report, error) {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, fmt.Errorf("make root: %w", err)
	}
	if entries, err := os.ReadDir(folder); err != nil || len(entries) > 0 {
		return nil, fmt.Errorf("make root in %s: %w", folder, cmpErr(err, unix.ENOTEMPTY))
	}
	s, err := p.resolve(ctx)
	if err != nil {
		return nil, err
	}
	root, err := openRoot(folder)
	if err != nil {
		return nil, err
	}
	defer root.close()
	aliases := s.usrLinks(p.spec.Arch)
	for name, target := range aliases {
		fd, err := root.makeDir(target)
		if err == nil {
			unix.Close(fd)
			err = root.symlink(target, name)
		}
		if err != nil {
			return nil, fmt.Errorf("merge /usr: %w", err)
		}
	}
	u := newUnpacker(root, aliases)
	packages, err := p.unpackAll(ctx, u, s)
	if err != nil {
		return nil, err
	}
	report := &Report{Packages: s.list()}
	for _, pkg := range s.order {
		report.Size += pkg.Size
	}
	if report.SourcesList, err = p.finishUnpacked(root, u, s, packages); err != nil {
		return nil, err
	}
	report.IgnoredOwners, report.SkippedDevices = u.ids.Load(), u.devices.Load()
	if err := p.configure(ctx, root, u, runner, s, packages); err != nil {
		return nil, err
	}
	return report, nil
}

// finishUnpacked does what remains when all packages are unpacked and before anything runs in the root.
func (p *Prepared) finishUnpacked(root *rootDir, u *unpacker, s *selection, packages []*unpacked) (sourcesList string, err error) {
	if err := u.settle(); err != nil {
		return "", err
	}
	done := slices.DeleteFunc(slices.Clone(packages), func(p *unpacked) bool { return p.deferred })
	if err := writeDatabase(root, p.spec.Arch, p.Date(), done); err != nil {
		return "", err
	}
	if s.packages["apt"] != nil {
		if sourcesList, err = p.writeSources(root); err != nil {
			return "", err
		}
		if err := root.writeFile("var/lib/apt/extended_states", extendedStates(p.spec.Arch, s), 0o644); err != nil {
			return "", fmt.Errorf("write package states: %w", err)
		}
	}
	// Before dash and base-passwd did this themselves, a bootstrap did: a shell to run scripts with, and the users that
	// the first scripts name.
	if !root.exists("bin/sh") && root.exists("bin/dash") {
		if err := root.symlink("dash", "bin/sh"); err != nil {
			return "", fmt.Errorf("make shell: %w", err)
		}
	}
	// What a bootstrap writes where an administrator will write something else.
	if !root.exists("etc/fstab") {
		if err := root.writeFile("etc/fstab", []byte("# UNCONFIGURED FSTAB FOR BASE SYSTEM\n"), 0o644); err != nil {
			return "", fmt.Errorf("write fstab: %w", err)
		}
	}
	return sourcesList, u.settleFolders()
}

// usrLinks are the top-level folders that are links into /usr in a suite with merged /usr: since Debian 13 base-files
// has them, before that a package asks for them. What is a folder of its own depends on the architecture's loader.
func (s *selection) usrLinks(arch string) map[string]string {
	base := s.packages["base-files"]
	if s.packages["usrmerge"] == nil && s.packages["usr-is-merged"] == nil && (base == nil || CompareVersions(base.Version, "13") < 0) {
		return nil
	}
	links := map[string]string{"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib"}
	switch arch {
	case "amd64", "loong64", "mips64el", "ppc64", "ppc64el", "sparc64":
		links["lib64"] = "usr/lib64"
	}
	return links
}

// download fetches the packages of a selection, the largest first, in goroutines of the group, and hands each to done.
func (p *Prepared) download(ctx context.Context, group *errgroup.Group, s *selection, done func(pkg *Package, file string)) {
	queue := slices.SortedFunc(slices.Values(s.order), func(a, b *Package) int {
		return cmp.Or(cmp.Compare(b.Size, a.Size), cmp.Compare(a.Name, b.Name))
	})
	var total, arrived, next, finished atomic.Int64
	for _, pkg := range queue {
		total.Add(pkg.Size)
	}
	p.opts.event(Event{Kind: EventResolved, Total: len(queue), TotalBytes: total.Load()})
	for range min(p.opts.Downloads, len(queue)) {
		group.Go(fenced(func() error {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(queue) {
					return nil
				}
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				pkg := queue[i]
				var unreported int64
				file, err := p.fetch.blob(ctx, []string{fileURL(pkg.Base, pkg.Filename)}, indexFile{size: pkg.Size, sha256: pkg.SHA256}, func(n int64) {
					now := arrived.Add(n)
					if unreported += n; unreported >= 1<<20 {
						unreported = 0
						p.opts.event(Event{Kind: EventProgress, Package: pkg.Name, Total: len(queue), Bytes: now, TotalBytes: total.Load()})
					}
				})
				if err != nil {
					return fmt.Errorf("fetch package %s: %w", pkg.Name, err)
				}
				p.opts.event(Event{Kind: EventFetched, Package: pkg.Name, N: int(finished.Add(1)), Total: len(queue), Bytes: arrived.Load(), TotalBytes: total.Load()})
				done(pkg, file)
			}
		}))
	}
}

// unpackAll unpacks packages as they arrive.
func (p *Prepared) unpackAll(ctx context.Context, u *unpacker, s *selection) ([]*unpacked, error) {
	order := map[*Package]int{}
	for i, pkg := range s.order {
		order[pkg] = i + 1
	}
	if base := s.packages["base-files"]; base != nil {
		order[base] = 0 // the folders of the root are as base-files has them
	}
	type job struct {
		pkg  *Package
		file string
	}
	jobs := make(chan job, len(s.order))
	group, ctx := errgroup.WithContext(ctx)
	fetching, fetchCtx := errgroup.WithContext(ctx)
	p.download(fetchCtx, fetching, s, func(pkg *Package, file string) { jobs <- job{pkg, file} })
	group.Go(fenced(func() error {
		defer close(jobs)
		return fetching.Wait()
	}))
	all := make([]*unpacked, len(s.order)+1)
	var finished atomic.Int64
	for range p.opts.Unpackings {
		group.Go(fenced(func() error {
			for j := range jobs {
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				f, err := os.Open(j.file)
				if err != nil {
					return fmt.Errorf("unpack %s: %w", j.pkg.Name, err)
				}
				one, err := u.unpack(ctx, order[j.pkg], j.pkg, f, !s.base[j.pkg.Name])
				f.Close()
				if err != nil {
					return err
				}
				one.file = j.file
				all[one.order] = one
				p.opts.event(Event{Kind: EventUnpacked, Package: j.pkg.Name, N: int(finished.Add(1)), Total: len(s.order)})
			}
			return nil
		}))
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(p *unpacked) bool { return p == nil }), nil
}

// writeSources writes /etc/apt/sources.list for the archives used, and the keys apt needs for those that are signed by
// none of the distribution's own.
func (p *Prepared) writeSources(root *rootDir) (string, error) {
	var list strings.Builder
	for i, s := range p.sources {
		var options []string
		if s.Trusted {
			options = append(options, "trusted=yes")
		}
		if s.signer != nil {
			name := fmt.Sprintf("etc/apt/keyrings/archive-%d.gpg", i+1)
			var key bytes.Buffer
			if err := s.signer.Serialize(&key); err != nil {
				return "", fmt.Errorf("write key of %s: %w", s.URI, err)
			}
			if err := root.writeFile(name, key.Bytes(), 0o644); err != nil {
				return "", fmt.Errorf("write key of %s: %w", s.URI, err)
			}
			options = append(options, "signed-by=/"+name)
		}
		if s.IgnoreDates || p.spec.AllowExpired {
			options = append(options, "check-valid-until=no")
		}
		list.WriteString("deb ")
		if len(options) > 0 {
			list.WriteString("[" + strings.Join(options, " ") + "] ")
		}
		fmt.Fprintf(&list, "%s %s %s\n", s.URI, s.Suite, strings.Join(p.spec.Components, " "))
	}
	if err := root.writeFile("etc/apt/sources.list", []byte(list.String()), 0o644); err != nil {
		return "", fmt.Errorf("write apt sources: %w", err)
	}
	return list.String(), nil
}

// removeTraces takes away what a bootstrap leaves that no image should hold: logs, copies of packages, caches, what was
// running, and the identity of a machine that is none (machine-id(5): images hold an empty file).
func removeTraces(root *rootDir, u *unpacker) error {
	for _, folder := range []string{"run", "tmp"} {
		keep := func(p string) bool { return u.has(p) || p == "run/lock" } // base-files makes that one itself
		if err := root.removeContent(folder, keep); err != nil {
			return err
		}
	}
	if root.exists("etc/machine-id") {
		if err := root.writeFile("etc/machine-id", nil, 0o644); err != nil {
			return err
		}
	}
	for _, pattern := range []string{
		"var/log/dpkg.log", "var/log/alternatives.log", "var/log/bootstrap.log", "var/log/apt/*.log", "var/log/apt/*.xz",
		"var/cache/apt/*.bin", archivesDir + "/*.deb", "var/cache/ldconfig/aux-cache", "var/lib/dbus/machine-id",
	} {
		names, err := root.list(path.Dir(pattern))
		if errors.Is(err, unix.ENOENT) {
			continue
		}
		if err != nil {
			return err
		}
		for _, name := range names {
			if ok, _ := path.Match(path.Base(pattern), name); ok {
				if err := root.remove(path.Join(path.Dir(pattern), name)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// copyIn puts a file of the cache into the root.
func copyIn(root *rootDir, from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	return root.at(to, func(dir int, base string) error {
		fd, err := unix.Openat(dir, base, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o644)
		if err != nil {
			return err
		}
		out := os.NewFile(uintptr(fd), base)
		_, err = io.Copy(out, in)
		return errors.Join(err, out.Close())
	})
}

// fenced turns a panic, which foreign bytes may cause in a decompressor, into an error of the goroutine's group.
func fenced(f func() error) func() error {
	return func() (err error) {
		defer func() {
			if cause := recover(); cause != nil {
				err = fmt.Errorf("internal error: %v\n%s", cause, debug.Stack())
			}
		}()
		return f()
	}
}
