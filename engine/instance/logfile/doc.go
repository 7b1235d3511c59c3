// Package logfile keeps what a program wrote to its two streams, exactly, in a bounded pair of files, and reads it back,
// also while it grows.
//
// A folder holds "log" and, once that was full, "log.1" with what came before. One record is one line:
//
//	2026-11-22T10:40:19.123456789Z o. text of the line␊
//	└──── RFC 3339, UTC ─────────┘ ││ └ every byte as written, except the line feed
//	                               │└ "." the program ended the line, "+" it did not (yet): the next record of the stream goes on
//	                               └ "o" standard output, "e" standard error, "c" a remark of the supervisor
//	 text of the line␊
//	└ a space: the program ended this line too, and it came at the same time, in the same stream, as the one above
//
// The text keeps carriage returns, zero bytes and invalid UTF-8; the concatenation of a stream's texts, with a line feed
// after each ".", is what was written.
package logfile
