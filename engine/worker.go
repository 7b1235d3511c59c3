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
	fmt.Fprintf(trouble, "unknown work %q\n", args)
	return 255
}
