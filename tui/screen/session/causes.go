package session

import (
	"fmt"
	"strings"

	"github.com/charmbracelet/x/ansi"

	"carrel/engine"
	"carrel/tui/screen"
	"carrel/tui/widget"
)

func plain(s string) string { return ansi.Strip(s) }

func clip(s string, n int) string { return ansi.Truncate(s, n, "") }

// cause is a failure that leaves a trace in the log: any of the words, what they mean, and what to do.
type cause struct {
	words []string
	why   string
	hint  string
}

// causes are the failures web apps in containers are known for, the most telling first.
var causes = []cause{
	{[]string{"no space left on device", "disk quota exceeded"}, "The disk is full.", "Free some space: unused images can be removed on the Desk."},
	{[]string{"address already in use", "eaddrinuse"}, "The port it wanted is taken by another program.", "Press r: Carrel looks for a free port when it starts the app again."},
	{[]string{"glibc_", "glibcxx_"}, "A program from outside the container was used with the container's own libraries.", "Start it without folders of installed software (such as ~/.local) inside."},
	{[]string{"exec format error"}, "The image was made for another kind of processor.", "Ask for an image for this computer, or build it here from its definition."},
	{[]string{"read-only file system", "errno 30", "erofs"}, "It tried to write where nothing can be changed.", "Share a folder as “read and change”, or keep changes inside the container."},
	{[]string{"cannot allocate memory", "out of memory", "memoryerror"}, "There was not enough memory.", "Close other programs, or give it less data at once."},
	{[]string{"command not found", "no such file or directory: '/"}, "A program it needs is not in the image.", "Look inside (i) at its software, or add it to the definition."},
	{[]string{"permission denied", "errno 13", "eacces"}, "It was not allowed to open something.", "Check who may read and change the folder you shared."},
	{[]string{"temporary failure in name resolution", "network is unreachable", "no route to host"}, "It could not reach the network.", "Check the connection of this computer."},
	{[]string{"modulenotfounderror", "no module named"}, "A Python package it needs is not in the image.", "Add it to the definition and build again."},
}

// codes are what exit codes mean when the log says nothing we know.
var codes = map[int][2]string{
	1:   {"It ended because of an error.", "The last lines of the log usually say which."},
	2:   {"It was called in a way it does not understand.", "Check its arguments: y copies the command that started it."},
	126: {"Its start script is not a program that can be run.", "Look inside (i) at the runscript."},
	127: {"A command in its start script was not found.", "Look inside (i) at the runscript and the software."},
	134: {"It gave up by itself (abort).", "The last lines of the log usually say why."},
	137: {"It was killed, most often because memory ran out.", "Close other programs, or give it less data at once."},
	139: {"It crashed (segmentation fault).", "Often a program made for other libraries: build the image again from its definition."},
	255: {"The container could not be started.", "The last lines of the log say what was missing."},
}

// Cause says in one sentence why an app ended, and in another what to do. What the engine says comes first, what the last
// lines of the log tell next, what its exit code means last.
func Cause(a *engine.Instance, last []string) (why, hint string) {
	switch {
	case a.Problem != "":
		return widget.Sentence(a.Problem), widget.Sentence(a.Hint)
	case a.State == engine.StateLost:
		return "What watched over the app was ended from outside (or the computer was restarted).", "Press r to start it again."
	case screen.Stopped(a):
		return "It was stopped.", "Press r to start it again."
	case a.ExitCode == 0:
		return "It has finished, without an error.", "Press r to start it again."
	}
	for i := len(last) - 1; i >= 0; i-- {
		low := strings.ToLower(last[i])
		for _, c := range causes {
			for _, w := range c.words {
				if strings.Contains(low, w) {
					return c.why, c.hint
				}
			}
		}
	}
	if c, ok := codes[a.ExitCode]; ok {
		return c[0], c[1]
	}
	return fmt.Sprintf("It ended with exit code %d.", a.ExitCode), "The last lines of the log usually say why."
}
