package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
)

// desk opens the program for somebody who knows it.
func (x *Terminal) desk() {
	x.t.Helper()
	x.Command("carrel")
	x.Wait("START SOMETHING NEW", "lab.sif")
}

// startLab starts the app from the desk with what stands in the form.
func (x *Terminal) startLab() (url string) {
	x.t.Helper()
	x.desk()
	x.Press("Enter")
	x.Wait("What the page shows", "Tables")
	x.Press("Enter")
	x.Wait("The same as a command", "-p 8642")
	x.Press("Enter")
	return x.address(deadline)
}

// back presses Escape and waits until a text is gone: what is typed right after it would be one key together with it.
func (x *Terminal) back(gone string) {
	x.t.Helper()
	x.Press("Escape")
	x.WaitFor(deadline, "the screen without "+gone, func(screen string) bool { return !strings.Contains(screen, gone) })
}

// fromFile opens a file by its path.
func (x *Terminal) fromFile(path string) {
	x.t.Helper()
	x.Press("C-p")
	x.Wait("All actions")
	x.Type("from a file")
	x.Press("Enter")
	x.Wait("docker://alpine")
	x.Type(path)
	x.Press("Enter")
}

// page waits until an address gives a page with a text.
func (x *Terminal) page(url, text string) {
	x.t.Helper()
	got := ""
	if !Until(deadline, func() bool { got, _ = get(url); return strings.Contains(got, text) }) {
		x.t.Fatalf("%s gives %q, not %q\n%s", url, got, text, x.Screen())
	}
}

func TestLookInside(t *testing.T) {
	h := NewHome(t)
	h.Known()
	x := h.OpenTerminal(110, 34)
	x.desk()
	x.Press("i")
	for _, page := range [][]string{
		{"Lab page", "port 8642", "The folder with the results"},
		{"exec perl /opt/lab/server.pl"},
		{"Bootstrap: debootstrap", "OSVersion: bookworm"},
		{"opt", "usr"},
		{"adduser", "Debian"},
		{"usr", "%"},
		{"Nothing was changed in it since it was built", "compares it with another image"},
		{"Not checked yet", "Nobody signed it"},
	} {
		x.Wait(page...)
		x.Press("Tab")
	}
	x.Press("BTab")
	x.Wait("Not checked yet")
	x.Press("v")
	x.Wait("Every byte was read")
	for range 4 { // back to the files
		x.Press("BTab")
	}
	x.Wait("opt", "usr", "find")
	x.Press("F")
	x.Type("server.pl")
	x.Press("Enter")
	x.Wait("/opt/lab", "IO::Socket::INET")
	x.leave()
	h.NothingLeft()
}

func TestShare(t *testing.T) {
	h := NewHome(t)
	h.Known()
	image, err := os.ReadFile(h.Path(".local/share/carrel/images/lab.sif"))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(image)
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()

	x := h.OpenTerminal(110, 40)
	x.desk()
	x.Press("x")
	x.Wait("Hand over the image file", "carrel run lab.sif", hex.EncodeToString(sum[:]))
	x.Press("w")
	if !Until(deadline, func() bool { return strings.Contains(h.Read(t, "lab.def"), "Bootstrap: debootstrap") }) {
		t.Errorf("the definition was not saved\n%s", x.Screen())
	}

	// By a link.
	x.Press("n")
	link := regexp.MustCompile(`(http://[^\s/]+/\S+/)\s`)
	var url string
	x.WaitFor(deadline, "a link", func(screen string) bool {
		m := link.FindStringSubmatch(screen)
		if m != nil {
			url = m[1] + "lab.sif"
		}
		return m != nil
	})
	got, err := get(url)
	if err != nil || sha256.Sum256([]byte(got)) != sum {
		t.Errorf("the link gives %d bytes, %v", len(got), err)
	}
	x.Wait("has all of it")
	x.Press("n")
	x.Wait("No longer sent")
	if Answers(url) {
		t.Error("the link still holds")
	}

	// Through a registry.
	ref := "oras://" + strings.TrimPrefix(server.URL, "http://") + "/ada/lab:1"
	x.Press("p")
	x.Wait("Push to a registry", "carrel login")
	x.Type(ref)
	x.Press("Enter")
	x.Wait(ref+" is there", "sha256:")
	x.leave()
	h.Must("pull", "back.sif", ref)
	back, err := os.ReadFile(h.Path("back.sif"))
	if err != nil || sha256.Sum256(back) != sum {
		t.Errorf("pulled are %d bytes, %v", len(back), err)
	}
	h.NothingLeft()
}

func TestPaletteAndDoctor(t *testing.T) {
	h := NewHome(t)
	h.Known()
	x := h.OpenTerminal(100, 30)
	x.desk()
	x.Press("?")
	x.Wait("Keys: Desk")
	x.back("Keys: Desk")
	x.Press("C-p")
	x.Wait("All actions")
	x.Type("check this")
	x.Wait("Check this computer")
	x.Press("Enter")
	x.Wait("Containers can run", "user namespaces")
	x.Press("Escape")
	x.Wait("START SOMETHING NEW")
	x.leave()
	h.NothingLeft()
}

// An app with choices, given by somebody as a file: the choice is what runs, and is remembered.
func TestGivenContainer(t *testing.T) {
	h := NewHome(t)
	h.Write(".local/state/carrel/welcomed", "")
	h.Lab("Downloads/from anna.sif")
	x := h.OpenTerminal(100, 30)
	x.Command("carrel")
	x.Wait("from a file")
	x.fromFile("~/Downloads/from anna.sif")
	x.Wait("What the page shows", "Rows and columns")
	x.Type("jjjj")
	x.Press("Enter")
	x.Wait("The same as a command", "tables")
	x.Press("Enter")
	x.page(x.address(deadline), "lab shows tables, start 1")
	x.leave()
	if r := h.Must("ps"); !strings.Contains(r.Out, "from-anna") && !strings.Contains(r.Out, "from anna") {
		t.Errorf("ps:\n%s", r.Out)
	}
}

