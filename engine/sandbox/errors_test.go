package sandbox

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestForbiddenNamespaces: whichever step finds it out, it is told in the same words.
func TestForbiddenNamespaces(t *testing.T) {
	for _, op := range []string{"new namespaces", "make mounts private"} {
		for errno, want := range map[unix.Errno][2]string{
			unix.EACCES: {"user namespaces are forbidden here", "carrel doctor"}, unix.EPERM: {"user namespaces are forbidden here", "carrel doctor"},
			unix.ENOSPC: {"lets nobody make", "max_user_namespaces"},
		} {
			e := &Error{Op: op, Err: errno}
			if !strings.Contains(e.Error(), want[0]) || !strings.Contains(e.Hint(), want[1]) {
				t.Errorf("%s, %v: %q, %q", op, errno, e.Error(), e.Hint())
			}
		}
	}
	if e := (&Error{Op: "enter folder", Target: "/nowhere", Err: unix.ENOENT}); !strings.Contains(e.Hint(), "/nowhere") {
		t.Errorf("a folder that is not there: %q", e.Hint())
	}
}
