// Package doctor says what this computer can do for containers, in plain words, with the expert's word beside them, what
// still works where something is missing, and the exact line by which an administrator would change it.
//
// It looks, and tries things in a process of its own (package probe); it changes nothing.
package doctor
