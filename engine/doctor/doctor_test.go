package doctor

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"carrel/engine/doctor/probe"
)

func outcome(e syscall.Errno) probe.Outcome { return &e }

// well is a computer on which everything goes.
func well() trial {
	ok := outcome(0)
	return trial{Result: probe.Result{Namespaces: ok, Private: ok, FUSE: ok, FUSEMount: ok, Overlay: ok, Tap: ok, Veth: ok}}
}

func with(change func(*trial)) trial {
	t := well()
	change(&t)
	return t
}

// refused is a computer that refuses new namespaces.
func refused(e syscall.Errno) trial {
	return trial{Result: probe.Result{Namespaces: outcome(e)}}
}

var (
	anna = person{uid: 1000, name: "anna", self: "/home/anna/bin/carrel", family: "debian"}
	root = person{uid: 0, name: "root"}
	open = limits{max: 65536, clone: -1, apparmor: -1}
)

func TestUserNamespaces(t *testing.T) {
	for name, tt := range map[string]struct {
		person person
		limits limits
		trial  trial
		status Status
		detail string
		admin  string
	}{
		"works":           {anna, open, well(), OK, "just now", ""},
		"root":            {root, open, well(), OK, "root", ""},
		"switched off":    {anna, limits{max: 0, clone: -1, apparmor: -1}, refused(unix.ENOSPC), Bad, "max_user_namespaces is 0", "user.max_user_namespaces=65536"},
		"used up":         {anna, limits{max: 50000, clone: -1, apparmor: -1}, refused(unix.ENOSPC), Bad, "used up", "sysctl -w user.max_user_namespaces=100000"},
		"Debian's switch": {anna, limits{max: 9, clone: 0, apparmor: -1}, refused(unix.EPERM), Bad, "unprivileged_userns_clone is 0", "kernel.unprivileged_userns_clone=1"},
		"AppArmor, refused at once": {
			anna, limits{max: 9, clone: 1, apparmor: 1}, refused(unix.EACCES), Bad, "AppArmor", `profile carrel "/home/anna/bin/carrel"`,
		},
		"AppArmor, without capabilities": {
			anna, limits{max: 9, clone: 1, apparmor: 1}, with(func(t *trial) { t.Private = outcome(unix.EACCES) }), Bad, "AppArmor", "apparmor_parser -r",
		},
		"AppArmor, odd path": {
			person{uid: 7, self: "/tmp/it's"}, limits{max: 9, clone: 1, apparmor: 1}, refused(unix.EACCES), Bad, "AppArmor", "apparmor_restrict_unprivileged_userns=0",
		},
		"in a container":        {person{uid: 7, seccomp: true}, open, refused(unix.EPERM), Bad, "inside of another container", ""},
		"root in a container":   {root, open, refused(unix.EPERM), Bad, "refused new namespaces", ""},
		"not in the kernel":     {anna, open, refused(unix.EINVAL), Bad, "built without", ""},
		"for an unknown reason": {anna, open, refused(unix.EPERM), Bad, "operation not permitted", ""},
		"not tried":             {anna, open, trial{err: context.DeadlineExceeded}, Note, "could not be tried", ""},
	} {
		t.Run(name, func(t *testing.T) {
			c := userNamespaces(tt.person, tt.limits, tt.trial)
			checkCheck(t, c, tt.status, tt.detail, tt.admin)
		})
	}
}

