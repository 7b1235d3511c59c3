package seccomp

import (
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrProfile is wrapped by every error about what a profile says.
var ErrProfile = errors.New("not a usable seccomp profile")

func wrong(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrProfile, fmt.Sprintf(format, args...))
}

// profile is the part of a profile that makes a difference.
type profile struct {
	DefaultAction   string  `json:"defaultAction"`
	DefaultErrno    *uint32 `json:"defaultErrnoRet"`
	Architectures   []string
	ArchMap         []archMap `json:"archMap"`
	ListenerPath    string    `json:"listenerPath"`
	Syscalls        []rule
	DefaultErrnoOld string `json:"defaultErrno"` // Podman's, as a name
}

// archMap is how Docker writes architectures down.
type archMap struct {
	Architecture     string
	SubArchitectures []string `json:"subArchitectures"`
}

type rule struct {
	Name     string // of the first form of Docker's profiles
	Names    []string
	Action   string
	Errno    *uint32 `json:"errnoRet"`
	Args     []condition
	Includes selection
	Excludes selection
}

// selection says for which containers a rule is there.
type selection struct {
	Caps   []string
	Arches []string
}

type condition struct {
	Index    uint32
	Value    uint64
	ValueTwo uint64 `json:"valueTwo"`
	Op       string
}

// maxErrno is the highest errno that a filter can answer with (SECCOMP_RET_DATA, less than MAX_ERRNO of the kernel).
const maxErrno = 4095

// action is the value that a filter returns.
func action(name string, errno *uint32) (uint32, error) {
	number := uint32(unix.EPERM)
	if errno != nil {
		number = *errno
	}
	if number > maxErrno {
		return 0, wrong("errno %d", number)
	}
	switch name {
	case "SCMP_ACT_ALLOW":
		return unix.SECCOMP_RET_ALLOW, nil
	case "SCMP_ACT_ERRNO":
		return unix.SECCOMP_RET_ERRNO | number, nil
	case "SCMP_ACT_KILL", "SCMP_ACT_KILL_THREAD":
		return unix.SECCOMP_RET_KILL_THREAD, nil
	case "SCMP_ACT_KILL_PROCESS":
		return unix.SECCOMP_RET_KILL_PROCESS, nil
	case "SCMP_ACT_TRAP":
		return unix.SECCOMP_RET_TRAP, nil
	case "SCMP_ACT_LOG":
		return unix.SECCOMP_RET_LOG, nil
	case "SCMP_ACT_TRACE", "SCMP_ACT_NOTIFY":
		return 0, wrong("action %s needs another program that decides, and there is none", name)
	case "":
		return 0, wrong("an action is missing")
	}
	return 0, wrong("action %q is not known", name)
}

// Compile makes the filter that a profile describes, for the architecture of this program (seccomp(2); the bytes of an array
// of struct sock_filter). privileged tells that the process keeps capabilities, which rules of Docker's profiles may ask for.
// Errors wrap ErrProfile. Calls whose names no table of this program has are left to the default, as libseccomp does.
func Compile(text []byte, privileged bool) ([]byte, error) {
	return compile(text, privileged, runtime.GOARCH)
}

func compile(text []byte, privileged bool, goarch string) ([]byte, error) {
	var p profile
	if err := json.Unmarshal(text, &p); err != nil {
		return nil, wrong("%v", err)
	}
	if p.ListenerPath != "" {
		return nil, wrong("listenerPath needs another program that decides, and there is none")
	}
	if p.DefaultErrnoOld != "" && p.DefaultErrno == nil {
		n := unix.ErrnoName(unix.EPERM)
		if p.DefaultErrnoOld != n && p.DefaultErrnoOld != "ENOSYS" {
			return nil, wrong("defaultErrno %q is not known", p.DefaultErrnoOld)
		}
		number := uint32(unix.EPERM)
		if p.DefaultErrnoOld == "ENOSYS" {
			number = uint32(unix.ENOSYS)
		}
		p.DefaultErrno = &number
	}
	otherwise, err := action(p.DefaultAction, p.DefaultErrno)
	if err != nil {
		return nil, err
	}
	native, ok := machines[goarch]
	if !ok {
		return nil, wrong("there is no table of the calls of this computer's architecture, %s", goarch)
	}
	a := &assembler{}
	for _, m := range append([]machine{native}, p.others(native)...) {
		rules, err := p.rules(m, privileged)
		if err != nil {
			return nil, err
		}
		a.machine(m, rules, otherwise)
	}
	a.ret(unix.SECCOMP_RET_KILL_PROCESS) // calls of an architecture that the profile does not name
	if len(a.out) > unix.BPF_MAXINSNS {
		return nil, wrong("it is too long for the kernel: %d steps, at most %d", len(a.out), unix.BPF_MAXINSNS)
	}
	return a.bytes(), nil
}

// others are the further conventions of this computer that the profile allows.
func (p *profile) others(native machine) []machine {
	named := slices.Clone(p.Architectures)
	for _, m := range p.ArchMap {
		if m.Architecture == native.name {
			named = append(named, m.SubArchitectures...)
		}
	}
	if native.compat != "" && slices.Contains(named, machines[native.compat].name) {
		return []machine{machines[native.compat]}
	}
	return nil
}

// resolved is what a rule says of one call.
type resolved struct {
	number uint32
	args   []condition
	result uint32
}

// rules are those for one architecture, in the order in which they are asked.
func (p *profile) rules(m machine, privileged bool) ([]resolved, error) {
	var conditional, plain []resolved
	for _, r := range p.Syscalls {
		if !r.applies(m, privileged) {
			continue
		}
		result, err := action(r.Action, r.Errno)
		if err != nil {
			return nil, err
		}
		for _, c := range r.Args {
			if c.Index > 5 || !slices.Contains(operators, c.Op) {
				return nil, wrong("the condition on argument %d with %q", c.Index, c.Op)
			}
		}
		names := r.Names
		if r.Name != "" {
			names = append([]string{r.Name}, names...)
		}
		if len(names) == 0 {
			return nil, wrong("a rule names no call")
		}
		for _, name := range names {
			number, ok := m.number(name)
			switch {
			case !ok:
			case len(r.Args) > 0:
				conditional = append(conditional, resolved{number, r.Args, result})
			default:
				plain = append(plain, resolved{number, nil, result})
			}
		}
	}
	return append(conditional, plain...), nil
}

func (r *rule) applies(m machine, privileged bool) bool {
	switch {
	case len(r.Includes.Caps) > 0 && !privileged, len(r.Excludes.Caps) > 0 && privileged:
		return false
	case len(r.Includes.Arches) > 0 && !m.among(r.Includes.Arches), m.among(r.Excludes.Arches):
		return false
	}
	return true
}

// among tells whether a list, in Docker's names or libseccomp's, has this architecture.
func (m machine) among(list []string) bool {
	return slices.ContainsFunc(list, func(s string) bool {
		return s == m.docker || s == m.name || strings.EqualFold(s, strings.TrimPrefix(m.name, "SCMP_ARCH_"))
	})
}
