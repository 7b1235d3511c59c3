// Package zypper makes a base of SUSE's packages with this computer's zypper, as Bootstrap: zypper of Singularity and
// Apptainer does (internal/pkg/build/sources/conveyorPacker_zypper.go there): openSUSE of MirrorURL, UpdateURL and OtherURL0
// to 19, and SUSE Linux Enterprise of Product, User and RegCode, for which SUSEConnect registers the root.
package zypper

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"carrel/engine/source"
)

// Spec says what root is wanted.
type Spec struct {
	MirrorURL, UpdateURL string // may hold %{OSVERSION}
	OSVersion            string
	OtherURLs            []string // further repositories
	Include              []string // besides aaa_base

	// Of SUSE Linux Enterprise.
	Product     string // "SLES/%{OSVERSION}"
	User        string // e-mail address of the subscription
	RegCode     string // its code
	ProductPGP  string // the public key, as text
	RegisterURL string // of a server of one's own
	Modules     []string

	Machine string // as uname -m says: "x86_64"
}

// SLE tells whether the root is to be registered.
func (s Spec) SLE() bool { return s.Product != "" || s.User != "" || s.RegCode != "" }

// Resolve checks what the header says and puts the release into the addresses.
func (s Spec) Resolve() (Spec, error) {
	version := s.OSVersion
	if s.SLE() {
		var err error
		if version, err = s.checkSLE(); err != nil {
			return s, err
		}
	} else if s.MirrorURL == "" {
		return s, errors.New("the header needs MirrorURL: the address of a repository, such as https://download.opensuse.org/distribution/leap/%{OSVERSION}/repo/oss/")
	}
	var errs [3]error
	s.MirrorURL, errs[0] = source.Expand(s.MirrorURL, version)
	s.UpdateURL, errs[1] = source.Expand(s.UpdateURL, version)
	s.Product, errs[2] = source.Expand(s.Product, version)
	return s, errors.Join(errs[:]...)
}

// checkSLE returns the release as it stands in names: without a service pack that is 0.
func (s Spec) checkSLE() (version string, err error) {
	if s.Product == "" || s.User == "" || s.RegCode == "" {
		return "", errors.New("SUSE Linux Enterprise needs Product, User and RegCode in the header")
	}
	major, minor, _ := strings.Cut(s.OSVersion, ".")
	n, err := strconv.Atoi(major)
	if err != nil {
		return "", fmt.Errorf("SUSE Linux Enterprise needs OSVersion in the header, as in 15.6, not %q", s.OSVersion)
	}
	if s.MirrorURL == "" && (n > 12 || s.ProductPGP == "") {
		return "", errors.New("SUSE Linux Enterprise needs MirrorURL in the header, the address of the installer (release 12: or ProductPGP)")
	}
	if strings.Count(s.Product, "/") > 2 {
		return "", fmt.Errorf("product %q is not of the form NAME/RELEASE/MACHINE", s.Product)
	}
	if minor != "" && minor != "0" {
		return s.OSVersion, nil
	}
	return major, nil
}

// products are the arguments of SUSEConnect's --product, the product itself first.
func (s Spec) products() []string {
	parts := strings.Split(s.Product, "/")
	machine := s.Machine
	if len(parts) == 3 {
		machine = parts[2]
	}
	product := s.Product
	switch len(parts) {
	case 1:
		product += "/" + s.OSVersion + "/" + machine
	case 2:
		product += "/" + machine
	}
	all := []string{product}
	for _, m := range s.Modules {
		all = append(all, m+"/"+s.OSVersion+"/"+machine)
	}
	return all
}

// scriptsFailed is zypper's status when all is installed and a package's script failed (zypper(8), EXIT CODES).
const scriptsFailed = 107

