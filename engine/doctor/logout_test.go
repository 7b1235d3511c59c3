package doctor

import (
	"os"
	"path/filepath"
	"testing"
)

func TestLogout(t *testing.T) {
	const etc, booted = "etc/systemd/logind.conf", "run/systemd/system/x"
	for name, tt := range map[string]struct {
		files  map[string]string
		status Status
		detail string
	}{
		"no systemd":        {map[string]string{etc: "[Login]\nKillUserProcesses=yes\n"}, OK, "nothing here"},
		"said no":           {map[string]string{booted: "", etc: "[Login]\nKillUserProcesses=no\n"}, OK, "nothing here"},
		"by default not":    {map[string]string{booted: "", etc: "#KillUserProcesses=no\n"}, OK, "nothing here"},
		"by default":        {map[string]string{booted: "", etc: "#KillUserProcesses=yes\n#KillExcludeUsers=root\n"}, Note, etc},
		"said":              {map[string]string{booted: "", etc: "#KillUserProcesses=no\n\nKillUserProcesses = on\n"}, Note, etc},
		"by a drop-in":      {map[string]string{booted: "", etc: "#KillUserProcesses=no\n", "usr/lib/systemd/logind.conf.d/5.conf": "KillUserProcesses=1\n"}, Note, "/usr/lib/systemd/logind.conf.d/5.conf"},
		"replaced drop-in":  {map[string]string{booted: "", "usr/lib/systemd/logind.conf.d/5.conf": "KillUserProcesses=1\n", "etc/systemd/logind.conf.d/5.conf": ""}, OK, "nothing here"},
		"later drop-in":     {map[string]string{booted: "", "etc/systemd/logind.conf.d/5.conf": "KillUserProcesses=1\n", "run/systemd/logind.conf.d/6.conf": "KillUserProcesses=0\n"}, OK, "nothing here"},
		"others only":       {map[string]string{booted: "", etc: "KillUserProcesses=yes\nKillOnlyUsers=bob carol\n"}, OK, "nothing here"},
		"this one only":     {map[string]string{booted: "", etc: "KillUserProcesses=yes\nKillOnlyUsers=bob anna\n"}, Note, etc},
		"all but this one":  {map[string]string{booted: "", etc: "KillUserProcesses=yes\nKillExcludeUsers=root anna\n"}, OK, "nothing here"},
		"lingering":         {map[string]string{booted: "", etc: "KillUserProcesses=yes\n", "var/lib/systemd/linger/anna": ""}, OK, "lingering"},
		"somebody lingers":  {map[string]string{booted: "", etc: "KillUserProcesses=yes\n", "var/lib/systemd/linger/bob": ""}, Note, etc},
		"what is no answer": {map[string]string{booted: "", etc: "KillUserProcesses=perhaps\nKillUserProcesses\n"}, OK, "nothing here"},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			for f, text := range tt.files {
				p := filepath.Join(root, f)
				if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			admin := ""
			if tt.status == Note {
				admin = "loginctl enable-linger anna"
			}
			checkCheck(t, loggingOut(findLogout(root, person{uid: 1000, name: "anna"})), tt.status, tt.detail, admin)
		})
	}
	root := t.TempDir()
	for f, text := range map[string]string{booted: "", etc: "KillUserProcesses=yes\n"} {
		p := filepath.Join(root, f)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	checkCheck(t, loggingOut(findLogout(root, person{name: "root"})), OK, "nothing here", "") // KillExcludeUsers has root by default
}
