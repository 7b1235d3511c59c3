package build

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"carrel/engine/progress"
	"carrel/engine/sandbox/plan"
)

// maxLabels bounds the file of labels that %post writes, in bytes.
const maxLabels = 1 << 20

// readLabels takes what %post wrote to $APPTAINER_LABELS: a label a line, name and value apart by a space.
func (b *builder) readLabels(s *stage) error {
	r, err := os.OpenRoot(s.root)
	if err != nil {
		return err
	}
	defer r.Close()
	name := strings.TrimPrefix(labelsPath, "/")
	f, err := r.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	sc := bufio.NewScanner(io.LimitReader(f, maxLabels))
	for sc.Scan() {
		k, v, _ := strings.Cut(strings.TrimSpace(sc.Text()), " ")
		if k != "" && !strings.HasPrefix(k, "#") {
			s.labels[k] = strings.TrimSpace(v)
		}
	}
	return errors.Join(sc.Err(), r.Remove(name))
}

// appFolders makes the folders of the SCIF apps (https://sci-f.github.io), before anything is copied into them.
func (b *builder) appFolders(s *stage) error {
	if len(s.def.Apps) == 0 || !b.wants("apps") {
		return nil
	}
	r, err := os.OpenRoot(s.root)
	if err != nil {
		return b.fail(progress.StepApps, err)
	}
	defer r.Close()
	for _, app := range s.def.Apps {
		if !validApp(app.Name) {
			return &StepError{Step: progress.StepApps, Section: "%app…", Line: app.Line, Err: fmt.Errorf("%q cannot be the name of an app", app.Name)}
		}
		dir := path.Join("scif/apps", app.Name)
		for _, d := range []string{dir + "/bin", dir + "/lib", dir + "/scif/env", "scif/data/" + app.Name + "/input", "scif/data/" + app.Name + "/output"} {
			if err := r.MkdirAll(d, 0o755); err != nil {
				return b.fail(progress.StepApps, err)
			}
		}
	}
	return nil
}

// apps runs %appinstall of each SCIF app, in its folder.
func (b *builder) apps(ctx context.Context, s *stage) error {
	if len(s.def.Apps) == 0 || !b.wants("apps") {
		return nil
	}
	b.start(progress.StepApps, "")
	for _, app := range s.def.Apps {
		dir := path.Join("scif/apps", app.Name)
		sec := app.Section("install")
		if sec.IsEmpty() || s.did("%appinstall "+app.Name) {
			continue
		}
		b.sink.Line(progress.StepApps, "installing "+app.Name)
		body := "cd /" + dir + "; " + sec.Body // on the same line, so that their numbers stay
		env := []string{
			"SCIF_APPNAME=" + app.Name, "SCIF_APPROOT=/" + dir, "SCIF_APPBIN=/" + dir + "/bin", "SCIF_APPLIB=/" + dir + "/lib",
			"SCIF_APPDATA=/scif/data/" + app.Name, "SCIF_APPINPUT=/scif/data/" + app.Name + "/input", "SCIF_APPOUTPUT=/scif/data/" + app.Name + "/output",
		}
		in := *sec
		in.Body = body
		if err := b.section(ctx, s, progress.StepApps, "%appinstall "+app.Name, &in, env); err != nil {
			return err
		}
		s.finished("%appinstall "+app.Name, sec)
	}
	b.done(progress.StepApps, "")
	return nil
}

// validApp tells whether a name can be that of a folder.
func validApp(name string) bool {
	return name != "." && name != ".." && !strings.ContainsAny(name, "/\x00")
}

// test runs %test in the finished tree.
func (b *builder) test(ctx context.Context, s *stage) error {
	sec := s.def.Section("test")
	if !b.wants("test") || sec.IsEmpty() || s.did("%test") {
		return nil
	}
	b.start(progress.StepTest, "")
	b.throwAway = s.overlay // what a test writes is no part of the image
	defer func() { b.throwAway = false }()
	status, err := b.run(ctx, s, progress.StepTest, plan.Process{
		Env: b.environment(), Dir: "/", Umask: postUmask, Action: &plan.Action{Name: "test"},
	}, nil)
	if err != nil {
		return b.fail(progress.StepTest, err)
	}
	if status != 0 {
		return &StepError{Step: progress.StepTest, Section: "%test", Line: sec.Line, Status: status, Err: fmt.Errorf("exit status %d", status)}
	}
	s.finished("%test", sec)
	b.done(progress.StepTest, "")
	return nil
}

// clean removes what a build leaves in the tree and an image must not hold.
func clean(root string) error {
	return errors.Join(
		ignoreMissing(os.Remove(filepath.Join(root, scriptPath))),
		ignoreMissing(os.Remove(filepath.Join(root, labelsPath))),
	)
}

func ignoreMissing(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
