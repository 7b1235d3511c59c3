package propose

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"carrel/engine/card"
	"carrel/engine/definition"
)

// inside is where a proposed app has its files.
const inside = "/work"

func file(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }

const (
	pyBook = `{"cells":[{"cell_type":"markdown","source":["import nothing"]},{"cell_type":"code","source":["import numpy as np, pandas\n","from sklearn.svm import SVC"]}],"metadata":{"kernelspec":{"language":"python"}}}`
	rBook  = `{"cells":[{"cell_type":"code","source":"library(lme4)\nfoo::bar()\nstats::sd(x)"}],"metadata":{"kernelspec":{"language":"R","name":"ir"}}}`
)

func TestLook(t *testing.T) {
	for _, tt := range []struct {
		name   string
		folder fstest.MapFS
		kinds  string
		want   []string // in the first one's definition
		lack   []string
	}{
		{"empty", fstest.MapFS{"README": file("x")}, "[]", nil, nil},
		{"notebooks", fstest.MapFS{"a.ipynb": file(pyBook), "b.ipynb": file("broken")}, "[notebook]",
			[]string{"python3-numpy python3-pandas python3-sklearn", "carrel.bind./work rw required", "carrel.ready 8888 /api", "JUPYTER_RUNTIME_DIR", "--allow-root"}, []string{"nothing", "%files"}},
		{"notebooks in R", fstest.MapFS{"a.ipynb": file(rBook)}, "[r-notebook]", []string{"r-cran-irkernel", "r-cran-lme4", `install.packages(p`, `"foo"`}, []string{`"stats"`}},
		{"requirements", fstest.MapFS{"a.ipynb": file(pyBook), "requirements.txt": file("numpy==1.26"), "apt.txt": file("# x\ngraphviz"), "postBuild": file("#!/bin/sh\n"), "start": file("exec \"$@\"")}, "[notebook]",
			[]string{"requirements.txt /opt/setup/requirements.txt", "pip install -r /opt/setup/requirements.txt", "$(grep -v '^ *#' /opt/setup/apt.txt)", "./postBuild", "sh /opt/setup/start jupyter"}, []string{"python3-numpy"}},
		{"conda", fstest.MapFS{"environment.yml": file("dependencies: [python]")}, "[notebook]", []string{"From: mambaorg/micromamba", "-f /opt/setup/environment.yml", "pip install notebook"}, []string{"debootstrap"}},
		{"flask", fstest.MapFS{"sub/app.py": file("from flask import Flask\nimport helper, obscure\n"), "sub/helper.py": file("import json, numpy")}, "[python-app]",
			[]string{"exec python3 -m flask --app sub.app run", "carrel.port.5000 http /", "python3-flask", "pip install obscure", "python3-numpy", ". /work"}, []string{"helper", " json"}},
		{"streamlit", fstest.MapFS{"my app.py": file("import streamlit as st")}, "[python-app python]", []string{"streamlit run 'my app.py'", "pip install streamlit", "8501"}, nil},
		{"script", fstest.MapFS{"main.py": file("import sys"), "test_main.py": file("")}, "[python]", []string{"exec python3 main.py \"$@\""}, []string{"carrel.port"}},
		{"package", fstest.MapFS{"main.py": file("import sys"), "pyproject.toml": file("")}, "[python]", []string{"pip install /work"}, nil},
		{"shiny", fstest.MapFS{"app.R": file("library(shiny)\nlibrary(ggplot2)"), "install.R": file("x")}, "[shiny]", []string{`source("install.R")`, "r-cran-shiny", "3838"}, nil},
		{"no shiny", fstest.MapFS{"app.R": file("print(1)")}, "[]", nil, nil},
		{"report", fstest.MapFS{"paper.Rmd": file("```{r}\nlibrary('psych')\n```")}, "[rmarkdown]", []string{"rmarkdown::render", "r-cran-psych", "pandoc"}, nil},
		{"R script", fstest.MapFS{"fit.R": file("require(MASS)")}, "[r]", []string{"Rscript --vanilla fit.R", "r-cran-mass"}, nil},
		{"page", fstest.MapFS{"index.html": file("<p>")}, "[page]", []string{"http.server", ". /work"}, nil},
		{"node", fstest.MapFS{"package.json": file(`{"description":"Shows\nit","scripts":{"start":"serve --port 4321"}}`)}, "[node]", []string{"npm ci", "carrel.port.4321", "Shows it"}, nil},
		{"dockerfile", fstest.MapFS{"Dockerfile": file("FROM debian:12\nEXPOSE 80\nCMD x\n"), "index.html": file("x")}, "[dockerfile page]", []string{"From: debian:12", "org.opencontainers.image.title My project"}, nil},
		{"bad dockerfile and a page", fstest.MapFS{"Dockerfile": file("FORM debian:12\n"), "index.html": file("x")}, "[page]", nil, nil},
		{"pip and a kernel", fstest.MapFS{"a.ipynb": file(pyBook), "requirements.txt": file("obscure")}, "[notebook]",
			[]string{"/opt/env/bin/python -m ipykernel install --prefix=/usr --name python3"}, nil},
		{"no pip, no kernel", fstest.MapFS{"a.ipynb": file(pyBook)}, "[notebook]", nil, []string{"ipykernel install"}},
		{"dash without its server", fstest.MapFS{"app.py": file("import dash"), "requirements.txt": file("Dash==2\n")}, "[python-app python]",
			[]string{"pip install -r " + inside + "/requirements.txt gunicorn\n"}, nil},
		{"hidden files", fstest.MapFS{"index.html": file("x"), ".env": file("SECRET=1")}, "[page]", []string{`find /work -mindepth 1 \( -name '.*' -o -name '*.sif'`}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			all, err := Look(context.Background(), tt.folder, Options{Name: "my-project"})
			if err != nil {
				t.Fatal(err)
			}
			kinds := []Kind{}
			for _, s := range all {
				kinds = append(kinds, s.Kind)
				check(t, s)
			}
			if got := fmt.Sprint(kinds); got != tt.kinds {
				t.Fatalf("kinds %s, want %s", got, tt.kinds)
			}
			if len(all) == 0 {
				return
			}
			text := all[0].Definition()
			for _, w := range tt.want {
				if !strings.Contains(text, w) {
					t.Errorf("lacks %q:\n%s", w, text)
				}
			}
			for _, w := range tt.lack {
				if strings.Contains(text, w) {
					t.Errorf("holds %q:\n%s", w, text)
				}
			}
		})
	}
}

