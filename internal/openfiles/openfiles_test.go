// Of another package: what a test imports would be initialized before the package itself.
package openfiles_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"carrel/internal/openfiles"
)

// TestLimit: what is told is what the process was started with, although the runtime has changed it.
func TestLimit(t *testing.T) {
	if os.Getenv("OPENFILES_TEST") != "" {
		var now syscall.Rlimit
		if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &now); err != nil {
			t.Fatal(err)
		}
		fmt.Println("started with", openfiles.Limit.Cur, "raised", now.Cur > openfiles.Limit.Cur)
		return
	}
	cmd := exec.Command("sh", "-c", `ulimit -Sn 123 && exec "$0" -test.run '^TestLimit$'`, os.Args[0])
	cmd.Env = append(os.Environ(), "OPENFILES_TEST=1")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "started with 123 raised true\n") {
		t.Errorf("%v: %s", err, out)
	}
}
