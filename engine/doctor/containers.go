package doctor

import (
	"fmt"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"carrel/engine/doctor/probe"
)

func userNamespaces(p person, l limits, t trial) Check {
	c := Check{Status: OK}
	switch {
	case t.Namespaces == nil:
		c.Status = Note
		c.Detail = "it could not be tried: " + t.err.Error()
		c.Advice = "Start an app to see; if that fails, run carrel doctor again. " + noNeed
	case p.root() && probe.OK(t.Namespaces) && !probe.Refused(t.Private):
		c.Detail = "you are root, who needs none; containers run with your rights"
	case p.root():
		c.Status = Bad
		c.Title = "Containers cannot run here, even as root"
		c.Detail = "the kernel refused new namespaces: " + reason(t.Namespaces, t.Private)
		c.Advice = "This looks like the inside of another container. Run Carrel outside it, or have it started with " + outerOptions + " --cap-add SYS_ADMIN (of docker run). " + nothing
	case probe.OK(t.Namespaces) && !probe.Refused(t.Private):
		c.Detail = "a container was started just now to try it"
	default:
		c = refusedNamespaces(p, l, t)
	}
	return c
}

// What stands in the place of a line for an administrator: that one is not needed, or of no use.
const (
	noNeed  = "No administrator is needed."
	nothing = "There is nothing an administrator can run here."
)

// outerOptions lift what Docker forbids in its containers (docker-run(1)).
const outerOptions = "--security-opt seccomp=unconfined --security-opt apparmor=unconfined --security-opt systempaths=unconfined"

// refusedNamespaces tells apart who refused: each way has its own switch.
func refusedNamespaces(p person, l limits, t trial) Check {
	c := Check{Status: Bad, Title: "Containers cannot run here without administrator rights"}
	errno := unix.EPERM
	if probe.Refused(t.Namespaces) {
		errno = *t.Namespaces
	}
	ask := "Ask an administrator of this computer to run the line below once; Carrel works right after."
	switch {
	case l.max == 0:
		c.Detail = "user.max_user_namespaces is 0: user namespaces are switched off"
		c.Advice = ask
		c.Admin = "echo user.max_user_namespaces=65536 > /etc/sysctl.d/90-userns.conf && sysctl --system"
	case errno == unix.ENOSPC || errno == unix.EUSERS:
		c.Detail = fmt.Sprintf("the limit of user namespaces is used up (user.max_user_namespaces is %d; they may also be nested too deep)", l.max)
		c.Advice = "Stop some containers or sandboxed programs, or ask an administrator to raise the limit."
		c.Admin = fmt.Sprintf("sysctl -w user.max_user_namespaces=%d", max(65536, 2*l.max))
	case l.clone == 0:
		c.Detail = "kernel.unprivileged_userns_clone is 0: only root may make user namespaces"
		c.Advice = ask
		c.Admin = "echo kernel.unprivileged_userns_clone=1 > /etc/sysctl.d/90-userns.conf && sysctl --system"
	case l.apparmor > 0:
		c.Detail = "AppArmor allows user namespaces only to programs that have a rule (Ubuntu's default since 23.10)"
		c.Advice = ask
		c.Admin = appArmorRule(p.self)
	case errno == unix.EINVAL || errno == unix.ENOSYS:
		c.Detail = "this kernel was built without user namespaces"
		c.Advice = "Only a different kernel helps (CONFIG_USER_NS); as root Carrel works. " + nothing
	case p.seccomp:
		c.Detail = "a filter on this process refuses it: this is the inside of another container or sandbox"
		c.Advice = "Run Carrel outside it, or have the outer container started with " + outerOptions + " (of docker run). " + nothing
	default:
		c.Detail = "the kernel refused: " + reason(t.Namespaces, t.Private)
		c.Advice = "A security module or the surrounding container forbids it; the kernel's log (dmesg) may name it, and its rules are what has to change. As root Carrel works. " + nothing
	}
	return c
}

// appArmorRule lets one program make user namespaces (apparmor.d(5), "userns rules").
func appArmorRule(self string) string {
	if self == "" || strings.ContainsAny(self, "'\n\"\\") {
		return "echo kernel.apparmor_restrict_unprivileged_userns=0 > /etc/sysctl.d/90-userns.conf && sysctl --system"
	}
	return fmt.Sprintf(`printf 'abi <abi/4.0>,\ninclude <tunables/global>\nprofile carrel "%s" flags=(unconfined) {\n  userns,\n}\n' > /etc/apparmor.d/carrel && apparmor_parser -r /etc/apparmor.d/carrel`,
		strings.ReplaceAll(self, "%", "%%"))
}