func TestImagesOpen(t *testing.T) {
	kernel := squashfs{known: true, loop: true}
	for name, tt := range map[string]struct {
		person   person
		squashfs squashfs
		trial    trial
		status   Status
		detail   string
		admin    string
	}{
		"works":                   {anna, kernel, well(), OK, "/dev/fuse", ""},
		"root, by the kernel":     {root, kernel, well(), OK, "SquashFS", ""},
		"root, without loop":      {root, squashfs{known: true}, well(), OK, "/dev/fuse", ""},
		"closed":                  {anna, kernel, with(func(t *trial) { t.FUSE, t.FUSEMount = outcome(unix.EACCES), nil }), Note, "permission denied", "chmod 666 /dev/fuse"},
		"absent":                  {anna, kernel, with(func(t *trial) { t.FUSE, t.FUSEMount = outcome(unix.ENOENT), nil }), Note, "no /dev/fuse", "modprobe fuse"},
		"mount refused":           {anna, kernel, with(func(t *trial) { t.FUSEMount = outcome(unix.EPERM) }), Note, "refused a FUSE mount", ""},
		"no container to try it":  {anna, kernel, refused(unix.EPERM), Note, "could not be tried", ""},
		"a trial that was broken": {anna, kernel, trial{err: errors.New("broken pipe")}, Note, "broken pipe", ""},
	} {
		t.Run(name, func(t *testing.T) {
			checkCheck(t, imagesOpen(tt.person, tt.squashfs, tt.trial), tt.status, tt.detail, tt.admin)
		})
	}
}

func TestWritableRoot(t *testing.T) {
	no := with(func(t *trial) { t.Overlay = outcome(unix.EPERM) })
	for name, tt := range map[string]struct {
		release string
		trial   trial
		status  Status
		detail  string
		admin   string
	}{
		"works":         {"6.1.0-13-amd64", well(), OK, "throw-away", ""},
		"old kernel":    {"5.10.0-28-amd64", no, Bad, "5.11", ""},
		"older kernel":  {"3.10.0-1160.el7", no, Bad, "5.11", ""},
		"not there":     {"5.11.0", with(func(t *trial) { t.Overlay = outcome(unix.ENODEV) }), Bad, "no such device", "modprobe overlay"},
		"odd kernel":    {"unreadable", no, Bad, "not permitted", "modprobe overlay"},
		"no containers": {"6.1", refused(unix.ENOSPC), Note, "could not be tried", ""},
	} {
		t.Run(name, func(t *testing.T) { checkCheck(t, writableRoot(tt.release, tt.trial), tt.status, tt.detail, tt.admin) })
	}
}

func TestOwnNetwork(t *testing.T) {
	for name, tt := range map[string]struct {
		trial  trial
		status Status
		detail string
	}{
		"tap":  {well(), OK, "/dev/net/tun"},
		"veth": {with(func(t *trial) { t.Tap = outcome(unix.EACCES) }), OK, "veth"},
		"none": {with(func(t *trial) { t.Tap, t.Veth = outcome(unix.EACCES), outcome(unix.EOPNOTSUPP) }), Note, "permission denied; veth: operation not supported"},
		"not":  {refused(unix.EPERM), Note, "could not be tried"},
	} {
		t.Run(name, func(t *testing.T) { checkCheck(t, ownNetwork(tt.trial), tt.status, tt.detail, "") })
	}
}

func TestSubordinateIDs(t *testing.T) {
	full := subordinate{uids: 65536, gids: 65536, nextFree: 165536}
	for name, tt := range map[string]struct {
		person person
		ids    subordinate
		status Status
		detail string
		admin  string
	}{
		"works":           {anna, full, OK, "65536", ""},
		"root":            {root, subordinate{missing: []string{"newuidmap"}}, OK, "root", ""},
		"no range":        {anna, subordinate{nextFree: 165536}, Note, "anna has 0 user and 0 group", "usermod --add-subuids 165536-231071 --add-subgids 165536-231071 anna"},
		"no groups":       {anna, subordinate{uids: 65536, nextFree: 100000}, Note, "65536 user and 0 group", "usermod"},
		"not installed":   {anna, subordinate{missing: []string{"newuidmap", "newgidmap"}, nextFree: 100000}, Note, "newuidmap and newgidmap are not installed", "apt-get install -y uidmap && usermod"},
		"Fedora":          {person{uid: 5, family: "fedora"}, subordinate{missing: []string{"newgidmap"}, uids: 65536, gids: 65536}, Note, "newgidmap is not", "dnf install -y shadow-utils"},
		"not privileged":  {anna, subordinate{weak: []string{"/usr/bin/newuidmap"}, uids: 65536, gids: 65536}, Note, "set-user-ID", "chmod u+s /usr/bin/newuidmap"},
		"no new rights":   {person{uid: 7, noNewPrivs: true}, full, Note, "no_new_privs", ""},
		"rights are last": {person{uid: 7, noNewPrivs: true}, subordinate{}, Note, "no_new_privs", ""},
	} {
		t.Run(name, func(t *testing.T) { checkCheck(t, subordinateIDs(tt.person, tt.ids), tt.status, tt.detail, tt.admin) })
	}
}

