package launch

import (
	"os"
	"strings"
	"testing"
)

// TestGroupsAndHomes: what a container knows of its user besides the everyday.
func TestGroupsAndHomes(t *testing.T) {
	w := newWorld(t)
	for _, tc := range []struct {
		name   string
		change func(*Options)
		script string
		want   string
		user   bool // not for root, who is in every image
	}{
		{"further groups", func(o *Options) {
			o.Host.Groups = []Group{{70001, "lab"}, {o.Host.GID, "again"}, {70002, "a:b"}}
		}, "grep -E 'lab|again|a:b' /etc/group", "lab:x:70001:ada\n", true},
		{"contained without a home", func(o *Options) { o.Contain, o.NoHome = true, true }, "pwd; test -e " + w.home + " || echo none", "/\nnone\n", true},
		{"contained with a home", contained, "pwd; test -e " + w.home + " && echo there", w.home + "\nthere\n", true},
		{"safe, which has its own", func(o *Options) { o.Safe, o.NoHome = true, true }, "test -w ~ && echo writable", "writable\n", false},
	} {
		if tc.user && os.Getuid() == 0 {
			continue
		}
		o := w.options(tc.script)
		tc.change(&o)
		if r := start(t, o); r.err != nil || r.out != tc.want || len(r.notes) > 0 {
			t.Errorf("%s: %+v, want %q", tc.name, r, tc.want)
		}
	}
}

// TestShellByName: a shell is found as any program is.
func TestShellByName(t *testing.T) {
	w := newWorld(t)
	for shell, want := range map[string]string{"bash": "/bin/bash\n", "/bin/sh": "/bin/sh\n", "fish": ""} {
		o := w.options("")
		o.Action, o.Shell, o.Args = "shell", shell, []string{"-c", "echo $0"}
		r := start(t, o)
		if want == "" && (r.err == nil || !strings.Contains(r.err.Error(), "the image does not have it")) || want != "" && (r.err != nil || r.out != want) {
			t.Errorf("%s: %+v", shell, r)
		}
	}
}
