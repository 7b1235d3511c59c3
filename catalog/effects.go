package catalog

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"strings"

	"carrel/engine/definition"
)

// Effects is what building an entry does, for a person who decides whether to build what somebody else wrote.
type Effects struct {
	// Bases are where the stages come from, one line each.
	Bases []string `json:"bases,omitempty"`
	// Inside are the scripts that run in the container, as its own root, without a view of the person's files.
	Inside []string `json:"inside,omitempty"`
	// Outside are the scripts that run on this computer, as the person: they can do all that the person can.
	Outside []string `json:"outside,omitempty"`
	// Takes are files of this computer, not of the catalog, that are copied into the image.
	Takes []string `json:"takes,omitempty"`
}

// Effects reads what building does from the definition; nil when the entry cannot be used. Nothing is executed.
func (e *Entry) Effects() *Effects {
	if e.Definition == nil {
		return nil
	}
	var x Effects
	for _, s := range e.Definition.Stages {
		x.Bases = append(x.Bases, base(s))
		for _, name := range []string{"pre", "setup"} {
			if sec := s.Section(name); !sec.IsEmpty() {
				x.Outside = append(x.Outside, scriptLine("%"+name, sec))
			}
		}
		for _, name := range []string{"post", "test"} {
			if sec := s.Section(name); !sec.IsEmpty() {
				x.Inside = append(x.Inside, scriptLine("%"+name, sec))
			}
		}
		for _, a := range s.Apps {
			if sec := a.Section("install"); !sec.IsEmpty() {
				x.Inside = append(x.Inside, scriptLine("%appinstall "+a.Name, sec))
			}
		}
		for _, f := range s.Files {
			if f.From == "" && (path.IsAbs(f.Src) || strings.HasPrefix(f.Src, "~") || leaves(f.Src)) {
				x.Takes = append(x.Takes, f.Src)
			}
		}
	}
	return &x
}

// Needs are the files beside the definition that it puts into the image: without them it cannot be built.
func (e *Entry) Needs() []string {
	if e.Definition == nil {
		return nil
	}
	var all []string
	for _, s := range e.Definition.Stages {
		for _, f := range s.Files {
			if f.From == "" && !path.IsAbs(f.Src) && !strings.HasPrefix(f.Src, "~") && !leaves(f.Src) && !strings.Contains(f.Src, "{{") {
				all = append(all, f.Src)
			}
		}
	}
	return all
}

// leaves tells whether a relative path leads out of its folder.
func leaves(p string) bool {
	clean := path.Clean(p)
	return clean == ".." || strings.HasPrefix(clean, "../")
}

// base is where a stage comes from, in words.
func base(s *definition.Stage) string {
	agent := strings.ToLower(s.Bootstrap())
	switch agent {
	case "docker", "oras", "library", "shub", "docker-daemon":
		return agent + "://" + strings.TrimPrefix(strings.TrimPrefix(s.From(), agent+"://"), "//")
	case "debootstrap", "yum", "dnf", "zypper", "arch", "busybox":
		text := agent
		if v := s.Header.Get("OSVersion"); v != "" {
			text += " " + v
		}
		if m := s.Header.Get("MirrorURL"); m != "" {
			text += " from " + m
		}
		return text
	case "":
		return "an image that " + s.From() + " names"
	}
	return strings.TrimSpace(agent + " " + s.From())
}

func scriptLine(name string, sec *definition.Section) string {
	lines := 0
	for l := range strings.Lines(sec.Body) {
		if l = strings.TrimSpace(l); l != "" && l[0] != '#' {
			lines++
		}
	}
	if lines == 1 {
		return name + ", 1 line"
	}
	return fmt.Sprintf("%s, %d lines", name, lines)
}

// Explain is what a person should know before an entry that somebody else wrote is built, a sentence a line; empty for
// entries that are not foreign or cannot be used.
func (e *Entry) Explain() []string {
	x := e.Effects()
	if !e.Source.Kind.Foreign() || x == nil {
		return nil
	}
	from := e.Source.Address
	if e.Source.Commit != "" {
		from += " (" + shortCommit(e.Source.Commit) + ")"
	}
	lines := []string{"It was written by others and comes from " + from + "."}
	say := func(text string, items []string) {
		if len(items) > 0 {
			lines = append(lines, text+strings.Join(items, "; ")+".")
		}
	}
	say("Its base: ", x.Bases)
	say("Runs inside the container while it is built: ", x.Inside)
	say("Runs on this computer, outside of the container, and can do all that you can: ", x.Outside)
	say("Takes files of this computer into the image: ", x.Takes)
	return lines
}

// shortCommit is a commit or digest as people quote it.
func shortCommit(c string) string {
	if algorithm, hex, ok := strings.Cut(c, ":"); ok {
		return algorithm + ":" + hex[:min(12, len(hex))]
	}
	return "commit " + c[:min(10, len(c))]
}

// Consent names what a person agrees to when they let a foreign entry be built: its text and where it comes from, and the
// exact state of the catalog when scripts of it run outside of the container. A changed entry has to be looked at again.
func (e *Entry) Consent() string {
	h := sha256.New()
	fmt.Fprintf(h, "%s\n%s\n", e.Source.Address, e.Raw)
	if x := e.Effects(); x != nil && len(x.Outside)+len(x.Takes) > 0 {
		fmt.Fprintf(h, "%s\n", e.Source.Commit)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}
