package doctor

import (
	"errors"
	"fmt"
	"strings"

	"carrel/engine/network"
)

func subordinateIDs(p person, s subordinate) Check {
	if p.root() {
		return Check{Status: OK, Detail: "you are root, who may use any"}
	}
	c := Check{
		Status: Note, Title: "Builds use your own user number only",
		Advice: "Building and installing software works all the same; every file of an image then belongs to you, or to root in it.",
	}
	programs := p.install("uidmap", "shadow-utils", "shadow", "shadow")
	switch {
	case p.noNewPrivs:
		c.Detail = "this process may not gain rights (no_new_privs), so newuidmap has none"
		c.Advice += " Start Carrel from a session without that, such as a new login. " + nothing
	case len(s.missing) > 0:
		c.Detail = strings.Join(s.missing, " and ") + " are not installed"
		if len(s.missing) == 1 {
			c.Detail = s.missing[0] + " is not installed"
		}
		c.Admin = programs
	case len(s.weak) > 0:
		c.Detail = strings.Join(s.weak, " and ") + " lost the right to set ids (not set-user-ID root)"
		c.Admin = "chmod u+s " + strings.Join(s.weak, " ")
	case s.uids < needed || s.gids < needed:
		c.Detail = fmt.Sprintf("%s has %d user and %d group numbers beside the own one; 65,536 are needed", p.name, s.uids, s.gids)
		first, last := s.nextFree, s.nextFree+65535
		c.Admin = fmt.Sprintf("usermod --add-subuids %d-%d --add-subgids %d-%d %s", first, last, first, last, p.name)
	default:
		return Check{Status: OK, Detail: fmt.Sprintf("%d of them, through newuidmap", s.uids)}
	}
	if len(s.missing) > 0 && (s.uids < needed || s.gids < needed) {
		first, last := s.nextFree, s.nextFree+65535
		c.Admin += fmt.Sprintf(" && usermod --add-subuids %d-%d --add-subgids %d-%d %s", first, last, first, last, p.name)
	}
	return c
}

// delegateLine gives users' services the controllers that limits need (systemd.resource-control(5), Delegate=).
const delegateLine = "mkdir -p /etc/systemd/system/user@.service.d && printf '[Service]\\nDelegate=cpu cpuset io memory pids\\n' > /etc/systemd/system/user@.service.d/delegate.conf && systemctl daemon-reload"

func resourceLimits(p person, g cgroup, o outer) Check {
	c := Check{Status: Note, Title: "Memory and processor use cannot be limited", Advice: "Apps run without limits, or with what resource limits can do."}
	has := func(name string) bool {
		for _, have := range g.controllers {
			if have == name {
				return true
			}
		}
		return false
	}
	none := func() { c.Advice += " " + nothing }
	switch {
	case !g.mounted || g.hybrid:
		c.Detail = "cgroups v2 are not mounted"
		if g.hybrid {
			c.Detail = "this computer manages them by cgroups v1"
		}
		switch {
		case o.kind != "":
			none()
		case g.systemd:
			c.Admin = p.unified()
		case !g.mounted:
			c.Admin = "mount -t cgroup2 none /sys/fs/cgroup"
		default:
			none()
		}
	case !g.writable:
		c.Detail = "the control group of this session belongs to the system"
		switch {
		case !g.systemd || o.kind != "" || p.root():
			none()
		default:
			c.Advice += " In a desktop or SSH session with systemd, starting Carrel by systemd-run --user --scope gives it its own group; the line below lets that limit everything."
			c.Admin = delegateLine
		}
	case !has("memory") || !has("cpu"):
		c.Detail = "the session was given these controllers only: " + list(g.controllers)
		switch {
		case g.systemd && !p.root() && o.kind == "":
			c.Admin = delegateLine
		case p.root() && o.kind == "" && g.above != "":
			c.Admin = "echo '+cpu +memory +pids' > " + g.above + "/cgroup.subtree_control"
		default:
			none()
		}
	default:
		return Check{Status: OK, Detail: "controllers " + list(g.controllers)}
	}
	return c
}

// unified is the line that lets systemd manage everything by cgroups v2 from the next start on (systemd(1), "Kernel Command
// Line"), as the distribution sets the kernel's command line.
func (p person) unified() string {
	const argument = "systemd.unified_cgroup_hierarchy=1"
	const grub = `sed -i 's/^GRUB_CMDLINE_LINUX="/&` + argument + ` /' /etc/default/grub && `
	switch p.family {
	case "fedora":
		return "grubby --update-kernel=ALL --args=" + argument + " && reboot"
	case "suse":
		return grub + "grub2-mkconfig -o /boot/grub2/grub.cfg && reboot"
	case "arch":
		return grub + "grub-mkconfig -o /boot/grub/grub.cfg && reboot"
	}
	return grub + "update-grub && reboot"
}

