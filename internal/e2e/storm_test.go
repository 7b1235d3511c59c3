package e2e

import (
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestResizeStorm changes the size of the terminal two hundred times while an app runs; then the screen is right, and after
// leaving the terminal is.
func TestResizeStorm(t *testing.T) {
	h := NewHome(t)
	h.Known()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	x := h.OpenTerminal(100, 30)
	url := x.startLab()
	x.Wait("serving")
	keys := []string{"1", "2", "3", "Down", "PPage", "z", "f", "Tab"}
	for i := range 200 {
		x.Resize(1+random.IntN(220), 1+random.IntN(70))
		if i%5 == 0 {
			x.Press(keys[random.IntN(len(keys))])
		}
	}
	x.Resize(100, 30)
	x.WaitFor(deadline, "a screen of the last size", func(screen string) bool { // a key that overtakes the size may find no room
		lines := strings.Split(strings.TrimRight(screen, "\n"), "\n")
		return len(lines) == 30 && strings.Contains(lines[0], "1 Desk") && strings.Contains(lines[29], "q leave")
	})
	x.Press("1")
	x.Wait("RUNNING", "MY CONTAINERS", "START SOMETHING NEW", "1 Desk")
	x.WaitFor(deadline, "a screen that fits", func(screen string) bool {
		lines := strings.Split(strings.TrimRight(screen, "\n"), "\n")
		return len(lines) == 30 && strings.Contains(lines[0], "carrel") && strings.Contains(lines[29], "q leave") && len([]rune(lines[28])) <= 100
	})
	x.page(url, "lab shows")
	x.Press("q")
	x.Prompt()
	h.Must("stop", "--all")
	h.NothingLeft()
}

// kill ends the processes of the home whose command line has some words, as a fault would.
func (h *Home) kill(name string) {
	h.t.Helper()
	killed := 0
	if !Until(deadline, func() bool {
		for _, pid := range h.Processes() {
			line, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline") // it may have ended meanwhile
			if strings.Contains(strings.ReplaceAll(string(line), "\x00", " "), name) && syscall.Kill(pid, syscall.SIGKILL) == nil {
				killed++
			}
		}
		return killed > 0
	}) {
		h.t.Fatalf("no process is %s", name)
	}
}

// TestSupervisorKilled: an app whose keeper dies is lost, which the screen says, and it can be started again from there.
func TestSupervisorKilled(t *testing.T) {
	h := NewHome(t)
	h.Known()
	x := h.OpenTerminal(110, 34)
	x.startLab()
	x.Wait("serving")
	h.kill(" supervise-app ")
	x.Wait("lost", "r restart")
	x.Press("r")
	x.Wait("was started again", "serving")
	x.page(x.address(deadline), "lab shows")
	x.leave()
	h.Must("stop", "--all")
	h.NothingLeft()
}

// TestWorkerKilled: a build whose worker dies has failed, which the screen says, and it can be tried again from there.
func TestWorkerKilled(t *testing.T) {
	h := NewHome(t)
	h.Known()
	h.Write("slow.def", "Bootstrap: localimage\nFrom: "+h.Path(".local/share/carrel/images/lab.sif")+"\n\n%post\n    if [ ! -e /data/again ]; then echo it has begun; sleep 1000; fi\n\n%runscript\n    exec perl /opt/lab/server.pl slow\n")
	x := h.OpenTerminal(110, 34)
	x.desk()
	x.fromFile("~/slow.def")
	x.Wait("The same as a command")
	x.Press("Enter")
	x.Wait("it has begun")
	h.kill("carrel-worker build")
	x.Wait("could not be built", "r try again")
	h.Write("slow.def", strings.Replace(h.Read(t, "slow.def"), "sleep 1000", "true", 1))
	x.Press("r")
	x.page(x.address(deadline), "lab shows slow")
	x.leave()
	h.Must("stop", "--all")
	h.NothingLeft()
}

// TestScreensKilled: the apps go on, and the next call shows them.
func TestScreensKilled(t *testing.T) {
	h := NewHome(t)
	h.Known()
	x := h.OpenTerminal(100, 30)
	url := x.startLab()
	for _, pid := range h.Processes() { // those of the app are called otherwise
		if line, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline"); string(line) == "carrel\x00" {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
	}
	x.Wait("Killed")
	x.page(url, "lab shows")
	// Nobody could put the terminal right: what people type then is `reset`, ended with Ctrl+J.
	x.Type("stty sane; tput reset")
	x.Press("C-j")
	x.WaitFor(deadline, "an empty screen", func(screen string) bool { return strings.TrimSpace(screen) == "ready>" })
	x.Command("carrel")
	x.Wait("RUNNING", "lab", "127.0.0.1:8642")
	x.leave()
	h.Must("stop", "--all")
	h.NothingLeft()
}

// TestNoColorEmpty: NO_COLOR counts only when something is in it, whatever that is (no-color.org), and the footer is there either way.
func TestNoColorEmpty(t *testing.T) {
	for value, colours := range map[string]bool{"": true, "yes": false} {
		h := NewHome(t)
		h.Known()
		x := h.OpenTerminal(100, 30)
		x.Command("NO_COLOR=" + value + " carrel")
		x.Wait("START SOMETHING NEW", "enter start", "ctrl+p all")
		raw := x.tmux("capture-pane", "-p", "-e")
		if got := strings.Contains(raw, "\x1b[38;") || strings.Contains(raw, "\x1b[3"+"6m") || strings.Contains(raw, "\x1b[9"); got != colours {
			t.Errorf("NO_COLOR=%s: colours are %v, want %v\n%q", value, got, colours, raw)
		}
		x.leave()
	}
}
