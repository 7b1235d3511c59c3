// Package topics holds the texts of `carrel help TOPIC`, which are read without a network. Each is a file of at most 80 columns
// whose first line is its title; docs/reference.md shows those that are reference.
package topics

import (
	"embed"
	"strings"
)

//go:embed *.txt
var files embed.FS

// A Topic is one text of the help.
type Topic struct {
	Name  string
	Title string // one line, without a full stop
	Text  string // what is below the title; it ends in a line feed
}

// order is the one in which they are listed: what a newcomer reads first comes first.
var order = []string{
	"quickstart", "folders", "ports", "sharing", "clusters", "definition-files", "labels", "singularity",
	"environment", "settings", "files", "json", "exit-status",
}

// List is all topics.
func List() []Topic {
	all := make([]Topic, 0, len(order))
	for _, name := range order {
		if t, ok := Find(name); ok {
			all = append(all, t)
		}
	}
	return all
}

// Find is the topic of a name, in any case; false when there is none.
func Find(name string) (Topic, bool) {
	name = strings.ToLower(name)
	data, err := files.ReadFile(name + ".txt")
	if err != nil {
		return Topic{}, false
	}
	title, text, _ := strings.Cut(string(data), "\n")
	return Topic{Name: name, Title: title, Text: strings.TrimLeft(text, "\n")}, true
}
