package engine

import (
	"context"
	"fmt"
	"io"
	"os/signal"
	"syscall"
)

// WorkerMain is what a worker process (sandbox.EnterWorker) does: what its arguments say. It returns the exit status.
func WorkerMain(args []string, in io.Reader, out, trouble io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if len(args) == 1 && args[0] == "build" {
		return buildWorker(ctx, in, out)
	}
	if len(args) == 1 && args[0] == "heat" {
		if err := heatWorker(ctx, in); err != nil {
			fmt.Fprintln(trouble, err)
			return 1
		}
		return 0
	}
	fmt.Fprintf(trouble, "unknown work %q\n", args)
	return 255
}
