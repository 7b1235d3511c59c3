// Package remember keeps, in one JSON file, the answers a person gave in launch forms, by the app's name. It is a
// convenience: a file that is missing or damaged is an empty memory, and the least recently used apps are forgotten when
// there are more than maxApps.
package remember

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"sync"
	"time"

	"carrel/internal/atomicfile"
)

const (
	maxApps  = 500
	maxFile  = 4 << 20 // bytes; a larger file is not ours
	maxValue = 16 << 10
)

// Memory is the file. Its methods may be called from several goroutines; of two programs that save at the same time, the
// later one wins for the app it saves and keeps what the other saved for other apps, unless they do so in the same instant.
type Memory struct {
	path string
	now  func() time.Time
	mu   sync.Mutex
}

// At is the memory in a file; it is made, readable for its owner only, when something is saved first.
func At(path string) *Memory { return &Memory{path: path, now: time.Now} }

type app struct {
	Used    time.Time         `json:"used"`
	Answers map[string]string `json:"answers"`
}

type file struct {
	Apps map[string]app `json:"apps"`
}

func (m *Memory) read() file {
	f := file{Apps: map[string]app{}}
	st, err := os.Stat(m.path)
	if err != nil || !st.Mode().IsRegular() || st.Size() > maxFile {
		return f
	}
	data, err := os.ReadFile(m.path)
	if err != nil || json.Unmarshal(data, &f) != nil || f.Apps == nil {
		return file{Apps: map[string]app{}}
	}
	return f
}

// Load returns the answers of an app's last launch, nil when there are none.
func (m *Memory) Load(name string) map[string]string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.read().Apps[name].Answers
}

// Save remembers the answers of an app in place of its earlier ones. Values over 16 KiB are left out.
func (m *Memory) Save(name string, answers map[string]string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.read()
	kept := map[string]string{}
	for k, v := range answers {
		if len(v) <= maxValue {
			kept[k] = v
		}
	}
	f.Apps[name] = app{Used: m.now().UTC(), Answers: kept}
	f.forget()
	data, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return fmt.Errorf("remember answers: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(m.path), 0o700); err != nil {
		return fmt.Errorf("remember answers: %w", err)
	}
	if err := atomicfile.WriteFile(m.path, append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("remember answers: %w", err)
	}
	return nil
}

// Clear forgets everything.
func (m *Memory) Clear() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := os.Remove(m.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forget answers: %w", err)
	}
	return nil
}

// forget drops the least recently used apps over the limit.
func (f *file) forget() {
	if len(f.Apps) <= maxApps {
		return
	}
	names := make([]string, 0, len(f.Apps))
	for n := range f.Apps {
		names = append(names, n)
	}
	sort.Slice(names, func(i, j int) bool { return f.Apps[names[i]].Used.After(f.Apps[names[j]].Used) })
	for _, n := range names[maxApps:] {
		delete(f.Apps, n)
	}
}
