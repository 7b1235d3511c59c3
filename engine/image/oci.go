package image

import (
	"fmt"
	"strings"

	"carrel/internal/pattern"
)

// OCIMetadata is what a definition file's sections would say for an image that comes with an OCI configuration: labels,
// the environment, and a runscript by entrypoint and command. The startscript does the same as the runscript, so that a
// service image started as an instance serves. An image that OCIConfig made has scripts of its own, which stay.
func OCIMetadata(env, entrypoint, cmd []string, labels map[string]string) Metadata {
	m := Metadata{Labels: labels, Environment: map[string]string{"/" + ociEnvironment: OCIEnvironment(env)}}
	if len(entrypoint)+len(cmd) > 0 && !isEntry(entrypoint) {
		m.Runscript = OCIRunscript(entrypoint, cmd)
		m.Startscript = "#!/bin/sh\n\nexec /" + dotd + "/runscript \"$@\"\n"
	}
	return m
}

// entry is the program that images made of a SIF start with, and entryRun the runscript that it starts: a copy, because
// Apptainer writes a runscript of its own, which calls the entrypoint, when it makes a SIF of such an image.
const (
	entry    = "/" + dotd + "/entrypoint"
	entryRun = "/" + dotd + "/entrypoint.runscript"
)

// entryScript starts a program after the image's environment files.
func entryScript(program string) string {
	return "#!/bin/sh\n# Starts this image where its OCI configuration is followed, as its runscript does elsewhere.\n\n" +
		"for file in /.singularity.d/env/*.sh; do\n    if [ -f \"$file\" ]; then\n        . \"$file\"\n    fi\ndone\n" +
		"exec " + program + " \"$@\"\n"
}

func isEntry(entrypoint []string) bool { return len(entrypoint) > 0 && entrypoint[0] == entry }

var variable = pattern.New(`^[A-Za-z_][A-Za-z0-9_]*$`)

// OCIEnvironment is a shell file that sets the variables of an OCI configuration where the caller has not set them; the
// image's PATH is always its own. What is not NAME=VALUE with a name that a shell takes is left out.
func OCIEnvironment(env []string) string {
	var b strings.Builder
	b.WriteString("#!/bin/sh\n# Variables of the OCI image that this one was made from.\n")
	for _, kv := range env {
		name, value, ok := strings.Cut(kv, "=")
		switch {
		case !ok || !variable.MatchString(name) || strings.IndexByte(value, 0) >= 0:
		case name == "PATH":
			fmt.Fprintf(&b, "export PATH=%s\n", quote(value))
		default:
			fmt.Fprintf(&b, "[ -n \"${%[1]s:-}\" ] || %[1]s=%[2]s\nexport %[1]s\n", name, quote(value))
		}
	}
	return b.String()
}

// OCIRunscript is a runscript that starts what an OCI image starts: the entrypoint with the arguments given, or with the
// command when none are given. Arguments reach the program as they were written; nothing is evaluated a second time.
func OCIRunscript(entrypoint, cmd []string) string {
	var b strings.Builder
	b.WriteString("#!/bin/sh\n# Starts the entrypoint and command of the OCI image that this one was made from.\n\n")
	if len(cmd) > 0 {
		fmt.Fprintf(&b, "if [ $# -eq 0 ]; then\n    set --%s\nfi\n", quoted(cmd))
	}
	fmt.Fprintf(&b, "exec%s \"$@\"\n", quoted(entrypoint))
	return b.String()
}

func quoted(words []string) string {
	var b strings.Builder
	for _, w := range words {
		b.WriteByte(' ')
		b.WriteString(quote(w))
	}
	return b.String()
}

// quote makes one word for a shell (POSIX.1-2017, Shell Command Language, section 2.2.2). A quote within is put in double
// quotes rather than behind a backslash, because the interpreter that Apptainer sources environment files with
// (mvdan.cc/sh) leaves the backslash in assignments.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'"'"'`) + "'" }
