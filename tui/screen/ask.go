package screen

import (
	tea "charm.land/bubbletea/v2"

	"carrel/engine"
	"carrel/tui/task"
	"carrel/tui/widget"
)

// Ask turns a wish into the command that brings it to the program.
func Ask(wish any) tea.Cmd { return func() tea.Msg { return wish } }

// What a screen may ask of the program.
type (
	// GoDesk, GoCatalog, GoRunning go to a top screen.
	GoDesk    struct{}
	GoCatalog struct{}
	GoRunning struct{ Name string } // the app to show; empty: whichever was shown last

	// OpenLaunch opens the launch form of whatever name stands for. Answers are filled in first.
	OpenLaunch struct {
		Name    string
		Answers map[string]string
	}
	// OpenInspect looks inside an image.
	OpenInspect struct{ Name, Title, Tab string }
	// OpenShare shows how an image can be handed to somebody else.
	OpenShare struct{ Name, Title string }
	// OpenDoctor shows what this computer can do.
	OpenDoctor struct{}
	// OpenSources shows where the apps of the catalog come from.
	OpenSources struct{}
	// OpenSpace shows what takes room and can be deleted.
	OpenSpace struct{}
	// OpenWelcome begins the three screens for newcomers.
	OpenWelcome struct{}
	// OpenWizard makes an app of a folder of the person's.
	OpenWizard struct{}
	// MakeOwn copies an app of the catalog to a folder of the person's, to change it there.
	MakeOwn struct{ Name, Title string }
	// OpenJob shows a build that goes on in the background.
	OpenJob struct{ Job task.ID }

	// StartBuild builds an image in view of the person, then starts it when Then is there. It takes the place of the screen From.
	StartBuild struct {
		From  task.ID
		Title string
		Spec  engine.BuildSpec
		Then  *engine.RunSpec
	}
	// Started says that an app runs: it is shown in place of the screen that started it.
	Started struct {
		From     task.ID
		Instance engine.Instance
	}
	// Back leaves the screen.
	Back struct{}

	// Flash shows a short remark for a few seconds.
	Flash struct {
		Tone widget.Tone
		Text string
	}
	// Copy puts a text into the clipboard of the person's own terminal (OSC 52).
	Copy struct{ Text, What string }
	// Browse opens an address in the browser.
	Browse struct{ URL string }
	// ShowCode shows a text as a QR code.
	ShowCode struct{ Title, Text, Note string }
	// Confirm asks a question over the screen. Answer gets the ID of the button; it is not called after Esc.
	Confirm struct {
		Dialog *widget.Dialog
		Answer func(id string) tea.Cmd
	}
	// AskText asks for a line of text, with completion of files when Files is set.
	AskText struct {
		Title, Help, Hint, Value string
		Files                    bool
		Answer                   func(text string) tea.Cmd
	}
	// Choose lets the person choose one of several, with a filter. Answer gets its index; it is not called after Esc.
	Choose struct {
		Title   string
		Options []string
		Answer  func(i int) tea.Cmd
	}
	// PickFolder lets the person walk to a folder. Answer gets its path; it is not called after Esc.
	PickFolder struct {
		Title, From string
		Answer      func(path string) tea.Cmd
	}
	// RunInside hands the terminal to a command of this program: a shell in a container.
	RunInside struct {
		Args []string
		What string
	}
	// EditFile opens a file in the person's editor, or, to be read only, in their pager. Done makes the message that follows, off the loop.
	EditFile struct {
		Path string
		Read bool
		Done func(error) tea.Msg
	}
	// SaveText writes a text to a new file in the person's home folder.
	SaveText struct{ Name, Text string }
	// Failed shows an error with what to do about it.
	Failed struct {
		What string // "Stopping jupyter"
		Err  error

		// Of a start that did not work: what was to be started, and how to start something else in its place, for the
		// button that does away with the cause.
		Spec  *engine.RunSpec
		Start func(engine.RunSpec) tea.Cmd
	}
)

// JobDone says that a job of a build has ended: with an instance when it started one, with an error when it failed.
type JobDone struct {
	Job      task.ID
	Title    string
	Instance *engine.Instance
	Image    engine.ImageInfo
	Err      error
}
