// Package desk is the first screen: what runs, which containers are here, and the ways to start something new.
package desk

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"carrel/engine"
	"carrel/tui/screen"
	"carrel/tui/task"
	"carrel/tui/widget"
)

// Screen is the desk.
type Screen struct {
	screen.Base
	d  screen.Deps
	id task.ID

	apps      []engine.Instance
	lost      error // why some apps are not among them
	images    []engine.ImageInfo
	named     map[string]int // how many images have a name
	imgsKnown bool
	imgsErr   error
	reading   bool
	readAgain bool
	coming    *task.Stream[[]engine.ImageInfo]
	rows      []row
	list      widget.List
	find      screen.Finder
	cards     map[string]about // by image path
	gauge     screen.Gauge     // of the selected app, while it runs and there is room for it
	visible   bool
	end       screen.End // of the selected app, when it has ended
	endOf     string     // which end that is
	now       time.Time
	frame     int
	w, h      int
	touched   bool // the person has moved the cursor
}

// row is one line of the list.
type row struct {
	heading string
	note    string // a line that cannot be selected
	app     *engine.Instance
	image   *engine.ImageInfo
	start   string // "catalog", "file"
}

// about is what an image says about itself, read when it is looked at for the first time.
type about struct {
	card  task.Card
	known bool
	err   error
}

type (
	imagesMsg struct {
		id    task.ID
		batch task.Batch[[]engine.ImageInfo]
	}
	cardMsg struct {
		id   task.ID
		path string
		card task.Card
		err  error
	}
	doneMsg struct {
		id    task.ID
		what  string
		said  string
		again string // the app that was to be started again
		err   error
	}
)

// New makes the desk.
func New(d screen.Deps) *Screen {
	s := &Screen{d: d, id: task.NewID(), cards: map[string]about{}, now: d.Now()}
	s.build()
	return s
}

// Title is the screen's name in the line at the top.
func (s *Screen) Title() string { return "Desk" }

// Init reads what images there are.
func (s *Screen) Init() tea.Cmd { return s.read() }

func (s *Screen) read() tea.Cmd {
	if s.reading {
		s.readAgain = true
		return nil
	}
	s.reading = true
	eng := s.d.Engine
	s.coming = task.Run(s.d.Life, func(ctx context.Context, emit func([]engine.ImageInfo)) error {
		l, err := eng.ListImages(ctx, emit)
		if err == nil {
			emit(l)
		}
		return err
	})
	return s.nextImages()
}

func (s *Screen) nextImages() tea.Cmd {
	id := s.id
	return s.coming.Next(func(b task.Batch[[]engine.ImageInfo]) tea.Msg { return imagesMsg{id, b} })
}

// take takes the images as far as they were read. What an image said of itself before is shown until it is read again.
func (s *Screen) take(b task.Batch[[]engine.ImageInfo]) tea.Cmd {
	if n := len(b.Items); n > 0 {
		said := map[string]*engine.ImageInfo{}
		if !b.Done {
			for i := range s.images {
				said[s.images[i].Path] = &s.images[i]
			}
		}
		list := b.Items[n-1]
		s.named = map[string]int{}
		for i := range list {
			m := &list[i]
			s.named[m.Name]++
			if was := said[m.Path]; was != nil && m.Kind == "" && m.Problem == "" && was.Size == m.Size && was.ModTime.Equal(m.ModTime) {
				m.Kind, m.Arch, m.Title, m.Problem = was.Kind, was.Arch, was.Title, was.Problem
			}
		}
		s.images, s.imgsKnown = list, true
	}
	if b.Done {
		s.reading, s.imgsKnown, s.imgsErr = false, true, b.Err
	}
	s.build()
	var next tea.Cmd
	switch {
	case !b.Done:
		next = s.nextImages()
	case s.readAgain:
		s.readAgain = false
		next = s.read()
	}
	return tea.Batch(next, s.look())
}

// Close ends reading what images there are.
func (s *Screen) Close() {
	if s.coming != nil {
		s.coming.Stop()
		s.coming.Wait()
	}
}

// Pace keeps ages true; fast only while an app starts.
func (s *Screen) Pace() time.Duration {
	for i := range s.apps {
		if st := s.apps[i].State; st == engine.StateStarting || st == engine.StateStopping {
			return screen.Spin
		}
	}
	if s.measured() != nil {
		return screen.Measuring
	}
	return screen.Slow
}

