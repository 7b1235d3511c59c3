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
	"time"

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

	sharing *task.Stream[handed] // nil: it is not sent over the network
	link    handed
	taken   int
	now     string // what a downloader does
	shareE  error

	pushing *task.Stream[pushed]
	push    pushed
	pushE   error
}

// handed is how sending over the network goes: the link first, then events.
type handed struct {
	page, url string
	until     time.Time
	event     engine.ShareEvent
}

// pushed is how sending to a registry goes.
type pushed struct {
	ref         string
	done, total int64
	digest      string
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
	handedMsg struct {
		id    task.ID
		batch task.Batch[handed]
	}
	pushedMsg struct {
		id    task.ID
		batch task.Batch[pushed]
	}
)

// New makes the screen.
func New(d screen.Deps, o screen.OpenShare) *Screen {
	return &Screen{d: d, id: task.NewID(), name: o.Name, title: o.Title}
}

// Title is the screen's name in the line at the top.
func (s *Screen) Title() string { return "Share" }

// Close ends reading the image, and sending it.
func (s *Screen) Close() {
	s.sum.Stop()
	s.sharing.Stop()
	s.pushing.Stop()
}

// Wait waits until all of that has ended.
func (s *Screen) Wait() {
	s.sum.Wait()
	s.sharing.Wait()
	s.pushing.Wait()
}

// Keeps tells that something is being sent.
func (s *Screen) Keeps() bool { return s.pushing != nil || s.sharing != nil }

// Working is what leaving the program would end.
func (s *Screen) Working() string {
	switch {
	case s.pushing != nil:
		return "The push of " + widget.Clean(s.title)
	case s.sharing != nil && strings.Contains(s.now, downloads):
		return "The download of " + widget.Clean(s.title) + " by somebody else"
	}
	return ""
}

// leave asks before what others wait for is ended.
func (s *Screen) leave() tea.Cmd {
	title, body, yes := "", "", ""
	switch {
	case s.pushing != nil:
		title, yes = "Stop pushing "+widget.Clean(s.title)+"?", "Stop it and leave"
		body = "It is not all there yet: " + widget.Bytes(s.push.done)
		if s.push.total > 0 {
			body += " of " + widget.Bytes(s.push.total)
		}
		body += ". What is not complete there has to be sent again."
	case s.sharing != nil && strings.Contains(s.now, downloads):
		title, yes = "Stop sending "+widget.Clean(s.title)+"?", "Stop it and leave"
		body = widget.Sentence(s.now) + " Leaving ends that."
	default:
		return screen.Ask(screen.Back{})
	}
	return screen.Ask(screen.Confirm{
		Dialog: widget.Confirm(title, []string{body}, yes, "Stay"),
		Answer: func(id string) tea.Cmd {
			if id != "yes" {
				return nil
			}
			return screen.Ask(screen.Back{})
		},
	})
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
	case handedMsg:
		if m.id != s.id || s.sharing == nil {
			return nil
		}
		for _, h := range m.batch.Items {
			s.handed(h)
		}
		if m.batch.Done {
			s.sharing, s.shareE = nil, m.batch.Err
			if errors.Is(s.shareE, context.Canceled) {
				s.shareE = nil
			}
			return nil
		}
		return s.nextHanded()
	case pushedMsg:
		if m.id != s.id || s.pushing == nil {
			return nil
		}
		if n := len(m.batch.Items); n > 0 {
			s.push = m.batch.Items[n-1]
		}
		if m.batch.Done {
			s.pushing, s.pushE = nil, m.batch.Err
			if s.pushE != nil && !errors.Is(s.pushE, context.Canceled) {
				return screen.Ask(screen.Failed{What: "Pushing " + s.title, Err: s.pushE})
			}
			return nil
		}
		return s.nextPushed()
	}
	return nil
}

// downloads is what stands between who downloads and how far they are.
const downloads = " downloads it: "

