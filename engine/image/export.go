package image

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"carrel/engine/card"
	"carrel/engine/oci"
	"carrel/engine/sif"
	"carrel/engine/tree"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/syntax"
)

const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Export is the image as programs for OCI images take it: its contents as one layer, and a configuration. What came from
// an OCI image unchanged keeps its entrypoint and command; other images start with /.singularity.d/entrypoint, which is
// added, sources the environment and starts the runscript. Folder and user are those of Own and of the labels. Labels are kept, ports that they name are exposed, and variables
// that the environment sets to texts which can be known without running anything are in the configuration too. The
// contents get what PrepareRoot gives, new entries with the time now. They are valid until Close.
func (m *Image) Export(now time.Time) (tree.Source, oci.Config, error) {
	if m.oci != nil {
		return m.oci, m.oci.Config, nil
	}
	meta, err := m.Metadata()
	if err != nil {
		return nil, oci.Config{}, err
	}
	contents, err := m.FS()
	if err != nil {
		return nil, oci.Config{}, err
	}
	config := m.originalConfig()
	var own map[string]string
	start := m.Own()
	if c, _ := card.Parse(meta.Labels); c.Workdir != "" || c.User != "" {
		start = Own{Dir: cmp.Or(c.Workdir, start.Dir), User: cmp.Or(c.User, start.User)}
	}
	config.WorkingDir, config.User = start.Dir, start.User
	if len(config.Entrypoint)+len(config.Cmd) == 0 || !fromOCI(meta.Runscript, config) || hasOwnEnvironment(meta) {
		config.Entrypoint, config.Cmd = []string{entry}, nil
		own = map[string]string{entry: entryScript("/bin/sh")}
		if meta.Runscript != "" {
			own = map[string]string{entry: entryScript(entryRun), entryRun: meta.Runscript}
		}
	}
	config.Env = variables(contents, config.Env)
	config.Labels = meta.Labels
	for name := range meta.Labels {
		port, ok := strings.CutPrefix(name, "carrel.port.")
		if port += "/tcp"; ok && !slices.Contains(config.ExposedPorts, port) {
			config.ExposedPorts = append(config.ExposedPorts, port)
		}
	}
	slices.Sort(config.ExposedPorts)
	return &extended{Scaffolded(m, Metadata{}, now), own, now}, config, nil
}

// extended is a source with further programs, by their absolute paths.
type extended struct {
	source   tree.Source
	programs map[string]string
	now      time.Time
}

func (s *extended) WriteTo(ctx context.Context, sink tree.Sink) error {
	if err := s.source.WriteTo(ctx, sink); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(s.programs)) {
		text := s.programs[name]
		e := tree.Entry{Path: strings.TrimPrefix(name, "/"), Mode: tree.TypeRegular | 0o755, Size: int64(len(text)), ModTime: s.now}
		if err := sink.Add(e, strings.NewReader(text)); err != nil {
			return err
		}
	}
	return nil
}

// originalConfig is that of the OCI image from which a SIF was made.
func (m *Image) originalConfig() oci.Config {
	if m.sif == nil {
		return oci.Config{}
	}
	b, err := m.sif.JSON(sif.OCIConfigName)
	var c v1.Config
	if err != nil || len(b) == 0 || json.Unmarshal(b, &c) != nil {
		return oci.Config{}
	}
	return oci.Config{
		Env: c.Env, Entrypoint: c.Entrypoint, Cmd: c.Cmd, WorkingDir: c.WorkingDir, User: c.User,
		ExposedPorts: slices.Sorted(maps.Keys(c.ExposedPorts)), Volumes: slices.Sorted(maps.Keys(c.Volumes)), StopSignal: c.StopSignal,
	}
}

// fromOCI tells whether a runscript does nothing but start an OCI image's entrypoint: ours, or Apptainer's, which has these
// variables.
func fromOCI(runscript string, c oci.Config) bool {
	return trim(runscript) == trim(OCIRunscript(c.Entrypoint, c.Cmd)) ||
		strings.Contains(runscript, "OCI_ENTRYPOINT=") && strings.Contains(runscript, "OCI_CMD=")
}

// hasOwnEnvironment tells whether a definition file's %environment, or %post, says anything.
func hasOwnEnvironment(m Metadata) bool {
	for name, text := range m.Environment {
		if name == "/"+ociEnvironment {
			continue
		}
		for line := range strings.Lines(text) {
			if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
				return true
			}
		}
	}
	return false
}

// variables are those of the image's environment files whose values follow from their texts alone, over those given.
func variables(contents fs.FS, env []string) []string {
	known := map[string]string{"PATH": defaultPath}
	var order []string
	set := func(name, value string) {
		if _, twice := known[name]; !twice || !slices.Contains(order, name) {
			order = append(order, name)
		}
		known[name] = value
	}
	set("PATH", defaultPath)
	for _, kv := range env {
		if name, value, ok := strings.Cut(kv, "="); ok {
			set(name, value)
		}
	}
	r := reader{root: contents}
	texts := r.environment(dotd + "/env")
	delete(texts, "/"+ociEnvironment) // says the same as env, if there was one
	if len(texts) == 0 {
		texts["/environment"] = r.text("environment")
	}
	for _, name := range slices.SortedFunc(maps.Keys(texts), func(a, b string) int { return strings.Compare(path.Base(a), path.Base(b)) }) {
		assignments(texts[name], func(name string) string { return known[name] }, set)
	}
	out := make([]string, 0, len(order))
	for _, name := range order {
		out = append(out, name+"="+known[name])
	}
	return out
}

var errUnknown = errors.New("only running it would tell")

// assignments reports the exported variables of a shell script's top level. Those in conditions, and those whose values
// need commands, are left out: nothing is run.
func assignments(text string, get func(string) string, set func(name, value string)) {
	file, err := syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(strings.NewReader(text), "")
	if err != nil {
		return
	}
	own := map[string]string{}
	lookup := func(name string) string {
		if v, ok := own[name]; ok {
			return v
		}
		return get(name)
	}
	config := &expand.Config{
		Env:      expand.FuncEnviron(lookup),
		CmdSubst: nil, // an error for every command
	}
	for _, statement := range file.Stmts {
		var list []*syntax.Assign
		exported := false
		switch c := statement.Cmd.(type) {
		case *syntax.CallExpr:
			if len(c.Args) == 0 {
				list = c.Assigns
			}
		case *syntax.DeclClause:
			exported = c.Variant.Value == "export"
			list = c.Args
		}
		for _, a := range list {
			if a.Name == nil || a.Append || a.Index != nil || a.Array != nil {
				continue
			}
			name, value := a.Name.Value, lookup(a.Name.Value)
			if !a.Naked {
				if value, err = literal(config, a.Value); err != nil {
					continue
				}
			} else if _, ok := own[name]; !ok {
				continue
			}
			own[name] = value
			if exported && variable.MatchString(name) {
				set(name, value)
			}
		}
	}
}

// literal expands a word that needs no command.
func literal(config *expand.Config, w *syntax.Word) (value string, err error) {
	if w == nil {
		return "", nil
	}
	syntax.Walk(w, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.CmdSubst, *syntax.ProcSubst, *syntax.ArithmExp:
			err = errUnknown
		case *syntax.ParamExp:
			if n.Exp != nil && n.Exp.Op == syntax.AssignUnset || n.Excl {
				err = errUnknown
			}
		}
		return err == nil
	})
	if err != nil {
		return "", err
	}
	return expand.Literal(config, w)
}