// measured is the app whose use of the computer is shown, nil for none.
func (s *Screen) measured() *engine.Instance {
	if _, dw, _, _ := s.layout(s.w, s.h); dw == 0 {
		return nil
	}
	if a := s.row().app; a != nil && a.State.Live() {
		return a
	}
	return nil
}

// measure asks what the selected app uses, while it is seen.
func (s *Screen) measure() tea.Cmd {
	if !s.visible {
		return nil
	}
	return s.gauge.Ask(s.d, s.measured(), s.now)
}

// Update takes what happened.
func (s *Screen) Update(msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case screen.Tick:
		s.now, s.frame = msg.Now, msg.Frame
		return s.measure()
	case screen.Shown:
		s.now, s.visible = s.d.Now(), true
		return s.look()
	case screen.Hidden:
		s.visible = false
	case screen.Measured:
		s.gauge.Take(msg)
	case screen.Instances:
		s.apps, s.lost = append([]engine.Instance(nil), msg.List...), msg.Err
		s.now = s.d.Now()
		s.build()
		return tea.Batch(s.read(), s.look()) // when an image was last run, and by whom it is used, have changed
	case screen.ImagesChanged:
		return s.read()
	case tea.PasteMsg:
		if s.find.Typing && s.find.Text.Update(msg) {
			return s.found()
		}
	case imagesMsg:
		if msg.id != s.id {
			return nil
		}
		return s.take(msg.batch)
	case cardMsg:
		if msg.id == s.id {
			s.cards[msg.path] = about{msg.card, true, msg.err}
		}
	case doneMsg:
		if msg.id != s.id {
			return nil
		}
		if msg.again != "" {
			if ask := s.d.Again(msg.again, msg.err, func(f func(context.Context) error) tea.Cmd { return s.restart(msg.again, f) }); ask != nil {
				return ask
			}
		}
		if msg.err != nil {
			return screen.Ask(screen.Failed{What: msg.what, Err: msg.err})
		}
		return tea.Batch(s.read(), screen.Ask(screen.Flash{Tone: widget.Good, Text: msg.said}))
	}
	return nil
}

// build makes the rows. Apps that ended are listed below those that run; they need a look.
func (s *Screen) build() {
	s.rows = s.rows[:0]
	for _, live := range []bool{true, false} {
		head := "RUNNING"
		if !live {
			head = "ENDED"
		}
		n := len(s.rows)
		for i := range s.apps {
			if a := &s.apps[i]; a.State.Live() != live || !s.find.Fits(a.Name+" "+a.Title) {
				continue
			}
			if len(s.rows) == n {
				s.rows = append(s.rows, row{heading: head})
			}
			s.rows = append(s.rows, row{app: &s.apps[i]})
		}
		if len(s.rows) > n {
			s.rows = append(s.rows, row{})
		}
	}
	if s.lost != nil {
		s.rows = append(s.rows, row{note: "Not every app can be listed: " + widget.Clean(s.lost.Error())}, row{})
	}
	s.rows = append(s.rows, row{heading: "MY CONTAINERS"})
	for i := range s.images {
		if m := &s.images[i]; s.find.Fits(m.Name + " " + m.Title + " " + m.Catalog) {
			s.rows = append(s.rows, row{image: m})
		}
	}
	if s.find.Text.Value() != "" {
		if n := len(s.rows); s.rows[n-1].heading != "" {
			s.rows[n-1] = row{note: "No container fits these words; esc shows all."}
		}
		s.list.SetItems(s.items())
		return
	}
	if len(s.images) == 0 && s.imgsKnown {
		note := "None yet: the first app you start is kept here."
		if s.imgsErr != nil {
			note = "They cannot be listed: " + widget.Clean(s.imgsErr.Error())
		}
		s.rows = append(s.rows, row{note: note})
	}
	s.rows = append(s.rows, row{}, row{heading: "START SOMETHING NEW"}, row{start: "catalog"}, row{start: "file"}, row{start: "own"})
	s.list.SetItems(s.items())
	if !s.touched {
		s.list.Top()
		s.list.Resize(s.listHeight())
	}
}

// nameOf is an image's name, with its folder where another image has the same.
func (s *Screen) nameOf(m *engine.ImageInfo) string {
	if s.named[m.Name] > 1 {
		return m.Name + "  " + widget.Tilde(filepath.Dir(m.Path), s.d.Home)
	}
	return m.Name
}

