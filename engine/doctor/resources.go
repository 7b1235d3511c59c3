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

func resourceLimits(p person, g cgroup) Check {
	c := Check{Status: Note, Title: "Memory and processor use cannot be limited", Advice: "Apps run without limits."}
	has := func(name string) bool {
		for _, have := range g.controllers {
			if have == name {
				return true
			}
		}
		return false
	}
	switch {
	case !g.mounted:
		c.Detail = "cgroups v2 are not mounted"
	case g.hybrid:
		c.Detail = "this computer manages them by cgroups v1"
	case !g.writable:
		c.Detail = "the control group of this session belongs to the system"
		c.Advice = "Apps run without limits. In a desktop or SSH session with systemd, starting Carrel by systemd-run --user --scope gives it its own group."
	case !has("memory") || !has("cpu"):
		c.Detail = "the session was given these controllers only: " + list(g.controllers)
		if !p.root() {
			c.Admin = "mkdir -p /etc/systemd/system/user@.service.d && printf '[Service]\\nDelegate=cpu cpuset io memory pids\\n' > /etc/systemd/system/user@.service.d/delegate.conf && systemctl daemon-reload"
		}
	default:
		return Check{Status: OK, Detail: "controllers " + list(g.controllers)}
	}
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

func imageSpace(r room, home string) Check {
	dir := short(r.dir, home)
	move := "Another folder can be named by CARREL_HOME."
	switch {
	case r.err != nil:
		return Check{Status: Bad, Title: "Images cannot be kept in " + dir, Detail: r.err.Error(), Advice: move}
	case !r.writable:
		return Check{Status: Bad, Title: "Images cannot be kept in " + dir, Detail: "you may not write there", Advice: move}
	}
	c := Check{Status: OK, Title: fmt.Sprintf("%s free for images in %s", size(r.free), dir)}
	switch {
	case r.free < 500*megabyte:
		c.Status = Bad
		c.Title = fmt.Sprintf("Only %s free for images in %s", size(r.free), dir)
		c.Advice = "Building needs about 1 GB. Free some space: carrel ls shows your images, carrel rm removes one. " + move
	case r.free < 5*gigabyte:
		c.Status = Note
		c.Advice = "Small images fit; large ones need more. " + move
	}
	if r.memory {
		if c.Status == OK {
			c.Status = Note
		}
		c.Detail = "the folder lies in memory: images are gone after a restart"
	}
	return c
}

func tempSpace(r room, home string) Check {
	dir := short(r.dir, home)
	move := "Another folder can be named by TMPDIR."
	switch {
	case r.err != nil:
		return Check{Status: Bad, Title: "Temporary files cannot be kept in " + dir, Detail: r.err.Error(), Advice: move}
	case !r.writable:
		return Check{Status: Bad, Title: "Temporary files cannot be kept in " + dir, Detail: "you may not write there", Advice: move}
	}
	c := Check{Status: OK, Title: fmt.Sprintf("%s free for temporary files in %s", size(r.free), dir)}
	if r.free < 2*gigabyte {
		c.Status = Note
		c.Advice = "Builds of large images need more. " + move
	}
	return c
}

func portFree(n int, err error) Check {
	if err == nil {
		return Check{Status: OK, Title: fmt.Sprintf("Port %d is free", n)}
	}
	c := Check{Status: Note, Title: fmt.Sprintf("Port %d cannot be used", n), Detail: err.Error(), Advice: "Carrel will pick a free one."}
	if taken, ok := errors.AsType[*network.PortTaken](err); ok {
		c.Title = fmt.Sprintf("Port %d is in use by another program", n)
		c.Detail = ""
		if taken.Command != "" {
			c.Detail = fmt.Sprintf("%s (process %d)", taken.Command, taken.PID)
		}
		if taken.Free != 0 {
			c.Advice = fmt.Sprintf("Carrel will pick a free one, such as %d.", taken.Free)
		}
	}
	return c
}
