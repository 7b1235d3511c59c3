// Package share hands an image file to somebody in the same network: over HTTP, at an address that holds a random word of
// 128 bits, which only those know who were given it. The address also shows a page that says what the file is, its
// checksum and how it is run.
//
// The bytes are not encrypted on their way; that they arrive as they were sent is told by the checksum, which the page and
// the sender show. Nothing but this one file is served, and nothing is taken.
package share
