package causes

import (
	"path"
	"strconv"
	"strings"

	"carrel/internal/pattern"
)

// rule is a failure that leaves a line.
type rule struct {
	id      ID
	pattern *pattern.Pattern
	not     *pattern.Pattern // a line that only looks like it; nil: none does
	weak    bool             // the line may have many reasons: any other cause comes first
	status  int              // only with this exit status; 0: with any
	make    func(f *Failure, line string, m []string) Cause
}

var (
	portNumber = pattern.New(`(?i)(?:\bports? |[:\]]|\('[^']*', )(\d{1,5})\b`)
	filePath   = pattern.New(`['"‘“\x60](/[^'"’”\x60]*)['"’”\x60]|(?:^|[\s=(\[])(/[^\s:,;'"’)\]]+)`)
)

// say makes a rule's Cause that depends on nothing.
func say(why, hint string, fix Fix) func(*Failure, string, []string) Cause {
	return func(*Failure, string, []string) Cause { return Cause{Why: why, Hint: hint, Fix: fix} }
}

// rules are asked in this order for each line.
var rules = []rule{
	{id: NoUserNS, pattern: pattern.New(`(?i)user namespaces? (?:are|is) (?:off|not|disabled)|may not make user namespaces|max_user_namespaces|creating new namespace failed|no permissions to creat\w* (?:a )?new namespace|new namespaces: |unshare(?: failed|\(\w+\))?: (?:operation not permitted|no space left|permission denied)|could not write info to setgroups|failed to create user namespace|setting up uid map: permission denied`),
		make: say("This computer does not let ordinary users make user namespaces, which containers are made of.",
			"carrel doctor shows the one line that an administrator would run.", FixDoctor)},

	{id: DiskFull, pattern: pattern.New(`(?i)no space left on device|disk quota exceeded|\benospc\b|\bedquot\b|database or disk is full|errno 28\b|errno 122\b|shared libraries: .*: error (?:28|122)$`),
		make: func(f *Failure, line string, _ []string) Cause {
			c := Cause{Fix: FixSpace, Path: file(line), Why: "The disk is full.", Hint: "Free some space: carrel ls shows images, carrel cache prune frees what can be fetched again."}
			if lower := strings.ToLower(line); strings.Contains(lower, "quota") || strings.HasSuffix(lower, "error 122") || strings.Contains(lower, "errno 122") {
				c.Why = "Your share of the disk (quota) is used up."
				c.Hint += " CARREL_HOME can be a folder where you have more."
			}
			if d, ok := f.shared(c.Path); ok {
				c.Why = "The disk of the folder " + d.Source + " is full."
				c.Hint = "Free some space there, or share a folder on another disk."
			}
			return c
		}},

	{id: LowPort, pattern: pattern.New(`(?i)bind\(\) to \S+ failed \(13|permission denied: .*(?:make_sock|could not bind)|could not bind to address \S+.*|listen tcp\d? \S+ bind: permission denied|eacces.*(?:\blisten|0\.0\.0\.0:|:::)|listen eacces|permissionerror.*(?:bind|socket)|bind\w*(?:\(\))?:? permission denied|bind .*permission denied`),
		not: pattern.New(`(?i)address already in use|\b98:`),
		make: func(f *Failure, line string, _ []string) Cause {
			c := Cause{Port: port(line), Why: "It wanted to listen on a port that only administrators may use."}
			if c.Port > 0 {
				c.Why = "It wanted to listen on port " + itoa(c.Port) + ", which only administrators may use."
			}
			c.Hint, c.Fix = "Give it a network of its own, in which it may: carrel run -p "+or(c.Port, "PORT")+" …", FixNetwork
			if f.Network {
				c.Hint, c.Fix = "Let it listen on a port from 1024 on.", FixNone
			}
			return c
		}},

	{id: PortTaken, pattern: pattern.New(`(?i)address already in use|\beaddrinuse\b|errno 98\b|port \d+ is (?:already )?(?:in use|taken|allocated)|publish port \S+: taken|ports? .*(?:already in use|not available)`),
		not: pattern.New(`(?i)trying (?:another|the next)|using port|used instead|instead`),
		make: func(_ *Failure, line string, _ []string) Cause {
			c := Cause{Port: port(line), Fix: FixPort, Why: "The port it wanted is taken by another program.", Hint: "Start it on another port; with carrel run -p the next free one is used, and told."}
			if c.Port > 0 {
				c.Why = "Port " + itoa(c.Port) + ", which it wanted, is taken by another program."
			}
			return c
		}},

	{id: RuntimeDir, pattern: pattern.New(`(?i)keyerror: '?runtime_dir|/run/user(?:/\d+)?\b.*(?:read-only|permission denied|no such file|not (?:a |)director|errno (?:30|13|2)\b)|(?:read-only|permission denied|errno (?:30|13|2)\b|no such file).*/run/user\b`),
		make: func(_ *Failure, line string, _ []string) Cause {
			return Cause{Path: file(line), Fix: FixEnv, Env: map[string]string{"XDG_RUNTIME_DIR": "/tmp"},
				Why:  "It wanted its private folder below /run/user, which is not there inside the container.",
				Hint: "Start it with another one: --env XDG_RUNTIME_DIR=/tmp"}
		}},

	{id: MissingDest, pattern: pattern.New(`(?i)destination \S+ doesn't exist in container|mount point does not exist|bind \S+ on (\S+): (?:read-only file system|not a directory)`),
		make: func(_ *Failure, line string, m []string) Cause {
			c := Cause{Path: file(line), Why: "The place inside at which a folder was to appear is not there.", Hint: "Choose a place that the image has: carrel inspect --files / IMAGE"}
			if m[1] != "" {
				c.Path = m[1]
			}
			return c
		}},

	{id: MissingSource, pattern: pattern.New(`(?i)mount source (\S+) doesn't exist|bind (\S+) on \S+: no such file|(?:bind|share) (\S+): (?:it is not there|no such file)`),
		make: func(_ *Failure, _ string, m []string) Cause {
			p := m[1] + m[2] + m[3]
			return Cause{Path: p, Name: path.Base(p), Fix: FixFolder, Why: "The folder " + p + ", which was to be shared, is not there.", Hint: "Make it first: mkdir -p " + p + "; or correct its path."}
		}},

	{id: ReadOnly, pattern: pattern.New(`(?i)read-only (?:file ?system|database)|\berofs\b|errno 30\b|readonly database`),
		make: func(f *Failure, line string, _ []string) Cause {
			c := Cause{Path: file(line), Why: "It tried to write where nothing can be changed."}
			c.Hint = "Share a folder for what it writes, or keep changes inside the container (--writable)."
			d, ok := f.shared(c.Path)
			if !ok && c.Path == "" && len(f.Folders) == 1 && f.Folders[0].ReadOnly { // the line names no path
				d, ok = f.Folders[0], true
			}
			if ok && d.ReadOnly {
				c.Fix = FixWritable
				c.Path = d.Dest
				c.Why = "It tried to change the folder " + d.Source + ", which it may only read."
				c.Hint = "Share it for reading and changing (without :ro)."
			} else if ok {
				c.Why = "It tried to change the folder " + d.Source + ", which lies on a disk that cannot be changed."
				c.Hint = "Share a folder on another disk."
			}
			return c
		}},

	{id: Glibc, pattern: pattern.New("(?i)version [`'‘]?((?:GLIBC|GLIBCXX|CXXABI)_[\\d.]+)['’]? not found"),
		make: func(_ *Failure, line string, m []string) Cause {
			return Cause{Name: m[1], Path: file(line), Why: "A program wants a newer system library than the container has (" + m[1] + ").",
				Hint: "Most often it comes from outside, of a folder of installed software such as ~/.local or a conda of the host: start it without (--no-home, or carrel run --safe), or build the image from a newer base."}
		}},

	{id: Architecture, pattern: pattern.New(`(?i)exec format error|wrong elf class|cannot execute binary file|\benoexec\b|image is for (\S+)|does not match (?:the )?host architecture|no matching manifest for|no image for (?:the )?platform`),
		make: func(_ *Failure, line string, _ []string) Cause {
			return Cause{Path: file(line), Why: "The program was made for another kind of processor, or it is no program at all.",
				Hint: "Ask for an image for this computer's processor (uname -m), or build it here from its definition. A script needs a first line such as #!/bin/sh."}
		}},

	{id: RateLimit, pattern: pattern.New(`(?i)toomanyrequests|too many requests|\b429\b.*(?:status|error|http|limit)|(?:status|error|http\S*) 429\b|pull rate limit|rate limit exceeded`),
		make: say("The server has answered too many requests from here, and wants a pause.",
			"Try again in an hour, or sign in, which raises the limit: carrel login docker.io", FixRetry)},

	{id: NoName, pattern: pattern.New(`(?i)temporary failure (?:in name resolution|resolving)|could not resolve(?: host| proxy|\b)|name or service not known|no such host|name resolution|getaddrinfo (?:enotfound|eai_again|failed)|unable to resolve host address|nodename nor servname`),
		not: pattern.New(`(?i)^sudo: unable to resolve host`),
		make: func(_ *Failure, line string, _ []string) Cause {
			c := Cause{Fix: FixRetry, Why: "It could not look up the name of another computer.",
				Hint: "Is this computer connected? In a network with a proxy, set https_proxy."}
			if m := hostName.FindStringSubmatch(line); m != nil {
				c.Name = strings.Trim(m[1], "'\".,;:()")
				c.Why = "The computer " + c.Name + " could not be found by its name."
			}
			return c
		}},

	{id: NoRoute, pattern: pattern.New(`(?i)network is unreachable|no route to host|\benetunreach\b|\behostunreach\b|connection timed out|i/o timeout|operation timed out`),
		make: say("It could not reach another computer over the network.",
			"Is this computer connected? In a network with a proxy, set https_proxy; an app that was started without the internet (--net none) reaches nothing outside.", FixRetry)},

	{id: Certificate, pattern: pattern.New(`(?i)certificate verify failed|x509: certificate|certificate has expired|self[- ]signed certificate|server certificate verification failed|unable to get local issuer certificate`),
		make: say("The other computer could not prove who it is (its certificate).",
			"Check this computer's clock. In networks that look into connections, the network's own certificate has to be in the image (package ca-certificates).", FixNone)},

	{id: RootRefused, pattern: pattern.New(`(?i)running as root is not recommended.*--?allow-root|use --allow-root|(?:--no-sandbox is not supported|running as root without --no-sandbox)`),
		make: func(_ *Failure, line string, _ []string) Cause {
			c := Cause{Fix: FixArgs, Args: []string{"--allow-root"}, Why: "It refuses to run as root.", Hint: "Start it with --allow-root behind the image's name, or as an ordinary user."}
			if strings.Contains(line, "--no-sandbox") {
				c.Args, c.Hint = []string{"--no-sandbox"}, "Start it with --no-sandbox behind the image's name, or as an ordinary user."
			}
			return c
		}},

	{id: OtherIDs, pattern: pattern.New(`(?i)(?:chown|chgrp|setgroups|sete?[ug]id|setres[ug]id|initgroups|groupadd|useradd)\b.*(?:operation not permitted|invalid argument|failure while writing)`),
		make: say("It tried to become another user, or to give files to one, which is not possible here.",
			"carrel doctor says what an administrator would add (a range in /etc/subuid); most software has an option to stay one user.", FixDoctor)},

	{id: MissingModule, pattern: pattern.New(`(?i)no module named '?([\w.]+)'?|there is no package called ['‘"“]?([\w.]+)|cannot find (?:module|package) ['"]([^'"]+)|can't locate (\S+\.pm)`),
		make: func(f *Failure, _ string, m []string) Cause {
			name := m[1] + m[2] + m[3] + m[4]
			kind := "The package "
			switch {
			case m[1] != "":
				kind = "The Python package "
				name, _, _ = strings.Cut(name, ".")
			case m[2] != "":
				kind = "The R package "
			case m[4] != "":
				kind = "The Perl module "
			}
			c := Cause{Name: name, Why: kind + name + ", which it needs, is not in the image.", Hint: "Add it to the definition's %post and build again."}
			if f.Build {
				c.Hint = "Install it in %post before it is used."
			}
			return c
		}},

	{id: MissingLibrary, pattern: pattern.New(`(?i)error while loading shared libraries: (\S+?): cannot open shared object file: no such|cannot open shared object file: no such|unable to load shared object '?([^']+)'?|libgl error|(lib\S+\.so\S*): cannot open`),
		make: func(_ *Failure, _ string, m []string) Cause {
			c := Cause{Name: m[1] + m[2] + m[3], Why: "A system library it needs is not in the image.", Hint: "Add the package that holds it to the definition's %post (on Debian: apt-file search NAME finds it), and build again."}
			if c.Name != "" {
				c.Why = "The system library " + path.Base(c.Name) + ", which it needs, is not in the image."
			}
			return c
		}},

	{id: MissingDebian, pattern: pattern.New(`(?i)unable to locate package (\S+)|package '?([\w.+-]+)'? has no installation candidate|no package ([\w.+-]+) available|no match for argument: (\S+)`),
		make: func(_ *Failure, _ string, m []string) Cause {
			name := m[1] + m[2] + m[3] + m[4]
			return Cause{Name: name, Why: "The base has no package of the name " + name + ".", Hint: "Check how it is written (packages.debian.org lists them), and run apt-get update before the first install."}
		}},

	{id: NoDisplay, pattern: pattern.New(`(?i)cannot open display|could not connect to display|no display name and no \$display|unable to init server|cannot connect to x server|no x11 display`),
		make: say("It wanted to open a window, and there is no screen inside.",
			"Start it without windows (matplotlib: MPLBACKEND=Agg; many programs: --headless), or let it show a page instead.", FixNone)},

	{id: OpenFiles, pattern: pattern.New(`(?i)too many open files|\bemfile\b|inotify watch limit|system limit for number of file watchers`),
		make: say("It opened more files at once than it may.", "Raise the limit in the shell that starts it: ulimit -n 65536", FixNone)},

	{id: Memory, pattern: pattern.New(`(?i)cannot allocate (?:memory|vector|\d+ bytes)|out of memory|memory exhausted|\bmemoryerror\b|bad_alloc|outofmemoryerror|unable to allocate|heap limit allocation failed|oom-kill|\benomem\b|memory allocation of \d+ bytes failed`),
		make: func(f *Failure, line string, _ []string) Cause { return f.memory(line) }},

	{id: Memory, pattern: pattern.New(`(?i)^(?:.*:\s*)?(?:\d+ )?killed\b`), status: 137,
		make: func(f *Failure, _ string, _ []string) Cause { return f.memory("") }},

	{id: MissingFile, weak: true, pattern: pattern.New(`(?i)filenotfounderror|errno 2\]|cannot open (?:the )?(?:connection|file)|no such file or directory`),
		not: pattern.New(`(?i)^\s*warning`),
		make: func(f *Failure, line string, _ []string) Cause {
			c := Cause{Path: file(line), Why: "A file it needs is not there, as it sees things.", Hint: "Inside it sees the image and the folders you share: is the file in one of them?"}
			if c.Path != "" {
				c.Why = "The file " + c.Path + " is not there inside the container."
			}
			if d, ok := f.shared(c.Path); ok {
				rest := strings.TrimPrefix(strings.TrimPrefix(c.Path, d.Dest), "/")
				c.Why = "The file " + rest + " is not in the folder you share, " + d.Source + "."
				c.Hint = "Put it there, or share the folder that it lies in."
			}
			return c
		}},

	{id: MissingProgram, weak: true, pattern: pattern.New(`(?i)(?:^|[:\s])([\w./+-]+): (?:command )?not found\s*$|exec: "?([\w./+-]+)"?: executable file not found|command not found: (\S+)|([\w./+-]+): not found in \$?path`),
		make: func(f *Failure, _ string, m []string) Cause {
			name := m[1] + m[2] + m[3] + m[4]
			c := Cause{Name: name, Why: "The program " + name + " is not in the image.", Hint: "Add it to the definition's %post and build again, or correct its name."}
			if f.Build {
				c.Hint = "Install it in %post before it is used, or correct its name."
			}
			return c
		}},

	{id: Denied, weak: true, pattern: pattern.New(`(?i)permission denied|errno 13\b|\beacces\b|access denied`),
		make: func(f *Failure, line string, _ []string) Cause {
			c := Cause{Path: file(line), Why: "It was not allowed to open something.", Hint: "Check who may read and change the folders you share."}
			if c.Path != "" {
				c.Why = "It was not allowed to open " + c.Path + "."
			}
			if d, ok := f.shared(c.Path); ok {
				c.Why = "It was not allowed to use " + strings.TrimSuffix(d.Source, "/") + strings.TrimPrefix(c.Path, d.Dest) + ", which is in the folder you share."
				c.Hint = "See who owns it (ls -l), and change that there, or share a folder of your own."
			} else if strings.HasPrefix(c.Path, "/root") {
				c.Hint = "It keeps things in root's home: give it another one, such as --env HOME=/tmp, or be root inside (--fakeroot)."
			}
			return c
		}},
}

var hostName = pattern.New(`(?i)(?:resolve host:? |resolving |lookup |enotfound |eai_again |could not resolve[: ]+|^\S*: )'?([\w-]+(?:\.[\w-]+)+)`)

func itoa(n int) string { return strconv.Itoa(n) }

func or(n int, word string) string {
	if n == 0 {
		return word
	}
	return itoa(n)
}
