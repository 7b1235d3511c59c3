package screen

import (
	"fmt"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"carrel/engine"
	"carrel/tui/task"
	"carrel/tui/widget"
)

// Debounce is how long typing must pause before a field is checked.
const Debounce = 90 * time.Millisecond

// FolderAnswer is what was found out about a folder that is being typed.
type FolderAnswer struct {
	Form  task.ID // who asked
	Field string
	Text  string // what was in the field
	State engine.FolderState
	Next  task.Completion
}

// FolderDue says that typing in a folder field has paused.
type FolderDue struct {
	Form  task.ID
	Field string
	Text  string
}

// FolderSoon asks for a check of a folder when typing has paused.
func FolderSoon(form task.ID, field, text string) tea.Cmd {
	return tea.Tick(Debounce, func(time.Time) tea.Msg { return FolderDue{form, field, text} })
}

// FolderNow checks a folder, and how its path may go on, off the loop.
func (d Deps) FolderNow(due FolderDue) tea.Cmd {
	eng, home := d.Engine, d.Home
	return task.Call(func() (FolderAnswer, error) {
		a := FolderAnswer{Form: due.Form, Field: due.Field, Text: due.Text}
		a.Next = task.Complete(due.Text, home, true)
		if strings.TrimSpace(due.Text) != "" {
			a.State = eng.Folder(task.Expand(strings.TrimSpace(due.Text), home))
		}
		return a, nil
	}, func(a FolderAnswer, err error) tea.Msg {
		if err != nil {
			a = FolderAnswer{Form: due.Form, Field: due.Field, Text: due.Text}
			a.State.Problem = err.Error()
		}
		return a
	})
}

// kinds are extensions a person has a word for.
var kinds = []struct{ ext, one, many string }{
	{".ipynb", "notebook", "notebooks"}, {".csv", "table", "tables"}, {".r", "R script", "R scripts"}, {".py", "Python script", "Python scripts"},
	{".html", "page", "pages"}, {".png", "image", "images"}, {".pdf", "PDF", "PDFs"},
}

// FolderRemarks say what a folder means for the person: whether it can be used, what is in it, what the app may do there.
// dest is where the app sees it; readOnly what the person chose.
func FolderRemarks(st engine.FolderState, dest string, readOnly bool) []widget.Remark {
	one := func(t widget.Tone, text string) []widget.Remark { return []widget.Remark{{Tone: t, Text: text}} }
	sees := ""
	if dest != "" {
		sees = " The app sees it as " + widget.Clean(dest) + "."
	}
	switch {
	case !st.Exists && st.Problem != "":
		return one(widget.Warning, widget.Sentence(st.Problem)+" It is created when you start."+sees)
	case !st.Exists:
		return one(widget.Warning, "There is no such folder yet. It is created when you start."+sees)
	case !st.IsDir:
		return one(widget.Error, "This is a file. Choose the folder it lies in.")
	case !st.Readable:
		return one(widget.Error, "You may not read this folder.")
	case st.Problem != "":
		return one(widget.Error, widget.Sentence(st.Problem))
	case !st.Writable && !readOnly:
		return one(widget.Warning, "You may not change files there, so the app can only read them."+sees)
	}
	return one(widget.Good, contents(st)+sees)
}

func contents(st engine.FolderState) string {
	switch {
	case st.Files == 0 && st.Folders == 0:
		return "An empty folder."
	case st.Files == 0:
		return widget.Count(st.Folders, "folder", "folders") + ", no files beside " + map[bool]string{true: "it.", false: "them."}[st.Folders == 1]
	}
	s := widget.Count(st.Files, "file", "files")
	var known []string
	for _, k := range kinds {
		if n := st.ByExt[k.ext]; n > 0 && len(known) < 2 {
			known = append(known, widget.Count(n, k.one, k.many))
		}
	}
	if len(known) > 0 {
		s = fmt.Sprintf("%s, %s", s, strings.Join(known, ", "))
	}
	return s + "."
}

// MissingFolder tells whether a check found that the folder could be made.
func MissingFolder(st engine.FolderState) bool { return !st.Exists && st.Path != "" }
