package main

import (
	"encoding/base64"
	"fmt"
	"io"
	"io/fs"
	stdlog "log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"

	"carrel/internal/testroot"
)

// TestSecretsStay: the password of a registry, and the token it gave for it, are in no list of processes, nothing that is
// printed, and no file but the one for passwords, which only the person can read, whatever their umask.
func TestSecretsStay(t *testing.T) {
	const password, token = "correct-horse-4711", "battery-staple-0815"
	stored := base64.StdEncoding.EncodeToString([]byte("ada:" + password)) // Docker's form of the file (config.json, auths)
	secret := func(data []byte) bool {
		text := string(data)
		return strings.Contains(text, password) || strings.Contains(text, token) || strings.Contains(text, stored)
	}
	inner := registry.New(registry.Logger(stdlog.New(io.Discard, "", 0)))
	var mu sync.Mutex
	asked := map[string]bool{}
	var s *httptest.Server
	s = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		commands, _ := filepath.Glob("/proc/[0-9]*/cmdline")
		for _, file := range commands {
			if data, err := os.ReadFile(file); err == nil && secret(data) { // an error is a process that has ended
				t.Errorf("everybody can see %q", data)
			}
		}
		user, given, _ := r.BasicAuth()
		switch {
		case r.URL.Path == "/token" && user == "ada" && given == password:
			asked["token"] = true
			fmt.Fprintf(w, `{"token":%q}`, token)
		case r.Header.Get("Authorization") == "Bearer "+token:
			asked[r.Method] = true
			inner.ServeHTTP(w, r)
		default:
			w.Header().Set("WWW-Authenticate", `Bearer realm="`+s.URL+`/token",service="test"`)
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	t.Cleanup(s.Close)
	host := strings.TrimPrefix(s.URL, "http://")

	home, work := t.TempDir(), t.TempDir()
	old := syscall.Umask(0)
	t.Cleanup(func() { syscall.Umask(old) })
	run := func(want int, input string, env []string, args ...string) {
		t.Helper()
		cmd := exec.Command("/proc/self/exe", args...)
		cmd.Args[0], cmd.Dir, cmd.Stdin = "carrel", work, strings.NewReader(input)
		cmd.Env = append(append(os.Environ(), "CARREL_HOME="+home, "HOME="+home, "CARREL_GUARD=off"), env...)
		out, _ := cmd.CombinedOutput() // the status is looked at
		if status := cmd.ProcessState.ExitCode(); (status == 0) != (want == 0) {
			t.Fatalf("%v: status %d\n%s", args, status, out)
		}
		if secret(out) {
			t.Errorf("%v prints it: %s", args, out)
		}
	}
	folder := testroot.Make(t, "/bin/sh")
	ref := "docker://" + host + "/study:1"
	failing := filepath.Join(work, "failing.def")
	if err := os.WriteFile(failing, []byte("Bootstrap: docker\nFrom: "+host+"/study:1\n%post\n    exit 3\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	run(0, password+"\n", nil, "login", "--no-https", "-u", "ada", "--password-stdin", host)
	run(0, "", nil, "build", "study.sif", folder)
	run(0, "", nil, "push", "--no-https", "study.sif", ref)
	run(0, "", nil, "pull", "--no-https", "copy.sif", ref)
	run(1, "", nil, "build", "--no-https", "failing.sif", failing)
	run(0, "", nil, "run", "-d", "--no-wait", "--name", "study", "copy.sif", "-c", "exit 0")
	run(0, "", nil, "logout", host)
	// By variables, which others cannot read.
	by := []string{"CARREL_DOCKER_USERNAME=ada", "CARREL_DOCKER_PASSWORD=" + password}
	run(1, "", by, "build", "--no-https", "--no-cache", "failing.sif", failing)
	run(0, password+"\n", nil, "login", "--no-https", "-u", "ada", "--password-stdin", host)
	for _, what := range []string{"token", http.MethodGet, http.MethodPut} {
		if !asked[what] {
			t.Errorf("the registry was not asked by %s", what)
		}
	}

	kept := filepath.Join(home, "credentials.json")
	found := false
	for _, dir := range []string{home, work} {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return nil // of a container's own files some are not ours to read, and hold nothing of us
			}
			data, err := os.ReadFile(path)
			if err != nil || !secret(data) {
				return nil
			}
			st, err := d.Info()
			if err != nil {
				return err
			}
			found = found || path == kept
			if path != kept || st.Mode().Perm() != 0o600 {
				t.Errorf("%s holds it, mode %v", path, st.Mode())
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if !found {
		t.Errorf("%s does not hold it; does this test look for the right thing?", kept)
	}
}