// check holds a proposal to what every definition is held to.
func check(t *testing.T, s Spec) {
	t.Helper()
	text := s.Definition()
	f, err := definition.ParseString(text, definition.Options{})
	if err != nil || f.Check() != nil {
		t.Fatalf("%s: %v, %v\n%s", s.Kind, err, f.Check(), text)
	}
	c, warnings := card.Parse(f.Final().LabelMap())
	if len(warnings) > 0 || c.Title == "" || s.Port > 0 && len(c.Ports) != 1 {
		t.Errorf("%s: %v, %+v", s.Kind, warnings, c)
	}
	report, err := definition.Lint(strings.NewReader(text), definition.Options{})
	if err != nil || !report.Valid {
		t.Errorf("%s: %v %+v\n%s", s.Kind, err, report, text)
	}
	for _, finding := range report.Findings {
		if finding.Severity > definition.Note && finding.Rule != "runscript-cd" { // it is meant: the app works in its folder
			t.Errorf("%s: %+v\n%s", s.Kind, finding, text)
		}
	}
}

// TestDefault: every kind can be had for a folder that does not ask for it.
func TestDefault(t *testing.T) {
	for _, k := range Kinds {
		s, err := Default(context.Background(), k.Kind, fstest.MapFS{"x.txt": file("")}, Options{Name: "x"})
		if err != nil || s.Kind != k.Kind {
			t.Errorf("%s: %+v, %v", k.Kind, s, err)
		}
		check(t, s)
	}
	if _, err := Default(context.Background(), "game", fstest.MapFS{}, Options{}); err == nil {
		t.Error("a kind that is none")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Look(ctx, fstest.MapFS{}, Options{}); err == nil {
		t.Error("not cancelled")
	}
}

// TestRemarks: what of a folder is not taken or used is said.
func TestRemarks(t *testing.T) {
	for _, tt := range []struct {
		name   string
		kind   Kind // the first one's when it is empty
		folder fstest.MapFS
		want   string
	}{
		{"hidden files", "", fstest.MapFS{"index.html": file("x"), ".env": file("x"), ".git/config": file("x"), "old.SIF": file("x")},
			"[hidden files and images stay out of the image: .env, .git, old.SIF]"},
		{"a shared folder", "", fstest.MapFS{"a.ipynb": file(pyBook), ".env": file("x")}, "[]"},
		{"R with conda's file", "", fstest.MapFS{"fit.R": file("x"), "environment.yml": file("x")}, "[environment.yml is not used for this kind of app]"},
		{"two files for Python", "", fstest.MapFS{"binder/requirements.txt": file("x"), "environment.yml": file("x")},
			"[conda packages come from conda-forge, over the network, on the image mambaorg/micromamba binder/requirements.txt is not used: environment.yml says what to install]"},
		{"a page", Page, fstest.MapFS{"index.html": file("x"), "apt.txt": file("x")}, "[apt.txt is not used for this kind of app]"},
		{"a broken Dockerfile", "", fstest.MapFS{"Dockerfile": file("FROM debian\nFORM x"), "index.html": file("x")}, "[read Dockerfile: line 2: there is no instruction \"FORM\"]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var s Spec
			all, err := Look(t.Context(), tt.folder, Options{})
			switch {
			case err != nil:
				t.Fatal(err)
			case tt.kind != "":
				s, err = Default(t.Context(), tt.kind, tt.folder, Options{})
			default:
				s = all[0]
			}
			if got := fmt.Sprint(s.Remarks); err != nil || got != tt.want {
				t.Errorf("got %s, %v, want %s", got, err, tt.want)
			}
		})
	}
}

