package singularity

import (
	"errors"

	"carrel/engine"
)

// parseBinds reads what --bind and --mount were given.
func parseBinds(binds, mounts []string, cwd string) ([]engine.Bind, error) {
	whole := func(p string) string { return absolute(p, cwd) }
	out, err := engine.ParseBinds(binds, whole)
	if err != nil {
		return nil, badBind(err)
	}
	more, err := engine.ParseMounts(mounts, whole)
	if err != nil {
		return nil, badBind(err)
	}
	return append(out, more...), nil
}

func badBind(err error) error {
	if e, ok := errors.AsType[*engine.TextError](err); ok {
		return &usageError{e, e.Hint()}
	}
	return err
}
