package e2e

import (
	"strings"
	"testing"
)

// TestAccessible starts an app by questions and answers, with a choice and what it changes kept, opens a shell inside and comes
// back, and stops it.
func TestAccessible(t *testing.T) {
	h := NewHome(t)
	h.Known()
	x := h.OpenTerminal(100, 50)
	x.Command("carrel --accessible")
	x.Wait("What would you like to do?")
	x.Command("my images")
	x.Wait("1. lab.sif")
	x.Command("1")
	x.Wait("1. Start")
	x.Command("start")
	x.Wait("The folder with the results", "[none]")
	x.Press("Enter")
	x.Wait("What the page shows", "5. tables: Rows and columns", "[1]")
	x.Command("tables")
	x.Wait("Port on this computer?")
	x.Press("Enter")
	x.Wait("Changes inside the container", "2. keep them")
	x.Command("keep")
	x.Wait("--writable", "Go on?")
	x.Press("Enter")
	x.Wait("Address: http://127.0.0.1:8642/", "Terminal inside")
	x.page("http://127.0.0.1:8642/", "lab shows tables, start 1")
	x.Command("terminal inside")
	x.Wait("This is a shell inside", ">")
	x.Command("echo I am $((40+2)) inside; cat /opt/lab/visits")
	x.Wait("I am 42 inside\n1")
	x.Command("exit 3")
	x.Wait("You are back in Carrel.")
	x.Command("stop")
	x.Wait("is saved into the image", "Stop it? Yes or no? [no]")
	x.Press("Enter")
	x.Wait("lab, is serving")
	if !Answers("http://127.0.0.1:8642/") {
		t.Error("an empty answer has stopped the app")
	}
	x.Command("stop")
	x.WaitFor(deadline, "the second question", func(screen string) bool { return strings.Count(screen, "Stop it? Yes or no? [no]") == 2 })
	x.Command("yes")
	x.Wait("lab has stopped.")
	x.Command("leave")
	x.Prompt()
	h.NothingLeft()
}
