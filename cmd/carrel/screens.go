package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"carrel/internal/atomicfile"
	"carrel/internal/remember"
	"carrel/tui"
	"carrel/tui/theme"
)

// openScreens shows the full-screen program.
func (a *app) openScreens(ctx context.Context) error {
	e, err := a.engine()
	if err != nil {
		return err
	}
	s, err := a.settings()
	if err != nil {
		return err
	}
	a.quiet = true // nothing is written over the screen
	debug.SetGCPercent(100)
	garbageLater.Store(50) // the screens stay open for days, with logs of 100,000 lines
	welcomed := filepath.Join(s.dirs.State, "welcomed")
	start := tui.StartDesk
	if _, err := os.Stat(welcomed); errors.Is(err, fs.ErrNotExist) {
		start = tui.StartWelcome
	}
	result, err := tui.Run(ctx, tui.Options{
		Engine:  e,
		Catalog: a.library(s),
		Memory:  remember.At(filepath.Join(s.dirs.State, "answers.json")),
		Theme:   theme.Options{NoColor: !a.page.color, Basic: a.page.basic, ASCII: a.page.ascii, Links: links(os.Getenv)},
		Start:   start,
		Home:    s.dirs.Home, Self: s.self, Cwd: s.user.Cwd, Editor: editor(os.Getenv), Pager: pager(os.Getenv),
		Definitions: definitions{a},
		Clipboard:   clipboard(os.Getenv), Inside: inside(os.Getenv),
		Opener:   browse(os.Getenv, s.dirs.State),
		SaveFile: func(name, text string) (string, error) { return saveFile(s.user.Cwd, name, text) },
		// A mark that cannot be written shows the screens for newcomers once more, which does no harm.
		Welcomed: func() { _ = atomicfile.WriteFile(welcomed, nil, 0o600) },
		Remote:   here(os.Getenv, s.user.Name),
		Writable: true,
		Report: func(text string) (string, error) {
			if err := os.MkdirAll(s.dirs.State, 0o700); err != nil {
				return "", err
			}
			return saveFile(s.dirs.State, "crash-"+time.Now().Format("2006-01-02")+".txt", text)
		},
	})
	if err != nil {
		return err
	}
	if result.Goodbye != "" {
		return a.print(a.page.text(result.Goodbye) + "\n")
	}
	return nil
}

// browser is what opens an address, nil where there is no desktop to open one on. BROWSER is a list of commands with : between
// them, whose words are separated by blanks; %s in one stands for the address, which otherwise comes last, and %% for a percent
// sign, as xdg-open(1) and Python's webbrowser read it.
func browser(getenv func(string) string) func(string) error {
	var commands [][]string
	for _, b := range strings.Split(getenv("BROWSER"), ":") {
		if words := strings.Fields(b); len(words) > 0 {
			commands = append(commands, words)
		}
	}
	if getenv("WSL_DISTRO_NAME") != "" { // Windows' own browser: wslu's wslview(1), or what every Windows has
		commands = append(commands, []string{"wslview"}, []string{"rundll32.exe", "url.dll,FileProtocolHandler"})
	}
	if getenv("DISPLAY") != "" || getenv("WAYLAND_DISPLAY") != "" {
		commands = append(commands, []string{"xdg-open"}, []string{"gio", "open"}, []string{"sensible-browser"})
	}
	for _, words := range commands {
		path, err := exec.LookPath(words[0])
		if err != nil {
			continue
		}
		return func(url string) error {
			cmd := exec.Command(path, browserArgs(words[1:], url)...) // its words would spoil the screen: they go to /dev/null
			if err := cmd.Start(); err != nil {
				return fmt.Errorf("open browser: %w", err)
			}
			go func() { _ = cmd.Wait() }() // only so that it leaves no zombie
			return nil
		}
	}
	return nil
}

// browserArgs are the arguments of a command of BROWSER for an address.
func browserArgs(words []string, url string) []string {
	var args []string
	given := false
	for _, w := range words {
		given = given || strings.Contains(strings.ReplaceAll(w, "%%", ""), "%s")
		args = append(args, strings.NewReplacer("%%", "%", "%s", url).Replace(w))
	}
	if !given {
		args = append(args, url)
	}
	return args
}

// saveFile writes a new file and returns its path; a name that is taken gets a number.
func saveFile(dir, name, text string) (string, error) {
	name = filepath.Base(name)
	ext := filepath.Ext(name)
	for n := 1; n < 1000; n++ {
		path := filepath.Join(dir, name)
		if n > 1 {
			path = filepath.Join(dir, fmt.Sprintf("%s-%d%s", strings.TrimSuffix(name, ext), n, ext))
		}
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return "", fmt.Errorf("save file: %w", err)
		}
		_, err = f.WriteString(text)
		if err = errors.Join(err, f.Close()); err != nil {
			return "", fmt.Errorf("save file: %w", err)
		}
		return path, nil
	}
	return "", fmt.Errorf("save file: %s and 998 like it exist", name)
}
