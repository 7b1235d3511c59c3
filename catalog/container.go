package catalog

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"carrel/engine/card"
	"carrel/engine/definition"
)

// ErrUnsupported is an entry that comes from a place Carrel cannot take images from.
var ErrUnsupported = errors.New("not a source that is supported")

// container is the part of a container.yaml that matters here: the form of Singularity Registry HPC, which names an image
// in a registry, its versions by digest, and the commands in it
// (https://singularity-hpc.readthedocs.io, "Developer guide", "Writing registry entries").
type container struct {
	Docker      string            `yaml:"docker"`
	Oras        string            `yaml:"oras"`
	Library     string            `yaml:"library"`
	GitHub      string            `yaml:"gh"`
	Path        string            `yaml:"path"`
	URL         string            `yaml:"url"`
	Description string            `yaml:"description"`
	Maintainer  string            `yaml:"maintainer"`
	Latest      map[string]string `yaml:"latest"`
	Tags        map[string]string `yaml:"tags"`
	Aliases     yaml.Node         `yaml:"aliases"`
	Env         map[string]string `yaml:"env"`
}

// readContainer makes an entry of a container.yaml: a definition is written that does what the file says.
func readContainer(s Source, f found) *Entry {
	e := newEntry(s, f)
	var text string
	if text, e.Err = readText(s.FS, path.Join(f.folder, f.file)); e.Err != nil {
		return e
	}
	var c container
	if err := yaml.Unmarshal([]byte(text), &c); err != nil {
		e.Err = fmt.Errorf("read %s: %w", path.Join(f.folder, f.file), err)
		return e
	}
	e.container = &c
	e.write("")
	return e
}

// write gives an entry that stands for a container.yaml the definition of a version; "" for the newest.
func (e *Entry) write(tag string) {
	c := e.container
	versions := c.versions()
	e.Versions = versions
	digest := ""
	switch {
	case tag != "":
		digest = c.Tags[tag]
		if digest == "" {
			digest = c.Latest[tag]
		}
	case len(versions) > 0:
		tag = versions[0]
		digest = c.Latest[tag]
	}
	var from string
	switch {
	case c.Docker != "":
		from = "Bootstrap: docker\nFrom: " + reference(c.Docker, tag, digest) + "\n"
	case c.Oras != "":
		from = "Bootstrap: oras\nFrom: " + reference(c.Oras, tag, "") + "\n"
	case c.Library != "":
		from = "Bootstrap: library\nFrom: " + reference(c.Library, tag, "") + "\n"
	default:
		e.Err = fmt.Errorf("read %s: %w: neither docker, oras nor library", e.File, ErrUnsupported)
		return
	}
	var b strings.Builder
	b.WriteString(from + "\n%labels\n")
	label := func(name, value string) {
		if value = strings.Join(strings.Fields(value), " "); value != "" {
			b.WriteString("    " + name + " " + value + "\n")
		}
	}
	label("org.opencontainers.image.title", path.Base(e.Name))
	label("org.opencontainers.image.description", c.Description)
	label("org.opencontainers.image.url", c.URL)
	label("org.opencontainers.image.version", tag)
	label("carrel.category", "tool")
	commands := c.commands()
	if len(commands) > 0 {
		var names []string
		for _, n := range commands {
			names = append(names, n[0])
		}
		label("carrel.keywords", strings.Join(names, ", "))
	}
	if len(c.Env) > 0 {
		b.WriteString("\n%environment\n")
		for _, k := range slices.Sorted(maps.Keys(c.Env)) {
			if variable(k) && !strings.ContainsAny(c.Env[k], "\n\r") { // a further line could begin a section
				b.WriteString("    export " + k + "='" + strings.ReplaceAll(c.Env[k], "'", `'\''`) + "'\n")
			}
		}
	}
	if len(commands) > 0 && !strings.ContainsAny(commands[0][1], "\n\r%") {
		b.WriteString("\n%runscript\n    exec " + commands[0][1] + " \"$@\"\n")
	}
	e.Raw = b.String()
	e.Definition, e.Err = definition.ParseString(e.Raw, definition.Options{Name: path.Join(e.Name, e.File), AllowUndefined: true})
	if e.Err == nil {
		e.Card, e.Warnings = card.Parse(e.Definition.Final().LabelMap())
	}
}

// versions are the tags, the newest first, then by name downwards.
func (c *container) versions() []string {
	var all []string
	for k := range c.Tags {
		if _, newest := c.Latest[k]; !newest {
			all = append(all, k)
		}
	}
	slices.SortFunc(all, func(a, b string) int { return compareVersions(b, a) })
	return append(slices.Sorted(maps.Keys(c.Latest)), all...)
}

// commands are the aliases, name and command, in their order; they are a map or a list of name and command.
func (c *container) commands() [][2]string {
	var all [][2]string
	switch c.Aliases.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(c.Aliases.Content); i += 2 {
			k, v := c.Aliases.Content[i], c.Aliases.Content[i+1]
			if k.Kind == yaml.ScalarNode && v.Kind == yaml.ScalarNode {
				all = append(all, [2]string{k.Value, v.Value})
			}
		}
	case yaml.SequenceNode:
		for _, item := range c.Aliases.Content {
			var a struct{ Name, Command string }
			if item.Decode(&a) == nil && a.Name != "" && a.Command != "" {
				all = append(all, [2]string{a.Name, a.Command})
			}
		}
	}
	return all
}

// reference is an image's name with a tag and, for what they name by digest, the digest.
func reference(name, tag, digest string) string {
	word := func(s string) string { return strings.Join(strings.Fields(s), "") } // no further lines
	name, tag, digest = strings.TrimPrefix(strings.TrimPrefix(word(name), "docker://"), "oras://"), word(tag), word(digest)
	if tag != "" {
		name += ":" + tag
	}
	if strings.HasPrefix(digest, "sha256:") {
		name += "@" + digest
	}
	return name
}

// variable tells whether a name may be one of the shell's.
func variable(name string) bool {
	for i, r := range name {
		if r != '_' && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return name != ""
}

// sub is the folder of an entry in its source.
func sub(fsys fs.FS, folder string) (fs.FS, error) {
	if folder == "." {
		return fsys, nil
	}
	return fs.Sub(fsys, folder)
}
