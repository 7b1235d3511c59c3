// Package engine is the facade over Carrel's container engine: all that the screens and the command line see of it.
//
// It resolves names, builds images, starts, watches and stops containers, and says what this computer can do. It does not
// print, exit, read flags or environment variables, or know of terminals beyond handing one through.
package engine
