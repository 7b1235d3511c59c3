package instance

import (
	"os"
	"path/filepath"
	"testing"
)

// FuzzRecord reads state files that were damaged: an app whose state cannot be read is not in the way of the others.
func FuzzRecord(f *testing.F) {
	f.Add([]byte(`{"name":"app","state":"ready","pid":1,"machine":{},"pid_start":1,"addresses":[{}]}`))
	f.Add([]byte(`{"name":"../x","state":"\u001b[2J","pid":-1,"control":"x"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		root := t.TempDir()
		good := put(t, root, "good", nil)
		bad := filepath.Join(root, "bad")
		if err := os.Mkdir(bad, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(bad, stateFile), data, 0o600); err != nil {
			t.Fatal(err)
		}
		all, err := List(root)
		found := false
		for _, in := range all {
			found = found || in.Name == filepath.Base(good)
			if in.Name != "good" && in.Name != "bad" {
				t.Errorf("an app %q", in.Name)
			}
		}
		if !found {
			t.Errorf("the other app is not found any more: %v", err)
		}
		_, _ = Get(root, "bad") // an error says what is wrong
	})
}
