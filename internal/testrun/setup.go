package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strings"
)

// tools are programs that tests compare with or use, and Debian's packages of them.
var tools = []struct{ program, pkg string }{
	{"mksquashfs", "squashfs-tools"},
	{"unsquashfs", "squashfs-tools"},
	{"squashfuse", "squashfuse"},
	{"tmux", "tmux"},
	{"newuidmap", "uidmap"},
	{"curl", "curl"},
	{"xz", "xz-utils"},
	{"gpg", "gnupg"},
	{"dpkg-deb", "dpkg"},
	{"mkfs.ext3", "e2fsprogs"},
	{"ps", "procps"},
	{"ip", "iproute2"},
	{"git", "git"},
	{"python3", "python3"},
	{"bwrap", "bubblewrap"},
	{"tar2sqfs", "squashfs-tools-ng"},
	{"mmdebstrap", "mmdebstrap"},
}

// testUser is an ordinary user for tests; root makes it.
type testUser struct {
	name string
	// ids: whether it has subordinate ids, as an administrator may have given it, or none, as most people.
	ids bool
	// packages are patterns of those that are tested as this user, below the module.
	packages []string
}

var users = []testUser{
	{name: "carrel-test", ids: false, packages: []string{"engine", "engine/", "catalog", "catalog/", "cmd/", "internal/", "tui", "tui/"}},
	{name: "carrel-test-ids", ids: true, packages: []string{"engine", "engine/sandbox", "engine/build", "engine/instance", "internal/e2e", "internal/torture"}},
}

// notAsUser are packages whose tests need the checkout or are about nothing that rights change.
var notAsUser = []string{"internal/archtest", "internal/testrun"}

// setup makes ready what the tests need and returns the packages that are missing where it may not install them.
func setup(ctx context.Context) (missing []string, err error) {
	seen := map[string]bool{}
	for _, t := range tools {
		if !installed(t.program) && !seen[t.pkg] {
			seen[t.pkg] = true
			missing = append(missing, t.pkg)
		}
	}
	if os.Getuid() != 0 {
		if len(missing) > 0 {
			fmt.Printf("!! some tests will be skipped; as root: apt-get install -y %s\n", strings.Join(missing, " "))
		}
		return missing, nil
	}
	if len(missing) > 0 && installed("apt-get") {
		fmt.Printf("== installing %s\n", strings.Join(missing, " "))
		if err := apt(ctx, "update"); err != nil {
			return missing, err
		}
		if err := apt(ctx, append([]string{"install", "--no-install-recommends"}, missing...)...); err != nil {
			return missing, err
		}
		missing = nil
	}
	// As on every desktop and cluster; in some small virtual machines it is closed.
	if err := os.Chmod("/dev/fuse", 0o666); err != nil {
		fmt.Println("!! ordinary users may not open /dev/fuse here:", err)
	}
	for _, u := range users {
		if err := u.make(ctx); err != nil {
			return missing, fmt.Errorf("make user %s: %w", u.name, err)
		}
	}
	return missing, nil
}

// installed looks also where the paths of ordinary users do not lead.
func installed(program string) bool {
	if _, err := exec.LookPath(program); err == nil {
		return true
	}
	for _, dir := range []string{"/usr/sbin/", "/sbin/", "/usr/local/sbin/"} {
		if st, err := os.Stat(dir + program); err == nil && st.Mode()&0o111 != 0 {
			return true
		}
	}
	return false
}

func apt(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, "apt-get", append([]string{"-qq", "-y"}, args...)...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("apt-get %s: %w", args[0], err)
	}
	return nil
}

// make creates the user, with or without subordinate ids (subuid(5)).
func (u testUser) make(ctx context.Context) error {
	if _, err := user.Lookup(u.name); err != nil {
		if err := command(ctx, "useradd", "--create-home", "--shell", "/bin/sh", u.name); err != nil {
			return err
		}
	}
	for file, options := range map[string][2]string{"/etc/subuid": {"--add-subuids", "--del-subuids"}, "/etc/subgid": {"--add-subgids", "--del-subgids"}} {
		data, err := os.ReadFile(file)
		if err != nil && !os.IsNotExist(err) {
			return err
		}
		has := ""
		for line := range strings.Lines(string(data)) {
			if parts := strings.Split(strings.TrimSpace(line), ":"); len(parts) == 3 && parts[0] == u.name {
				has = line
			}
		}
		switch {
		case u.ids && has == "":
			if err := command(ctx, "usermod", options[0], "700000000-700065535", u.name); err != nil {
				return err
			}
		case !u.ids && has != "":
			// Debian's useradd gives a range to everybody.
			kept := strings.ReplaceAll(string(data), has, "")
			if err := os.WriteFile(file, []byte(kept), 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}
