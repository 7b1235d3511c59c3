// Package early takes the signals of a process that is about to start a container in the foreground, from the first moment
// on at which a Go program can. They are the container's, whoever sends them how soon after the start: a batch system that
// ends a job, a script that has a program reread its settings. Without it a signal of the first milliseconds, while other
// packages are initialized and the image is opened, would end this process before anything is there that could take it.
//
// It depends on next to nothing, so that Hold can be called before nearly everything else is initialized (The Go Programming
// Language Specification, "Program initialization": in the order of import paths, whatever is ready); package quick does.
package early

import (
	"os"
	"os/signal"
	"syscall"
)

// The signals that a container gets: all that a process may get from others and whose default is not to stop or go unheeded
// (signal(7)), and two that tell of a terminal. SIGCHLD, SIGURG and SIGPIPE are this program's own. To ask for each takes the
// Go runtime some ten microseconds: at the start it is done for those only that are sent to programs unasked; SIGUSR2 comes
// last, which tests see.
var (
	first = []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2}
	rest  = []syscall.Signal{
		syscall.SIGALRM, syscall.SIGVTALRM, syscall.SIGIO, syscall.SIGPWR, syscall.SIGXCPU, syscall.SIGCONT, syscall.SIGWINCH,
	}
)

// buffered is how many signals wait before some are lost. There are fewer kinds of them, and a process never has more than
// one of a kind waiting.
const buffered = 64

var held chan os.Signal

// Hold begins to take the signals, in a process that starts a container in the foreground.
func Hold() {
	if starts(os.Args) {
		held = make(chan os.Signal, buffered)
		take(first)
	}
}

// Signals are those that came since the start, and those to come; nil in a process that starts no container in the foreground.
func Signals() <-chan os.Signal { return held }

// Rest takes the remaining kinds of signals too, in a process that starts a container.
func Rest() {
	if held != nil {
		take(rest)
	}
}

// take takes signals, but those that the caller of this program had it ignore, as nohup(1) does.
func take(signals []syscall.Signal) {
	for _, s := range signals {
		if !signal.Ignored(s) {
			signal.Notify(held, s)
		}
	}
}

// Default lets a signal do to this process what it does to one that did not ask for it, which is to end it in most cases.
func Default(s syscall.Signal) {
	if s == syscall.SIGCONT || s == syscall.SIGWINCH {
		return
	}
	signal.Reset(s)
	_ = syscall.Kill(syscall.Getpid(), s) // a process may send itself everything
}

// Fixed is how many words of a command line decide what is started in the foreground, and how, where it has no options: those
// after them are for what is started. 0: it has options, or starts nothing.
func Fixed(args []string) int {
	if !starts(args) {
		return 0
	}
	n := 3
	switch {
	case base(args[0]) == "run-singularity":
		n = 2
	case args[1] == "exec":
		n = 4
	}
	if len(args) < n {
		return 0
	}
	for _, a := range args[1:n] {
		if a == "" || a[0] == '-' {
			return 0
		}
	}
	return n
}

// base is the last element of a path.
func base(name string) string {
	for i := len(name) - 1; i >= 0; i-- {
		if name[i] == '/' {
			return name[i+1:]
		}
	}
	return name
}

// starts tells whether a command line starts a container in the foreground.
func starts(args []string) bool {
	if len(args) < 2 {
		return false
	}
	switch base(args[0]) {
	case "run-singularity":
		return true
	case "singularity", "apptainer":
		for _, arg := range args[1:] {
			if len(arg) > 0 && arg[0] == '-' {
				continue
			}
			return arg == "run" || arg == "exec" || arg == "shell" || arg == "test"
		}
		return false
	}
	return args[1] == "run" || args[1] == "exec" || args[1] == "shell"
}
