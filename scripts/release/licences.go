package main

import (
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
)

// module is a Go module whose code is in the program.
type module struct {
	path, version, dir string
}

// linked are the modules that the program is made of, for both architectures, by their paths.
func linked() ([]module, error) {
	seen := map[string]module{}
	var names []string
	for _, arch := range []string{"amd64", "arm64"} {
		text, err := output("env", "GOOS=linux", "GOARCH="+arch, "CGO_ENABLED=0", "go", "list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}}\t{{.Version}}\t{{.Dir}}{{end}}{{end}}", "./cmd/carrel")
		if err != nil {
			return nil, err
		}
		for _, line := range strings.Split(text, "\n") {
			if f := strings.Split(line, "\t"); len(f) == 3 && seen[f[0]].path == "" {
				seen[f[0]] = module{f[0], f[1], f[2]}
				names = append(names, f[0])
			}
		}
	}
	var all []module
	for _, name := range sorted(names) {
		all = append(all, seen[name])
	}
	return all, nil
}

var licenceFile = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice|patents)([.-].*)?$`)

// files are the texts of a module's licence and notices.
func (m module) files() ([]string, error) {
	list, err := os.ReadDir(m.dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range list {
		if !e.IsDir() && licenceFile.MatchString(e.Name()) && !strings.HasSuffix(e.Name(), ".docs") {
			names = append(names, e.Name())
		}
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%s: no licence was found", m.path)
	}
	return names, nil
}

// kinds are sentences that only one licence has, with its name in the SPDX list.
var kinds = []struct{ id, sentence string }{
	{"Apache-2.0", "apache license version 2.0"},
	{"MPL-2.0", "mozilla public license version 2.0"},
	{"ISC", "permission to use, copy, modify, and/or distribute this software for any purpose"},
	{"ISC", "permission to use, copy, modify, and distribute this software for any purpose"},
	{"BSD-3-Clause", "used to endorse or promote products"},
	{"MIT", "permission is hereby granted, free of charge, to any person obtaining a copy"},
	{"BSD-2-Clause", "redistributions in binary form must reproduce the above copyright"},
	{"CC0-1.0", "cc0 1.0 universal"},
	{"Unlicense", "free and unencumbered software released into the public domain"},
}

// licence names the licences of a module, in SPDX's form.
func (m module) licence() (string, error) {
	names, err := m.files()
	if err != nil {
		return "", err
	}
	var ids []string
	for _, name := range names {
		data, err := os.ReadFile(filepath.Join(m.dir, name))
		if err != nil {
			return "", err
		}
		text := strings.ToLower(strings.Join(strings.Fields(strings.ReplaceAll(string(data), ",", " ")), " "))
		for _, k := range kinds {
			if k.id == "BSD-2-Clause" && slices.Contains(ids, "BSD-3-Clause") {
				continue // whose text holds the other one's
			}
			if strings.Contains(text, strings.Join(strings.Fields(strings.ReplaceAll(k.sentence, ",", " ")), " ")) && !slices.Contains(ids, k.id) {
				ids = append(ids, k.id)
			}
		}
	}
	if len(ids) == 0 {
		return "", fmt.Errorf("%s: the licence in %s is not known", m.path, strings.Join(names, ", "))
	}
	slices.Sort(ids)
	return strings.Join(ids, " AND "), nil
}

// licencesPage is docs/licences.md.
func licencesPage() (string, error) {
	modules, err := linked()
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString("# Licences of what is in the program\n\nCarrel itself is under the Apache License 2.0. These modules are linked into it, besides Go's own library\n(BSD-3-Clause); " +
		"their texts are in `LICENCES.txt` of a release. Written by `go run ./scripts/release -licences`,\nand checked by a test.\n\n| module | version | licence |\n|---|---|---|\n")
	for _, m := range modules {
		id, err := m.licence()
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", m.path, m.version, id)
	}
	return b.String(), nil
}

// licenceTexts are all of them, one after the other, with that of Go.
func licenceTexts(modules []module) (string, error) {
	root, err := output("go", "env", "GOROOT")
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, m := range append([]module{{"Go", runtime.Version(), root}}, modules...) {
		names, err := m.files()
		if err != nil {
			return "", err
		}
		for _, name := range names {
			data, err := os.ReadFile(filepath.Join(m.dir, name))
			if err != nil {
				return "", err
			}
			fmt.Fprintf(&b, "==== %s %s: %s\n\n%s\n\n", m.path, m.version, name, strings.TrimSpace(string(data)))
		}
	}
	return b.String(), nil
}

// bom lists what a binary was made of (CycloneDX 1.6, ECMA-424), by what Go has written into it.
func bom(file string, o origin, modules []module) ([]byte, error) {
	info, err := buildinfo.ReadFile(file)
	if err != nil {
		return nil, err
	}
	ids := map[string]string{}
	for _, m := range modules {
		if ids[m.path], err = m.licence(); err != nil {
			return nil, err
		}
	}
	type licence struct {
		Expression string `json:"expression"`
	}
	type component struct {
		Type     string    `json:"type"`
		Ref      string    `json:"bom-ref"`
		Name     string    `json:"name"`
		Version  string    `json:"version"`
		Purl     string    `json:"purl,omitempty"`
		Licences []licence `json:"licenses,omitempty"`
	}
	type dependency struct {
		Ref string   `json:"ref"`
		On  []string `json:"dependsOn"`
	}
	type metadata struct {
		Timestamp string    `json:"timestamp"`
		Component component `json:"component"`
	}
	self := component{"application", "carrel", "carrel", o.version, "", []licence{{"Apache-2.0"}}}
	all := []component{{"library", "std", "std", info.GoVersion, "pkg:golang/std@" + strings.TrimPrefix(info.GoVersion, "go"), []licence{{"BSD-3-Clause"}}}}
	for _, d := range info.Deps {
		id := ids[d.Path]
		if id == "" {
			return nil, fmt.Errorf("%s: no licence was looked up", d.Path)
		}
		purl := "pkg:golang/" + d.Path + "@" + d.Version
		all = append(all, component{"library", purl, d.Path, d.Version, purl, []licence{{id}}})
	}
	on := dependency{Ref: "carrel"}
	for _, c := range all {
		on.On = append(on.On, c.Ref)
	}
	data, err := json.MarshalIndent(struct {
		Format       string       `json:"bomFormat"`
		Spec         string       `json:"specVersion"`
		Version      int          `json:"version"`
		Metadata     metadata     `json:"metadata"`
		Components   []component  `json:"components"`
		Dependencies []dependency `json:"dependencies"`
	}{"CycloneDX", "1.6", 1, metadata{o.time.Format("2006-01-02T15:04:05Z"), self}, all, []dependency{on}}, "", "  ")
	return append(data, '\n'), err
}
