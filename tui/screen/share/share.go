// Package share is the screen from which an image is handed to somebody else: as a file with its checksum, or as the
// definition file from which they build the same.
package share

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"

	tea "charm.land/bubbletea/v2"

	"carrel/engine"
	"carrel/tui/screen"
	"carrel/tui/task"
	"carrel/tui/theme"
	"carrel/tui/widget"
)

// Screen is the ways in which one image can be shared.
type Screen struct {
	screen.Base
	d     screen.Deps
	id    task.ID
	name  string
	title string

	known  bool
	target engine.Target
	def    string
	size   int64
	folder bool // the image is no file
	err    error

	sum    *task.Stream[progress]
	done   int64
	digest string
	sumErr error
	off    int
	w, h   int
}

// progress is how far the checksum is; sum is there at the end.
type progress struct {
	done int64
	sum  string
}

type (
	readMsg struct {
		id     task.ID
		target engine.Target
		def    string
		size   int64
		folder bool
		err    error
	}
	sumMsg struct {
		id    task.ID
		batch task.Batch[progress]
	}
)

// New makes the screen.
func New(d screen.Deps, o screen.OpenShare) *Screen {
	return &Screen{d: d, id: task.NewID(), name: o.Name, title: o.Title}
}

// Title is the screen's name in the line at the top.
func (s *Screen) Title() string { return "Share" }

// Close ends reading the image.
func (s *Screen) Close() {
	if s.sum != nil {
		s.sum.Stop()
		s.sum.Wait()
	}
}

// Init finds the image.
func (s *Screen) Init() tea.Cmd {
	id, name, eng, life := s.id, s.name, s.d.Engine, s.d.Life
	return task.Call(func() (readMsg, error) {
		m := readMsg{id: id, size: -1}
		var err error
		if m.target, err = eng.Resolve(life, name); err != nil {
			return m, err
		}
		if st, err := os.Stat(m.target.Path); err == nil {
			m.size, m.folder = st.Size(), st.IsDir()
		}
		m.def, _ = eng.Definition(life, name) // an image without one is shared as a file only
		return m, nil
	}, func(m readMsg, err error) tea.Msg { m.id, m.err = id, err; return m })
}

// Update takes the answers.
func (s *Screen) Update(msg tea.Msg) tea.Cmd {
	switch m := msg.(type) {
	case readMsg:
		if m.id != s.id {
			return nil
		}
		s.known, s.target, s.def, s.size, s.folder, s.err = true, m.target, m.def, m.size, m.folder, m.err
		if m.err != nil {
			return tea.Sequence(screen.Ask(screen.Back{}), screen.Ask(screen.Failed{What: "Sharing " + s.title, Err: m.err}))
		}
		if s.folder {
			return nil
		}
		path := s.target.Path
		s.sum = task.Run(s.d.Life, func(ctx context.Context, emit func(progress)) error { return checksum(ctx, path, emit) })
		return s.next()
	case sumMsg:
		if m.id != s.id {
			return nil
		}
		if n := len(m.batch.Items); n > 0 {
			s.done, s.digest = m.batch.Items[n-1].done, m.batch.Items[n-1].sum
		}
		if m.batch.Done {
			s.sumErr = m.batch.Err
			return nil
		}
		return s.next()
	}
	return nil
}

func (s *Screen) next() tea.Cmd {
	id := s.id
	return s.sum.Next(func(b task.Batch[progress]) tea.Msg { return sumMsg{id, b} })
}

// checksum reads a file and tells how far it is.
func checksum(ctx context.Context, path string, emit func(progress)) (err error) {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	h := sha256.New()
	buf := make([]byte, 1<<20)
	var done, told int64
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := f.Read(buf)
		h.Write(buf[:n])
		done += int64(n)
		if errors.Is(err, io.EOF) {
			emit(progress{done, hex.EncodeToString(h.Sum(nil))})
			return nil
		}
		if err != nil {
			return err
		}
		if done-told >= 16<<20 {
			told = done
			emit(progress{done: done})
		}
	}
}

// file is the image's name without its folder, as a word of a shell.
func (s *Screen) file() string {
	name := widget.Clean(filepath.Base(s.target.Path))
	if strings.ContainsAny(name, " '\"$&|;<>()*?[]#~`\\") {
		return "'" + strings.ReplaceAll(name, "'", `'\''`) + "'"
	}
	return name
}

// Key scrolls where not all fits.
func (s *Screen) Key(k tea.KeyPressMsg) (tea.Cmd, bool) {
	switch k.String() {
	case "up", "k":
		s.scroll(-1)
	case "down", "j":
		s.scroll(1)
	case "pgup":
		s.scroll(-max(1, s.h-2))
	case "pgdown", "space":
		s.scroll(max(1, s.h-2))
	default:
		return nil, false
	}
	return nil, true
}

func (s *Screen) scroll(n int) {
	s.off = min(max(0, s.off+n), max(0, len(s.lines(s.w))-s.h))
}

// Mouse scrolls.
func (s *Screen) Mouse(m screen.Mouse) tea.Cmd {
	s.scroll(m.Wheel * 3)
	return nil
}

