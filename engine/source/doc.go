// Package source holds what the ways to make a base out of a distribution's packages have in common where a program of
// this computer does the work: dnf, zypper, pacman. It knows neither builds nor containers; who runs a program, and what
// that program may change, is the business of whoever fills in a Place.
//
// Packages debian and busybox need no such program.
package source
