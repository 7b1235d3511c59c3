// Package task runs the engine's calls off the program's loop: one call that gives one answer (Call), or a stream of events
// handed on in batches, at most one per frame (Stream). Every goroutine started here recovers from panics, which become
// errors, and dies with its context.
//
// It also says, as interfaces, what the screens need of the engine, the catalog and the memory of earlier answers.
package task
