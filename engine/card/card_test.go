package card

import (
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	got, warnings := Parse(map[string]string{
		"org.opencontainers.image.title":       "Jupyter notebook",
		"org.opencontainers.image.description": "\"Notebooks\x1b[31m with\nNumPy\"",
		"org.opencontainers.image.authors":     "A. Author",
		"org.opencontainers.image.created":     "2020",
		"carrel.category":                      "Notebook",
		"carrel.keywords":                      "python, jupyter,,python",
		"carrel.port.8888":                     "http /tree  The notebook",
		"carrel.port.443":                      "https Safe one",
		"carrel.port.5432":                     "tcp /no path here",
		"carrel.bind./opt/notebooks/":          "rw required The folder you want to work in",
		"carrel.bind./data":                    "ro Data",
		"carrel.arg.10":                        "minutes How long",
		"carrel.arg.2":                         "experiment stroop|flanker||stroop Which experiment",
		"carrel.env.LANG":                      "=C.UTF-8 The language",
		"carrel.env.GREETING":                  `="good day" Said first`,
		"carrel.env.EMPTY":                     "= Nothing",
		"carrel.env.TOKEN":                     "Ask your group",
		"carrel.ready":                         "8888 /api 60s",
		"carrel.writable":                      "ask",
		"carrel.cite":                          "doi:10.1000/xyz",
		"carrel.stop":                          "int",
		"carrel.workdir":                       "/srv/../app/",
		"carrel.user":                          "jovyan:100",
		"carrel.example":                       "carrel run x stroop",
		"carrel.future":                        "whatever",
		"Maintainer":                           "x",
	})
	want := Card{
		Title: "Jupyter notebook", Description: "Notebooks[31m with NumPy", Authors: "A. Author", Category: "notebook",
		Keywords: []string{"python", "jupyter"},
		Ports:    []Port{{443, HTTPS, "/", "Safe one"}, {5432, TCP, "", "/no path here"}, {8888, HTTP, "/tree", "The notebook"}},
		Binds:    []Bind{{"/data", ReadOnly, false, "Data"}, {"/opt/notebooks", ReadWrite, true, "The folder you want to work in"}},
		Args:     []Arg{{2, "experiment", []string{"stroop", "flanker"}, "Which experiment"}, {10, "minutes", nil, "How long"}},
		Env:      []Env{{"EMPTY", "", true, "Nothing"}, {"GREETING", "good day", true, "Said first"}, {"LANG", "C.UTF-8", true, "The language"}, {"TOKEN", "", false, "Ask your group"}},
		Ready:    &Ready{8888, "/api", time.Minute},
		Writable: Ask, Stop: "SIGINT", Workdir: "/app", User: "jovyan:100", Cite: "doi:10.1000/xyz", Example: "carrel run x stroop",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if len(warnings) > 0 {
		t.Error(warnings)
	}
	if p := got.PrimaryPort(); p == nil || p.Container != 8888 {
		t.Errorf("primary port %v", p)
	}
}

func TestParseWarns(t *testing.T) {
	for label, value := range map[string]string{
		"carrel.category": "game", "carrel.stop": "kill all", "carrel.workdir": "app", "carrel.user": "a b", "carrel.port.0": "http", "carrel.port.65536": "http", "carrel.port.http": "http", "carrel.port.80": "udp",
		"carrel.port.81": "", "carrel.port": "http", "carrel.bind.data": "rw", "carrel.bind./": "rw", "carrel.bind./x": "rx", "carrel.bind./y": "", "carrel.bind./\x1b": "rw",
		"carrel.arg.0": "a", "carrel.arg.x": "a", "carrel.arg.1": "", "carrel.env.1A": "=x", "carrel.env.": "", "carrel.env.A-B": "",
		"carrel.ready": "/api", "carrel.writable": "yes", "org.opencontainers.image.title": strings.Repeat("é", maxText),
	} {
		t.Run(label, func(t *testing.T) {
			card, warnings := Parse(map[string]string{label: value})
			if len(warnings) != 1 || warnings[0].Label != Clean(label) || warnings[0].Message == "" {
				t.Fatalf("warnings %v", warnings)
			}
			if card.Title == "" && !cmp.Equal(card, Card{}) {
				t.Errorf("card %+v", card)
			}
		})
	}
	c, warnings := Parse(map[string]string{"carrel.ready": "80 / soon", "carrel.port.80": "tcp", "carrel.port.080": "http", "carrel.bind./a": "rw", "carrel.bind./a/": "ro", "carrel.arg.1": "a", "carrel.arg.01": "b"})
	if len(warnings) != 4 || c.Ready == nil || c.Ready.Timeout != 0 || len(c.Ports) != 1 || len(c.Binds) != 1 || len(c.Args) != 1 {
		t.Errorf("%v: %+v", warnings, c)
	}
	many := map[string]string{}
	for i := range 1000 {
		many["carrel.env.V"+strconv.Itoa(i)] = "x"
	}
	if c, warnings := Parse(many); len(c.Env) != maxEntries || len(warnings) != 1000-maxEntries {
		t.Errorf("%d variables, %d warnings", len(c.Env), len(warnings))
	}
}

func TestMergeOCI(t *testing.T) {
	check := &Healthcheck{Test: []string{"CMD-SHELL", "curl -f http://localhost:8787/health || exit 1"}, StartPeriod: time.Second}
	got := MergeOCI(Card{}, []string{"8787/tcp", "22", "53/udp", "443/tcp", "x", "8787"}, []string{"/data/", "rel", "/", "/a"}, check)
	want := Card{
		Ports: []Port{{22, TCP, "", ""}, {443, HTTPS, "/", ""}, {8787, HTTP, "/", ""}},
		Binds: []Bind{{Dest: "/a", Mode: ReadWrite}, {Dest: "/data", Mode: ReadWrite}},
		Ready: &Ready{8787, "/health", time.Second},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if p := got.PrimaryPort(); p.Container != 8787 {
		t.Errorf("primary port %v", p)
	}
	own := Card{Ports: []Port{{80, HTTP, "/", "x"}}, Binds: []Bind{{Dest: "/b", Mode: ReadOnly}}, Ready: &Ready{Port: 80}}
	if diff := cmp.Diff(own, MergeOCI(own, []string{"1"}, []string{"/c"}, check)); diff != "" {
		t.Error(diff)
	}
	for _, test := range [][]string{nil, {"NONE"}, {"CMD"}, {"CMD", "curl", "http://example.org/"}, {"CMD", "wget", "http://localhost:x/"}, {"NONE", "http://localhost/"}} {
		if r := readyFrom(&Healthcheck{Test: test}); r != nil {
			t.Errorf("%q: %+v", test, r)
		}
	}
	if r := readyFrom(&Healthcheck{Test: []string{"CMD", "wget", "https://127.0.0.1"}}); r == nil || r.Port != 443 || r.Path != "/" {
		t.Errorf("got %+v", r)
	}
	if (&Card{}).PrimaryPort() != nil || (&Card{Ports: []Port{{22, TCP, "", ""}}}).PrimaryPort().Container != 22 {
		t.Error("primary port")
	}
}

func FuzzParse(f *testing.F) {
	f.Add("carrel.port.8888", "http /tree Text")
	f.Add("carrel.env.A", `="b c" d`)
	f.Add("carrel.bind./x", "rw required \x1b]0;x\x07")
	f.Add("carrel.ready", "80 / 99999999999")
	f.Fuzz(func(t *testing.T, label, value string) {
		c, warnings := Parse(map[string]string{label: value})
		texts := []string{c.Title, c.Description, c.Authors, c.Cite, c.Example}
		for _, w := range warnings {
			texts = append(texts, w.String())
		}
		for _, p := range c.Ports {
			texts = append(texts, p.Path, p.Text)
		}
		for _, b := range c.Binds {
			texts = append(texts, b.Dest, b.Text)
		}
		for _, e := range c.Env {
			texts = append(texts, e.Default, e.Text)
		}
		for _, a := range c.Args {
			texts = append(append(texts, a.Name, a.Text), a.Choices...)
		}
		for _, s := range texts {
			if strings.ContainsFunc(s, unicode.IsControl) {
				t.Fatalf("control character in %q", s)
			}
		}
	})
}
