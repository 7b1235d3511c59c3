package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"carrel/engine"
	far "carrel/internal/remote"
)

func TestWayText(t *testing.T) {
	page := engine.Address{URL: "http://127.0.0.1:8888/tree?token=x", Host: 8888, Proto: "http"}
	ssh, hub := &far.Place{User: "ada", Host: "login1"}, &far.Place{Hub: "/user/ada/"}
	for _, test := range []struct {
		name      string
		place     *far.Place
		addresses []engine.Address
		want      string // in it; empty: nothing is said
	}{
		{"one page", ssh, []engine.Address{page}, "ssh -N -L 8888:127.0.0.1:8888 ada@login1"},
		{"a database too", ssh, []engine.Address{page, {URL: "tcp://127.0.0.1:5432", Host: 5432}}, "-L 8888:127.0.0.1:8888 -L 5432:127.0.0.1:5432 ada@login1"},
		{"open to all", ssh, []engine.Address{{URL: "http://192.0.2.7:8888/", Host: 8888}}, ""},
		{"datagrams", ssh, []engine.Address{{URL: "udp://127.0.0.1:53", Host: 53, Proto: "udp"}}, ""},
		{"nothing", ssh, nil, ""},
		{"a hub", hub, []engine.Address{page}, "/user/ada/proxy/8888/"},
	} {
		if got := wayText(test.place, test.addresses); !strings.Contains(got, test.want) || (test.want == "") != (got == "") {
			t.Errorf("%s: got %q, want %q in it", test.name, got, test.want)
		}
	}
}

func TestOpenGuarded(t *testing.T) {
	const address = `http://127.0.0.1:8888/?a="&carrel=CODE`
	for _, test := range []struct {
		env  string
		file bool
	}{{"", true}, {"VSCODE_IPC_HOOK_CLI", false}, {"WSL_DISTRO_NAME", false}} {
		if _, err := os.Stat("/snap"); err == nil && test.file {
			test.file = false
		}
		dir, opened := filepath.Join(t.TempDir(), "state"), ""
		err := openGuarded(func(name string) string {
			if name == test.env {
				return "x"
			}
			return ""
		}, dir, func(a string) error { opened = a; return nil }, address)
		if err != nil {
			t.Fatal(err)
		}
		if !test.file {
			if opened != address {
				t.Errorf("%s: opened %s", test.env, opened)
			}
			continue
		}
		path, ok := strings.CutPrefix(opened, "file://")
		if !ok || strings.Contains(opened, "CODE") {
			t.Errorf("the browser is given %s", opened)
		}
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the file that leads on: %v, %v", info, err)
		}
		if text, _ := os.ReadFile(path); !strings.Contains(string(text), "a=&#34;&amp;carrel=CODE") {
			t.Errorf("it says %s", text)
		}
	}
}
