// Package causes reads why something failed out of what it wrote: a table of the failures that programs in containers are
// known for, each with a sentence for a person, the line that speaks for it, and what to do.
//
// It looks at lines of text and an exit status, touches nothing, and knows no container: what of the run is concerned (a
// shared folder, a limit of memory) it is told. Errors that carry their own hint need it not.
package causes
