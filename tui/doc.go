// Package tui is Carrel's full-screen program: the only tea.Model (root.go), which routes messages, keys and the mouse to the
// screens below tui/screen and does what they ask for; the frame around them (frame.go, layout.go); and Run, which is what
// the command line calls.
//
// It reads no environment and no flags: what cmd knows about the terminal and the person comes in as Options.
package tui
