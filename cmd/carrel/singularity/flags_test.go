package singularity

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// apptainerFlag is a line of testdata/apptainer-flags.txt.
type apptainerFlag struct {
	short, long string
	env, verbs  []string
}

func apptainerFlags(t *testing.T) []apptainerFlag {
	t.Helper()
	data, err := os.ReadFile("testdata/apptainer-flags.txt")
	if err != nil {
		t.Fatal(err)
	}
	var out []apptainerFlag
	for line := range strings.Lines(string(data)) {
		if line[0] == '#' {
			continue
		}
		f := strings.Split(strings.TrimSpace(line), ";")
		if len(f) != 4 {
			t.Fatalf("%q has not four parts", line)
		}
		a := apptainerFlag{env: strings.Fields(f[1])}
		for _, name := range strings.Fields(f[0]) {
			if long, ok := strings.CutPrefix(name, "--"); ok {
				a.long = long
			} else {
				a.short = strings.TrimPrefix(name, "-")
			}
		}
		for _, v := range strings.Split(f[3], ",") {
			a.verbs = append(a.verbs, strings.TrimPrefix(strings.TrimSpace(v), "-"))
		}
		out = append(out, a)
	}
	return out
}

// elsewhere are variables that do not stand for the flag: names and passwords are looked for by what opens registries, and
// of the two flags that Apptainer gives CPU_SHARES to one is meant.
var elsewhere = map[string]bool{"docker-username DOCKER_USERNAME": true, "docker-password DOCKER_PASSWORD": true, "cpus CPU_SHARES": true}

// TestFlagsOfApptainer compares the flags and their variables with all that Apptainer has, those included that its help hides.
func TestFlagsOfApptainer(t *testing.T) {
	p := &program{c: &Config{}, name: nameSingularity}
	type key struct{ verb, long string }
	known := map[key]option{}
	verbs := map[string]bool{}
	add := func(verb string, options []option) {
		verbs[verb] = true
		for _, o := range options {
			known[key{verb, o.long}] = o
		}
	}
	add("", p.globals())
	var walk func(prefix string, list []verb)
	walk = func(prefix string, list []verb) {
		for _, v := range list {
			full := strings.TrimSpace(prefix + " " + v.name)
			add(full, v.options)
			walk(full, v.below)
		}
	}
	walk("", p.verbs())
	all := apptainerFlags(t)
	if len(all) < 150 {
		t.Fatalf("only %d flags are listed", len(all))
	}
	for _, a := range all {
		for _, verb := range a.verbs {
			if !verbs[verb] {
				t.Errorf("there is no verb %q", verb)
				continue
			}
			o, ok := known[key{verb, a.long}]
			switch {
			case !ok:
				t.Errorf("%s --%s is not in the table", verb, a.long)
				continue
			case o.short != a.short && o.absent == "":
				t.Errorf("%s --%s is -%s, not -%s", verb, a.long, a.short, o.short)
			}
			variables := slices.Clone(o.env)
			if o.absent == "" {
				for k, other := range known { // under another name
					if k.verb == verb && other.value == o.value {
						variables = append(variables, other.env...)
					}
				}
			}
			for _, name := range a.env {
				if !slices.Contains(variables, name) && !elsewhere[a.long+" "+name] {
					t.Errorf("%s --%s has no variable %s", verb, a.long, name)
				}
			}
		}
	}
}
