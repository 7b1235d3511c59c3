// Package e2e drives the real binary as a person does, in a home folder of its own: from a shell, and in a terminal (tmux)
// whose screen it reads. Its tests are the project's end-to-end tests.
//
// Nothing here sleeps to wait: everything waits until something is so, with a deadline.
package e2e
