// Package inside is what runs as a container's init: the part of Carrel that makes a new root out of a plan.Plan, gives
// up its privileges, starts the process, reaps orphans, and answers its supervisor.
//
// It runs from the package's initializer, before main: the binary is started again under the name plan.Arg0. Go initializes
// packages in the order of their import paths as soon as their imports are ready ("The Go Programming Language Specification",
// Program initialization, Go 1.21), and the shell parser that environment scripts need is ready late: of some 220
// initializers of the program around it two in three have run by then (GODEBUG=inittrace=1). What is spared are those of
// the terminal, registry and network packages that come after it. For the same reason this package imports little. (What it
// costs is measured by BenchmarkExec of package sandbox.)
//
// It must not be used by anything else: package sandbox imports it for its side effect, and for a filter that its containers
// without an init need too.
package inside