func TestResourceLimits(t *testing.T) {
	all := []string{"cpu", "memory", "pids"}
	for name, tt := range map[string]struct {
		person person
		cgroup cgroup
		outer  outer
		status Status
		detail string
		admin  string
	}{
		"works":                   {anna, cgroup{mounted: true, writable: true, controllers: all}, outer{}, OK, "cpu, memory, pids", ""},
		"not mounted":             {anna, cgroup{}, outer{}, Note, "not mounted", "mount -t cgroup2 none /sys/fs/cgroup"},
		"version 1":               {anna, cgroup{systemd: true}, outer{}, Note, "not mounted", "systemd.unified_cgroup_hierarchy=1 /' /etc/default/grub && update-grub"},
		"hybrid, Fedora":          {person{uid: 5, family: "fedora"}, cgroup{systemd: true, mounted: true, hybrid: true}, outer{}, Note, "cgroups v1", "grubby --update-kernel=ALL --args=systemd.unified_cgroup_hierarchy=1"},
		"hybrid, without systemd": {anna, cgroup{mounted: true, hybrid: true}, outer{}, Note, "cgroups v1", ""},
		"hybrid, in a container":  {anna, cgroup{systemd: true, mounted: true, hybrid: true}, outer{kind: "Docker"}, Note, "cgroups v1", ""},
		"not ours":                {anna, cgroup{systemd: true, mounted: true, controllers: all}, outer{}, Note, "belongs to the system", "delegate.conf && systemctl daemon-reload"},
		"not ours, no systemd":    {anna, cgroup{mounted: true, controllers: all}, outer{}, Note, "belongs to the system", ""},
		"in part":                 {anna, cgroup{systemd: true, mounted: true, writable: true, controllers: []string{"pids"}}, outer{}, Note, "pids", "Delegate=cpu"},
		"in part, root":           {root, cgroup{mounted: true, writable: true, above: "/sys/fs/cgroup/a"}, outer{}, Note, "none", "echo '+cpu +memory +pids' > /sys/fs/cgroup/a/cgroup.subtree_control"},
		"in part, at the top":     {root, cgroup{mounted: true, writable: true}, outer{}, Note, "none", ""},
	} {
		t.Run(name, func(t *testing.T) {
			checkCheck(t, resourceLimits(tt.person, tt.cgroup, tt.outer), tt.status, tt.detail, tt.admin)
		})
	}
}

func TestSpace(t *testing.T) {
	home := "/home/anna"
	dir := home + "/.local/share/carrel"
	for name, tt := range map[string]struct {
		room   room
		status Status
		title  string
	}{
		"plenty":    {room{dir: dir, free: 80 * gigabyte, writable: true}, OK, "80 GB free for images in ~/.local/share/carrel"},
		"some":      {room{dir: dir, free: 4200 * megabyte, writable: true}, Note, "4.2 GB free"},
		"little":    {room{dir: dir, free: 90 * megabyte, writable: true}, Bad, "Only 90 MB free"},
		"memory":    {room{dir: "/home/annabel", free: 80 * gigabyte, writable: true, memory: true}, Note, "in /home/annabel"},
		"forbidden": {room{dir: dir, free: 80 * gigabyte}, Bad, "cannot be kept"},
		"broken":    {room{dir: dir, err: unix.EIO}, Bad, "cannot be kept"},
	} {
		t.Run(name, func(t *testing.T) {
			c := imageSpace(anna, tt.room, home)
			if !strings.Contains(c.Title, tt.title) {
				t.Errorf("got %q, want %q", c.Title, tt.title)
			}
			checkCheck(t, c, tt.status, "", "")
		})
	}
	if c := tempSpace(anna, room{dir: "/tmp", free: gigabyte, writable: true}, home); c.Status != Note {
		t.Errorf("1 GB for temporary files is %s, want %s", c.Status, Note)
	}
	r := space(filepath.Join(t.TempDir(), "not", "there", "yet"))
	if r.err != nil || r.free <= 0 || !r.writable {
		t.Errorf("space of a folder to be made: %+v", r)
	}
}

