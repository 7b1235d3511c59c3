package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestOwnApp makes an app of a folder: Enter all the way from the desk to the page in it.
func TestOwnApp(t *testing.T) {
	Mirror(t)
	h := NewHome(t)
	h.Write("site/index.html", "<p>my own site</p>")
	x := h.OpenTerminal(100, 30)
	x.Command("(cd ~/site && carrel)")
	x.Wait("A private desk")
	x.Press("Escape")
	x.Wait("START SOMETHING NEW", "my own")
	x.Press("End")
	x.Wait("An app of my own")
	x.Press("Enter")
	x.Wait("Which folder holds your files?", "It looks like a folder of web pages")
	x.Press("Enter")
	x.Wait("What do you want to run?", "there is index.html")
	x.Press("Enter")
	x.Wait("How it is built and started", "org.opencontainers.image.title")
	x.Press("Enter")
	x.Wait("Install software (%post)")
	x.WaitFor(10*time.Minute, "the app", func(screen string) bool { return strings.Contains(screen, "serving") })
	url := x.address(deadline)
	if page := Get(t, url); page != "<p>my own site</p>" {
		t.Errorf("the page is %q", page)
	}
	text, err := os.ReadFile(filepath.Join(h.Dir, "site", "Singularity"))
	if err != nil || !strings.Contains(string(text), "http.server") {
		t.Errorf("the definition is %q, %v", text, err)
	}
	x.Press("s")
	x.Wait("Stop site?")
	x.Press("y")
	if !Until(deadline, func() bool { return !Answers(url) }) {
		t.Errorf("%s still answers\n%s", url, x.Screen())
	}
	x.leave()
	h.NothingLeft()
}
