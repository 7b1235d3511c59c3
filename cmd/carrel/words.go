package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/term"
)

func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

// bytes writes a size for a person: "243 MB".
func bytes(n int64) string {
	const unit = 1000
	switch {
	case n >= 10*unit*unit*unit:
		return fmt.Sprintf("%d GB", n/(unit*unit*unit))
	case n >= unit*unit*unit:
		return fmt.Sprintf("%.1f GB", float64(n)/(unit*unit*unit))
	case n >= unit*unit:
		return fmt.Sprintf("%d MB", n/(unit*unit))
	case n >= unit:
		return fmt.Sprintf("%d kB", n/unit)
	}
	return fmt.Sprintf("%d B", n)
}

// lasting writes how long something takes: "0.4 s", "1:02", "2:05:00".
func lasting(d time.Duration) string {
	switch {
	case d < 0:
		d = 0
		fallthrough
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%d:%02d", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%d:%02d:%02d", int(d.Hours()), int(d.Minutes())%60, int(d.Seconds())%60)
}

// up writes how long something has been running: "12 min", "2 h 04 min".
func up(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", max(0, int(d.Seconds())))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 24*time.Hour:
		return fmt.Sprintf("%d h %02d min", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%d days", int(d.Hours())/24)
}

// ago writes when something was: "today", "3 days ago".
func ago(at, now time.Time) string {
	if at.IsZero() {
		return "never"
	}
	y, m, d := now.Date()
	midnight := time.Date(y, m, d, 0, 0, 0, 0, now.Location())
	days := int(midnight.Sub(at)/(24*time.Hour)) + 1
	switch {
	case !at.Before(midnight):
		return "today"
	case days == 1:
		return "yesterday"
	case days < 7:
		return fmt.Sprintf("%d days ago", days)
	case days < 14:
		return "last week"
	}
	return at.Format("2006-01-02")
}

// tilde shortens a path below home.
func tilde(path, home string) string {
	if rest, ok := strings.CutPrefix(path, home+"/"); ok && home != "" && home != "/" {
		return filepath.Join("~", rest)
	}
	return path
}

// printJSON prints a value as one indented JSON document.
func (a *app) printJSON(v any) error {
	text, err := marshal(v)
	if err != nil {
		return err
	}
	return a.print(text)
}

// jsonAside prints a value to standard error, as one line, where standard output is somebody else's.
func (a *app) jsonAside(v any) {
	data, err := json.Marshal(v)
	if err == nil {
		_, _ = a.err.Write(append(data, '\n'))
	}
}

// marshal is a value as one indented JSON document with a line feed behind it.
func marshal(v any) (string, error) {
	data, err := json.MarshalIndent(v, "", "  ")
	return string(data) + "\n", err
}

// ask asks a yes-or-no question on the terminal; Enter means yes.
func (a *app) ask(question string) bool {
	switch a.choose(question + " [Y/n]") {
	case "", "y", "yes":
		return true
	}
	return false
}

// choose asks and returns the answer in lower case, "n" when there is none.
func (a *app) choose(question string) string {
	fmt.Fprintf(a.err, "%s ", question)
	text, ok := a.readLine()
	if !ok {
		return "n"
	}
	return strings.ToLower(strings.TrimSpace(text))
}

// readLine reads what the person types, byte by byte so that nothing of what follows is taken from an app that reads later.
func (a *app) readLine() (text string, ok bool) {
	var answer strings.Builder
	buf := make([]byte, 1)
	for {
		n, err := a.in.Read(buf)
		if n == 1 && buf[0] == '\n' {
			return answer.String(), true
		}
		if n == 1 {
			answer.WriteByte(buf[0])
			continue
		}
		if err != nil {
			return "", false
		}
	}
}
