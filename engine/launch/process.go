package launch

import (
	"path"
	"slices"
	"strings"

	"carrel/engine/sandbox/plan"
)

// process is what is started, by whom, where.
func process(o Options, m mounts) plan.Process {
	p := plan.Process{
		Env:         baseEnv(o, m.user),
		Umask:       -1,
		KeepCaps:    (o.Root || (o.Host.UID == 0 && !o.Safe)) && !o.NoPrivs,
		AddCaps:     o.AddCaps,
		DropCaps:    o.DropCaps,
		FakeRoot:    o.FakeRoot,
		DenyList:    o.Safe || o.KeepAlive,
		CloseFDs:    o.Safe,
		DirFallback: m.user.home,
		Limits:      o.Limits,
		CPUs:        o.CPUs,
		Action: &plan.Action{
			Name: o.Action, App: o.App, Args: o.Args, Shell: o.Shell, Host: passedOn(o, m), Force: forced(o),
			PrependPath: pathPart(o, "PREPEND_PATH"),
			AppendPath:  pathPart(o, "APPEND_PATH"),
			Prompt:      prompt(o),
		},
	}
	// The computer's root can undo it all in other ways too.
	p.SealMounts = (o.IDs.Namespace || o.InUserNS) && (p.KeepCaps || len(p.AddCaps) > 0) && (o.own() || o.SealMounts || slices.ContainsFunc(o.Binds, func(b Bind) bool { return b.ReadOnly }))
	if o.Umask != nil {
		p.Umask = *o.Umask
	}
	switch {
	case o.Cwd != "":
		p.Dir, p.DirFallback = o.Cwd, ""
	case o.own() && (o.Safe || !o.NoHome || o.Home != nil):
		p.Dir = m.user.home
	case o.own():
		p.Dir = "/"
	default:
		p.Dir = o.Host.Cwd
	}
	if p.Dir == m.user.home && o.Cwd == "" || m.user.home == "" || o.NoHome && !o.Safe || o.without("home") {
		p.DirFallback = "/"
	}
	if o.Start != "" && o.Cwd == "" {
		p.Dir = o.Start
	}
	return p
}

func prompt(o Options) string {
	if o.Action != "shell" {
		return ""
	}
	if o.Prompt != "" {
		return o.Prompt
	}
	return "Carrel " + strings.TrimSuffix(o.ImageName, path.Ext(o.ImageName)) + "> "
}