func (s *Screen) items() []widget.Item {
	items := make([]widget.Item, len(s.rows))
	for i, r := range s.rows {
		items[i] = widget.Item{ID: r.id(), Fixed: r.id() == ""}
	}
	return items
}

// Typing tells whether the words to find something by are typed.
func (s *Screen) Typing() bool { return s.find.Typing }

// found makes the rows anew after other words, and goes to the first that fits; without words the selected row stays.
func (s *Screen) found() tea.Cmd {
	s.build()
	if s.find.Text.Value() != "" {
		s.list.Top()
	}
	return s.look()
}

func (r row) id() string {
	switch {
	case r.app != nil:
		return "app:" + r.app.Name
	case r.image != nil:
		return "image:" + r.image.Path
	case r.start != "":
		return "start:" + r.start
	}
	return ""
}

func (s *Screen) row() row {
	if i := s.list.Cursor(); i >= 0 && i < len(s.rows) {
		return s.rows[i]
	}
	return row{}
}

// look finds out about the selected row: what it uses while it runs, else why it has ended, and what its image says of itself.
func (s *Screen) look() tea.Cmd { return tea.Batch(s.measure(), s.readCard()) }

// readCard reads what the selected image says about itself, once, and why the selected app has ended.
func (s *Screen) readCard() tea.Cmd {
	if a := s.row().app; a != nil && !a.State.Live() {
		if of := screen.EndOf(a); of != s.endOf {
			s.end, s.endOf = screen.Ended(a, nil), of
		}
	}
	path := ""
	switch r := s.row(); {
	case r.image != nil && r.image.Problem == "":
		path = r.image.Path
	case r.app != nil:
		path = r.app.Image
	}
	if _, ok := s.cards[path]; ok || path == "" {
		return nil
	}
	s.cards[path] = about{}
	id, eng, life := s.id, s.d.Engine, s.d.Life
	return task.Call(func() (task.Card, error) { return eng.Card(life, path) },
		func(c task.Card, err error) tea.Msg { return cardMsg{id, path, c, err} })
}

// Key moves the cursor.
func (s *Screen) Key(k tea.KeyPressMsg) (tea.Cmd, bool) {
	typed := s.find.Typing
	if used, changed := s.find.Key(k, &s.list); used {
		s.touched = true
		switch {
		case changed:
			return s.found(), true
		case typed && k.String() == "enter": // the row is what was looked for; Typing is off already
			return s.open(), true
		}
		return s.look(), true
	}
	if s.list.Key(k.String()) {
		s.touched = true
		return s.look(), true
	}
	return nil, false
}

// Mouse chooses a row; a click on the chosen one opens it.
func (s *Screen) Mouse(m screen.Mouse) tea.Cmd {
	lw, _, lh, _ := s.layout(m.W, m.H)
	s.touched = true
	if m.Wheel != 0 {
		s.list.Move(m.Wheel)
		return s.look()
	}
	if m.X >= lw || m.Y >= lh+top {
		return nil
	}
	was, _ := s.list.Selected()
	if !s.list.SelectAt(m.Y-top, lh) {
		return nil
	}
	if now, _ := s.list.Selected(); now.ID == was.ID {
		return s.open()
	}
	return s.look()
}

// open does what Enter does with the selected row.
func (s *Screen) open() tea.Cmd {
	for _, a := range s.Actions() {
		if len(a.Keys()) > 0 && a.Keys()[0] == "enter" && a.Off == "" && a.Do != nil {
			return a.Do()
		}
	}
	return nil
}

// Actions are what can be done with the selected row.
func (s *Screen) Actions() []screen.Action {
	if s.find.Typing {
		return []screen.Action{screen.Tell("enter", "open"), screen.Tell("↑↓", "choose"), screen.Tell("tab", "keep the words"), screen.Tell("esc", "show all")}
	}
	var acts []screen.Action
	switch r := s.row(); {
	case r.app != nil:
		acts = s.appActions(r.app)
	case r.image != nil:
		acts = s.imageActions(r.image)
	case r.start == "catalog":
		acts = []screen.Action{screen.Do(screen.On("enter"), "open the catalog", "", func() tea.Cmd { return screen.Ask(screen.GoCatalog{}) })}
	case r.start == "own":
		acts = []screen.Action{screen.Do(screen.On("enter"), "choose a folder", "", func() tea.Cmd { return screen.Ask(screen.OpenWizard{}) })}
	case r.start == "file":
		acts = []screen.Action{screen.Do(screen.On("enter"), "choose a file", "", s.fromFile)}
	}
	return append(acts,
		screen.Do(screen.On("n"), "new from a file", "Start a container from a file", s.fromFile).Quietly(),
		screen.Do(screen.On("/"), "find", "Find a container by its name", func() tea.Cmd { s.find.Typing = true; s.touched = true; return nil }).Quietly(),
		screen.Tell("↑ ↓", "choose").Quietly(),
		screen.Tell("g G", "to the first, to the last").Quietly(),
	)
}

