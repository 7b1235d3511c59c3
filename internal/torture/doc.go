// Package torture is the crash and fault campaign: it drives the real program, kills it at random moments of everything that
// writes something, and takes away what it needs (disk, locks, devices, descriptors, …). After each time every image is
// valid, nothing is left behind, and the next command works.
//
// `make test` does all faults and a few of the kills, other ones each time; `make torture` as many kills as KILLS says (200
// without). SEED is where its random numbers begin.
package torture
