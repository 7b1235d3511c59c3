package launch

import (
	"reflect"
	"testing"

	"carrel/engine"
)

func TestWords(t *testing.T) {
	for in, want := range map[string][]string{
		"": nil, "  ": nil, "a b": {"a", "b"}, `"a b" c`: {"a b", "c"}, `'it''s'`: {"its"}, `a\ b`: {"a b"}, `--x="1 2"`: {"--x=1 2"}, `""`: {""},
		`'a\b'`: {`a\b`}, "宽 x": {"宽", "x"}, `"open`: {"open"},
	} {
		if got := words(in); !reflect.DeepEqual(got, want) {
			t.Errorf("words(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestNames(t *testing.T) {
	for in, want := range map[string]string{
		"/home/ada/my-app/Singularity": "my-app", "/home/ada/my-app/Singularity.gpu": "my-app-gpu", "/x/tool.def": "tool", "/x/other": "other",
	} {
		if got := definitionName(in); got != want {
			t.Errorf("definitionName(%q) = %q, want %q", in, got, want)
		}
	}
	s := &Screen{target: engine.Target{Name: "My App (1).sif"}}
	if got, want := s.folderName(0), "carrel-my-app--1"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
