// Package instance looks after containers in the background: one small supervisor process each, no daemon.
//
// The program starts itself again as a detached process (Spawn) that calls Run: it owns the container, its log, its
// published ports, and says what has become of it. Everybody else reads what it wrote (List, Get, ReadLog, Watch) and asks
// it through a socket (Stop, Start, Signal), so that nobody has to run for a list, and nothing else is lost when a screen or
// a terminal dies.
//
// The folder of an instance, below the root that the caller chooses, is private to the user (0700):
//
//	NAME/state.json      what is known about it, replaced atomically at each change (record)
//	NAME/log, log.1      what it wrote; see package logfile
//	NAME/control         socket of its supervisor (SOCK_SEQPACKET, unix(7)); see control.go
//	NAME/supervisor.log  what the supervisor itself wrote to its standard files: nothing, unless it crashed
//	.history/NAME@TIME/  an instance that has ended and whose name was taken again
//
// The states:
//
//	            ┌───────────────────────▶ running ◀┐  nothing listens after the wait
//	starting ───┼─▶ ready (an address answers) ◀───┼─▶ unhealthy (listens, answers errors or nothing)
//	            └──────────────▶ stopping ─▶ exited
//	lost: the supervisor is gone and wrote no end
//
// A supervisor is recognised by its process number together with the time it was started (proc_pid_stat(5), field 22), the
// boot of the machine, the machine's name and the PID namespace: a number that was given to another program, and a folder
// that another machine shares, are told apart. When a supervisor is killed its container ends with it (PR_SET_PDEATHSIG,
// prctl(2)), and mounts live in the container's namespace only.
package instance
