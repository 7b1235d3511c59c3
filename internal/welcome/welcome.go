// Package welcome is the program inside the welcome app: a page that shows, from within its container, the folder that was
// shared with it and what else a container sees.
package welcome

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	port   = 7070
	folder = "/data"
	page   = "/usr/share/welcome/index.html"
	// maxFiles bounds the list that is sent to the browser.
	maxFiles = 500
	// lookEvery is how often the folder is looked at while a browser shows it: some of the file systems that homes lie on
	// tell nobody of changes.
	lookEvery = 300 * time.Millisecond
)

// Main serves the page until it is told to stop, and returns the exit status.
func Main(out io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	html, err := os.ReadFile(page)
	if err != nil {
		fmt.Fprintln(out, "welcome: the page is missing:", err)
		return 1
	}
	l, err := net.Listen("tcp", fmt.Sprintf(":%d", port))
	if err != nil {
		fmt.Fprintln(out, "welcome:", err)
		return 1
	}
	s := &http.Server{Handler: Handler(folder, html), ReadHeaderTimeout: 10 * time.Second, BaseContext: func(net.Listener) context.Context { return ctx }}
	go func() {
		<-ctx.Done()
		c, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = s.Shutdown(c) // browsers that keep their connection are cut off by the end of the process
	}()
	fmt.Fprintf(out, "The welcome page is served at http://127.0.0.1:%d/\n", port)
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		fmt.Fprintln(out, "welcome:", err)
		return 1
	}
	fmt.Fprintln(out, "The welcome page was stopped.")
	return 0
}

// Handler serves html at /, the state of the folder as server-sent events at /events, and its files below /files/.
func Handler(folder string, html []byte) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Content-Security-Policy", "default-src 'self'; img-src 'self' data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'")
		_, _ = w.Write(html) // a browser that went away needs no answer
	})
	mux.HandleFunc("GET /events", func(w http.ResponseWriter, r *http.Request) { events(w, r, folder) })
	mux.HandleFunc("GET /state", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(look(folder))
	})
	mux.HandleFunc("GET /files/{name}", func(w http.ResponseWriter, r *http.Request) { file(w, r, folder) })
	return mux
}

// file sends one regular file of the folder, never one outside of it.
func file(w http.ResponseWriter, r *http.Request, folder string) {
	root, err := os.OpenRoot(folder)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	defer root.Close()
	f, err := root.Open(r.PathValue("name"))
	if err != nil {
		http.NotFound(w, r)
		return
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil || !st.Mode().IsRegular() {
		http.NotFound(w, r)
		return
	}
	// Whatever the file is, it must not act as part of this page.
	w.Header().Set("Content-Security-Policy", "sandbox")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	http.ServeContent(w, r, st.Name(), st.ModTime(), f)
}

// events sends the state at once and whenever it has changed.
func events(w http.ResponseWriter, r *http.Request, folder string) {
	flush, ok := w.(http.Flusher)
	if !ok {
		http.Error(w, "no streaming", http.StatusNotImplemented)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	last := ""
	for {
		data, err := json.Marshal(look(folder))
		if err == nil && string(data) != last {
			last = string(data)
			if _, err := fmt.Fprintf(w, "data: %s\n\n", data); err != nil {
				return
			}
			flush.Flush()
		}
		select {
		case <-r.Context().Done():
			return
		case <-tick.C:
		}
	}
}

type entry struct {
	Name string `json:"name"`
	Size int64  `json:"size"`
	Dir  bool   `json:"dir,omitempty"`
}

type state struct {
	Folder   string      `json:"folder"`
	Shared   bool        `json:"shared"`
	Writable bool        `json:"writable"`
	Files    []entry     `json:"files"`
	More     int         `json:"more,omitempty"`
	Facts    [][2]string `json:"facts"`
}

// look finds out what the folder holds and what the container is like.
func look(folder string) state {
	s := state{Folder: folder, Files: []entry{}, Facts: facts()}
	s.Shared = isMount(folder)
	s.Writable = syscall.Access(folder, 2) == nil
	names, err := os.ReadDir(folder)
	if err != nil {
		return s
	}
	for _, n := range names {
		if strings.HasPrefix(n.Name(), ".") {
			continue
		}
		if len(s.Files) == maxFiles {
			s.More++
			continue
		}
		info, err := os.Stat(filepath.Join(folder, n.Name()))
		if err != nil {
			continue // gone meanwhile, or a link that leads out of the container
		}
		s.Files = append(s.Files, entry{Name: n.Name(), Size: info.Size(), Dir: info.IsDir()})
	}
	return s
}

// isMount tells whether something of the host is mounted at a path.
func isMount(path string) bool {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return false
	}
	for _, line := range strings.Split(string(data), "\n") {
		if f := strings.Fields(line); len(f) > 4 && f[4] == path {
			return true
		}
	}
	return false
}

var started = sync.OnceValue(time.Now)

// appFiles counts the files the app's image brought; nothing is added to them while it runs.
var appFiles = sync.OnceValue(func() (n int) {
	for _, dir := range []string{"/usr", "/etc"} {
		_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				n++
			}
			return nil
		})
	}
	return n
})

func facts() [][2]string {
	host, _ := os.Hostname()
	processes := 0
	if names, err := os.ReadDir("/proc"); err == nil {
		for _, n := range names {
			if n.Name()[0] >= '0' && n.Name()[0] <= '9' {
				processes++
			}
		}
	}
	home, _ := os.ReadDir(os.Getenv("HOME"))
	return [][2]string{
		{"Name of this computer", host},
		{"Running programs", fmt.Sprintf("%d (your computer has many more; they are out of sight)", processes)},
		{"Files of the app", fmt.Sprint(appFiles())},
		{"Your home folder", fmt.Sprintf("%s, with %d things in it", os.Getenv("HOME"), len(home))},
		{"You are", fmt.Sprintf("user %d, as outside", os.Getuid())},
		{"Since", started().Format("15:04:05")},
	}
}
