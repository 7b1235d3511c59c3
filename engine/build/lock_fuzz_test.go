package build

import (
	"encoding/json"
	"testing"
)

// FuzzLock reads lock files, which come with definitions of others.
func FuzzLock(f *testing.F) {
	f.Add([]byte(`{"format":1,"definition":"sha256:00"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := ParseLock(data)
		if err != nil {
			return
		}
		again, err := json.Marshal(l)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseLock(again); err != nil {
			t.Errorf("what was read cannot be read again: %v\n%s", err, again)
		}
	})
}