// handed takes what happened.
func (s *Screen) handed(h handed) {
	if h.page != "" {
		s.link = h
		return
	}
	switch h.event.Kind {
	case engine.ShareTaken:
		s.taken++
		s.now = h.event.From + " has all of it"
	case engine.ShareLeft:
		s.now = h.event.From + " went away before the end"
	case engine.ShareBegun, engine.ShareAmount:
		s.now = h.event.From + downloads + widget.Bytes(h.event.Done) + " of " + widget.Bytes(h.event.Size)
	}
}

// shareTime is how long a link holds, unless the screen is left before.
const shareTime = time.Hour

// handOut begins to send the image over the network.
func (s *Screen) handOut() tea.Cmd {
	if s.sharing != nil {
		return nil
	}
	s.link, s.taken, s.now, s.shareE = handed{}, 0, "", nil
	eng, name := s.d.Engine, s.name
	s.sharing = task.Run(s.d.Life, func(ctx context.Context, emit func(handed)) error {
		h, err := eng.Share(ctx, engine.ShareSpec{Image: name, For: shareTime, Event: func(e engine.ShareEvent) { emit(handed{event: e}) }})
		if err != nil {
			return err
		}
		defer h.Close()
		emit(handed{page: h.Page, url: h.URL, until: h.Until()})
		select {
		case <-h.Done():
			return h.Err()
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	return s.nextHanded()
}

func (s *Screen) nextHanded() tea.Cmd {
	id := s.id
	return s.sharing.Next(func(b task.Batch[handed]) tea.Msg { return handedMsg{id, b} })
}

// askPush asks where to push to.
func (s *Screen) askPush() tea.Cmd {
	if s.pushing != nil {
		return nil
	}
	return screen.Ask(screen.AskText{
		Title: "Push to a registry", Help: "oras://… keeps the very file; docker://… makes an image that Docker and Podman can run too. Log in first, in a terminal: carrel login REGISTRY",
		Hint: "oras://ghcr.io/you/name:1", Value: s.push.ref,
		Answer: func(ref string) tea.Cmd {
			s.push, s.pushE = pushed{ref: ref}, nil
			eng, name := s.d.Engine, s.name
			s.pushing = task.Run(s.d.Life, func(ctx context.Context, emit func(pushed)) error {
				p, err := eng.Push(ctx, name, ref, func(e engine.Event) {
					if e.Total > 0 {
						emit(pushed{ref: ref, done: e.Done, total: e.Total})
					}
				})
				if err == nil {
					emit(pushed{ref: p.Ref, digest: p.Digest, total: p.Size})
				}
				return err
			})
			return s.nextPushed()
		},
	})
}

func (s *Screen) nextPushed() tea.Cmd {
	id := s.id
	return s.pushing.Next(func(b task.Batch[pushed]) tea.Msg { return pushedMsg{id, b} })
}

func (s *Screen) next() tea.Cmd {
	id := s.id
	return s.sum.Next(func(b task.Batch[progress]) tea.Msg { return sumMsg{id, b} })
}

// Checksum is the SHA-256 of a file, in hexadecimal digits.
func Checksum(ctx context.Context, path string) (sum string, err error) {
	err = checksum(ctx, path, func(p progress) { sum = p.sum })
	return sum, err
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
	noLink, net, push := "it is not sent over the network", "send over network", "push to a registry"
	sendName, pushName, send, pushIt := "Send "+s.title+" to somebody in this network", "Push "+s.title+" to a registry", s.handOut, s.askPush
	if now := s.sharing; now != nil { // what ends one must not begin another when it has ended meanwhile
		net, sendName, send = "stop sending", "Stop sending "+s.title, func() tea.Cmd { now.Stop(); return nil }
		if s.link.page != "" {
			noLink = ""
		}
	}
	if now := s.pushing; now != nil {
		push, pushName, pushIt = "stop pushing", "Stop pushing "+s.title, func() tea.Cmd { now.Stop(); return nil }
	}
	copies := func(text, what string) func() tea.Cmd {
		return func() tea.Cmd { return screen.Ask(screen.Copy{Text: text, What: what}) }
	}
	acts := []screen.Action{
		screen.Do(screen.On("n"), net, sendName, send).Unless(noFile),
		screen.Do(screen.On("l"), "copy link", "Copy the link", copies(s.link.page, "the link")).Unless(noLink),
		screen.Do(screen.On("Q"), "QR code", "Show the link as a QR code", func() tea.Cmd {
			return screen.Ask(screen.ShowCode{Title: s.title, Text: s.link.page, Note: "for a device in the same network"})
		}).Unless(noLink),
		screen.Do(screen.On("p"), push, pushName, pushIt).Unless(wait),
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
	if s.pushing != nil || s.sharing != nil {
		acts = append(acts, screen.Do(screen.On("esc"), "stop and leave", "Leave, and end what is sent", s.leave))
	}
	return acts
}

// View draws the ways.
func (s *Screen) View(w, h int) string {
	return widget.Page(s.d.Theme, s.lines(w), s.off, w, h)
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
			sum = s.digest[:min(32, max(8, inner-22))] + theme.Ellipsis + t.Muted.Render("  s copies")
		case s.size > 0:
			sum = widget.Bar(t, min(30, max(0, inner-24)), s.done, s.size) + t.Muted.Render("  "+widget.Bytes(s.done))
		}
		for _, l := range widget.Facts(t, inner, [2]string{"file", widget.PathLink(t.Text, s.target.Path, s.d.Home, max(0, inner-8))}, [2]string{"size", widget.Bytes(s.size)}, [2]string{"sha256", sum}) {
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
	if !s.folder {
		out = append(out, s.network(t, inner)...)
	}
	out = append(out, s.registry(t, inner)...)
	return out
}

// network is the way over the network, with the link while it is open.
func (s *Screen) network(t *theme.Theme, w int) []string {
	out := []string{"  " + t.Title.Render("Send it over this network")}
	say := func(style func(...string) string, text string) {
		for _, l := range widget.Wrap(text, w) {
			out = append(out, "    "+style(l))
		}
	}
	switch {
	case s.shareE != nil:
		say(t.Bad.Render, theme.Cross+" "+widget.Sentence(s.shareE.Error()))
		say(t.Muted.Render, "n tries it again.")
	case s.sharing == nil && s.taken > 0:
		say(t.Muted.Render, "No longer sent; it was downloaded "+widget.Count(s.taken, "time", "times")+". n sends it again.")
	case s.sharing == nil:
		say(t.Muted.Render, "For a colleague in the room: n makes a link from which they download it, for as long as you stay here. Who has the link can have the file; nobody else.")
	case s.link.page == "":
		say(t.Muted.Render, "Making the link "+theme.Ellipsis)
	default:
		out = append(out, widget.Indent(widget.LinkRows(t.Link, s.link.page, w), 4)...)
		text := "l copies it, Q shows it as a QR code, n ends it."
		if !s.link.until.IsZero() {
			text = "Open until " + s.link.until.Local().Format("15:04") + ", or until you leave this screen. " + text
		}
		say(t.Muted.Render, text)
		say(t.Muted.Render, "On their computer, in a terminal: carrel pull "+s.link.url)
		if s.now != "" {
			say(t.Text.Render, theme.Dot+" "+s.now)
		}
	}
	return append(out, "")
}

// registry is the way to a registry.
func (s *Screen) registry(t *theme.Theme, w int) []string {
	out := []string{"  " + t.Title.Render("Push it to a registry")}
	text := func(style func(...string) string, text string) {
		for _, l := range widget.Wrap(text, w) {
			out = append(out, "    "+style(l))
		}
	}
	switch {
	case s.pushing != nil:
		text(t.Text.Render, widget.Clean(s.push.ref))
		out = append(out, "    "+widget.Bar(t, min(30, max(0, w-24)), s.push.done, max(1, s.push.total))+t.Muted.Render("  "+widget.Bytes(s.push.done)))
	case s.push.digest != "":
		text(t.OK.Render, theme.Check+" "+widget.Clean(s.push.ref)+" is there.")
		text(t.Muted.Render, "Everybody who may read it runs it with: carrel run "+widget.Clean(s.push.ref))
		text(t.Muted.Render, "For a paper, name its exact content: "+s.push.digest)
	default:
		text(t.Muted.Render, "A server such as ghcr.io or your university's, from which everybody can take it by name, for years. p asks where to.")
	}
	return append(out, "")
}