// The log is searched and narrowed down, a shell inside is opened and left, the app is restarted.
func TestRunningApp(t *testing.T) {
	h := NewHome(t)
	h.Known()
	x := h.OpenTerminal(110, 34)
	url := x.startLab()
	x.Wait("serving", "line 100 after it")
	x.Press("/")
	x.Type("needle")
	x.Press("Enter")
	x.Wait("the needle is here", "line 300 of the log", "line 1 after it")
	x.Press("&")
	x.Type("needle")
	x.Press("Enter")
	x.WaitFor(deadline, "only the lines with the word", func(screen string) bool {
		return strings.Contains(screen, "the needle is here") && !strings.Contains(screen, "line 300 of the log")
	})

	x.Press("t")
	x.WaitFor(deadline, "a prompt inside", func(screen string) bool {
		return strings.HasSuffix(strings.TrimRight(screen, "\n"), ">") && !strings.Contains(screen, "serving")
	})
	x.Command("wc -l /opt/lab/server.pl; echo I am $((40+2)) inside")
	x.Wait("/opt/lab/server.pl", "I am 42 inside")
	x.Command("exit 3")
	x.Wait("serving", url[:len("http://127.0.0.1:8642")])

	x.Press("r")
	x.Wait("Restart lab?")
	x.Press("y")
	x.Wait("was started again")
	x.page(url, "start 1") // what was changed inside was thrown away
	x.leave()
	h.Must("stop", "--all")
	h.NothingLeft()
}

// What an app changes inside is there again at the next start, when the person says so.
func TestKeepChanges(t *testing.T) {
	h := NewHome(t)
	h.Known()
	x := h.OpenTerminal(110, 34)
	start := func() string {
		x.Press("Enter")
		x.Wait("What the page shows")
		x.Press("Enter")
		x.Wait("Changes inside the container")
		return x.Screen()
	}
	stop := func(url string) {
		x.Press("s")
		x.Wait("Stop lab?", "is saved")
		x.Press("y")
		if !Until(deadline, func() bool { return !Answers(url) }) {
			t.Fatalf("%s still answers\n%s", url, x.Screen())
		}
		x.Press("1")
		x.Wait("MY CONTAINERS", "stopped")
	}
	x.desk()
	start()
	x.Press("Down", "Down", "Down", "Down") // the folder, how, what, where, and whether it is kept
	x.Press("Right")
	x.Wait("--writable")
	x.Press("Enter")
	url := x.address(deadline)
	x.page(url, "start 1")
	stop(url)
	x.Press("Down")
	start()
	x.Wait("--writable") // remembered
	x.Press("Enter")
	url = x.address(deadline)
	x.page(url, "start 2")
	stop(url)
	x.leave()
	h.NothingLeft()
}

// F on an app that has ended does away with the cause: a folder it may only read becomes one that it may change.
func TestFixOnAKey(t *testing.T) {
	h := NewHome(t)
	h.Known()
	h.Write("results/old.txt", "")
	x := h.OpenTerminal(110, 34)
	h.Run("run", "-d", "--safe", "-p", "8642", "-B", "results:/data:ro", ".local/share/carrel/images/lab.sif", "writes")
	x.Command("carrel")
	x.Wait("lab", "ended")
	x.Press("Enter")
	x.Wait("Read-only file system", "let it change the folder")
	x.Press("F")
	x.page(x.address(deadline), "lab shows writes")
	if got := h.Read(t, "results/result.txt"); got != "written\n" {
		t.Errorf("the result is %q", got)
	}
	x.leave()
}

// A build that fails: what it wrote is saved, the container is opened as it was, the definition is mended, and it goes on.
func TestFailedBuild(t *testing.T) {
	h := NewHome(t)
	h.Known()
	h.Setenv("EDITOR", "sed -i s/nosuchprogram/true/")
	h.Write("mine.def", "Bootstrap: localimage\nFrom: "+h.Path(".local/share/carrel/images/lab.sif")+"\n\n%post\n    echo before > /opt/before\n    echo said before\n    nosuchprogram --now\n\n%runscript\n    exec perl /opt/lab/server.pl mine\n")
	x := h.OpenTerminal(110, 34)
	x.desk()
	x.fromFile("~/mine.def")
	x.Wait("The same as a command")
	x.Press("Enter")
	x.Wait("could not be built", "nosuchprogram is not in the image", "edit definition", "terminal")
	x.Press("w")
	x.WaitFor(deadline, "where the log was saved", func(screen string) bool { return strings.Contains(screen, "build.log") })
	x.Press("t")
	x.WaitFor(deadline, "a prompt inside", func(screen string) bool {
		return strings.HasSuffix(strings.TrimRight(screen, "\n"), ">") && !strings.Contains(screen, "could not be built")
	})
	x.Command("cat /opt/before; echo I am $((40+2)) inside")
	x.Wait("\nbefore", "I am 42 inside")
	x.Command("exit")
	x.Wait("could not be built")
	x.Press("e")
	if !Until(deadline, func() bool { return strings.Contains(h.Read(t, "mine.def"), "true --now") }) {
		t.Fatalf("the editor did not change the definition\n%s", x.Screen())
	}
	x.Wait("r builds it as it is now")
	x.Press("r")
	x.page(x.address(deadline), "lab shows mine")
	x.leave()
	h.Must("stop", "--all")
	h.NothingLeft()
}
