// Package cattest uses the apps of the built-in catalog as their users do, in a real browser, and checks what came of it: that a
// page shows, that a notebook computes, that an experiment's data say what was done. An app without a check of its own
// has to show a page without errors.
package cattest
