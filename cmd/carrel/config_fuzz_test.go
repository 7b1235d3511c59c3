package main

import "testing"

// FuzzConfig reads configuration files.
func FuzzConfig(f *testing.F) {
	f.Add("# mine\nmirror = http://host/debian\ninsecure_registries = a:1, b\nmirror.docker.io = lab:5000/x,other\ncache_limit = 1.5\ncatalog = ~/recipes\nlibrary = https://host\n")
	f.Add("hot_limit = -1\nhistory = 3\nguard = on\n")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := parseConfig("config", text)
		if err != nil {
			return
		}
		if c.CacheLimit < 0 {
			t.Errorf("a limit of %d", c.CacheLimit)
		}
	})
}
