package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestBrowser: which program opens an address, and with what arguments.
func TestBrowser(t *testing.T) {
	const url = "http://127.0.0.1:8888/tree?token=5f%20&x=1;touch${IFS}y"
	for name, tt := range map[string]struct {
		env   map[string]string
		there string // the programs that there are
		want  string // what one of them is called with; empty: no browser
	}{
		"a terminal":           {nil, "xdg-open wslview firefox", ""},
		"a desktop":            {map[string]string{"DISPLAY": ":0"}, "xdg-open gio", "xdg-open " + url},
		"a desktop with gio":   {map[string]string{"WAYLAND_DISPLAY": "wayland-0"}, "gio", "gio open " + url},
		"a wish":               {map[string]string{"BROWSER": "firefox", "DISPLAY": ":0"}, "firefox xdg-open", "firefox " + url},
		"the second wish":      {map[string]string{"BROWSER": "opera::firefox"}, "firefox", "firefox " + url},
		"with a place":         {map[string]string{"BROWSER": "firefox --new-window %s"}, "firefox", "firefox --new-window " + url},
		"with options":         {map[string]string{"BROWSER": "firefox --private --name=50%%"}, "firefox", "firefox --private --name=50% " + url},
		"Windows":              {map[string]string{"WSL_DISTRO_NAME": "Debian"}, "wslview rundll32.exe", "wslview " + url},
		"Windows without wslu": {map[string]string{"WSL_DISTRO_NAME": "Debian"}, "rundll32.exe", "rundll32.exe url.dll,FileProtocolHandler " + url},
		"wishes that are away": {map[string]string{"BROWSER": "firefox"}, "", ""},
	} {
		dir := t.TempDir()
		t.Setenv("PATH", dir)
		said := filepath.Join(dir, "said")
		for _, program := range strings.Fields(tt.there) {
			text := "#!/bin/sh\necho " + program + " \"$@\" > " + said + ".new\n/bin/mv " + said + ".new " + said + "\n"
			if err := os.WriteFile(filepath.Join(dir, program), []byte(text), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		open := browser(func(name string) string { return tt.env[name] })
		if open == nil || tt.want == "" {
			if (open == nil) != (tt.want == "") {
				t.Errorf("%s: a browser: %v", name, open != nil)
			}
			continue
		}
		if err := open(url); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var got []byte
		for deadline := time.Now().Add(20 * time.Second); len(got) == 0 && time.Now().Before(deadline); {
			got, _ = os.ReadFile(said)
		}
		if strings.TrimSpace(string(got)) != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}
