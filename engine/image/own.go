package image

import (
	"path"
	"strings"

	"carrel/engine/card"
	"carrel/engine/oci"
)

// Own is in which folder, and as whom, an image wants its runscript to be started.
type Own struct {
	Dir  string // inside, absolute; empty: it does not matter
	User string // NAME|NUMBER[:GROUP|NUMBER]; empty: whoever starts it
}

// Own is what the OCI configuration that came with the image says (image-spec config.md, "WorkingDir" and "User"), for an
// image that still starts what that configuration starts. An image without one, or with a runscript of its own, has none.
// What labels say (card.LabelWorkdir, card.LabelUser) is not in it.
func (m *Image) Own() Own {
	if m.oci != nil {
		return OCIOwn(m.oci.Config)
	}
	c := m.originalConfig()
	if c.WorkingDir == "" && c.User == "" {
		return Own{}
	}
	if meta, err := m.Metadata(); err != nil || !fromOCI(meta.Runscript, c) {
		return Own{}
	}
	return OCIOwn(c)
}

// OCIOwn is what an OCI configuration says. The root as a folder is what programs that build images write where nobody said
// anything; it counts only where the program to be started is looked for from there.
func OCIOwn(c oci.Config) Own {
	o := Own{User: c.User}
	if dir := path.Clean("/" + c.WorkingDir); c.WorkingDir != "" && (dir != "/" || relative(c)) {
		o.Dir = dir
	}
	return o
}

// relative tells whether a configuration starts a program by a path that depends on the folder.
func relative(c oci.Config) bool {
	words := append(append([]string{}, c.Entrypoint...), c.Cmd...)
	return len(words) > 0 && strings.Contains(words[0], "/") && !path.IsAbs(words[0])
}

// Labels are o as labels, for images that keep no OCI configuration; empty without anything to say.
func (o Own) Labels() map[string]string {
	labels := map[string]string{}
	if o.Dir != "" {
		labels[card.LabelWorkdir] = o.Dir
	}
	if o.User != "" {
		labels[card.LabelUser] = o.User
	}
	return labels
}
