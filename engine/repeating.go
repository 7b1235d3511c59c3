package engine

import (
	"context"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"carrel/engine/image"
	"carrel/engine/launch"
	"carrel/engine/sandbox"
	"carrel/engine/sandbox/again"
)

// Again is a call of this program that may do a launch once more; see package again.
type Again = again.Call

// repeatable tells whether a launch is one that can be done again: of an image that was given by its path, without any options,
// by somebody without the rights of root, and of which there was nothing to say.
func (e *Engine) repeatable(s RunSpec, t Target, p *prepared, call *Again) bool {
	if call == nil || e.c.User.UID == 0 || t.Kind != TargetImage || t.Path != e.expand(s.Image) {
		return false
	}
	if p.image.Kind != image.Sandbox && !p.hot || p.network != launch.NetworkHost || len(p.notes) > 0 {
		return false
	}
	if s.Action != ActionExec && s.Action != ActionShell && (len(p.card.Ports) > 0 || !s.Details.AsSelf) {
		return false // who else is here decides what there is to say, and much in the image where and as whom it starts
	}
	given := s
	given.Image, given.Action, given.Args, given.Profile, given.Leftovers = "", "", nil, "", LeftoversAsk
	d := &given.Details
	d.Prompt, d.ReadOnly, d.HostPIDs, d.AsSelf = "", false, false, false // which the name of this program decides
	if len(s.Args) < len(call.Args) || s.Profile != ProfileSingularity || !empty(reflect.ValueOf(given)) {
		return false
	}
	return slices.Equal(s.Args[len(s.Args)-len(call.Args):], call.Args)
}

// empty tells whether nothing is set in a value: maps and lists of no length count as not set.
func empty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if !empty(v.Field(i)) {
				return false
			}
		}
		return true
	case reflect.Map, reflect.Slice:
		return v.Len() == 0
	}
	return v.IsZero()
}

// remember keeps how a container was started. Nobody is told when that cannot be done: the next start takes a little longer.
func (e *Engine) remember(call *Again, p *prepared, trace *sandbox.Trace, began time.Time) {
	if trace == nil || trace.Program == nil || trace.Look == nil {
		return
	}
	program, ok := trace.Program.Append(nil, len(call.Args))
	if !ok {
		return
	}
	m := &again.Memo{Look: *trace.Look, Hold: p.hold, Terminal: again.HasTerminal(), Flags: trace.Flags, Program: program}
	m.Inside = append(m.Inside, "/.singularity.d/labels.json") // these decide whether a person is told something
	m.Files = append([]string{p.target.Path, "/etc/passwd", "/etc/group", "/etc/resolv.conf", "/etc/hosts"}, call.Files...)
	m.Places = append(m.Places, e.c.User.Home, e.c.User.Cwd)
	for _, kv := range e.c.User.Env {
		if home, ok := strings.CutPrefix(kv, "HOME="); ok && filepath.IsAbs(home) {
			m.Places = append(m.Places, home)
		}
	}
	_ = call.Save(m, began)
}

// resume looks after a container that was started from a memo, until it has ended, as Run does.
func (e *Engine) resume(ctx context.Context, r *again.Running, cb RunCallbacks) (int, error) {
	note := func(text string) {
		if cb.Note != nil {
			cb.Note(text)
		}
	}
	status := r.Status
	if !r.Ended {
		k, err := sandbox.Adopt(ctx, sandbox.Config{Note: cb.Note}, r)
		if err != nil {
			return 0, err
		}
		if cb.Started != nil {
			cb.Started(k.Signal)
		}
		if status, err = k.Wait(); err != nil {
			return status, err
		}
	}
	if problem, hint := r.Memory(status); problem != "" {
		note(problem + "; " + hint)
	}
	return status, nil
}
