package causes

import (
	"strings"
	"testing"
	"unicode"
)

// Lines as programs wrote them.
func TestFind(t *testing.T) {
	data := []Folder{{Source: "/home/ada/data", Dest: "/data", ReadOnly: true}, {Source: "/home/ada/out", Dest: "/out"}}
	tests := []struct {
		name string
		f    Failure
		id   ID
		fix  Fix
		want string // in Why
		hint string // in Hint
		path string
		port int
	}{
		{name: "jupyter's runtime folder", f: Failure{Lines: []string{"  File \"/usr/lib/python3/dist-packages/jupyter_core/paths.py\", line 1", "OSError: [Errno 30] Read-only file system: '/run/user/1000'"}},
			id: RuntimeDir, fix: FixEnv, want: "/run/user", hint: "XDG_RUNTIME_DIR", path: "/run/user/1000"},
		{name: "jupyter's other way to say so", f: Failure{Lines: []string{"KeyError: 'runtime_dir'"}}, id: RuntimeDir, fix: FixEnv, want: "private folder"},
		{name: "its permission", f: Failure{Lines: []string{"PermissionError: [Errno 13] Permission denied: '/run/user/1000/jupyter'"}}, id: RuntimeDir, fix: FixEnv, want: "private folder"},
		{name: "nginx as nobody", f: Failure{Lines: []string{"nginx: [emerg] bind() to 0.0.0.0:80 failed (13: Permission denied)"}}, id: LowPort, fix: FixNetwork, want: "port 80", hint: "-p 80", port: 80},
		{name: "apache as nobody", f: Failure{Lines: []string{"(13)Permission denied: AH00072: make_sock: could not bind to address 0.0.0.0:80"}}, id: LowPort, fix: FixNetwork, want: "port 80", port: 80},
		{name: "a Go server as nobody", f: Failure{Lines: []string{"listen tcp :443: bind: permission denied"}, Network: true}, id: LowPort, want: "port 443", hint: "1024", port: 443},
		{name: "nginx, taken", f: Failure{Lines: []string{"nginx: [emerg] bind() to 0.0.0.0:8080 failed (98: Address already in use)"}}, id: PortTaken, fix: FixPort, want: "Port 8080", port: 8080},
		{name: "python, taken", f: Failure{Lines: []string{"OSError: [Errno 98] Address already in use"}}, id: PortTaken, fix: FixPort, want: "taken"},
		{name: "node, taken", f: Failure{Lines: []string{"Error: listen EADDRINUSE: address already in use :::3000"}}, id: PortTaken, fix: FixPort, want: "Port 3000", port: 3000},
		{name: "go, taken", f: Failure{Lines: []string{"listen tcp 127.0.0.1:8000: bind: address already in use"}}, id: PortTaken, fix: FixPort, want: "Port 8000", port: 8000},
		{name: "streamlit, taken", f: Failure{Lines: []string{"Port 8501 is already in use"}}, id: PortTaken, fix: FixPort, port: 8501, want: "8501"},
		{name: "jupyter goes on", f: Failure{Status: 139, Lines: []string{"The port 8888 is already in use, trying another port."}}, id: Crashed, want: "crashed"},
		{name: "glibc", f: Failure{Lines: []string{"/opt/tool: /lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.34' not found (required by /opt/tool)"}}, id: Glibc, want: "GLIBC_2.34", hint: "--no-home"},
		{name: "glibcxx", f: Failure{Lines: []string{"ImportError: /usr/lib/libstdc++.so.6: version `GLIBCXX_3.4.30' not found"}}, id: Glibc, want: "GLIBCXX_3.4.30"},
		{name: "the engine, no namespaces", f: Failure{Lines: []string{"start container: new namespaces: operation not permitted"}}, id: NoUserNS, fix: FixDoctor, want: "user namespaces"},
		{name: "a limit that looks like a disk", f: Failure{Lines: []string{"unshare: unshare failed: No space left on device"}}, id: NoUserNS, fix: FixDoctor, want: "user namespaces"},
		{name: "apptainer", f: Failure{Lines: []string{"ERROR  : Could not write info to setgroups: Permission denied"}}, id: NoUserNS, fix: FixDoctor, want: "user namespaces"},
		{name: "bwrap", f: Failure{Lines: []string{"bwrap: setting up uid map: Permission denied"}}, id: NoUserNS, fix: FixDoctor, want: "user namespaces"},
		{name: "disk", f: Failure{Lines: []string{"OSError: [Errno 28] No space left on device: '/var/lib/x'", "exiting"}}, id: DiskFull, fix: FixSpace, want: "disk is full", path: "/var/lib/x"},
		{name: "quota", f: Failure{Lines: []string{"cp: error writing 'b': Disk quota exceeded"}}, id: DiskFull, fix: FixSpace, want: "quota", hint: "CARREL_HOME"},
		{name: "quota, told by the loader", f: Failure{Lines: []string{"ln: error while loading shared libraries: libc.so.6: cannot close file descriptor: Error 122"}}, id: DiskFull, fix: FixSpace, want: "quota"},
		{name: "the disk of a folder", f: Failure{Folders: data, Lines: []string{"dd: error writing '/out/big': No space left on device"}}, id: DiskFull, fix: FixSpace, want: "/home/ada/out", path: "/out/big"},
		{name: "curl, no name", f: Failure{Lines: []string{"curl: (6) Could not resolve host: packages.example.org"}}, id: NoName, fix: FixRetry, want: "packages.example.org"},
		{name: "apt, no name", f: Failure{Lines: []string{"Err:1 http://mirror.example.org/debian bookworm InRelease", "  Temporary failure resolving 'mirror.example.org'"}}, id: NoName, fix: FixRetry, want: "mirror.example.org"},
		{name: "go, no name", f: Failure{Lines: []string{"dial tcp: lookup ghcr.io on 10.0.0.2:53: no such host"}}, id: NoName, fix: FixRetry, want: "ghcr.io"},
		{name: "no route", f: Failure{Lines: []string{"connect: Network is unreachable"}}, id: NoRoute, fix: FixRetry, want: "reach another computer"},
		{name: "limit of a registry", f: Failure{Lines: []string{"TOOMANYREQUESTS: You have reached your pull rate limit."}}, id: RateLimit, fix: FixRetry, want: "too many requests", hint: "carrel login"},
		{name: "429", f: Failure{Lines: []string{"unexpected status code 429 Too Many Requests"}}, id: RateLimit, fix: FixRetry, want: "pause"},
		{name: "certificate", f: Failure{Lines: []string{"tls: failed to verify certificate: x509: certificate signed by unknown authority"}}, id: Certificate, want: "certificate"},
		{name: "shell, architecture", f: Failure{Status: 126, Lines: []string{"sh: /opt/tool: cannot execute binary file: Exec format error"}}, id: Architecture, want: "kind of processor", path: "/opt/tool"},
		{name: "library, architecture", f: Failure{Lines: []string{"/opt/x.so: wrong ELF class: ELFCLASS32"}}, id: Architecture, want: "processor"},
		{name: "missing source", f: Failure{Lines: []string{"FATAL: container creation failed: mount source /srv/none doesn't exist"}}, id: MissingSource, fix: FixFolder, want: "/srv/none", path: "/srv/none"},
		{name: "missing source, ours", f: Failure{Lines: []string{"bind /srv/none on /data: no such file or directory"}}, id: MissingSource, fix: FixFolder, want: "/srv/none", path: "/srv/none"},
		{name: "missing target", f: Failure{Lines: []string{"bind /srv/a on /data: read-only file system"}}, id: MissingDest, want: "place inside", path: "/data"},
		{name: "missing target, apptainer", f: Failure{Lines: []string{"WARNING: Skipping mount /a: destination /data doesn't exist in container"}}, id: MissingDest, want: "place inside"},
		{name: "read-only folder", f: Failure{Folders: data, Lines: []string{"touch: cannot touch '/data/x': Read-only file system"}}, id: ReadOnly, fix: FixWritable, want: "/home/ada/data", path: "/data"},
		{name: "read-only somewhere", f: Failure{Folders: data, Lines: []string{"mkdir: cannot create directory ‘/opt/x’: Read-only file system"}}, id: ReadOnly, want: "nothing can be changed", path: "/opt/x"},
		{name: "sqlite", f: Failure{Lines: []string{"sqlite3.OperationalError: attempt to write a readonly database"}}, id: ReadOnly, want: "nothing can be changed"},
		{name: "memory, python", f: Failure{Lines: []string{"numpy.core._exceptions._ArrayMemoryError: Unable to allocate 74.5 GiB for an array"}}, id: Memory, want: "memory"},
		{name: "memory, R", f: Failure{Lines: []string{"Error: cannot allocate vector of size 7.5 Gb"}, MemoryLimit: 1 << 30}, id: Memory, fix: FixMemory, want: "than it was allowed"},
		{name: "memory, shell", f: Failure{Lines: []string{"bash: xrealloc: cannot allocate 18446744071562067968 bytes"}}, id: Memory, want: "memory"},
		{name: "killed", f: Failure{Lines: []string{"fitting the model", "Killed"}, Status: 137}, id: Memory, want: "memory"},
		{name: "killed, in silence", f: Failure{Lines: []string{"fitting the model"}, Status: 137}, id: Memory, want: "killed"},
		{name: "the engine knows", f: Failure{Lines: []string{"permission denied"}, Memory: true, MemoryLimit: 1 << 20}, id: Memory, fix: FixMemory, want: "allowed"},
		{name: "time", f: Failure{Time: true}, id: TimeLimit, fix: FixTime, want: "time"},
		{name: "jupyter as root", f: Failure{Lines: []string{"[C 12:00:00.123 NotebookApp] Running as root is not recommended. Use --allow-root to bypass."}}, id: RootRefused, fix: FixArgs, want: "root"},
		{name: "apt's user", f: Failure{Lines: []string{"E: setgroups 65534 failed - setgroups (1: Operation not permitted)"}}, id: OtherIDs, fix: FixDoctor, want: "another user"},
		{name: "chown", f: Failure{Lines: []string{"chown: changing ownership of '/srv': Operation not permitted"}}, id: OtherIDs, fix: FixDoctor, want: "files"},
		{name: "python module", f: Failure{Lines: []string{"permission denied", "ModuleNotFoundError: No module named 'numpy.random'"}}, id: MissingModule, want: "Python package numpy,"},
		{name: "R package", f: Failure{Lines: []string{"Error in library(lme4) : there is no package called ‘lme4’"}}, id: MissingModule, want: "R package lme4,"},
		{name: "library", f: Failure{Lines: []string{"tool: error while loading shared libraries: libGL.so.1: cannot open shared object file: No such file or directory"}}, id: MissingLibrary, want: "libGL.so.1"},
		{name: "debian package", f: Failure{Build: true, Lines: []string{"E: Unable to locate package python3-nmupy"}}, id: MissingDebian, want: "python3-nmupy"},
		{name: "window", f: Failure{Lines: []string{"_tkinter.TclError: no display name and no $DISPLAY environment variable"}}, id: NoDisplay, want: "window"},
		{name: "files", f: Failure{Lines: []string{"OSError: [Errno 24] Too many open files"}}, id: OpenFiles, want: "files"},
		{name: "file of a folder", f: Failure{Folders: data, Lines: []string{"FileNotFoundError: [Errno 2] No such file or directory: '/data/effects.csv'"}}, id: MissingFile, want: "effects.csv is not in the folder you share, /home/ada/data", path: "/data/effects.csv"},
		{name: "file elsewhere", f: Failure{Lines: []string{"cat: /home/ada/x.csv: No such file or directory"}}, id: MissingFile, want: "/home/ada/x.csv", path: "/home/ada/x.csv"},
		{name: "program", f: Failure{Status: 127, Lines: []string{"sh: 1: jupyter: not found"}}, id: MissingProgram, want: "program jupyter"},
		{name: "program, bash", f: Failure{Lines: []string{"/bin/bash: line 3: Rscript: command not found"}, Build: true}, id: MissingProgram, want: "program Rscript", hint: "before"},
		{name: "denied in a folder", f: Failure{Folders: data, Lines: []string{"PermissionError: [Errno 13] Permission denied: '/out/a/b'"}}, id: Denied, want: "/home/ada/out/a/b", hint: "owns"},
		{name: "denied in root's home", f: Failure{Lines: []string{"mkdir: cannot create directory '/root/.cache': Permission denied"}}, id: Denied, want: "/root/.cache", hint: "HOME"},
		{name: "strong before weak", f: Failure{Lines: []string{"ModuleNotFoundError: No module named 'pandas'", "cat: /x: Permission denied"}}, id: MissingModule, want: "pandas"},
		{name: "colours", f: Failure{Lines: []string{"\x1b[1;31mOSError: [Errno 28] No space left on device\x1b[0m\a"}}, id: DiskFull, fix: FixSpace, want: "full"},
		{name: "status 126", f: Failure{Status: 126}, id: NotStarted, want: "start script"},
		{name: "status 127", f: Failure{Status: 127}, id: MissingProgram, want: "not found"},
	}
	for _, tt := range tests {
		c, ok := Find(tt.f)
		if !ok || c.ID != tt.id || c.Fix != tt.fix || !strings.Contains(c.Why, tt.want) || !strings.Contains(c.Hint, tt.hint) || tt.path != "" && c.Path != tt.path || c.Port != tt.port {
			t.Errorf("%s: %+v, want %s %q, %q, hint %q, path %q, port %d", tt.name, c, tt.id, tt.fix, tt.want, tt.hint, tt.path, tt.port)
		}
		if !strings.HasSuffix(c.Why, ".") || c.Hint == "" {
			t.Errorf("%s: %q %q are no sentences", tt.name, c.Why, c.Hint)
		}
		if strings.ContainsFunc(c.Evidence+c.Why+c.Path, unicode.IsControl) {
			t.Errorf("%s: %q %q holds control characters", tt.name, c.Evidence, c.Why)
		}
	}
	for _, f := range []Failure{{}, {Status: 1}, {Status: 42, Lines: []string{"analysis done", "100 % of the files were found"}}} {
		if c, ok := Find(f); ok {
			t.Errorf("%+v has the cause %+v", f, c)
		}
	}
}

// Whatever was written, what is said of it is one safe line.
func FuzzFind(f *testing.F) {
	f.Add("bind() to 0.0.0.0:80 failed (13: Permission denied)", 1)
	f.Add("\x1b[31mcat: '/a\x1b]0;x\a': Permission denied", 137)
	f.Add("mount source  doesn't exist", 0)
	f.Fuzz(func(t *testing.T, line string, status int) {
		c, _ := Find(Failure{Lines: strings.Split(line, "\n"), Status: status, Folders: []Folder{{Source: "/s", Dest: "/d"}}})
		if strings.ContainsFunc(c.Why+c.Hint+c.Evidence+c.Path+c.Name, unicode.IsControl) {
			t.Errorf("%+v", c)
		}
		if len(c.Evidence) > maxEvidence+8 {
			t.Errorf("%d bytes of evidence", len(c.Evidence))
		}
	})
}