// Resize remembers the size.
func (s *Screen) Resize(w, h int) {
	s.w, s.h = w, h
	s.scroll(0)
}

// Actions are the ways to share.
func (s *Screen) Actions() []screen.Action {
	wait, noSum, noDef, noFile := "", "", "", ""
	switch {
	case !s.known:
		wait = "the image is being looked at"
	case s.folder:
		noSum, noFile = "this image is a folder", "this image is a folder; make a file of it first"
	case s.sumErr != nil:
		noSum = "the file could not be read"
	case s.digest == "":
		noSum = "it is being worked out"
	}
	if s.def == "" {
		noDef = "it holds no definition"
	}
	if wait != "" {
		noSum, noDef, noFile = wait, wait, wait
	}
	copies := func(text, what string) func() tea.Cmd {
		return func() tea.Cmd { return screen.Ask(screen.Copy{Text: text, What: what}) }
	}
	return []screen.Action{
		screen.Do(screen.On("c"), "copy path", "Copy the path of the image", copies(s.target.Path, "the path")).Unless(wait),
		screen.Do(screen.On("s"), "copy checksum", "Copy the checksum", copies(s.digest+"  "+filepath.Base(s.target.Path), "the checksum")).Unless(noSum),
		screen.Do(screen.On("y"), "copy command", "Copy the command they run it with", copies("carrel run "+s.file(), "the command")).Unless(noFile),
		screen.Do(screen.On("w"), "save definition", "Save the definition to a file", func() tea.Cmd {
			return screen.Ask(screen.SaveText{Name: strings.TrimSuffix(s.target.Name, filepath.Ext(s.target.Name)) + ".def", Text: s.def})
		}).Unless(noDef),
		screen.Do(screen.On("v"), "see definition", "See the definition", func() tea.Cmd {
			return screen.Ask(screen.OpenInspect{Name: s.name, Title: s.title, Tab: "definition"})
		}).Unless(noDef).Quietly(),
	}
}

// View draws the ways.
func (s *Screen) View(w, h int) string {
	lines := s.lines(w)
	return widget.Rows(lines[min(s.off, max(0, len(lines)-h)):], w, h)
}

func (s *Screen) lines(w int) []string {
	if !s.known || s.err != nil || w <= 0 {
		return nil
	}
	t := s.d.Theme
	inner := max(1, min(w-6, 92))
	out := []string{""}
	say := func(style func(...string) string, text string) {
		for _, l := range widget.Wrap(text, inner) {
			out = append(out, "    "+style(l))
		}
	}
	way := func(title, text string) {
		out = append(out, "  "+t.Title.Render(title))
		say(t.Muted.Render, text)
		out = append(out, "")
	}
	command := func(text string) {
		out = append(out, "    "+t.Accent.Render(theme.Wall)+" "+t.Strong.Render(widget.Cut(text, max(0, inner-2))))
	}
	if s.folder {
		way("Make a file of it", "This image is a folder. A file is easier to hand over:")
		command("carrel build " + s.file() + ".sif " + widget.Clean(widget.Tilde(s.target.Path, s.d.Home)))
		out = append(out, "")
	} else {
		way("Hand over the image file", "Everything is in it: it runs the same on their computer or on a cluster. Send it as you send any large file.")
		sum := t.Muted.Render("working it out " + theme.Ellipsis)
		switch {
		case s.sumErr != nil:
			sum = t.Bad.Render(widget.Cut(theme.Cross+" "+widget.Sentence(s.sumErr.Error()), max(1, inner-12)))
		case s.digest != "" && inner >= 80:
			sum = s.digest
		case s.digest != "":
			sum = s.digest[:32] + theme.Ellipsis + t.Muted.Render("  s copies all")
		case s.size > 0:
			sum = widget.Bar(t, min(30, max(0, inner-24)), s.done, s.size) + t.Muted.Render("  "+widget.Bytes(s.done))
		}
		for _, l := range widget.Facts(t, inner, [2]string{"file", widget.CutMiddle(widget.Clean(widget.Tilde(s.target.Path, s.d.Home)), max(0, inner-8))}, [2]string{"size", widget.Bytes(s.size)}, [2]string{"sha256", sum}) {
			out = append(out, "    "+l)
		}
		out = append(out, "")
		say(t.Muted.Render, "They run it with one of")
		command("carrel run " + s.file())
		command("apptainer run " + s.file())
		out = append(out, "")
	}
	if s.def != "" {
		way("Hand over the definition file", "A short text ("+widget.Count(strings.Count(s.def, "\n")+1, "line", "lines")+") that anybody can read. They build the same app from it, with newer software perhaps. w saves a copy.")
	} else {
		way("Hand over the definition file", "Not possible: this image holds none. It was made by another program, or from a registry.")
	}
	way("Send it over this network", "Carrel cannot do this yet. Use a shared folder, or a memory stick.")
	way("Push it to a registry", "Carrel cannot do this yet. Apptainer can, with the same file:")
	if !s.folder {
		out = out[:len(out)-1]
		command("apptainer push " + s.file() + " oras://ghcr.io/YOU/NAME:1")
		out = append(out, "")
	}
	return out
}
