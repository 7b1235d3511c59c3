// Package singularity is Carrel under the names singularity, apptainer and run-singularity: their command lines, flags and
// environment variables, in their meaning, over Carrel's engine.
//
// What is the same, what differs and what is not there is told by the table of options (options.go) and of verbs (verbs.go),
// with a reason for each difference; docs/compatibility.md is that table, and a test holds them together.
package singularity
