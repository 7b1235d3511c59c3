// Package dockerfile reads Dockerfiles and turns them into definition files, and definition files into Dockerfiles.
//
// What one of them can say and the other cannot becomes a remark in the result, in the place where it belongs, and in the
// list that comes with it; nothing is left out without a word. Both directions are text to text: nothing is built or
// fetched, and the folder of a Dockerfile is only asked whether what is copied is a file or a folder.
//
// The grammar is that of the Dockerfile reference (https://docs.docker.com/reference/dockerfile/): parser directives,
// continuation lines, here-documents, flags of instructions, shell and exec forms.
package dockerfile
