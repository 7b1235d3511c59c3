package definition

import (
	"fmt"
	"strconv"
	"strings"
)

// Script is the text of the section as a file to execute, as Apptainer writes %runscript, %startscript and %test into an
// image: "#!/bin/sh", the section's arguments, an empty line, the body. A body that begins with "#!" keeps its own
// interpreter. It is empty when the section is missing or has no body.
func (s *Section) Script() string {
	if s == nil || s.Body == "" {
		return ""
	}
	interpreter, body := "#!/bin/sh", s.Body
	if own := strings.TrimLeft(body, " \t\r\n\v\f"); strings.HasPrefix(own, "#!") {
		interpreter, body, _ = strings.Cut(own, "\n")
		interpreter = strings.TrimSpace(interpreter)
	}
	if args := stripComment(s.Args); args != "" {
		interpreter += " " + args
	}
	return interpreter + "\n\n" + body + "\n"
}

// Environment is %environment as the shell file an image sources (/.singularity.d/env/90-environment.sh), or empty.
func (s *Stage) Environment() string {
	sec := s.Section("environment")
	if sec == nil || sec.Body == "" {
		return ""
	}
	return "#!/bin/sh\n\n" + sec.Body + "\n"
}

// Help is %help as an image keeps it (/.singularity.d/runscript.help), or empty.
func (s *Stage) Help() string {
	sec := s.Section("help")
	if sec == nil || sec.Body == "" {
		return ""
	}
	return sec.Body + "\n"
}

// Command is the command that runs the section's body, saved in the file script, during a build: /bin/sh -ex and the
// section's arguments. Behind "-c" an argument names another shell: %post -c /bin/bash becomes
// /bin/sh -ex -c "/bin/bash script". An *Error says that nothing follows "-c".
func (s *Section) Command(script string) ([]string, error) {
	command := []string{"/bin/sh", "-ex"}
	args := strings.Fields(stripComment(s.Args))
	for i, a := range args {
		if a != "-c" {
			continue
		}
		if i+1 == len(args) {
			return nil, &Error{Line: s.Line, Column: 1, Section: s.Name, Rule: "section-args", Msg: "%" + s.Name + " -c names no shell",
				hint: fmt.Sprintf("write %%%s -c /bin/bash", s.Name)}
		}
		command = append(command, args[:i+1]...)
		return append(command, strings.Join(args[i+1:], " ")+" "+script), nil
	}
	return append(append(command, args...), script), nil
}

// Check tells what can be read but not built: a stage without an agent, two stages of one name, files from a stage that
// does not come before. The error is an *Error or Errors.
func (f *File) Check() error {
	var errs Errors
	add := func(e *Error) {
		e.File = f.Name
		errs = append(errs, e)
	}
	names := map[string]int{}
	for i, s := range f.Stages {
		if s.Bootstrap() == "" {
			add(&Error{Line: s.Line, Column: 1, Section: "header", Rule: "no-bootstrap", Msg: "the header names no base (Bootstrap:)",
				hint: "begin with \"Bootstrap: docker\" and \"From: debian:12\", for instance"})
		}
		for _, c := range s.Files {
			if c.From == "" {
				continue
			}
			_, ok := names[c.From]
			if n, err := strconv.Atoi(c.From); err == nil && n >= 0 && n < i { // its place, from 0
				ok = true
			}
			if !ok {
				e := &Error{Line: c.Line, Column: 1, Section: "files", Rule: "stage-unknown", Msg: fmt.Sprintf("no stage before this one is named %q", c.From),
					hint: fmt.Sprintf("give the stage that has the file the line \"Stage: %s\"", c.From)}
				var known []string
				for n := range names {
					known = append(known, n)
				}
				if guess := nearest(c.From, known); guess != "" {
					e.Suggestion = guess
				}
				add(e)
			}
		}
		if line, ok := names[s.Name]; ok && s.Name != "" {
			add(&Error{Line: max(s.Header.Line("stage"), s.Line), Column: 1, Section: "header", Rule: "stage-duplicate",
				Msg: fmt.Sprintf("the stage of line %d has the name %q too", line, s.Name), hint: "give each stage a name of its own"})
		}
		if s.Name != "" {
			names[s.Name] = s.Line
		}
	}
	switch len(errs) {
	case 0:
		return nil
	case 1:
		return errs[0]
	default:
		return errs
	}
}
