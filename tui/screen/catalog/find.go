package catalog

import (
	"slices"
	"strings"
	"unicode"

	tea "charm.land/bubbletea/v2"

	"carrel/tui/screen"
	"carrel/tui/task"
	"carrel/tui/widget"
)

// hay is what the filter looks through of one entry, in lower case.
type hay struct{ title, name, keywords, about string }

// match is an entry that fits what is looked for.
type match struct {
	entry int
	score int // the higher, the better
}

// index gets the entries ready for the filter and the list of categories.
func (s *Screen) index() {
	s.hay = make([]hay, len(s.entries))
	s.counts = map[string]int{}
	for i := range s.entries {
		e := &s.entries[i]
		s.hay[i] = hay{
			title: strings.ToLower(title(e)), name: strings.ToLower(e.Name), keywords: strings.ToLower(strings.Join(e.Card.Keywords, " ")),
			about: strings.ToLower(e.Card.Description + " " + e.Card.Category + " " + e.Source),
		}
		s.counts[categoryOf(e)]++
	}
	s.cats = []string{""}
	for _, c := range categories {
		if s.counts[c.id] > 0 {
			s.cats = append(s.cats, c.id)
		}
	}
	if s.counts[otherApps] > 0 {
		s.cats = append(s.cats, otherApps)
	}
	if s.only != "" && s.counts[s.only] == 0 {
		s.only = ""
	}
}

// otherApps is the category of entries that name none.
const otherApps = "other"

func categoryOf(e *task.Entry) string {
	if rank(e.Card.Category) == len(categories) {
		return otherApps
	}
	return e.Card.Category
}

// find are the entries that hold all words of a text, in the order of the list; with words, the best match first.
func (s *Screen) find(text string) []match {
	words := strings.Fields(strings.ToLower(text))
	out := make([]match, 0, len(s.entries))
	for i := range s.entries {
		m := match{entry: i}
		fits := true
		for _, w := range words {
			n := s.hay[i].score(w)
			fits = fits && n > 0
			m.score += n
		}
		if fits {
			out = append(out, m)
		}
	}
	if len(words) > 0 {
		slices.SortStableFunc(out, func(a, b match) int { return b.score - a.score })
	}
	return out
}

// score says how well a word fits; 0: not at all. What something is called says more than what is said of it, and the
// beginning of a word more than its middle.
func (h *hay) score(w string) int {
	switch {
	case h.name == w || h.title == w:
		return 120
	case strings.HasPrefix(h.title, w) || strings.HasPrefix(h.name, w):
		return 100
	case begins(h.title, w) || begins(h.name, w):
		return 80
	case strings.Contains(h.title, w) || strings.Contains(h.name, w):
		return 60
	case begins(h.keywords, w):
		return 40
	case begins(h.about, w):
		return 20
	case strings.Contains(h.keywords, w) || strings.Contains(h.about, w):
		return 10
	}
	return 0
}

// begins tells whether a word of the text begins with w.
func begins(text, w string) bool {
	for at := 0; ; {
		i := strings.Index(text[at:], w)
		if i < 0 {
			return false
		}
		at += i
		before := rune(' ')
		for _, r := range text[max(0, at-4):at] { // the last character before
			before = r
		}
		if !unicode.IsLetter(before) && !unicode.IsNumber(before) {
			return true
		}
		at += len(w)
	}
}

// turn goes to the category n further; 0 shows all.
func (s *Screen) turn(n int) {
	at := max(0, slices.Index(s.cats, s.only))
	if n == 0 {
		at = 0
	}
	if len(s.cats) == 0 {
		return
	}
	s.only = s.cats[((at+n)%len(s.cats)+len(s.cats))%len(s.cats)]
	s.look()
}

// categoryWords is a category as the list at the left calls it.
func categoryWords(id string) string {
	switch id {
	case "":
		return "All apps"
	case otherApps:
		return "Other apps"
	}
	w := strings.ToLower(categories[rank(id)].words)
	return strings.ToUpper(w[:1]) + w[1:]
}

// version lets the person choose one of several versions.
func (s *Screen) version(e *task.Entry) tea.Cmd {
	if e == nil || len(e.Versions) == 0 {
		return nil
	}
	entry := *e
	options := make([]string, len(e.Versions))
	for i, v := range e.Versions {
		options[i] = widget.Clean(title(e) + " " + v)
	}
	return screen.Ask(screen.Choose{Title: "Which version of " + title(e) + "?", Options: options, Answer: func(i int) tea.Cmd {
		base, _, _ := strings.Cut(entry.Name, ":")
		return s.agreed(entry, func() tea.Cmd { return screen.Ask(screen.OpenLaunch{Name: base + ":" + entry.Versions[i]}) })
	}})
}
