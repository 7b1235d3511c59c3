// Command screenshots is `make screenshots`: it uses the real program in a terminal in memory, as docs/tutorial.md tells, and keeps a
// picture of each step in docs/pictures. A step that does not show what the tutorial says is an error.
//
//	go run ./scripts/screenshots [-carrel PROGRAM] [-image FILE] [-out FOLDER]
//
// Without -image the notebook app is built, which needs the network and some minutes.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/charmbracelet/x/vt"
	"github.com/creack/pty"

	"carrel/internal/termsvg"
)

const (
	columns, lines = 104, 30
	patience       = 3 * time.Minute
)

func main() {
	var s studio
	flag.StringVar(&s.carrel, "carrel", "bin/carrel", "the `PROGRAM` to use")
	flag.StringVar(&s.image, "image", "", "an image `FILE` of nginx-jupyter, instead of building it")
	flag.StringVar(&s.out, "out", "docs/pictures", "the `FOLDER` to write to")
	flag.Parse()
	if err := s.run(); err != nil {
		fmt.Fprintln(os.Stderr, "screenshots:", err)
		os.Exit(1)
	}
}

// studio takes the pictures.
type studio struct {
	carrel, image, out string
	home               string
	x                  *terminal
}

func (s *studio) run() (err error) {
	if s.carrel, err = filepath.Abs(s.carrel); err != nil {
		return err
	}
	if err := os.MkdirAll(s.out, 0o755); err != nil {
		return err
	}
	root, err := os.MkdirTemp("", "screenshots-")
	if err != nil {
		return err
	}
	s.home = filepath.Join(root, "ada")
	defer func() {
		for _, name := range []string{"welcome", "nginx-jupyter"} {
			_ = s.command("stop", name).Run() // it may have been stopped, or never started
		}
		if s.x != nil {
			s.x.close()
		}
		_ = os.RemoveAll(root)
	}()
	files := map[string]string{
		"papers/stroop/trials.csv":     "subject,condition,rt\n1,congruent,512.5\n1,incongruent,734.0\n2,congruent,498.2\n2,incongruent,701.9\n",
		"papers/stroop/README.md":      "# Stroop\n\nColour words, and how long naming their colour takes.\n",
		"site/index.html":              "<!doctype html><title>Results</title><h1>Results</h1>\n",
		"site/figures/reaction.svg":    "<svg xmlns=\"http://www.w3.org/2000/svg\"/>\n",
		"papers/stroop/analysis.ipynb": `{"cells":[],"metadata":{},"nbformat":4,"nbformat_minor":5}` + "\n",
	}
	for name, text := range files {
		path := filepath.Join(s.home, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
	}
	if err := s.notebook(); err != nil {
		return err
	}
	return s.tour()
}

// notebook puts the image of the notebook app where images are kept.
func (s *studio) notebook() error {
	image := filepath.Join(s.home, ".local/share/carrel/images/nginx-jupyter.sif")
	if err := os.MkdirAll(filepath.Dir(image), 0o755); err != nil {
		return err
	}
	if s.image == "" {
		c := s.command("build", image, "nginx-jupyter")
		c.Stderr = os.Stderr
		return c.Run()
	}
	from, err := os.Open(s.image)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.OpenFile(image, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(to, from)
	return errors.Join(err, to.Close())
}

func (s *studio) command(args ...string) *exec.Cmd {
	c := exec.Command(s.carrel, args...)
	c.Dir = s.home
	c.Env = []string{"HOME=" + s.home, "USER=ada", "PATH=" + os.Getenv("PATH"), "TERM=xterm-256color", "COLORTERM=truecolor", "LANG=C.UTF-8", "CARREL_GUARD=off"}
	return c
}

// tour is the tutorial, step by step.
func (s *studio) tour() error {
	if err := s.open(); err != nil {
		return err
	}
	const (
		esc, enter, tab, down, clear = "\x1b", "\r", "\t", "\x1b[B", "\x15"
	)
	steps := []struct {
		keys    []string // typed first; one that ends in "…" is waited for instead
		picture string
		title   string
	}{
		{[]string{"free for images…"}, "1-welcome", "Carrel looks at the computer"},
		{[]string{enter, "What brings you here?…"}, "2-what-brings-you", "What brings you here?"},
		{[]string{enter, "3 of 3…", enter, "serving…", "ready after…"}, "3-first-page", "The first app runs; its address is shown"},
		{[]string{"2", "Jupyter notebook…"}, "4-catalog", "The catalog"},
		{[]string{"1", "nginx-jupyter.sif…", down, down, "start…", enter, "The folder with your notebooks…", "~/papers/stroop", "3 files…", "keep them…"}, "5-notebook-form", "Which folder the notebook works in"},
		{[]string{enter, "serving…", "ready after…"}, "6-notebook", "The notebook runs"},
		{[]string{"i", "Overview…", "Files…", tab, tab, tab, "opt/…"}, "7-look-inside", "The files inside the image"},
		{[]string{esc, "x", "Share…"}, "8-share", "Ways to hand it on"},
		{[]string{esc, "1", "MY CONTAINERS…", "g"}, "9-desk", "The desk"},
		{[]string{"s", "Let it run…"}, "10-stop", "Stopping asks first"},
		{[]string{esc, "START SOMETHING NEW…", "G", enter, "Which folder holds your files?…", clear, "~/site", "a folder of web pages…", enter, "there is index.html…", enter, "How it is built and started…"}, "11-own-app", "What Carrel proposes for a folder"},
		{[]string{enter, "Setting up…"}, "12-building", "The image is built"},
	}
	for _, step := range steps {
		for _, k := range step.keys {
			if text, ok := strings.CutSuffix(k, "…"); ok {
				if err := s.x.wait(text); err != nil {
					return fmt.Errorf("%s: %w", step.picture, err)
				}
				continue
			}
			if err := s.x.calm(); err != nil {
				return fmt.Errorf("%s: %w", step.picture, err)
			}
			s.x.mu.Lock()
			s.x.news = time.Now() // an escape and a letter at once would be another key
			s.x.mu.Unlock()
			if _, err := io.WriteString(s.x.file, k); err != nil {
				return err
			}
		}
		if step.picture != "12-building" { // which is never at rest
			if err := s.x.calm(); err != nil {
				return err
			}
		}
		if err := s.keep(step.picture, step.title); err != nil {
			return err
		}
	}
	return nil
}

// keep writes what the terminal shows. The temporary folder is not in it: the home folder is written as ~.
func (s *studio) keep(name, title string) error {
	s.x.mu.Lock()
	defer s.x.mu.Unlock()
	if strings.Contains(s.x.emu.String(), s.home) {
		return fmt.Errorf("%s: the name of a temporary folder is seen", name)
	}
	fmt.Println(name)
	return os.WriteFile(filepath.Join(s.out, name+".svg"), termsvg.Draw(s.x.emu, title), 0o644)
}

// terminal is the program in a terminal.
type terminal struct {
	cmd  *exec.Cmd
	file *os.File
	mu   sync.Mutex
	emu  *vt.Emulator
	news time.Time // when something was drawn last
	done chan struct{}
}

func (s *studio) open() error {
	c := s.command()
	f, err := pty.StartWithSize(c, &pty.Winsize{Rows: lines, Cols: columns})
	if err != nil {
		return err
	}
	x := &terminal{cmd: c, file: f, emu: vt.NewEmulator(columns, lines), done: make(chan struct{})}
	s.x = x
	go func() {
		defer close(x.done)
		buf := make([]byte, 64<<10)
		for {
			n, err := f.Read(buf)
			x.mu.Lock()
			_, werr := x.emu.Write(buf[:n])
			x.news = time.Now()
			x.mu.Unlock()
			if err != nil || werr != nil {
				return
			}
		}
	}()
	go func() { _, _ = io.Copy(f, x.emu) }() // its answers, until it is closed
	return nil
}

// wait waits until a text is shown.
func (x *terminal) wait(text string) error {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		x.mu.Lock()
		there := strings.Contains(x.emu.String(), text)
		x.mu.Unlock()
		if there {
			return nil
		}
		select {
		case <-x.done:
			return errors.New("the program ended")
		default:
		}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	return fmt.Errorf("%q does not appear:\n%s", text, bytes.TrimSpace([]byte(x.emu.String())))
}

// calm waits until nothing was drawn for a while.
func (x *terminal) calm() error {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		x.mu.Lock()
		quiet := time.Since(x.news) > 300*time.Millisecond
		x.mu.Unlock()
		if quiet {
			return nil
		}
	}
	return errors.New("the screen does not come to rest")
}

func (x *terminal) close() {
	_ = x.cmd.Process.Kill() // it may have ended
	_ = x.cmd.Wait()
	_ = x.emu.Close() // never fails
	x.file.Close()
	<-x.done
}
