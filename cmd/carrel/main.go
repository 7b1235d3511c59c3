// Command carrel runs research apps in containers: with screens when it is called alone on a terminal, with verbs from a
// shell. This package reads flags, environment and configuration, calls the engine, and prints; it decides nothing else.
package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"runtime/debug"
	"sync/atomic"
	"time"

	"carrel/cmd/carrel/singularity"
	"carrel/engine"
	"carrel/engine/sandbox"
	"carrel/internal/welcome"
)

// Exit statuses of our own; otherwise it is the container's.
const (
	exitFailure = 255
	exitUsage   = 2
)

// verbWelcome is the program inside the welcome app; only the app itself calls it.
const verbWelcome = "welcome-page"

func main() {
	// The binary is also what runs as "root" of a build, in the background, and inside the welcome app. (As the init of a
	// container it never gets here: package inside takes over before main.)
	if args, isWorker, err := sandbox.EnterWorker(); isWorker {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(exitFailure)
		}
		os.Exit(engine.WorkerMain(args, os.Stdin, os.Stdout, os.Stderr))
	}
	if singularity.Is(os.Args[0]) {
		os.Exit(dropIn(os.Args[0], os.Args[1:]))
	}
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case engine.SupervisorVerb:
			os.Exit(supervise())
		case verbWelcome:
			os.Exit(welcome.Main(os.Stdout))
		}
	}
	// Most calls end soon, and of those that start a container the start is waited for.
	debug.SetGCPercent(400)
	time.AfterFunc(startTime, func() { debug.SetGCPercent(int(garbageLater.Load())) })
	os.Exit(run(context.Background(), os.Args[1:]))
}

// startTime is how long collecting garbage would delay what a person waits for; afterwards memory counts.
const startTime = 3 * time.Second

// garbageLater is how much garbage there may be then, in percent of what is used.
var garbageLater = func() *atomic.Int32 { var n atomic.Int32; n.Store(100); return &n }()

// run is the whole program for a person: it prints what went wrong and returns the exit status.
func run(ctx context.Context, args []string) int {
	a := newApp()
	defer a.interrupt.watch(&ctx)()
	root := rootCommand(a, args...)
	root.SetArgs(args)
	return a.finish(cmp.Or(root.ExecuteContext(ctx), a.unread))
}

// supervise looks after one app in the background, detached from every terminal.
func supervise() int {
	if err := engine.Supervise(context.Background(), os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, err) // a file beside the app's log
		return exitFailure
	}
	return 0
}
