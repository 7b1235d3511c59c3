package xdg

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func TestFind(t *testing.T) {
	home := t.TempDir()
	gone := filepath.Join(home, "gone")
	for name, tt := range map[string]struct {
		env      map[string]string
		accounts string
		override string
		want     Dirs
	}{
		"home": {
			env:  map[string]string{"HOME": home},
			want: Dirs{Home: home, Data: home + "/.local/share/app", Cache: home + "/.cache/app", State: home + "/.local/state/app", Config: home + "/.config/app"},
		},
		"no HOME, but an account": {
			accounts: home,
			want:     Dirs{Home: home, Data: home + "/.local/share/app", Cache: home + "/.cache/app", State: home + "/.local/state/app", Config: home + "/.config/app"},
		},
		"variables, of which a relative one does not count": {
			env:  map[string]string{"HOME": home, "XDG_DATA_HOME": "/data", "XDG_CACHE_HOME": "cache", "XDG_STATE_HOME": "/state/", "XDG_CONFIG_HOME": "/etc/mine"},
			want: Dirs{Home: home, Data: "/data/app", Cache: home + "/.cache/app", State: "/state/app", Config: "/etc/mine/app"},
		},
		"override": {
			env: map[string]string{"HOME": home, "XDG_DATA_HOME": "/data"}, override: "/big/app",
			want: Dirs{Home: home, Data: "/big/app", Cache: "/big/app/cache", State: "/big/app/state", Config: "/big/app"},
		},
		"override without a home": {
			env: map[string]string{"HOME": gone}, override: "/big/app",
			want: Dirs{Data: "/big/app", Cache: "/big/app/cache", State: "/big/app/state", Config: "/big/app"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Find("app", tt.override, Env{Get: func(k string) string { return tt.env[k] }, Accounts: tt.accounts, UID: os.Getuid(), Temp: "/none"})
			if err != nil {
				t.Fatal(err)
			}
			if got != tt.want {
				t.Errorf("got %+v\nwant %+v", got, tt.want)
			}
		})
	}
}

func TestNoHome(t *testing.T) {
	temp := t.TempDir()
	env := Env{Get: func(string) string { return "" }, Accounts: "/nonexistent", UID: os.Getuid(), Temp: temp}
	for range 2 { // made, then found
		d, err := Find("app", "", env)
		if err != nil {
			t.Fatal(err)
		}
		if !d.Temporary || !strings.HasPrefix(d.Data, temp) || !strings.HasPrefix(d.Config, temp) || d.Home != "" {
			t.Errorf("got %+v", d)
		}
		base := strings.TrimSuffix(d.Data, "/.local/share/app")
		if st, err := os.Stat(base); err != nil || st.Mode().Perm() != 0o700 {
			t.Errorf("%s is %v, %v", base, st, err)
		}
	}
	if err := os.Chmod(filepath.Join(temp, "app-"+strconv.Itoa(os.Getuid())), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Find("app", "", env); err == nil {
		t.Error("a folder that others may read is taken for a private one")
	}
	env.UID++
	if err := os.Mkdir(filepath.Join(temp, "app-"+strconv.Itoa(env.UID)), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Find("app", "", env); err == nil {
		t.Error("somebody else's folder is taken for the person's own")
	}
	if _, err := Find("app", "relative", env); err == nil {
		t.Error("a relative override is taken")
	}
}
