// Package sandbox starts containers and stays in touch with them: it re-executes this binary as the container's init in
// new namespaces (clone(2)), hands it a plan.Plan, serves what init asks for, and offers the running container to its
// callers: wait, signal, connect to its ports, start further processes in it.
//
// What a Singularity image means (home, environment, runscript) is not decided here but in package launch; nothing
// outlives the process that called Start.
package sandbox
