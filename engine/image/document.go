package image

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// Selection is a part of Metadata, as the options of `inspect` name it. With none of the parts chosen it stands for the
// labels.
type Selection struct {
	Labels, Environment                            bool
	Definition, Runscript, Startscript, Test, Help bool
	Apps                                           bool   // all that apps say; as text their names
	App                                            string // of a SCIF app instead of the image
}

func (s Selection) orLabels() Selection {
	if !(s.Environment || s.Definition || s.Runscript || s.Startscript || s.Test || s.Help || s.Apps) {
		s.Labels = true
	}
	return s
}

// Everything selects all there is.
var Everything = Selection{true, true, true, true, true, true, true, true, ""}

// shown is the document that Apptainer's inspect prints (pkg/inspect): that of a SIF without what is empty.
type shown struct {
	Data struct {
		Attributes shownAttributes `json:"attributes"`
	} `json:"data"`
	Type string `json:"type"`
}

type shownAttributes struct {
	Apps        map[string]appAttributes `json:"apps,omitempty"`
	Environment map[string]string        `json:"environment,omitempty"`
	Labels      map[string]string        `json:"labels,omitempty"`
	Runscript   string                   `json:"runscript,omitempty"`
	Test        string                   `json:"test,omitempty"`
	Helpfile    string                   `json:"helpfile,omitempty"`
	Deffile     string                   `json:"deffile,omitempty"`
	Startscript string                   `json:"startscript,omitempty"`
}

// Document is a part of the metadata in the JSON form of `apptainer inspect --json`.
func (m *Metadata) Document(s Selection) ([]byte, error) {
	s = s.orLabels()
	d := shown{Type: "container"}
	a := &d.Data.Attributes
	if s.App != "" {
		if app, ok := m.Apps[s.App]; ok {
			a.Apps = map[string]appAttributes{s.App: app.attributes(s)}
		}
		s = Selection{}
	}
	if s.Apps {
		a.Apps = map[string]appAttributes{}
		for name, app := range m.Apps {
			a.Apps[name] = app.attributes(Everything)
		}
	}
	if s.Environment {
		a.Environment = trimmed(m.Environment)
	}
	if s.Labels {
		a.Labels = m.Labels
	}
	a.Deffile = choose(s.Definition, m.Definition)
	a.Runscript = choose(s.Runscript, m.Runscript)
	a.Startscript = choose(s.Startscript, m.Startscript)
	a.Test = choose(s.Test, m.Test)
	a.Helpfile = choose(s.Help, m.Help)
	b, err := json.MarshalIndent(d, "", "\t")
	return append(b, '\n'), err
}

func choose(wanted bool, text string) string {
	if !wanted {
		return ""
	}
	return trim(text)
}

func (a *App) attributes(s Selection) appAttributes {
	out := appAttributes{
		Runscript: choose(s.Runscript, a.Runscript), Startscript: choose(s.Startscript, a.Startscript),
		Test: choose(s.Test, a.Test), Helpfile: choose(s.Help, a.Help),
	}
	if s.Environment {
		out.Environment = trimmed(a.Environment)
	}
	if s.Labels {
		out.Labels = a.Labels
	}
	return out
}

// Text is a part of the metadata in the form of `apptainer inspect`.
func (m *Metadata) Text(s Selection) string {
	s = s.orLabels()
	from := App{Labels: m.Labels, Help: m.Help, Runscript: m.Runscript, Startscript: m.Startscript, Test: m.Test, Environment: m.Environment}
	if s.App != "" {
		from = m.Apps[s.App]
		s.Definition = false
	}
	var b strings.Builder
	if s.Apps {
		for _, name := range slices.Sorted(maps.Keys(m.Apps)) {
			b.WriteString(name + "\n")
		}
	}
	for _, p := range []struct {
		wanted bool
		text   string
	}{
		{s.Definition, m.Definition}, {s.Runscript, from.Runscript}, {s.Startscript, from.Startscript}, {s.Test, from.Test}, {s.Help, from.Help},
	} {
		if text := choose(p.wanted, p.text); text != "" {
			b.WriteString(text + "\n")
		}
	}
	if s.Environment {
		for _, name := range slices.Sorted(maps.Keys(from.Environment)) {
			b.WriteString("=== " + name + " ===\n" + trim(from.Environment[name]) + "\n\n")
		}
	}
	if s.Labels {
		for _, name := range slices.Sorted(maps.Keys(from.Labels)) {
			b.WriteString(name + ": " + from.Labels[name] + "\n")
		}
	}
	return b.String()
}