func TestPort(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := l.Addr().(*net.TCPAddr).Port
	c := portFree(n, port(t.Context(), n))
	if c.Status != Note || !strings.Contains(c.Title, "in use") || !strings.Contains(c.Detail, strconv.Itoa(os.Getpid())) {
		t.Errorf("a port that this test holds: %+v", c)
	}
	l.Close()
	if c := portFree(n, port(t.Context(), n)); c.Status != OK {
		t.Errorf("a free port: %+v", c)
	}
}

func TestFacts(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return file
	}
	file := write("etc/subuid", "# ranges\nbob:100000:65536\nanna:165536:65536\n1000:300000:10\nbroken:x:1\nhuge\n")
	if given, end := ranges(file, anna); given != 65546 || end != 300010 {
		t.Errorf("ranges give %d ids and end at %d, want 65546 and 300010", given, end)
	}
	if given, end := ranges(filepath.Join(dir, "none"), anna); given != 0 || end != 0 {
		t.Errorf("no file gives %d ids up to %d", given, end)
	}
	for text, want := range map[string]string{
		"ID=ubuntu\nID_LIKE=debian\n": "debian", "NAME=\"Rocky\"\nID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n": "fedora",
		"ID=\"opensuse-leap\"\nID_LIKE=\"suse opensuse\"": "suse", "ID=arch": "arch", "ID=nixos": "", "": "",
	} {
		if got := family(write("etc/os-release", text)); got != want {
			t.Errorf("family of %q is %q, want %q", text, got, want)
		}
	}
	write("proc/sys/user/max_user_namespaces", "0\n")
	write("proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1\n")
	if got, want := findLimits(dir), (limits{max: 0, clone: -1, apparmor: 1}); got != want {
		t.Errorf("limits are %+v, want %+v", got, want)
	}
	write("proc/filesystems", "nodev\ttmpfs\n\text4\n")
	if findSquashfs(dir, "6.1").known {
		t.Error("SquashFS is known without a sign of it")
	}
	write("usr/lib/modules/6.1/kernel/fs/squashfs/squashfs.ko.xz", "")
	if !findSquashfs(dir, "6.1").known {
		t.Error("a SquashFS module is not seen")
	}
	write("proc/self/mountinfo", "30 24 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n")
	write("proc/self/cgroup", "0::/user.slice/app.scope\n")
	write("sys/fs/cgroup/user.slice/app.scope/cgroup.controllers", "cpu memory pids\n")
	write("sys/fs/cgroup/user.slice/app.scope/cgroup.procs", "")
	write("sys/fs/cgroup/user.slice/app.scope/cgroup.subtree_control", "")
	if g := findCgroup(dir); !g.mounted || g.hybrid || !g.writable || len(g.controllers) != 3 {
		t.Errorf("control group is %+v", g)
	}
	write("proc/self/cgroup", "9:memory:/\n0::/\n")
	if g := findCgroup(dir); !g.mounted || !g.hybrid {
		t.Errorf("control group of a hybrid system is %+v", g)
	}
}

