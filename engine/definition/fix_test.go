package definition

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFix(t *testing.T) {
	const head = "Bootstrap: docker\nFrom: debian:12 # c\n"
	for _, tc := range []struct {
		name, text, want string
		made             string // rules
	}{
		{"nothing", head + "%post\n true\n", head + "%post\n true\n", ""},
		{"mark", "\ufeff" + head, head, "bom"},
		{"mark first", "\ufeffBootstrap: docker\nFrom: a:1\n%env\t# c\n x\n", "Bootstrap: docker\nFrom: a:1\n%environment # c\n x\n", "bom section-tab section-name"},
		{"line ends", "Bootstrap: docker\r\nFrom: a:1\r\n%post\t-c /bin/bash\r\n x\r\n%labels\r\n A\tb\r\n%files\r\n a # c\r\n",
			"Bootstrap: docker\r\nFrom: a:1\r\n%post -c /bin/bash\r\n x\r\n%labels\r\n A b\r\n%files\r\n # c\r\n a\r\n", "section-tab label-tab files-comment"},
		{"alias", head + "%environments\n X=1\n%labels:\n A b\n", head + "%environment\n X=1\n%labels\n A b\n", "section-name section-name"},
		{"capitals", head + "%AppRun x # c\n true\n", head + "%apprun x # c\n true\n", "section-case"},
		{"typo", head + "# why\n%pots -c /bin/sh\n true\n%runscirpt\n x\n", head + "# why\n%post -c /bin/sh\n true\n%runscript\n x\n", "section-unknown section-unknown"},
		{"another tool's word", head + "%install\n true\n", head + "%install\n true\n", ""},
		{"a typo in a here-document", head + "%post\ncat <<E\n%pots\nE\n", head + "%post\ncat <<E\n%pots\nE\n", ""},
		{"near two names", head + "%appxyz a\n true\n", head + "%appxyz a\n true\n", ""},
		{"indented", head + "  %post\n true\n %apprun x\n true\n", head + "%post\n true\n%apprun x\n true\n", "section-indent section-indent"},
		{"indented text", head + "%post\n %files are copied\n", head + "%post\n %files are copied\n", ""},
		{"order", "# me\nFrom: a:1\nStage: x\nBootstrap: docker # c\n%post\n x\n", "# me\nBootstrap: docker # c\nFrom: a:1\nStage: x\n%post\n x\n", "header-order"},
		{"2016", head + "Token: x\n%post\n x\n", head + "# Token: x\n%post\n x\n", "header-legacy"},
		{"key", "Bootstrap: docker\nForm: a:1\n", "Bootstrap: docker\nFrom: a:1\n", "header-unknown"},
		{"colon", "Bootstrap: docker\n From a:1 # c\npost\n true\n", "Bootstrap: docker\n From: a:1 # c\n%post\n true\n", "header-unknown header-form"},
		{"agent", "Bootstrap: dcoker # c\nFrom: a:1\n", "Bootstrap: docker # c\nFrom: a:1\n", "bootstrap-unknown"},
		{"comment between", "Bootstrap: debootstrap\nOSVersion: x\nInclude: a \\\n# why\n b\n", "Bootstrap: debootstrap\nOSVersion: x\n# why\nInclude: a \\\n b\n", "header-continuation"},
		{"blank behind", "Bootstrap: docker\nFrom: a:1 \\\n\n%post\n x\n", "Bootstrap: docker\nFrom: a:1 \n\n%post\n x\n", "header-continuation"},
		{"nothing behind", "Bootstrap: docker\nFrom: a:1 \\", "Bootstrap: docker\nFrom: a:1 ", "header-continuation"},
		{"labels", head + "%labels\n A \t b\n\tB\tc d\n C=d\n E f=g\n", head + "%labels\n A \t b\n\tB c d\n C d\n E f=g\n", "label-tab label-equals"},
		{"quotes", head + "%files\n 'a b' /x # c\n 'a\"b'\n", head + "%files\n \"a b\" /x # c\n 'a\"b'\n", "files-quotes"},
		{"files", head + "%files\n  a.txt   # mine\n", head + "%files\n  # mine\n  a.txt\n", "files-comment"},
		{"yes", head + "%post\n apt-get update && apt-get install \\\n  a b # c\n sh -c 'x; apt install y'\n conda create -n e python; yum -q install a\n apt-get install x \\\n  -y\n",
			head + "%post\n apt-get update && apt-get install -y \\\n  a b # c\n sh -c 'x; apt install y'\n conda create -y -n e python; yum -q install -y a\n apt-get install x \\\n  -y\n", "install-asks install-asks"},
		{"sudo", head + "%post\n sudo make install && sudo -u x y\n sudo cd /x\n A=1 sudo make\n", head + "%post\n make install && sudo -u x y\n sudo cd /x\n A=1 sudo make\n", "post-sudo"},
		{"zero bytes", head + "%post\n a\x00b\n c\x00\n", head + "%post\n ab\n c\n", "nul"},
		{"templates", "Bootstrap: docker\nFrom: a:{{ V }}\n%arguments\n V=1\n%labels\n A\t{{ V }}\n", "Bootstrap: docker\nFrom: a:{{ V }}\n%arguments\n V=1\n%labels\n A {{ V }}\n", "label-tab"},
		{"several", "%psot\n sudo apt-get install x\n%lables\n a\tb\n", "%post\n apt-get install -y x\n%labels\n a b\n", "section-unknown section-unknown install-asks post-sudo label-tab"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := Fix(tc.text, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got.Text); diff != "" {
				t.Error(diff)
			}
			var made []string
			for _, f := range got.Made {
				made = append(made, f.Rule)
			}
			want := strings.Fields(tc.made)
			slices.Sort(made)
			slices.Sort(want)
			if diff := cmp.Diff(strings.Join(want, " "), strings.Join(made, " ")); diff != "" {
				t.Error(diff)
			}
			checkFixed(t, tc.text, got)
		})
	}
}

