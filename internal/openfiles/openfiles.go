// Package openfiles knows how many files this process was allowed to have open when it was started. The Go runtime raises
// that for itself, up to the hard limit, when package syscall is initialized; that package and os/exec lower it again for the
// programs that they start, and whoever starts one in another way has to: select(2) cannot tell of a descriptor beyond 1,023,
// and some programs close every one that they may have.
//
// It imports nothing, so that it is initialized before package syscall (The Go Programming Language Specification, "Program
// initialization": in the order of import paths, whatever is ready).
package openfiles

// Rlimit is struct rlimit64 (prlimit(2)).
type Rlimit struct{ Cur, Max uint64 }

// Limit is that of RLIMIT_NOFILE at the start; zero where it could not be learnt.
var Limit Rlimit

// getrlimit reads RLIMIT_NOFILE of this process.
//
//go:noescape
func getrlimit(limit *Rlimit)

func init() { getrlimit(&Limit) }
