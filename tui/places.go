package tui

import (
	"os"
	"slices"
	"strings"

	tea "charm.land/bubbletea/v2"

	"carrel/tui/task"
	"carrel/tui/widget"
)

// placesName is the name under which folders are remembered, beside the answers of apps; no app is called so.
const placesName = "folders of the browser"

// maxPlaces is how many folders are remembered of each kind.
const maxPlaces = 12

// placesKept are the folders that are remembered, as Memory keeps them: paths, with line ends between.
type placesKept map[string]string

func (k placesKept) list(kind string) []string {
	return strings.FieldsFunc(k[kind], func(r rune) bool { return r == '\n' })
}

// lately puts a folder first among those that were chosen last.
func (k placesKept) lately(path string) {
	all := slices.DeleteFunc(k.list("lately"), func(p string) bool { return p == path })
	all = append([]string{path}, all...)
	k["lately"] = strings.Join(all[:min(maxPlaces, len(all))], "\n")
}

// mark marks a folder, or takes its mark away.
func (k placesKept) mark(path string) {
	all := k.list("marked")
	if i := slices.Index(all, path); i >= 0 {
		k["marked"] = strings.Join(slices.Delete(all, i, i+1), "\n")
		return
	}
	all = append(all, path)
	k["marked"] = strings.Join(all[max(0, len(all)-maxPlaces):], "\n")
}

type (
	placesMsg struct {
		places []widget.Place
		said   string
	}
	madeFolderMsg struct {
		path string
		err  error
	}
)

// readPlaces reads the folders that are remembered, changes them, and hands them to the browser.
func (m *model) readPlaces(change func(placesKept)) tea.Cmd {
	mem, home, cwd := m.d.Memory, m.d.Home, m.d.Cwd
	return task.Call(func() (placesMsg, error) {
		kept := placesKept{}
		for k, v := range mem.Load(placesName) {
			kept[k] = v
		}
		before := kept["lately"] + "\x00" + kept["marked"]
		marked := kept["marked"]
		change(kept)
		var msg placesMsg
		if kept["lately"]+"\x00"+kept["marked"] != before {
			if err := mem.Save(placesName, kept); err != nil {
				return msg, err
			}
			switch n, now := strings.Count(marked+"\n", "/"), strings.Count(kept["marked"]+"\n", "/"); {
			case now > n:
				msg.said = "Marked; p shows it among the places."
			case now < n:
				msg.said = "No longer marked."
			}
		}
		seen := map[string]bool{}
		add := func(path, note string) {
			if path != "" && !seen[path] {
				seen[path] = true
				msg.places = append(msg.places, widget.Place{Path: path, Shown: widget.Tilde(path, home), Note: note})
			}
		}
		for _, p := range kept.list("marked") {
			add(p, "marked")
		}
		for _, p := range kept.list("lately") {
			add(p, "lately")
		}
		add(cwd, "where Carrel was started")
		add(home, "home")
		add("/", "all of this computer")
		return msg, nil
	}, func(msg placesMsg, err error) tea.Msg {
		if err != nil {
			msg.said = "The folder could not be remembered: " + err.Error()
		}
		return msg
	})
}

// makeFolder makes a new folder for the browser.
func (m *model) makeFolder(path string) tea.Cmd {
	return task.Do(func() error { return os.Mkdir(path, 0o755) }, func(err error) tea.Msg { return madeFolderMsg{path, err} })
}
