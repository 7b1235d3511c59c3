package doctor

import (
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// logout is what happens to what a person runs when they log out.
type logout struct {
	kills     bool // the session's processes are ended (logind.conf(5), KillUserProcesses)
	lingers   bool // but not this person's (loginctl(1), enable-linger)
	file, who string
}

// findLogout reads logind.conf(5): its settings, those of the drop-ins, and, where neither sets one, what the file that comes
// with systemd has as a comment, which is the default it was built with.
func findLogout(root string, p person) logout {
	l := logout{who: p.name}
	if _, err := os.Stat(filepath.Join(root, "run/systemd/system")); err != nil { // sd_booted(3)
		return l
	}
	var only, exclude []string
	set := map[string]string{} // the last one counts
	read := func(file string, comments bool) {
		data, _ := os.ReadFile(filepath.Join(root, file)) // one that is not there sets nothing
		for line := range strings.Lines(string(data)) {
			line = strings.TrimSpace(line)
			if comments {
				line = strings.TrimPrefix(line, "#")
			}
			k, v, ok := strings.Cut(line, "=")
			if k = strings.TrimSpace(k); !ok || k != "KillUserProcesses" && k != "KillOnlyUsers" && k != "KillExcludeUsers" {
				continue
			}
			set[k] = strings.TrimSpace(v)
			if k == "KillUserProcesses" {
				l.file = "/" + file
			}
		}
	}
	mains := []string{"usr/lib/systemd/logind.conf", "etc/systemd/logind.conf"}
	for _, f := range mains {
		read(f, true)
	}
	for _, f := range mains {
		read(f, false)
	}
	dropins := map[string]string{} // by name: a file in /etc takes the place of one of the same name
	for _, dir := range []string{"usr/lib", "run", "etc"} {
		files, _ := filepath.Glob(filepath.Join(root, dir, "systemd/logind.conf.d/*.conf")) // the pattern is well formed
		for _, f := range files {
			dropins[filepath.Base(f)] = path.Join(dir, "systemd/logind.conf.d", filepath.Base(f))
		}
	}
	names := make([]string, 0, len(dropins))
	for n := range dropins {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, n := range names {
		read(dropins[n], false)
	}
	only, exclude = strings.Fields(set["KillOnlyUsers"]), strings.Fields(set["KillExcludeUsers"])
	if _, said := set["KillExcludeUsers"]; !said {
		exclude = []string{"root"}
	}
	switch strings.ToLower(set["KillUserProcesses"]) {
	case "1", "yes", "y", "true", "t", "on": // systemd.syntax(7), boolean
		l.kills = !slices.Contains(exclude, p.name) && (len(only) == 0 || slices.Contains(only, p.name))
	}
	_, err := os.Stat(filepath.Join(root, "var/lib/systemd/linger", p.name))
	l.lingers = err == nil
	return l
}

// loggingOut tells whether apps go on.
func loggingOut(l logout) Check {
	switch {
	case !l.kills:
		return Check{Status: OK, Detail: "nothing here ends what you have started when you log out"}
	case l.lingers:
		return Check{Status: OK, Detail: "others' processes are ended when they log out, yours are not (lingering)"}
	}
	return Check{
		Status: Note, Title: "Apps end when you log out",
		Detail: "KillUserProcesses is on in " + l.file,
		Advice: "Apps that run in the background last as long as you are logged in, here or over SSH. On most computers you may change that for yourself: loginctl enable-linger",
		Admin:  "loginctl enable-linger " + l.who,
	}
}
