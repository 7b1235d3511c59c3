// Package screen says what a screen is and what it may ask of the program around it. Each screen is a package of its own
// below this one; none imports another.
//
// A screen is a plain struct with methods. It is changed by method calls and messages, draws itself into exactly the size it
// is given, and lists its keys as data: one Action feeds the dispatch, the footer, the help and the palette. What it wants
// from the program (go to another screen, ask a question, copy a text) it says by one of the messages in ask.go.
package screen
