package engine

import (
	"errors"
	"strings"

	"carrel/engine/causes"
)

// What failures are explained with; see package causes.
type (
	Cause   = causes.Cause
	CauseID = causes.ID
	Fix     = causes.Fix
)

// What can be done about a cause at once, and the causes that callers branch on.
const (
	FixNone     = causes.FixNone
	FixPort     = causes.FixPort
	FixNetwork  = causes.FixNetwork
	FixFolder   = causes.FixFolder
	FixSpace    = causes.FixSpace
	FixMemory   = causes.FixMemory
	FixTime     = causes.FixTime
	FixWritable = causes.FixWritable
	FixEnv      = causes.FixEnv
	FixArgs     = causes.FixArgs
	FixDoctor   = causes.FixDoctor
	FixRetry    = causes.FixRetry

	CauseArchitecture = causes.Architecture
)

// Explain reads the cause of an error that a call of the engine returned: of a build out of the last lines of the section
// that failed, else out of the error's text. It reports false when nothing is known of it, or the error has a hint itself,
// which knows better.
func Explain(err error) (Cause, bool) {
	if err == nil {
		return Cause{}, false
	}
	f := causes.Failure{Own: strings.Split(err.Error(), "\n")}
	if be, ok := errors.AsType[*BuildError](err); ok {
		if len(be.Lines) == 0 && be.HintText != "" { // no script of the person's failed, but a step that knows itself why
			return hinted(f, be.HintText)
		}
		f.Build, f.Lines = true, be.Lines
	} else if hint := Hint(err); hint != "" {
		return hinted(f, hint)
	}
	return causes.Find(f)
}

// hinted is the cause of an error that says itself what to do; what can be done with a key is read all the same.
func hinted(f causes.Failure, hint string) (Cause, bool) {
	c, ok := causes.Find(f)
	if !ok || c.Fix == FixNone {
		return Cause{}, false
	}
	c.Why, c.Hint = "", hint
	return c, true
}

// Cause reads why an app has ended, out of the last lines it wrote; nil for those of the record. It reports false for one
// that runs, that was stopped, that ended well, or of which nothing is known.
func (in *Instance) Cause(last []string) (Cause, bool) {
	if in.State.Live() || in.Reason == ReasonStopped || in.ExitCode == 0 && in.Reason != ReasonMemory && in.Reason != ReasonTime && in.Problem == "" {
		return Cause{}, false
	}
	if len(last) == 0 {
		last = in.LastLines
	}
	s := in.Spec
	f := causes.Failure{
		Lines: last, Status: in.ExitCode, Memory: in.Reason == ReasonMemory, Time: in.Reason == ReasonTime,
		MemoryLimit: s.Details.Limits.Memory, Network: s.Isolated || len(s.Ports) > 0,
	}
	if in.Problem != "" {
		f.Lines = append(append([]string{}, last...), in.Problem)
	}
	for _, b := range in.Binds {
		f.Folders = append(f.Folders, causes.Folder{Source: b.Source, Dest: b.Dest, ReadOnly: b.ReadOnly})
	}
	return causes.Find(f)
}

// Amend changes what is asked for so that a cause is done away with, and tells whether starting it like that helps. Making
// a folder, freeing space and the like are the caller's.
func Amend(s RunSpec, c Cause) (RunSpec, bool) {
	switch c.Fix {
	case FixPort:
		if len(s.Ports) == 0 {
			return s, false // it listens in this computer's own network, and chooses itself
		}
		s.Ports = append([]Port{}, s.Ports...)
		for i := range s.Ports {
			s.Ports[i].Fixed = false
		}
	case FixNetwork:
		if c.Port == 0 {
			s.Isolated = true
			break
		}
		for _, p := range s.Ports {
			if p.Container == c.Port {
				return s, false
			}
		}
		s.Ports = append(append([]Port{}, s.Ports...), Port{Host: unprivileged(c.Port), Container: c.Port})
	case FixMemory:
		if s.Details.Limits.Memory == 0 {
			return s, false
		}
		s.Details.Limits.Memory *= 2
	case FixTime:
		if s.TimeLimit == 0 {
			return s, false
		}
		s.TimeLimit *= 2
	case FixWritable:
		found := false
		s.Binds = append([]Bind{}, s.Binds...)
		for i := range s.Binds {
			if b := &s.Binds[i]; b.Dest == c.Path && b.ReadOnly && !b.OfImage() {
				b.ReadOnly, found = false, true
			}
		}
		return s, found
	case FixEnv:
		env := map[string]string{}
		for k, v := range s.Env {
			env[k] = v
		}
		for k, v := range c.Env {
			if _, there := env[k]; there {
				return s, false // it did not help
			}
			env[k] = v
		}
		s.Env = env
	case FixArgs:
		for _, a := range c.Args {
			for _, have := range s.Args {
				if have == a {
					return s, false
				}
			}
		}
		s.Args = append(append([]string{}, s.Args...), c.Args...)
	case FixRetry:
	default:
		return s, false
	}
	return s, true
}

// unprivileged is a port for ordinary users in place of a low one: 80 becomes 8080, 443 becomes 8443.
func unprivileged(port int) int {
	if port < 1024 {
		return 8000 + port
	}
	return port
}
