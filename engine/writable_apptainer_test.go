package engine

import (
	"os"
	"path/filepath"
	"testing"

	"carrel/internal/apptainertest"
	"carrel/internal/testroot"
)

// TestApptainerSeesWhatWasWritten: what two runs with --writable changed, and what compact made of it, is the same tree to a
// real Apptainer as it is to us: removed files, folders that were emptied or took the place of something, links, modes.
func TestApptainerSeesWhatWasWritten(t *testing.T) {
	apptainertest.Command(t)
	e := newEngine(t, nil)
	root := testroot.Make(t, "mv")
	for name, text := range map[string]string{
		"opt/kept": "kept", "opt/gone": "gone", "opt/changed": "old", "opt/moved": "moved", "opt/mode": "mode", "opt/becomes-folder": "file", "opt/back": "first",
		"opt/emptied/a": "a", "opt/emptied/deep/b": "b", "opt/removed/c": "c", "opt/becomes-file/d": "d", "opt/renamed/e": "e", "opt/linked/f": "f",
	} {
		p := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(e.c.User.Cwd, "tree.sif")
	if _, err := e.Build(t.Context(), BuildSpec{Definition: root, Target: path}, nil); err != nil {
		t.Fatal(err, Hint(err))
	}
	const list = `cd /opt && find . | sort | while read -r f; do stat -c '%A %N' "$f"; [ ! -f "$f" ] || cat "$f"; done`
	same := func(after string) string {
		t.Helper()
		status, ours, err := output(t, e, shell(path, list))
		if status != 0 || err != nil {
			t.Fatal(after, status, err, ours)
		}
		if theirs := apptainertest.Run(t, "exec", path, "/bin/sh", "-c", list); theirs != ours {
			t.Errorf("after %s, Apptainer:\n%s\nours:\n%s", after, theirs, ours)
		}
		return ours
	}
	before := same("nothing")
	seen := map[string]string{before: "nothing"}
	for _, run := range []string{
		`cd /opt && rm gone back && echo new > changed && mv moved elsewhere && chmod 755 mode && rm becomes-folder && mkdir becomes-folder && echo in > becomes-folder/x &&
		 rm -r emptied && mkdir emptied && echo only > emptied/only && rm -r removed becomes-file && echo file > becomes-file && mv renamed other-name && ln -s ../kept linked/to && echo 1 > added`,
		`cd /opt && rm added linked/f && echo second > back && mkdir removed && echo again > removed/c && rm -r becomes-folder emptied/only && mkdir -p emptied/deep && mv other-name renamed && rm -f linked/to`,
	} {
		s := shell(path, run)
		s.Writable = true
		if status, out, err := output(t, e, s); status != 0 || err != nil {
			t.Fatal(status, out, err)
		}
		text := same(run)
		if what, again := seen[text]; again {
			t.Fatalf("the tree is as it was after %s:\n%s", what, text)
		}
		seen[text] = run
	}
	_, last, _ := output(t, e, shell(path, list))
	if done, err := e.Compact(t.Context(), path); err != nil || done.Layers != 2 {
		t.Fatalf("compact: %+v, %v", done, err)
	}
	if text := same("compact"); text != last {
		t.Errorf("compact changed the tree:\n%s\nbefore:\n%s", text, last)
	}
}
