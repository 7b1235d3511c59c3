package debian

import (
	"os/exec"
	"slices"
	"testing"
)

// versions are in ascending order; those in one row are equal.
var versions = [][]string{
	{"~~"}, {"~~a"}, {"~"},
	{"0", "0-0", "0:0", "00", "0-", ""},
	{"0a"},
	{"0+a"},
	{"0.1"},
	{"1.0~beta1~svn1245"}, {"1.0~beta1"},
	{"1.0", "1.0-0", "0:1.0", "1.00"},
	{"1.0-0.1"}, {"1.0-1~bpo12+1"},
	{"1.0-1", "1.0-01"},
	{"1.0-1+b1"}, {"1.0-1+deb12u1"}, {"1.0-1.1"}, {"1.0-2"}, {"1.0-10"},
	{"1.0a-1"},
	{"1.0+dfsg-1"}, {"1.0.1"}, {"1.2.13.dfsg-1"}, {"1.10"},
	{"12.4+deb12u15"},
	{"99999999999999999999999999"}, {"100000000000000000000000000"},
	{"1:0.9"}, {"1:2.66-4+deb12u3+b1"}, {"2:1"}, {"10:1"},
}

func TestCompareVersions(t *testing.T) {
	for i, row := range versions {
		for j, other := range versions {
			for _, a := range row {
				for _, b := range other {
					if got, want := CompareVersions(a, b), sign(i-j); got != want {
						t.Errorf("CompareVersions(%q, %q): got %d, want %d", a, b, got, want)
					}
				}
			}
		}
	}
}

// TestCompareVersionsAsDpkg asks dpkg the same questions.
func TestCompareVersionsAsDpkg(t *testing.T) {
	if _, err := exec.LookPath("dpkg"); err != nil {
		t.Skip("missing: dpkg")
	}
	flat := slices.Concat(versions...)
	for i, a := range flat {
		// Each against a few others: a process for each of all pairs would take long.
		for _, b := range []string{flat[(i+1)%len(flat)], flat[(i*7+3)%len(flat)], flat[(i*5+11)%len(flat)]} {
			if a == "" || b == "" || a[0] == '~' || b[0] == '~' || a[len(a)-1] == '-' || b[len(b)-1] == '-' {
				continue // dpkg warns of what is no version
			}
			for _, op := range []string{"<<", "=", ">>"} {
				got := Relation{Op: op, Version: b}.AllowsVersion(a)
				want := exec.Command("dpkg", "--compare-versions", a, op, b).Run() == nil
				if got != want {
					t.Errorf("%s %s %s: got %v, dpkg says %v", a, op, b, got, want)
				}
			}
		}
	}
}

func TestParseRelations(t *testing.T) {
	for _, test := range []struct {
		field string
		want  []string // String of each group; nil is an error
	}{
		{"", []string{}},
		{" , ", []string{}},
		{"libc6 (>= 2.34), debconf (>= 0.5) | debconf-2.0", []string{"libc6 (>= 2.34)", "debconf (>= 0.5) | debconf-2.0"}},
		{"python3:any(>=3.9)", []string{"python3:any (>= 3.9)"}},
		{"a (= 1:2-3) ,\n b", []string{"a (= 1:2-3)", "b"}},
		{"a (< 2), b (> 1)", []string{"a (<= 2)", "b (>= 1)"}},
		{"a (>> 1", nil},
		{"a (!= 1)", nil},
		{"a (>= )", nil},
		{"a b", nil},
		{"a |", nil},
		{"(>= 1)", nil},
	} {
		got, err := ParseRelations(test.field)
		if (err != nil) != (test.want == nil) {
			t.Errorf("%q: got error %v", test.field, err)
			continue
		}
		var texts []string
		for _, g := range got {
			texts = append(texts, g.String())
		}
		if err == nil && !slices.Equal(texts, test.want) {
			t.Errorf("%q: got %q, want %q", test.field, texts, test.want)
		}
	}
}

func FuzzParseRelations(f *testing.F) {
	f.Add("libc6 (>= 2.34), debconf (>= 0.5) | debconf-2.0")
	f.Add("a:any (<< 1~)")
	f.Fuzz(func(t *testing.T, field string) {
		groups, err := ParseRelations(field)
		if err != nil {
			return
		}
		for _, g := range groups {
			again, err := ParseRelations(g.String())
			if err != nil || len(again) != 1 || !slices.Equal(again[0], g) {
				t.Fatalf("%q does not survive a round trip: %v %v", g, again, err)
			}
		}
	})
}

func FuzzCompareVersions(f *testing.F) {
	f.Add("1:2.66-4+deb12u3+b1", "1.0~beta1")
	f.Fuzz(func(t *testing.T, a, b string) {
		if CompareVersions(a, b) != -CompareVersions(b, a) {
			t.Fatalf("%q and %q: not antisymmetric", a, b)
		}
		if CompareVersions(a, a) != 0 {
			t.Fatalf("%q is not itself", a)
		}
	})
}
