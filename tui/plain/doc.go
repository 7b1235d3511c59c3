// Package plain is the screens' journeys as questions and answers in plain lines: for screen readers, for terminals that cannot
// draw, and through a pipe. It writes no escape sequence, draws no table or frame, moves no cursor and waits for nothing but a
// line of input; whatever goes on by itself is told in sentences, at most every few seconds.
//
// It is not the command line: that has verbs and flags (package main).
package plain
