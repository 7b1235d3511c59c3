package remember

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"
)

func TestMemory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "answers.json")
	m := At(path)
	if got := m.Load("jupyter"); got != nil {
		t.Errorf("an empty memory holds %v", got)
	}
	want := map[string]string{"folder:/opt": "~/papers", "port:8888": "8889"}
	if err := m.Save("jupyter", want); err != nil {
		t.Fatal(err)
	}
	if err := m.Save("stroop", map[string]string{"a": "b", "long": string(make([]byte, maxValue+1))}); err != nil {
		t.Fatal(err)
	}
	if got := At(path).Load("jupyter"); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := At(path).Load("stroop"); !reflect.DeepEqual(got, map[string]string{"a": "b"}) {
		t.Errorf("got %v", got)
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v; answers may hold passwords", st.Mode(), err)
	}
	if err := m.Clear(); err != nil {
		t.Fatal(err)
	}
	if err := m.Clear(); err != nil {
		t.Error(err)
	}
	if got := m.Load("jupyter"); got != nil {
		t.Errorf("after Clear: %v", got)
	}
}

func TestDamaged(t *testing.T) {
	for name, content := range map[string]string{"not json": "{", "other json": "[1]", "null": "null", "null apps": `{"apps":null}`, "empty": ""} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "answers.json")
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			m := At(path)
			if got := m.Load("a"); got != nil {
				t.Errorf("got %v", got)
			}
			if err := m.Save("a", map[string]string{"x": "y"}); err != nil {
				t.Fatal(err)
			}
			if got := m.Load("a")["x"]; got != "y" {
				t.Errorf("got %q, want y", got)
			}
		})
	}
}

func TestForgets(t *testing.T) {
	f := file{Apps: map[string]app{}}
	for i := range maxApps + 10 {
		f.Apps[fmt.Sprint(i)] = app{Used: time.Unix(int64(i), 0)}
	}
	f.forget()
	if _, old := f.Apps["9"]; old || len(f.Apps) != maxApps {
		t.Errorf("%d apps, the oldest is there: %v", len(f.Apps), old)
	}
	if _, ok := f.Apps["10"]; !ok {
		t.Error("an app too many is forgotten")
	}
}
