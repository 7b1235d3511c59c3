package launch

import (
	"reflect"
	"strings"
	"testing"

	"carrel/engine"
	"carrel/tui/screen"
	"carrel/tui/widget"
)

// Other folders are read as -B reads them: nothing that is not understood passes for something else.
func TestBinds(t *testing.T) {
	s := &Screen{d: screen.Deps{Home: "/home/ada"}}
	tests := []struct {
		text string
		want []engine.Bind
		err  string
	}{
		{text: "~/x:/d:ro", want: []engine.Bind{{Source: "/home/ada/x", Dest: "/d", ReadOnly: true}}},
		{text: "~/x:/d, ~/y:/e:ro , /z", want: []engine.Bind{{Source: "/home/ada/x", Dest: "/d"}, {Source: "/home/ada/y", Dest: "/e", ReadOnly: true}, {Source: "/z", Dest: "/z"}}},
		{text: `/a\:b\, c:/d`, want: []engine.Bind{{Source: "/a:b, c", Dest: "/d"}}},
		{text: "~/x:/d:readonly", err: `option "readonly" is not ro`},
		{text: "~/x:d", err: "does not begin with /"},
		{text: "~/x:/d:ro:rw", err: "too many colons"},
		{text: "~/data:/data, /more:/m:ro,, /same ", want: []engine.Bind{{Source: "/home/ada/data", Dest: "/data"}, {Source: "/more", Dest: "/m", ReadOnly: true}, {Source: "/same", Dest: "/same"}}},
		{text: ""},
	}
	for _, tt := range tests {
		got, err := s.binds(tt.text)
		f := &widget.Field{ID: idBinds}
		f.SetValue(tt.text)
		why := s.wrong(f)
		if tt.err != "" {
			if err == nil || !strings.Contains(why, tt.err) || !strings.Contains(why, "SOURCE[:") && !strings.Contains(why, "whole path") {
				t.Errorf("%q: %v, said as %q; want %q", tt.text, err, why, tt.err)
			}
			continue
		}
		if err != nil || why != "" || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%q: %+v, %v (%s), want %+v", tt.text, got, err, why, tt.want)
		}
	}
}

func TestPorts(t *testing.T) {
	s := &Screen{}
	tests := []struct {
		id, text string
		want     []engine.Port
		wrong    bool
	}{
		{idPublish, "8888", []engine.Port{{Host: 8888, Container: 8888}}, false},
		{idPublish, "8080:80, 9000", []engine.Port{{Host: 8080, Container: 80, Fixed: true}, {Host: 9000, Container: 9000}}, false},
		{idPublish, "abc", nil, true},
		{idPublish, "99999", nil, true},
		{idPort + "80", "99999", nil, true},
		{idPort + "80", "8080", nil, false},
	}
	for _, tt := range tests {
		f := &widget.Field{ID: tt.id}
		f.SetValue(tt.text)
		if why := s.wrong(f); (why != "") != tt.wrong {
			t.Errorf("%s %q: wrong is %q", tt.id, tt.text, why)
		}
		if tt.want == nil {
			continue
		}
		if got, err := publish(tt.text); err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%q: %+v, %v, want %+v", tt.text, got, err, tt.want)
		}
	}
}
