package engine

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// originFile is where, in the folder of an app, it is written whose and out of which surroundings it was started.
const originFile = "origin.json"

// origin is what an app takes from where it was started, so that it gets the same when it is started again, and what is
// run in it later sees the same. Its variables may hold secrets.
type origin struct {
	User  User      `json:"user"`
	Guard GuardMode `json:"guard,omitempty"`
}

// write keeps it where only the user can read it.
func (o origin) write(dir string) error {
	data, err := json.Marshal(o)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, originFile), data, 0o600)
	}
	if err != nil {
		return fmt.Errorf("write down the environment of the app: %w", err)
	}
	return nil
}

// at is another engine, as it was where the app of a folder was started; like this one where that is not known, as of an
// app that another version has started.
func (e *Engine) at(dir string) *Engine {
	c := e.c
	data, err := os.ReadFile(filepath.Join(dir, originFile))
	var o origin
	if err != nil || json.Unmarshal(data, &o) != nil {
		return &Engine{c: c}
	}
	o.User.UID, o.User.GID = c.User.UID, c.User.GID
	c.User, c.Guard = o.User, o.Guard
	return &Engine{c: c}
}

// screenVariables tell of the terminal that a person sits at.
var screenVariables = []string{"TERM", "COLORTERM", "NO_COLOR"}

// onScreen is an environment with what another one says of the terminal.
func onScreen(env, of []string) []string {
	about := func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		return slices.Contains(screenVariables, name)
	}
	out := slices.DeleteFunc(slices.Clone(env), about)
	for _, kv := range of {
		if about(kv) {
			out = append(out, kv)
		}
	}
	return out
}