// TestBroken: a folder of which only a broken Dockerfile speaks says so, and can still become something else.
func TestBroken(t *testing.T) {
	folder := fstest.MapFS{"Dockerfile": file("FORM debian:12\n"), "s.txt": file("x")}
	var broken *FileError
	if _, err := Look(t.Context(), folder, Options{}); !errors.As(err, &broken) || broken.File != "Dockerfile" || !strings.Contains(err.Error(), "line 1") || broken.Hint() == "" {
		t.Errorf("got %v", err)
	}
	if s, err := Default(t.Context(), Page, folder, Options{}); err != nil || s.Kind != Page {
		t.Errorf("got %+v, %v", s, err)
	}
}

// TestServer: a command of the person's gets what the folder says it needs, of whatever language.
func TestServer(t *testing.T) {
	for _, tt := range []struct {
		name   string
		folder fstest.MapFS
		want   []string
	}{
		{"requirements", fstest.MapFS{"s.py": file("import nothing"), "requirements.txt": file("x"), "apt.txt": file("x")},
			[]string{"pip install -r " + inside + "/requirements.txt\n", "$(grep -v '^ *#' " + inside + "/apt.txt)", `export PATH="/opt/env/bin:$PATH"`}},
		{"imports", fstest.MapFS{"s.py": file("import numpy")}, []string{"python3-numpy"}},
		{"R", fstest.MapFS{"s.R": file("library(lme4)"), "postBuild": file("x")}, []string{"r-base-core r-cran-lme4", "./postBuild", "R_LIBS_USER"}},
		{"npm", fstest.MapFS{"package.json": file("{}")}, []string{"npm ci"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := Default(t.Context(), Server, tt.folder, Options{})
			if err != nil {
				t.Fatal(err)
			}
			check(t, s)
			for _, w := range tt.want {
				if !strings.Contains(s.Definition(), w) {
					t.Errorf("lacks %q:\n%s", w, s.Definition())
				}
			}
		})
	}
}