func reason(outcomes ...probe.Outcome) string {
	for _, o := range outcomes {
		if probe.Refused(o) {
			return word(*o)
		}
	}
	return "no reason given"
}

func word(e syscall.Errno) string { return e.Error() }

// untried is the check of something that only a container could have tried.
func untried(t trial) Check {
	c := Check{Status: Note, Detail: "it could not be tried, as no container could be started", Advice: "See the first line. " + noNeed}
	if t.err != nil {
		c.Detail = "it could not be tried: " + t.err.Error()
		c.Advice = "Try again in a moment. " + noNeed
	}
	return c
}

func imagesOpen(p person, s squashfs, t trial) Check {
	if p.root() && s.known && s.loop {
		return Check{Status: OK, Detail: "the kernel mounts them itself (SquashFS), as you are root"}
	}
	slow := "Carrel unpacks an image once before its first run instead: that takes a few seconds, and disk space."
	switch {
	case probe.OK(t.FUSE) && !probe.Refused(t.FUSEMount):
		return Check{Status: OK, Detail: "/dev/fuse can be opened and mounted"}
	case t.FUSE == nil:
		return untried(t)
	case probe.Refused(t.FUSEMount):
		return Check{Status: Note, Title: "Images have to be unpacked first", Detail: "the kernel refused a FUSE mount: " + word(*t.FUSEMount), Advice: slow + " Linux 4.18 and newer let users mount, unless a security module or an outer container forbids it. " + nothing}
	case *t.FUSE == unix.ENOENT || *t.FUSE == unix.ENXIO || *t.FUSE == unix.ENODEV:
		return Check{
			Status: Note, Title: "Images have to be unpacked first", Detail: "there is no /dev/fuse", Advice: slow,
			Admin: "modprobe fuse && chmod 666 /dev/fuse",
		}
	default:
		return Check{
			Status: Note, Title: "Images have to be unpacked first", Detail: "/dev/fuse cannot be opened: " + word(*t.FUSE), Advice: slow,
			Admin: `echo 'KERNEL=="fuse", MODE="0666"' > /etc/udev/rules.d/99-fuse.rules; chmod 666 /dev/fuse`,
		}
	}
}

func writableRoot(release string, t trial) Check {
	switch {
	case probe.OK(t.Overlay):
		return Check{Status: OK, Detail: "a throw-away layer over an image was mounted just now to try it"}
	case t.Overlay == nil:
		return untried(t)
	}
	c := Check{Status: Bad, Title: "Apps cannot get a layer to write to", Detail: "the kernel refused an overlay: " + word(*t.Overlay)}
	if older(release, 5, 11) {
		c.Detail = "Linux " + release + " lets only root mount an overlay; 5.11 and newer let everybody"
		c.Advice = "A newer kernel is needed; until then Carrel works as root. " + nothing
		return c
	}
	c.Advice = "The kernel's overlay module may be missing; ask an administrator to load it."
	c.Admin = "modprobe overlay && echo overlay > /etc/modules-load.d/overlay.conf"
	return c
}

// older tells whether a release like "6.18.44-generic" comes before major.minor; one that cannot be read does not.
func older(release string, major, minor int) bool {
	parts := strings.FieldsFunc(release, func(r rune) bool { return r < '0' || r > '9' })
	if len(parts) < 2 {
		return false
	}
	a, err1 := strconv.Atoi(parts[0])
	b, err2 := strconv.Atoi(parts[1])
	if err1 != nil || err2 != nil {
		return false
	}
	return a < major || a == major && b < minor
}

func ownNetwork(t trial) Check {
	switch {
	case probe.OK(t.Tap):
		return Check{Status: OK, Detail: "through /dev/net/tun"}
	case probe.OK(t.Veth):
		return Check{Status: OK, Detail: "through a pair of virtual cards (veth), as /dev/net/tun cannot be used"}
	case t.Tap == nil && t.Veth == nil:
		return untried(t)
	}
	return Check{
		Status: Note, Title: "Apps share this computer's network",
		Detail: "a network of their own cannot reach outside: /dev/net/tun: " + reason(t.Tap) + "; veth: " + reason(t.Veth),
		Advice: "Apps whose port is published here can be reached, but cannot fetch anything from the internet.",
		Admin:  "modprobe tun && chmod 666 /dev/net/tun",
	}
}
