package engine

import (
	"context"
	"fmt"
	"io"
	"os/signal"
	"runtime/debug"
	"syscall"

	"carrel/engine/squashfs"
)

// What a worker can be asked to do.
const (
	workBuild  = "build"
	workPrune  = "prune"
	workDebug  = "debug"
	workRemove = "remove"
	workHeat   = "heat"
)

// WorkerMain is what a worker process (sandbox.EnterWorker) does: what its arguments say. It returns the exit status.
func WorkerMain(args []string, in io.Reader, out, trouble io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if len(args) > 0 {
		switch args[0] {
		case workBuild:
			debug.SetMemoryLimit(squashfs.MemoryGoal)
			return buildWorker(ctx, in, out)
		case workPrune:
			return pruneWorker(ctx, in, out)
		case workRemove:
			return removeWorker(in, out)
		case workDebug:
			return debugWorker(ctx, args[1:], trouble)
		case workHeat:
			if err := heatWorker(ctx, in); err != nil {
				fmt.Fprintln(trouble, err)
				return 1
			}
			return 0
		}
	}
	fmt.Fprintf(trouble, "unknown work %q\n", args)
	return 255
}
