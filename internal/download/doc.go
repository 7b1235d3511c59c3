// Package download gets files over HTTP from servers that may be slow, broken or hostile: what stands still ends, what is
// cut goes on where it stopped, what answers "later" is asked again, and nothing is larger than it may be.
//
// It follows RFC 9110: sections 14 (range requests), 10.2.3 (Retry-After) and 15 (status codes). It knows nothing of what
// the files are for.
package download
