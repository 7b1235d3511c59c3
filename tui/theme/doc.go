// Package theme holds every colour, border and icon of the screens: a few tokens (accent, muted, bad …) and the styles made
// from them, for dark and light backgrounds, for terminals of 16 colours, for none at all (https://no-color.org) and for
// terminals that can show only ASCII.
//
// It reads no environment and asks no terminal: what is known about the terminal comes in as Options, first as a guess that
// is readable on every background, later again when the terminal has answered.
package theme