func (s *Screen) appActions(a *engine.Instance) []screen.Action {
	name, url := a.Name, ""
	if ad := screen.AppAddress(a); ad != nil {
		url = ad.URL
	}
	show := widget.Clean(name)
	if !a.State.Live() {
		word := "open"
		if a.ExitCode != 0 && !screen.Stopped(a) || a.State == engine.StateLost {
			word = "see why"
		}
		acts := []screen.Action{screen.Do(screen.On("enter"), word, "Show "+show, func() tea.Cmd { return screen.Ask(screen.GoRunning{Name: name}) })}
		if label, do := s.mend(a); do != nil {
			acts = append(acts, screen.Do(screen.On("F"), strings.ToLower(label[:1])+label[1:], label, do))
		}
		return append(acts,
			screen.Do(screen.On("r"), "start again", "Start "+show+" again", func() tea.Cmd { return s.again(name) }),
			screen.Do(screen.On("d"), "remove from list", "Remove "+show+" from the list", func() tea.Cmd { return s.forget(name) }),
			screen.Do(screen.On("i"), "look inside", "Look inside "+show, func() tea.Cmd {
				return screen.Ask(screen.OpenInspect{Name: a.Image, Title: a.Title})
			}),
		)
	}
	return []screen.Action{
		screen.Do(screen.On("enter"), "open", "Show "+show, func() tea.Cmd { return screen.Ask(screen.GoRunning{Name: name}) }),
		screen.Do(screen.On("o"), "browser", "Open "+show+" in the browser", func() tea.Cmd { return screen.Ask(screen.Browse{URL: url}) }).Unless(screen.NoPage(a)),
		screen.Do(screen.On("c"), "copy address", "Copy the address of "+show, func() tea.Cmd { return screen.Ask(screen.Copy{Text: url, What: "the address"}) }).Unless(screen.NoAddress(a)),
		screen.Do(screen.On("l"), "log", "Show the log of "+show, func() tea.Cmd { return screen.Ask(screen.GoRunning{Name: name}) }),
		screen.Do(screen.On("s"), "stop", "Stop "+show, func() tea.Cmd { return s.stop(a) }),
		screen.Do(screen.On("t"), "terminal", "Open a terminal inside "+show, func() tea.Cmd {
			return screen.Ask(screen.RunInside{Args: []string{"shell", name}, What: "the terminal inside " + name})
		}),
		screen.Do(screen.On("i"), "look inside", "Look inside "+show, func() tea.Cmd {
			return screen.Ask(screen.OpenInspect{Name: a.Image, Title: a.Title})
		}),
		screen.Do(screen.On("x"), "share", "Share "+show, func() tea.Cmd {
			return screen.Ask(screen.OpenShare{Name: a.Image, Title: a.Title})
		}),
	}
}

func (s *Screen) imageActions(m *engine.ImageInfo) []screen.Action {
	path, name := m.Path, widget.Clean(m.Name)
	used := ""
	if len(m.UsedByID) > 0 {
		used = widget.Clean(strings.Join(m.UsedByID, ", ")) + " runs from it"
	}
	return []screen.Action{
		screen.Do(screen.On("enter"), "start", "Start "+name, func() tea.Cmd { return screen.Ask(screen.OpenLaunch{Name: path}) }).Unless(widget.Clean(m.Problem)),
		screen.Do(screen.On("i"), "look inside", "Look inside "+name, func() tea.Cmd {
			return screen.Ask(screen.OpenInspect{Name: path, Title: m.Name})
		}),
		screen.Do(screen.On("t"), "terminal", "Open a terminal in a new container of "+name, func() tea.Cmd {
			return screen.Ask(screen.RunInside{Args: []string{"shell", path}, What: "the terminal in " + name})
		}).Unless(widget.Clean(m.Problem)),
		screen.Do(screen.On("x"), "share", "Share "+name, func() tea.Cmd {
			return screen.Ask(screen.OpenShare{Name: path, Title: m.Name})
		}).Unless(widget.Clean(m.Problem)),
		screen.Do(screen.On("d"), "delete", "Delete "+name, func() tea.Cmd { return s.remove(m) }).Unless(used),
		screen.Do(screen.On("y"), "copy path", "Copy the path of "+name, func() tea.Cmd {
			return screen.Ask(screen.Copy{Text: path, What: "the path"})
		}).Quietly(),
	}
}

