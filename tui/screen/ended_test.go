package screen

import (
	"strings"
	"testing"

	"carrel/engine"
)

func TestEnded(t *testing.T) {
	tests := []struct {
		name string
		app  engine.Instance
		last []string
		want string
	}{
		{"the engine knows best", engine.Instance{Problem: "the image has gone", ExitCode: 1}, []string{"No space left on device"}, "The image has gone."},
		{"lost", engine.Instance{State: engine.StateLost}, nil, "ended from outside"},
		{"well", engine.Instance{State: engine.StateExited}, []string{"Killed"}, "without an error"},
		{"disk", engine.Instance{State: engine.StateExited, ExitCode: 1}, []string{"OSError: [Errno 28] No space left on device", "exiting"}, "disk is full"},
		{"read-only", engine.Instance{State: engine.StateExited, ExitCode: 1}, []string{"OSError: [Errno 30] Read-only file system: '/opt/x'"}, "nothing can be changed"},
		{"port", engine.Instance{State: engine.StateExited, ExitCode: 1}, []string{"OSError: [Errno 98] Address already in use"}, "port"},
		{"glibc", engine.Instance{State: engine.StateExited, ExitCode: 1}, []string{"/lib/libc.so.6: version `GLIBC_2.34' not found"}, "GLIBC_2.34"},
		{"the last word counts", engine.Instance{State: engine.StateExited, ExitCode: 1}, []string{"permission denied", "ModuleNotFoundError: No module named 'numpy'"}, "Python package"},
		{"killed", engine.Instance{State: engine.StateExited, ExitCode: 137}, []string{"fitting"}, "memory"},
		{"not found", engine.Instance{State: engine.StateExited, ExitCode: 127}, nil, "not found"},
		{"stopped", engine.Instance{State: engine.StateExited, ExitCode: 143}, []string{"Killed"}, "was stopped"},
		{"stopped, and ended well", engine.Instance{State: engine.StateExited, Reason: engine.ReasonStopped}, nil, "was stopped"},
		{"unknown", engine.Instance{State: engine.StateExited, ExitCode: 42}, nil, "exit code 42"},
		{"hostile", engine.Instance{Problem: "\x1b[2Jgone"}, nil, "Gone."},
	}
	for _, tt := range tests {
		why := Ended(&tt.app, tt.last).Why
		if !strings.Contains(why, tt.want) || strings.ContainsRune(why, 0x1b) {
			t.Errorf("%s: %q, want %q", tt.name, why, tt.want)
		}
	}
}