// Install fills a root.
func Install(ctx context.Context, s Spec, p *source.Place) error {
	tool, rpmkeys := p.Find("zypper"), p.Find("rpmkeys")
	if tool == "" || rpmkeys == "" {
		return &source.MissingToolError{Agent: "zypper", Tools: "zypper and rpm",
			Install: "install it (Debian, Ubuntu: apt-get install zypper rpm; Fedora: dnf install zypper)",
			Instead: "Bootstrap: docker, From: opensuse/leap:15.6"}
	}
	at, link := source.RPMNew, source.RPMOld
	if strings.HasPrefix(s.OSVersion, "12") && s.SLE() {
		at, link = link, at
	}
	if err := errors.Join(p.WriteRPMMacros(at), p.LinkRPM(at, link)); err != nil {
		return err
	}
	conf := filepath.Join(p.Root, "etc/zypp")
	if err := os.MkdirAll(conf, 0o755); err != nil {
		return err
	}
	base := []string{tool, "--root", source.ToolRoot, "--cache-dir", source.ToolCache + "/zypp", "--non-interactive"}
	if s.OSVersion != "" {
		base = append(base, "--releasever="+s.OSVersion)
	}
	run := func(args ...string) error {
		return p.Must(ctx, source.Command{Args: append(base[:len(base):len(base)], args...), Env: environment})
	}
	add := func(url, name string) error {
		args := []string{"addrepo", "--refresh"}
		if source.Local(url) { // what lies on this computer needs no signature
			args = append(args, "--no-gpgcheck")
		}
		if err := run(append(args, url, name)...); err != nil {
			return err
		}
		return run("--gpg-auto-import-keys", "refresh", "--repo", name)
	}
	if s.ProductPGP != "" {
		if err := os.WriteFile(filepath.Join(p.Temp, "key.asc"), []byte(s.ProductPGP+"\n"), 0o644); err != nil {
			return err
		}
		if err := p.Must(ctx, source.Command{Args: []string{rpmkeys, "--root", source.ToolRoot, "--import", source.ToolTemp + "/key.asc"}}); err != nil {
			return err
		}
	}
	if s.MirrorURL != "" {
		if err := add(s.MirrorURL, "repo"); err != nil {
			return err
		}
		if s.UpdateURL != "" {
			if err := add(s.UpdateURL, "update"); err != nil {
				return err
			}
		}
	}
	include := append([]string{"aaa_base"}, s.Include...)
	if s.SLE() {
		if err := s.register(ctx, p); err != nil {
			return err
		}
		include = append(include, "SUSEConnect")
	}
	for i, url := range s.OtherURLs {
		if err := add(url, fmt.Sprintf("repo-%d", i)); err != nil {
			return err
		}
	}
	args := append(base[:len(base):len(base)], "install", "--auto-agree-with-licenses", "--download-in-advance")
	status, err := p.Run(ctx, source.Command{Args: append(args, include...), Env: environment})
	switch {
	case err != nil:
		return err
	case status == scriptsFailed:
		p.Warn("all packages are installed, but a script of one of them failed")
	case status != 0:
		return &source.ExitError{Args: args, Status: status}
	}
	return nil
}

// environment keeps zypper's lock in the root: that of this computer is none of its business.
var environment = []string{"ZYPP_LOCKFILE_ROOT=" + source.ToolRoot}

func (s Spec) register(ctx context.Context, p *source.Place) error {
	tool := p.Find("SUSEConnect")
	if tool == "" {
		return &source.MissingToolError{Agent: "zypper", Tools: "SUSEConnect to register SUSE Linux Enterprise",
			Install: "build on a SUSE system", Instead: "Bootstrap: docker, From: registry.suse.com/bci/bci-base:15.6"}
	}
	for i, product := range s.products() {
		args := []string{tool, "--root", source.ToolRoot, "--product", product}
		if i == 0 {
			args = append(args, "--email", s.User, "--regcode", s.RegCode)
			if s.RegisterURL != "" {
				args = append(args, "--url", s.RegisterURL)
			}
		}
		if err := p.Must(ctx, source.Command{Args: args}); err != nil {
			return err
		}
	}
	return nil
}