func surroundings(o outer) Check {
	if o.kind == "" {
		return Check{Status: OK, Detail: "no sign of one was found"}
	}
	c := Check{Status: Note, Title: "This is the inside of a container of " + o.kind, Detail: "known by " + o.sign}
	if o.ids {
		c.Detail += "; it has a user namespace of its own"
	}
	c.Advice = "What is missing above may be withheld by it; where Carrel can run outside, it can do more. " + nothing
	return c
}

func list(words []string) string {
	if len(words) == 0 {
		return "none"
	}
	return strings.Join(words, ", ")
}

const (
	megabyte = 1000 * 1000
	gigabyte = 1000 * megabyte
)

// size writes bytes for a person: "80 GB".
func size(n int64) string {
	switch {
	case n >= 10*gigabyte:
		return fmt.Sprintf("%d GB", n/gigabyte)
	case n >= gigabyte:
		return fmt.Sprintf("%.1f GB", float64(n)/gigabyte)
	default:
		return fmt.Sprintf("%d MB", n/megabyte)
	}
}

func short(dir, home string) string {
	if home != "" && home != "/" {
		if rest, ok := strings.CutPrefix(dir, home); ok && (rest == "" || rest[0] == '/') {
			return "~" + rest
		}
	}
	return dir
}

func imageSpace(p person, r room, home string) Check {
	dir := short(r.dir, home)
	move := "Another folder can be named by CARREL_HOME. "
	switch {
	case r.err != nil:
		return Check{Status: Bad, Title: "Images cannot be kept in " + dir, Detail: r.err.Error(), Advice: move + noNeed}
	case !r.writable:
		return Check{Status: Bad, Title: "Images cannot be kept in " + dir, Detail: "you may not write there", Advice: move, Admin: p.own(r.dir)}
	}
	c := Check{Status: OK, Title: fmt.Sprintf("%s free for images in %s", size(r.free), dir)}
	switch {
	case r.free < 500*megabyte:
		c.Status = Bad
		c.Title = fmt.Sprintf("Only %s free for images in %s", size(r.free), dir)
		c.Advice = "Building needs about 1 GB. Free some space: carrel ls shows your images, carrel rm removes one. " + move + noNeed
	case r.free < 5*gigabyte:
		c.Status = Note
		c.Advice = "Small images fit; large ones need more. " + move + noNeed
	}
	if r.memory {
		if c.Status == OK {
			c.Status, c.Advice = Note, move+noNeed
		}
		c.Detail = "the folder lies in memory: images are gone after a restart"
	}
	return c
}

// own is the line that makes a folder the person's.
func (p person) own(dir string) string {
	return "install -d -m 0700 -o " + quote(p.name) + " " + quote(dir)
}

// quote makes one word of a shell of a text.
func quote(text string) string {
	if text != "" && !strings.ContainsFunc(text, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+@:", r))
	}) {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

func tempSpace(p person, r room, home string) Check {
	dir := short(r.dir, home)
	move := "Another folder can be named by TMPDIR. "
	switch {
	case r.err != nil:
		return Check{Status: Bad, Title: "Temporary files cannot be kept in " + dir, Detail: r.err.Error(), Advice: move + noNeed}
	case !r.writable:
		return Check{Status: Bad, Title: "Temporary files cannot be kept in " + dir, Detail: "you may not write there", Advice: move, Admin: "chmod 1777 " + quote(r.dir)}
	}
	c := Check{Status: OK, Title: fmt.Sprintf("%s free for temporary files in %s", size(r.free), dir)}
	if r.free < 2*gigabyte {
		c.Status = Note
		c.Advice = "Builds of large images need more. " + move + noNeed
	}
	return c
}

func portFree(n int, err error) Check {
	if err == nil {
		return Check{Status: OK, Title: fmt.Sprintf("Port %d is free", n)}
	}
	c := Check{Status: Note, Title: fmt.Sprintf("Port %d cannot be used", n), Detail: err.Error(), Advice: "Carrel will pick a free one. " + noNeed}
	if taken, ok := errors.AsType[*network.PortTaken](err); ok {
		c.Title = fmt.Sprintf("Port %d is in use by another program", n)
		c.Detail = ""
		if taken.Command != "" {
			c.Detail = fmt.Sprintf("%s (process %d)", taken.Command, taken.PID)
		}
		if taken.Free != 0 {
			c.Advice = fmt.Sprintf("Carrel will pick a free one, such as %d. %s", taken.Free, noNeed)
		}
	}
	return c
}
