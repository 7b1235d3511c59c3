package engine

import (
	"strings"
	"testing"
)

// FuzzBinds reads what --bind and --mount were given, which may come from a script or a web page.
func FuzzBinds(f *testing.F) {
	for _, s := range []string{".:/data:ro", "/a,/b:/c:rw,ro", `/with\:colon:/x`, "img.sif:/x:image-src=/a,id=1", "type=bind,source=/a,destination=/b,ro", `type=bind,"source=/a,b",dst=/c`} {
		f.Add(s)
	}
	whole := func(p string) string { return "/whole/" + p }
	f.Fuzz(func(t *testing.T, text string) {
		binds, err := ParseBinds([]string{text}, whole)
		if err == nil {
			for _, b := range binds {
				if !strings.HasPrefix(b.Source, "/whole/") || b.Source == "/whole/" {
					t.Errorf("%q: source %q", text, b.Source)
				}
			}
		}
		mounts, err := ParseMounts([]string{text}, whole)
		if err == nil {
			for _, b := range mounts {
				if !strings.HasPrefix(b.Source, "/whole/") || b.Dest == "" {
					t.Errorf("%q: %+v", text, b)
				}
			}
		}
	})
}
