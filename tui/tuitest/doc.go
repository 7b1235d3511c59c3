// Package tuitest is the test kit of the screens: an engine and a catalog that answer from memory, a terminal that keys can
// be typed into and whose screen can be read, and golden files. demo, below it, is a program for looking at the screens.
package tuitest
