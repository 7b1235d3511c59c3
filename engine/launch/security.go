package launch

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"carrel/engine/seccomp"
)

// Security is what --security asks for: a filter of system calls, and to be somebody else.
type Security struct {
	Profile string // a seccomp profile, as a file
	As      *Identity
}

// Identity are the ids of somebody else.
type Identity struct {
	UID, GID int   // -1: the caller's
	Groups   []int // further groups
}

// securityError is a request that cannot be met, and what to do.
type securityError struct{ text, hint string }

func (e *securityError) Error() string { return e.text }
func (e *securityError) Hint() string  { return e.hint }

// noLabels says why profiles of security modules are not applied.
const noLabels = "a container keeps the label of the program that starts it; use the system's own tools (aa-exec, runcon) around the command"

// ParseSecurity reads requests of the forms seccomp:FILE, uid:NUMBER, gid:NUMBER[:NUMBER…], apparmor:PROFILE and selinux:LABEL;
// the last two are refused, for nothing would be worse than less protection than was asked for. Only root may become somebody
// else.
func ParseSecurity(requests []string, root bool) (Security, error) {
	var s Security
	for _, r := range requests {
		kind, value, ok := strings.Cut(r, ":")
		if !ok || value == "" {
			return s, &securityError{fmt.Sprintf("security %q: there is no value", r), "write seccomp:FILE, uid:NUMBER or gid:NUMBER"}
		}
		switch kind {
		case "seccomp":
			s.Profile = value
		case "apparmor", "selinux":
			return s, &securityError{fmt.Sprintf("security %q: profiles of %s are not applied", r, map[string]string{"apparmor": "AppArmor", "selinux": "SELinux"}[kind]), noLabels}
		case "uid", "gid":
			if !root {
				return s, &securityError{fmt.Sprintf("security %q: only root may run a container as somebody else", r), "leave it out: the container is run as you"}
			}
			var ids []int
			for _, text := range strings.Split(value, ":") {
				n, err := strconv.ParseUint(text, 10, 31)
				if err != nil || kind == "uid" && len(ids) > 0 {
					return s, &securityError{fmt.Sprintf("security %q: not a number", r), "write uid:1000 or gid:1000:1001"}
				}
				ids = append(ids, int(n))
			}
			if s.As == nil {
				s.As = &Identity{UID: -1, GID: -1}
			}
			if kind == "uid" {
				s.As.UID = ids[0]
			} else {
				s.As.GID, s.As.Groups = ids[0], ids[1:]
			}
		default:
			return s, &securityError{fmt.Sprintf("security %q: there is no such kind", r), "the kinds are seccomp, uid and gid"}
		}
	}
	return s, nil
}

// maxProfile is the size of the largest profile, in bytes; real ones have some ten thousand.
const maxProfile = 4 << 20

// Filter reads the profile and makes the kernel's filter of it; nil without a profile. privileged tells that the process keeps
// its capabilities.
func (s Security) Filter(privileged bool) ([]byte, error) {
	if s.Profile == "" {
		return nil, nil
	}
	st, err := os.Stat(s.Profile)
	if err == nil && (!st.Mode().IsRegular() || st.Size() > maxProfile) {
		err = errors.New("not a file with a profile")
	}
	if err != nil {
		return nil, fmt.Errorf("seccomp profile: %w", err)
	}
	text, err := os.ReadFile(s.Profile)
	if err != nil {
		return nil, fmt.Errorf("seccomp profile: %w", err)
	}
	filter, err := seccomp.Compile(text, privileged)
	if err != nil {
		return nil, fmt.Errorf("seccomp profile %s: %w", s.Profile, err)
	}
	return filter, nil
}
