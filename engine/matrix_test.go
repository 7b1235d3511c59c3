package engine

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestEveryFormBecomesEveryOther converts an image from each form into each other one: what it says of itself and what is
// in it stay the same.
func TestEveryFormBecomesEveryOther(t *testing.T) {
	e := newEngine(t, nil)
	ctx := t.Context()
	first := box(t, e)
	made := map[Format]string{}
	convert := func(from string, to Format, name string) string {
		target := filepath.Join(e.c.User.Cwd, name)
		if _, err := e.Convert(ctx, BuildSpec{Definition: from, Target: target, NoTest: true, Level: 1}, to, nil); err != nil {
			t.Fatalf("%s to %s: %v", from, to, err)
		}
		return target
	}
	for _, f := range Formats {
		made[f] = convert(first, f, "first."+string(f))
	}
	want, err := e.Inspect(ctx, made[FormatSIF])
	if err != nil {
		t.Fatal(err)
	}
	compare := func(path string) {
		t.Helper()
		got, err := e.Inspect(ctx, path)
		if err != nil {
			t.Error(err)
			return
		}
		if got.Labels["Author"] != "Grace" || strings.TrimSpace(got.Runscript) != strings.TrimSpace(want.Runscript) || got.Definition == "" {
			t.Errorf("%s says %q, %q, %q", path, got.Labels, got.Runscript, got.Definition)
		}
		if env := got.Environment["/.singularity.d/env/90-environment.sh"]; !strings.Contains(env, "FOO=bar") {
			t.Errorf("%s: environment %q", path, got.Environment)
		}
		d, err := e.Diff(ctx, made[FormatSIF], path)
		if err != nil {
			t.Error(err)
			return
		}
		for _, c := range d.Files {
			// What a form adds, and whom files belong to where an ordinary user unpacks them.
			if !strings.HasPrefix(c.Path, "/.singularity.d/") && !slices.Equal(c.What, []string{"owner"}) {
				t.Errorf("%s: %+v", path, c)
			}
		}
	}
	for _, from := range Formats {
		compare(made[from])
		for _, to := range Formats {
			if from != to {
				compare(convert(made[from], to, string(from)+"-"+string(to)))
			}
		}
	}
}
