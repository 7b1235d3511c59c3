package image

import (
	"strings"
	"time"
)

// Build is what automatic labels tell of how an image was made.
type Build struct {
	Time    time.Time
	Arch    string            // as Go names it
	Version string            // of the program that built it
	Header  map[string]string // of the definition file, by key: "bootstrap", "from" …
	Help    bool              // whether the image has a help text
}

// Labels are the labels every image gets, by the names of label-schema.org that Singularity uses.
func (b Build) Labels() map[string]string {
	const usage = "org.label-schema.usage"
	l := map[string]string{
		"org.label-schema.schema-version": "1.0",
		"org.label-schema.build-date":     strings.ReplaceAll(b.Time.Format("Monday 2 January 2006 15:04:05 MST"), " ", "_"),
		"org.label-schema.build-arch":     b.Arch,
		usage + ".carrel.version":         b.Version,
	}
	for key, value := range b.Header {
		l[usage+".singularity.deffile."+strings.ToLower(key)] = value
	}
	if b.Help {
		l[usage] = "/" + dotd + "/runscript.help"
		l[usage+".singularity.runscript.help"] = "/" + dotd + "/runscript.help"
	}
	return l
}
