package tuitest

import (
	"context"
	"path/filepath"
	"strings"
	"sync"

	"carrel/engine"
	"carrel/tui/task"
)

// Catalog is a list of entries.
type Catalog struct {
	List  []task.Entry
	Err   error
	Added []task.Source

	mu sync.Mutex
}

// Entries returns the list.
func (c *Catalog) Entries(context.Context) ([]task.Entry, error) { return c.List, c.Err }

// Allow remembers nothing.
func (c *Catalog) Allow(context.Context, task.Entry) error { return nil }

// Sources are the built-in one and what was added.
func (c *Catalog) Sources(context.Context) ([]task.Source, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]task.Source{{Name: "built-in", Kind: "built-in", Apps: len(c.List)}}, c.Added...), c.Err
}

// AddSource adds a source; an address with "none" in it is not there.
func (c *Catalog) AddSource(_ context.Context, address string) (task.Source, error) {
	if strings.Contains(address, "none") {
		return task.Source{}, &ErrBuild{Text: "fetch " + address + ": not found", What: "check the address"}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s := task.Source{Name: filepath.Base(address), Kind: "git", Address: address, Commit: "5f3a90c2aa", Apps: 3, Updated: Noon, Added: true}
	c.Added = append(c.Added, s)
	return s, nil
}

// UpdateSource finds nothing new.
func (c *Catalog) UpdateSource(_ context.Context, name string) (string, error) {
	return name + " has nothing new.", nil
}

// RemoveSource forgets a source.
func (c *Catalog) RemoveSource(_ context.Context, name string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, s := range c.Added {
		if s.Name == name {
			c.Added = append(c.Added[:i:i], c.Added[i+1:]...)
			return nil
		}
	}
	return engine.ErrNotFound
}

// Memory remembers while it lives.
type Memory struct {
	mu  sync.Mutex
	All map[string]map[string]string
}

// Load returns what was saved.
func (m *Memory) Load(app string) map[string]string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.All[app]
}

// Save remembers.
func (m *Memory) Save(app string, a map[string]string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.All == nil {
		m.All = map[string]map[string]string{}
	}
	m.All[app] = a
	return nil
}

// ErrBuild is an error with a hint, as the engine makes them.
type ErrBuild struct{ Text, What string }

func (e *ErrBuild) Error() string { return e.Text }

// Hint says what to do.
func (e *ErrBuild) Hint() string { return e.What }