func (s *Screen) fromFile() tea.Cmd {
	return screen.Ask(screen.AskText{
		Title: "Start a container from a file",
		Help:  "An image (.sif, .img), a definition file, or an address such as docker://alpine",
		Hint:  "~/Downloads/from-anna.sif",
		Files: true,
		Answer: func(text string) tea.Cmd {
			return screen.Ask(screen.OpenLaunch{Name: text})
		},
	})
}

func (s *Screen) stop(a *engine.Instance) tea.Cmd {
	name, eng, id, life := a.Name, s.d.Engine, s.id, s.d.Life
	return screen.Ask(screen.Confirm{
		Dialog: widget.Confirm("Stop "+widget.Clean(name)+"?", screen.StopWords(a), "Stop it", "Let it run"),
		Answer: func(answer string) tea.Cmd {
			if answer != "yes" {
				return nil
			}
			return task.Do(func() error { return eng.Stop(life, name, 10*time.Second) },
				func(err error) tea.Msg { return doneMsg{id, "Stopping " + name, name + " has stopped.", "", err} })
		},
	})
}

// again starts an app that ended, with the same folders and ports.
func (s *Screen) again(name string) tea.Cmd {
	eng := s.d.Engine
	return s.restart(name, func(ctx context.Context) error { _, err := eng.Restart(ctx, name); return err })
}

// mend is what a key does about why an app ended; do is nil for nothing.
func (s *Screen) mend(a *engine.Instance) (label string, do func() tea.Cmd) {
	if a.State.Live() || !s.end.Known || s.endOf != screen.EndOf(a) {
		return "", nil
	}
	name, eng, spec := a.Name, s.d.Engine, a.Spec
	spec.Name = name
	return s.d.Mend(s.end.Cause, &spec, func(next engine.RunSpec) tea.Cmd {
		return s.restart(name, func(ctx context.Context) error { _, err := eng.Start(ctx, next); return err })
	})
}

func (s *Screen) restart(name string, f func(context.Context) error) tea.Cmd {
	id, life := s.id, s.d.Life
	return task.Do(func() error { return f(life) },
		func(err error) tea.Msg {
			return doneMsg{id, "Starting " + name, name + " was started again.", name, err}
		})
}

func (s *Screen) forget(name string) tea.Cmd {
	eng, id, life := s.d.Engine, s.id, s.d.Life
	return screen.Ask(screen.Confirm{
		Dialog: widget.Confirm("Remove "+widget.Clean(name)+" from the list?", []string{"Its log goes with it. The image and your folders stay."}, "Remove it", "Keep it"),
		Answer: func(answer string) tea.Cmd {
			if answer != "yes" {
				return nil
			}
			return task.Do(func() error { return eng.Forget(life, name) },
				func(err error) tea.Msg {
					return doneMsg{id, "Removing " + name, name + " is no longer listed.", "", err}
				})
		},
	})
}

func (s *Screen) remove(m *engine.ImageInfo) tea.Cmd {
	path, name, eng, id, life := m.Path, m.Name, s.d.Engine, s.id, s.d.Life
	body := []string{
		fmt.Sprintf("The file %s (%s) is deleted from this computer. This cannot be undone.", widget.Clean(widget.Tilde(path, s.d.Home)), widget.Bytes(m.Size)),
	}
	if m.Catalog != "" {
		body = append(body, "It can be built again from the catalog ("+widget.Clean(m.Catalog)+").")
	}
	return screen.Ask(screen.Confirm{
		Dialog: widget.Confirm("Delete "+widget.Clean(name)+"?", body, "Delete it", "Keep it"),
		Answer: func(answer string) tea.Cmd {
			if answer != "yes" {
				return nil
			}
			return task.Do(func() error { return eng.RemoveImage(context.WithoutCancel(life), path) },
				func(err error) tea.Msg {
					return doneMsg{id, "Deleting " + name, name + " was deleted, " + widget.Bytes(m.Size) + " are free again.", "", err}
				})
		},
	})
}
