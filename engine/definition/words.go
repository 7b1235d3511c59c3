package definition

import (
	"slices"
	"strings"

	"carrel/internal/near"
)

// sectionNames are the sections a definition file may have, apps excepted.
var sectionNames = []string{
	"arguments", "pre", "setup", "files", "post", "environment", "labels", "help", "runscript", "startscript", "test",
}

// appSectionNames are the sections of a SCIF app; each takes the app's name.
var appSectionNames = []string{
	"appinstall", "appfiles", "appenv", "applabels", "apphelp", "apprun", "appstart", "apptest",
}

// headerNames are the keys of a header, of all agents, as they are usually written. OtherURL takes a number.
var headerNames = []string{
	"Bootstrap", "From", "Stage", "OSVersion", "MirrorURL", "UpdateURL", "Include", "IncludeCmd", "Registry", "Namespace",
	"Library", "Product", "User", "RegCode", "ProductPGP", "RegisterURL", "Modules", "OtherURL1", "Fingerprints",
	"ConfURL", "SetOpt", "Target", "Frontend", "Filename", "BuildArgs",
}

// sectionAliases are misspellings that occur in published definition files and can mean only one thing.
var sectionAliases = map[string]string{
	"env": "environment", "environments": "environment", "enviroment": "environment", "file": "files",
	"label": "labels", "applabel": "applabels",
}

// sectionGuesses are words of other tools; they are suggested, never taken.
var sectionGuesses = map[string]string{
	"run": "runscript", "start": "startscript", "cmd": "runscript", "entrypoint": "runscript", "script": "runscript",
	"install": "post", "build": "post", "args": "arguments", "arg": "arguments", "vars": "environment",
	"description": "help", "copy": "files", "tests": "test", "prepare": "setup", "appenvironment": "appenv",
	"apprunscript": "apprun", "apppost": "appinstall", "appsetup": "appinstall",
}

// isHeaderName tells whether a lower-case key may stand in a header, as other programs have it.
func isHeaderName(key string) bool {
	if base := strings.TrimRight(key, "0123456789"); base != key {
		return base == "otherurl"
	}
	return slices.ContainsFunc(headerNames, func(n string) bool { return strings.EqualFold(n, key) && n != "OtherURL1" })
}

// headerSpelling is a key as it is usually written.
func headerSpelling(key string) string {
	for _, n := range headerNames {
		if strings.EqualFold(n, key) {
			return n
		}
	}
	return key
}

func isSectionName(name string) bool    { return slices.Contains(sectionNames, name) }
func isAppSectionName(name string) bool { return slices.Contains(appSectionNames, name) }

// nearest is the candidate a word was probably meant to be, or "".
func nearest(word string, candidates []string) string {
	best, bestDistance := "", 3
	if len(word) <= 3 {
		bestDistance = 2
	}
	for _, c := range candidates {
		d := near.Distance(strings.ToLower(word), strings.ToLower(c), bestDistance)
		if d < bestDistance && d < len(c) {
			best, bestDistance = c, d
		}
	}
	return best
}

// suggestSection is the section a misspelt name stands for, or "".
func suggestSection(name string) string {
	if s, ok := sectionAliases[name]; ok {
		return s
	}
	if s, ok := sectionGuesses[name]; ok {
		return s
	}
	return nearest(name, slices.Concat(sectionNames, appSectionNames))
}
