// Package yum makes a base of RPM packages with this computer's dnf or yum, as Bootstrap: yum of Singularity and Apptainer
// does (internal/pkg/build/sources/conveyorPacker_yum.go there), of the header keys MirrorURL, UpdateURL, OSVersion, Include
// and SetOpt.
package yum

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"

	"carrel/engine/source"
)

// Spec says what root is wanted.
type Spec struct {
	MirrorURL string // may hold %{OSVERSION}, and $releasever and $basearch of dnf
	UpdateURL string // "" for none
	OSVersion string
	Include   []string // besides what every root gets
	SetOpt    string   // an option for dnf's --setopt
	// GPG is the address (https) of a key by which packages have to be signed; "": signatures are not looked at, as in
	// Singularity.
	GPG string
}

// Always are the packages that every root gets.
var Always = []string{"/etc/redhat-release", "coreutils"}

// Resolve puts the release into the addresses.
func (s Spec) Resolve() (Spec, error) {
	if s.MirrorURL == "" {
		return s, errors.New("the header needs MirrorURL: the address of a repository of RPM packages")
	}
	if s.GPG != "" && !strings.HasPrefix(s.GPG, "https://") {
		return s, fmt.Errorf("the key %s has to be fetched by https", s.GPG)
	}
	var err, err2 error
	s.MirrorURL, err = source.Expand(s.MirrorURL, s.OSVersion)
	s.UpdateURL, err2 = source.Expand(s.UpdateURL, s.OSVersion)
	return s, errors.Join(err, err2)
}

// Config is the text of a dnf.conf(5) that knows the root's repositories and nothing else.
func (s Spec) Config() string {
	check := "0"
	if s.GPG != "" {
		check = "1"
	}
	var b strings.Builder
	// The kept lists of packages are asked for anew (metadata_expire): dnf would take them for good for two days, also when
	// the repository has changed and the base is made anew because of that.
	fmt.Fprintf(&b, "[main]\ncachedir=%s\nkeepcache=1\nmetadata_expire=0\nlogfile=/var/log/yum.log\nsyslog_device=/dev/null\nexactarch=1\nobsoletes=1\n"+
		"gpgcheck=%s\nplugins=0\nreposdir=/dev/null\ndeltarpm=0\n", cacheInRoot, check)
	repo := func(id, url string) {
		if url != "" {
			fmt.Fprintf(&b, "\n[%s]\nname=%s\nbaseurl=%s\nenabled=1\ngpgcheck=%s\n", id, id, url, check)
		}
	}
	repo("base", s.MirrorURL)
	repo("updates", s.UpdateURL)
	return b.String()
}

// cacheInRoot is where dnf keeps packages; it puts the root's path before it.
const cacheInRoot = "/var/cache/yum-bootstrap"

// Install fills a root.
func Install(ctx context.Context, s Spec, p *source.Place) error {
	tool := p.Find("dnf")
	if tool == "" {
		tool = p.Find("yum")
	}
	rpm := p.Find("rpm")
	if tool == "" || rpm == "" {
		return &source.MissingToolError{Agent: "yum", Tools: "dnf (or yum) and rpm",
			Install: "install it (Debian, Ubuntu: apt-get install dnf rpm)",
			Instead: "Bootstrap: docker, From: rockylinux:9 or fedora:42"}
	}
	if err := p.WriteRPMMacros(source.RPMOld); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(p.Temp, "yum.conf"), []byte(s.Config()), 0o644); err != nil {
		return err
	}
	if s.GPG != "" {
		key, err := p.Fetch(ctx, s.GPG)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(p.Temp, "key.asc"), key, 0o644); err != nil {
			return err
		}
		for _, args := range [][]string{{"--initdb"}, {"--import", source.ToolTemp + "/key.asc"}} {
			if err := p.Must(ctx, source.Command{Args: append([]string{rpm, "--root", source.ToolRoot}, args...)}); err != nil {
				return err
			}
		}
	}
	args := []string{tool, "--noplugins", "-c", source.ToolTemp + "/yum.conf", "--installroot", source.ToolRoot, "-y"}
	if strings.HasPrefix(path.Base(tool), "dnf") {
		args = append(args, "--refresh") // metadata_expire takes lists of the same second for good; yum has no such option
	}
	if s.OSVersion != "" {
		args = append(args, "--releasever="+s.OSVersion)
	}
	if s.SetOpt != "" {
		args = append(args, "--setopt", s.SetOpt)
	}
	args = append(append(append(args, "install"), Always...), s.Include...)
	if err := p.Must(ctx, source.Command{Args: args, CacheInRoot: cacheInRoot}); err != nil {
		return err
	}
	return p.SettleRPM()
}