func TestSurroundings(t *testing.T) {
	all := "         0          0 4294967295\n"
	for name, tt := range map[string]struct {
		files map[string]string
		env   []string
		kind  string
		ids   bool
	}{
		"a computer":       {map[string]string{"proc/self/uid_map": all}, []string{"PATH=/bin", "APPTAINER_CONTAINER="}, "", false},
		"Docker":           {map[string]string{"proc/self/uid_map": all, ".dockerenv": ""}, nil, "Docker", false},
		"Podman, rootless": {map[string]string{"proc/self/uid_map": "0 1000 1\n1 100000 65536\n", "run/.containerenv": ""}, nil, "Podman", true},
		"Apptainer":        {map[string]string{"proc/self/uid_map": "1000 1000 1\n"}, []string{"APPTAINER_CONTAINER=/x.sif"}, "Apptainer, Singularity or Carrel", true},
		"Singularity":      {map[string]string{".singularity.d/runscript": ""}, nil, "Apptainer, Singularity or Carrel", false},
		"unshare":          {map[string]string{"proc/self/uid_map": "0 1000 1\n"}, nil, "some program", true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for f, text := range tt.files {
				if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, f)), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(dir, f), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			o := findOuter(dir, tt.env)
			if o.kind != tt.kind || o.ids != tt.ids {
				t.Errorf("got %+v, want %q, %v", o, tt.kind, tt.ids)
			}
			want := Note
			if tt.kind == "" {
				want = OK
			}
			checkCheck(t, surroundings(o), want, "", "")
		})
	}
}

func TestRunDoesNotHang(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	m := newMachine(Config{Patience: 10 * time.Millisecond})
	checks := run(t.Context(), m, []look{
		{"quick", "Quick", "", func(context.Context, *machine) Check { return Check{Status: OK} }},
		{"hung", "Room", "disk", func(context.Context, *machine) Check { <-release; return Check{} }},
	})
	if len(checks) != 2 || checks[1].Status != Note || checks[1].Title != "Room" || !strings.Contains(checks[1].Detail, "in time") {
		t.Errorf("checks are %+v", checks)
	}
}

// TestRun looks at the computer that runs the tests.
func TestRun(t *testing.T) {
	start := time.Now()
	checks := Run(t.Context(), Config{ImageDir: t.TempDir(), Self: "/usr/bin/carrel", Patience: 20 * time.Second})
	t.Logf("%v", time.Since(start))
	if len(checks) != len(looks) {
		t.Fatalf("%d checks, want %d", len(checks), len(looks))
	}
	for _, c := range checks {
		t.Logf("%-4s %s (%s): %s | %s | %s", c.Status, c.Title, c.Term, c.Detail, c.Advice, c.Admin)
		checkCheck(t, c, c.Status, "", "")
	}
}

func checkCheck(t *testing.T, c Check, status Status, detail, admin string) {
	t.Helper()
	if c.Status != status {
		t.Errorf("status is %s, want %s (%s)", c.Status, status, c.Detail)
	}
	if !strings.Contains(c.Detail, detail) {
		t.Errorf("detail is %q, want %q in it", c.Detail, detail)
	}
	if !strings.Contains(c.Admin, admin) {
		t.Errorf("line for an administrator is %q, want %q in it", c.Admin, admin)
	}
	if c.Status != OK && c.Advice == "" {
		t.Error("bad news without advice")
	}
	if c.Status != OK && (c.Admin != "") == (strings.Contains(c.Advice, noNeed) || strings.Contains(c.Advice, nothing)) {
		t.Errorf("neither a line for an administrator nor the word that there is none: %q, %q", c.Admin, c.Advice)
	}
	if strings.ContainsAny(c.Admin, "…") {
		t.Errorf("the line for an administrator is not exact: %q", c.Admin)
	}
	if strings.Contains(c.Admin, "\n") {
		t.Errorf("line for an administrator has several lines: %q", c.Admin)
	}
}

func BenchmarkRun(b *testing.B) {
	for b.Loop() {
		Run(b.Context(), Config{ImageDir: "/tmp"})
	}
}
