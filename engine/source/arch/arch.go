// Package arch makes a base of Arch Linux's packages with this computer's pacman, as Bootstrap: arch of Singularity and
// Apptainer does with pacstrap (internal/pkg/build/sources/conveyorPacker_arch.go there), of the header keys ConfURL and
// Include. It also takes MirrorURL.
package arch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"carrel/engine/source"
)

// Spec says what root is wanted.
type Spec struct {
	// MirrorURL is a mirror, with or without $repo/os/$arch at its end; ConfURL the address of a pacman.conf(5), which goes
	// before it. With neither it is Arch Linux's own mirror.
	MirrorURL, ConfURL string
	Include            []string // empty: base
}

const (
	defaultMirror = "https://geo.mirror.pkgbuild.com"
	keyring       = "/usr/share/pacman/keyrings/archlinux.gpg"
	keyFolder     = source.ToolTemp + "/gnupg"
)

// Config is the text of a pacman.conf(5) for a mirror.
func (s Spec) Config() string {
	mirror := s.server()
	level := "Required DatabaseOptional"
	if source.Local(mirror) { // what lies on this computer needs no signature
		level = "Never"
	}
	return "[options]\nHoldPkg = pacman glibc\nArchitecture = auto\nSigLevel = " + level + "\n\n" +
		"[core]\nServer = " + mirror + "\n\n[extra]\nServer = " + mirror + "\n"
}

func (s Spec) server() string {
	mirror := s.MirrorURL
	if mirror == "" {
		mirror = defaultMirror
	}
	if !strings.Contains(mirror, "$repo") {
		mirror = strings.TrimRight(mirror, "/") + "/$repo/os/$arch"
	}
	return mirror
}

// Indexes are the addresses of the lists of packages of the mirror's repositories.
func (s Spec) Indexes() []string {
	var all []string
	for _, repo := range []string{"core", "extra"} {
		all = append(all, strings.NewReplacer("$repo", repo, "$arch", "x86_64").Replace(s.server())+"/"+repo+".db")
	}
	return all
}

// signed tells whether packages are checked.
func (s Spec) signed() bool { return s.ConfURL != "" || !source.Local(s.MirrorURL) }

// Install fills a root.
func Install(ctx context.Context, s Spec, p *source.Place) error {
	missing := &source.MissingToolError{Agent: "arch", Tools: "pacman",
		Install: "install it (Debian, Ubuntu: apt-get install pacman-package-manager archlinux-keyring)",
		Instead: "Bootstrap: docker, From: archlinux:base"}
	tool := p.Find("pacman")
	if tool == "" {
		return missing
	}
	if runtime.GOARCH != "amd64" && s.ConfURL == "" && s.MirrorURL == "" {
		return fmt.Errorf("packages of Arch Linux are not made for this computer's processor (%s)", runtime.GOARCH)
	}
	conf := s.Config()
	if s.ConfURL != "" {
		text, err := p.Fetch(ctx, s.ConfURL)
		if err != nil {
			return err
		}
		conf = string(text)
	}
	if err := os.WriteFile(filepath.Join(p.Temp, "pacman.conf"), []byte(conf), 0o644); err != nil {
		return err
	}
	if s.signed() {
		keys := p.Find("pacman-key")
		if _, err := os.Stat(keyring); keys == "" || err != nil {
			missing.Tools = "the keys of Arch Linux (archlinux-keyring)"
			return missing
		}
		for _, step := range [][]string{{"--init"}, {"--populate", "archlinux"}} {
			if err := p.Must(ctx, source.Command{Args: append([]string{keys, "--gpgdir", keyFolder}, step...)}); err != nil {
				return err
			}
		}
	}
	for _, dir := range []string{"var/lib/pacman", "var/log", "etc", "run"} {
		if err := os.MkdirAll(filepath.Join(p.Root, dir), 0o755); err != nil {
			return err
		}
	}
	include := s.Include
	if len(include) == 0 {
		include = []string{"base"}
	}
	args := []string{tool, "--root", source.ToolRoot, "--config", source.ToolTemp + "/pacman.conf", "--dbpath", source.ToolRoot + "/var/lib/pacman",
		"--cachedir", source.ToolCache + "/pacman", "--gpgdir", keyFolder, "--logfile", "/dev/null", "--hookdir", source.ToolRoot + "/etc/pacman.d/hooks",
		"--noconfirm", "--noprogressbar", "--disable-download-timeout", "-Sy", "--needed"}
	if err := p.Must(ctx, source.Command{Args: append(args, include...)}); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(p.Root, "usr/bin/pacman-key")); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	status, err := p.Inside(ctx, source.Command{Args: []string{"/bin/sh", "-c", "pacman-key --init && pacman-key --populate archlinux"}})
	if err == nil && status != 0 {
		p.Warn("the keys of Arch Linux could not be set up in the base: %post has to run pacman-key --init before it calls pacman")
	}
	return err
}
