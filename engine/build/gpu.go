package build

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"strings"

	"carrel/engine/sandbox/plan"
)

// gpuFolder is where images look for the host's libraries (LD_LIBRARY_PATH of their environment).
const gpuFolder = "/.singularity.d/libs"

// gpuOps make what the host's drivers need visible in a container that builds. The libraries lie in a file system of their
// own, so that nothing of them is left in the image; for the programs places are made, which remove takes away again.
func (b *builder) gpuOps(root string) (ops []plan.Op, remove func()) {
	var made []string
	if len(b.spec.GPUs) > 0 {
		ops = append(ops, plan.Op{Kind: plan.OpTmpfs, Dest: gpuFolder, Mode: 0o755})
	}
	r, err := os.OpenRoot(root)
	missing := func(dest string) bool {
		if err != nil {
			return false
		}
		_, serr := r.Lstat(strings.TrimPrefix(dest, "/"))
		return errors.Is(serr, fs.ErrNotExist)
	}
	for _, g := range b.spec.GPUs {
		for _, d := range g.Devices {
			ops = append(ops, plan.Op{Kind: plan.OpBind, Source: d, Dest: d, Dev: true, Optional: true, Quiet: true})
		}
		for _, l := range g.Libraries {
			ops = append(ops, plan.Op{Kind: plan.OpBind, Source: l.Source, Dest: l.Dest, ReadOnly: true, Optional: true, Quiet: true})
		}
		for _, p := range g.Programs {
			if missing(p.Dest) && !missing(path.Dir(p.Dest)) {
				made = append(made, p.Dest)
			} else if missing(p.Dest) {
				continue // a root without /usr/bin
			}
			ops = append(ops, plan.Op{Kind: plan.OpBind, Source: p.Source, Dest: p.Dest, ReadOnly: true, Optional: true, Quiet: true})
		}
	}
	return ops, func() {
		for _, dest := range made {
			name := strings.TrimPrefix(dest, "/")
			if st, err := r.Lstat(name); err == nil && st.Mode().IsRegular() && st.Size() == 0 {
				_ = r.Remove(name) // what is left is an empty file
			}
		}
		if r != nil {
			r.Close()
		}
	}
}