// checkFixed holds the promises of Fix.
func checkFixed(t *testing.T, text string, fixed Fixed) {
	t.Helper()
	before := lint(t, text)
	after := lint(t, fixed.Text)
	if before.Valid && !after.Valid {
		t.Errorf("a valid file became invalid: %q → %q", text, fixed.Text)
	}
	if !cmp.Equal(after.Findings, fixed.Report.Findings) {
		t.Errorf("the report is not about the text: %q", fixed.Text)
	}
	if len(fixed.Made) == 0 && fixed.Text != text {
		t.Errorf("changed without a finding: %q → %q", text, fixed.Text)
	}
	again, err := Fix(fixed.Text, Options{Name: "x.def"})
	if err != nil || again.Text != fixed.Text {
		t.Errorf("fixed again: %v, %q → %q", err, fixed.Text, again.Text)
	}
}

// A file with very many findings takes time by its size, not by the square of it.
func TestFixMuch(t *testing.T) {
	const n = 20_000
	text := "Bootstrap: docker\nFrom: a:1\n%labels\n"
	var b strings.Builder
	b.WriteString(text)
	for i := range n {
		b.WriteString(" k" + strings.Repeat("x", i%7) + string(rune('a'+i%26)) + "\tv\n")
	}
	b.WriteString("%post\n" + strings.Repeat(" sudo make\n", n))
	got, err := Fix(b.String(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(got.Text, "\t") || strings.Contains(got.Text, "sudo") || len(got.Made) != 2*n {
		t.Errorf("%d findings were answered, of %d", len(got.Made), 2*n)
	}
}

func FuzzFix(f *testing.F) {
	f.Add("\ufeffFrom: a\nBootstrap: b\nInclude: a \\\n# c\nb\n%AppRun\tx\n{{ A }}\n%environments\n")
	f.Add("Bootstrap: dcoker\r\nFrom a\r\n%post\t-c a\r\n sudo apt-get install \\\r\n x\r\n%files\r\n 'a b' \"c\n a # b\n%labels\nA=b\nB\tc\n")
	f.Add("%psot\n cat <<E\n %test\nE\n\x00\n %test\n%lables\n")
	f.Fuzz(func(t *testing.T, text string) {
		fixed, err := Fix(text, Options{Name: "x.def"})
		if err != nil {
			t.Fatal(err)
		}
		checkFixed(t, text, fixed)
	})
}
