package debian

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"carrel/internal/debtest"
)

// archive makes a universe of packages written as "name version field=value; field=value".
func archive(t *testing.T, lines ...string) *universe {
	t.Helper()
	u := newUniverse()
	u.suites = []string{"test"}
	for _, line := range append([]string{"base 1 Essential=yes", "apt 1 Depends=libapt"}, append(lines, "libapt 1")...) {
		parts := strings.SplitN(line, " ", 3)
		p := debtest.Package{Name: parts[0], Version: parts[1], Fields: map[string]string{}}
		if len(parts) == 3 {
			for f := range strings.SplitSeq(parts[2], "; ") {
				name, value, _ := strings.Cut(f, "=")
				p.Fields[name] = value
			}
		}
		if err := readPackages(strings.NewReader(p.Control()), func(p *Package) error { u.add(p); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	if err := u.index(); err != nil {
		t.Fatal(err)
	}
	return u
}

func TestResolve(t *testing.T) {
	for _, test := range []struct {
		name    string
		archive []string
		include string
		want    string // the names besides base, apt and libapt; or the error
	}{
		{"nothing more", nil, "", ""},
		{"closure", []string{"a 1 Depends=b; Pre-Depends=c", "b 1 Depends=d", "c 1", "d 1", "e 1"}, "a", "a b c d"},
		{"required", []string{"r 1 Priority=required; Depends=s", "s 1", "i 1 Priority=important"}, "", "r s"},
		{"a cycle", []string{"a 1 Depends=b", "b 1 Depends=a"}, "a", "a b"},
		{"first alternative", []string{"a 1 Depends=b | c", "b 1", "c 1"}, "a", "a b"},
		{"first that exists", []string{"a 1 Depends=b | c", "c 1"}, "a", "a c"},
		{"first with the version", []string{"a 1 Depends=b (>= 2) | c", "b 1", "c 1"}, "a", "a c"},
		{"one chosen already", []string{"a 1 Depends=b | c", "b 1", "c 1"}, "a c", "a c"},
		{"one asked for later", []string{"a 1 Priority=required; Depends=b | c", "b 1", "c 1"}, "c", "a c"},
		{"essential beats the first", []string{"a 1 Depends=b | base", "b 1"}, "a", "a"},
		{"virtual", []string{"a 1 Depends=v", "p 1 Provides=v", "q 1 Provides=v; Priority=important"}, "a", "a q"},
		{"real before virtual", []string{"a 1 Depends=v", "v 1", "q 1 Provides=v; Priority=important"}, "a", "a v"},
		{"virtual without version", []string{"a 1 Depends=v (>= 1)", "p 1 Provides=v"}, "a", "a needs v (>= 1), which is not in test"},
		{"virtual with version", []string{"a 1 Depends=v (>= 1)", "p 1 Provides=v (= 2)"}, "a", "a p"},
		{"newest version", []string{"a 1 Depends=b", "a 2 Depends=c", "b 1", "c 1"}, "a", "a c"},
		{"any architecture", []string{"a 1 Depends=b:any", "b 1"}, "a", "a b"},
		{"foreign architecture", []string{"a 1 Depends=b:armel", "b 1"}, "a", "not in test"},
		{"missing", []string{"nginx 1", "nginx-light 1"}, "ngnix", "ngnix is not in test"},
		{"missing below", []string{"a 1 Depends=b", "b 1 Depends=gone (>= 3)"}, "a", "b needs gone (>= 3)"},
		{"conflict of what is asked for", []string{"a 1 Conflicts=b", "b 1"}, "a b", "b is needed too"},
		{"breaks an older version only", []string{"a 1 Breaks=b (<< 1)", "b 1"}, "a b", "a b"},
		{"conflict avoided by an alternative", []string{"a 1 Depends=b | c", "b 1 Conflicts=d", "c 1", "d 1"}, "a d", "a c d"},
		{"conflict with the own virtual name", []string{"a 1 Provides=v; Conflicts=v", "b 1"}, "a b", "a b"},
		{"conflict through a virtual name", []string{"a 1 Provides=v; Conflicts=v", "b 1 Provides=v; Conflicts=v"}, "a b", "conflicts v"},
		{"malformed field", []string{"a 1 Depends=b (("}, "a", "unbalanced"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, err := resolve(archive(t, test.archive...), Minbase, strings.Fields(test.include))
			if err != nil {
				if test.want == "" || !strings.Contains(err.Error(), test.want) {
					t.Fatalf("got error %v, want %q", err, test.want)
				}
				return
			}
			for _, name := range []string{"base", "apt", "libapt"} {
				if s.packages[name] == nil {
					t.Errorf("%s is not there", name)
				}
				delete(s.packages, name)
			}
			if got := strings.Join(slices.Sorted(maps.Keys(s.packages)), " "); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func TestResolveSuggests(t *testing.T) {
	u := archive(t, "nginx 1", "nginx-light 1", "python3-numpy 1")
	for wanted, want := range map[string]string{"ngnix": "nginx", "nginx-lite": "nginx-light", "python3-nump": "python3-numpy", "zzz": ""} {
		_, err := resolve(u, Minbase, []string{wanted})
		var missing *MissingError
		if !errors.As(err, &missing) {
			t.Fatalf("%s: got %v", wanted, err)
		}
		if got := strings.Join(missing.Suggestions, " "); got != want {
			t.Errorf("%s: got %q, want %q", wanted, got, want)
		}
	}
}

func TestResolveVariant(t *testing.T) {
	u := archive(t, "r 1 Priority=required")
	s, err := resolve(u, Essential, nil)
	if err != nil || len(s.packages) != 1 {
		t.Errorf("got %d packages, %v", len(s.packages), err)
	}
	if _, err := resolve(u, "desktop", nil); err == nil {
		t.Error("a variant nobody knows was accepted")
	}
	if _, err := resolve(newUniverse(), Minbase, nil); err == nil {
		t.Error("an archive without essential packages was accepted")
	}
}
