package definition

import (
	"fmt"
	"slices"
	"strings"
)

// agent is a value of Bootstrap, with what its header has to say.
type agent struct {
	name  string
	needs string   // a key
	or    []string // keys that do instead
	gone  string   // why there is nothing to be had from it any more, or by this program
}

// agentTable are the agents that Singularity and Apptainer know. What has no reason to be gone can be built from.
var agentTable = []agent{
	{name: "docker", needs: "From"},
	{name: "library", needs: "From"},
	{name: "shub", gone: "Singularity Hub takes no new images since 2021 and its old ones are often gone: look for the project's definition file or Docker image, and use that"},
	{name: "oras", needs: "From"},
	{name: "localimage", needs: "From"},
	{name: "debootstrap", needs: "OSVersion"},
	{name: "yum", needs: "MirrorURL"},
	{name: "dnf", needs: "MirrorURL"},
	{name: "zypper", needs: "MirrorURL", or: []string{"Product"}},
	{name: "arch"},
	{name: "busybox"},
	{name: "scratch"},
	{name: "docker-daemon", needs: "From"},
	{name: "docker-archive", needs: "From"},
	{name: "oci", needs: "From"},
	{name: "oci-archive", needs: "From"},
	{name: "http", needs: "From"},
	{name: "https", needs: "From"},
	{name: "dockerfile", gone: "a Dockerfile is not built from directly: carrel new FOLDER makes a definition file of the one in a folder"},
}

// keyMeanings say what the value of a key is.
var keyMeanings = map[string]string{
	"From": "the image to start from", "OSVersion": "the release, such as bookworm or 9", "MirrorURL": "the address of a repository of packages",
}

// agents are the names in agentTable.
func agents() []string {
	var out []string
	for _, a := range agentTable {
		out = append(out, a.name)
	}
	return out
}

// Agents are the values of Bootstrap that there is a base for.
func Agents() []string {
	var out []string
	for _, a := range agentTable {
		if a.gone == "" {
			out = append(out, a.name)
		}
	}
	return out
}

// Gone says why an agent that other programs know has no bases, and what to use; empty for others.
func Gone(name string) string {
	for _, a := range agentTable {
		if a.name == name {
			return a.gone
		}
	}
	return ""
}

// BaseError is a header of which no base can be made.
type BaseError struct {
	Agent string // as written, in lower case
	Key   string // the key that is missing; empty when it is the agent
	Line  int    // of Bootstrap

	hint string
}

func (e *BaseError) Error() string {
	text := fmt.Sprintf("bases of the kind %q cannot be fetched", e.Agent)
	if e.Key != "" {
		text = fmt.Sprintf("Bootstrap: %s needs %s: %s", e.Agent, e.Key, keyMeanings[e.Key])
	}
	if e.Line > 0 {
		text = fmt.Sprintf("line %d: %s", e.Line, text)
	}
	return text
}

// Hint says what to write.
func (e *BaseError) Hint() string { return e.hint }

// CheckBase tells whether the header says enough for a base. The error is a *BaseError; whether the base is there is not
// known before it is fetched.
func (s *Stage) CheckBase() error {
	name := s.Bootstrap()
	line := s.Header.Line("bootstrap")
	i := slices.IndexFunc(agentTable, func(a agent) bool { return a.name == name })
	if i < 0 {
		e := &BaseError{Agent: name, Line: line, hint: "use one of these as Bootstrap: " + strings.Join(Agents(), ", ")}
		if guess := nearest(name, agents()); guess != "" {
			e.hint = "did you mean " + guess + "?"
		}
		return e
	}
	a := agentTable[i]
	missing := func(key string) error {
		return &BaseError{Agent: name, Key: key, Line: line, hint: "add the line \"" + key + ": …\" to the header: " + keyMeanings[key]}
	}
	if a.gone != "" {
		return &BaseError{Agent: name, Line: line, hint: a.gone}
	}
	has := func(key string) bool { return s.Header.Get(key) != "" }
	if a.needs != "" && !has(a.needs) && !slices.ContainsFunc(a.or, has) {
		return missing(a.needs)
	}
	for _, f := range s.Header {
		if strings.Contains(strings.ToUpper(f.Value), "%{OSVERSION}") && !has("OSVersion") {
			return missing("OSVersion")
		}
	}
	return nil
}
