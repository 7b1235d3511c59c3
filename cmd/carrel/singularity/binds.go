package singularity

import (
	"errors"

	"carrel/cmd/carrel/bindflag"
	"carrel/engine"
)

// parseBinds reads what --bind and --mount were given.
func parseBinds(binds, mounts []string, cwd string) ([]engine.Bind, error) {
	whole := func(p string) string { return absolute(p, cwd) }
	out, err := bindflag.Parse(binds, whole)
	if err != nil {
		return nil, badBind(err)
	}
	more, err := bindflag.ParseMounts(mounts, whole)
	if err != nil {
		return nil, badBind(err)
	}
	return append(out, more...), nil
}

func badBind(err error) error {
	if e, ok := errors.AsType[*bindflag.Error](err); ok {
		return &usageError{e, e.Hint()}
	}
	return err
}
