package sandbox

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"carrel/engine/sandbox/plan"
)

// TestForked makes the tests of containers, escapes included, once more with such as have no init of their own program.
func TestForked(t *testing.T) {
	alone = true
	defer func() { alone, hostPIDs = false, false }()
	for _, tc := range []struct {
		name string
		test func(*testing.T)
	}{
		{"status and output", TestStatusAndOutput},
		{"binds", TestBinds},
		{"bind destinations", TestBindDestinationCannotEscape},
		{"errors", TestErrorsSayWhat},
		{"context", TestContextEndsEverything},
		{"action", TestAction},
		{"places in folders of others", TestPlacesInFoldersOfOthers},
		{"bind of the stage", TestBindOfTheStage},
		{"escapes", TestEscapes},
		{"orphans", TestOrphans},
		{"descriptors of the caller", TestDescriptorsOfTheCaller},
		{"swapped destination", TestSwappedDestination},
		{"device of the image", TestDeviceOfTheImage},
	} {
		t.Run(tc.name, tc.test)
		t.Run(tc.name+", the host's processes", func(t *testing.T) {
			hostPIDs = true
			defer func() { hostPIDs = false }()
			tc.test(t)
		})
	}
}

// TestForkedIsTheSame: a process sees no difference between a container that was forked and one of an init.
func TestForkedIsTheSame(t *testing.T) {
	defer func() { alone, hostPIDs = false, false }()
	for _, host := range []bool{false, true} {
		hostPIDs = host
		p := newPlan(t, "/bin/sh", "-c", `while read -r _ _ _ root on how _; do echo "$root $on $how"; done </proc/self/mountinfo; grep -E "^(Cap|NoNew|Seccomp|Sig(Blk|Ign|Cgt)|Umask|Uid|Gid|Groups)" /proc/self/status
			cat /proc/self/uid_map /proc/self/setgroups; pwd; umask; ulimit -a; env | sort; ls /proc/self/fd; ls -A / /opt /opt/a; test -w / || echo sealed; cat /proc/sys/kernel/hostname; cat /opt/a/b; echo $((PPID > 1))`)
		p.Hostname = "desk"
		p.Process.Umask = 0o027
		p.Process.Limits = []plan.Limit{{Resource: unix.RLIMIT_NOFILE, Value: 100}, {Resource: unix.RLIMIT_CORE, Value: 0}}
		p.Ops = append(p.Ops, plan.Op{Kind: plan.OpFile, Dest: "/opt/a/b", Content: []byte("text\n")})
		p.Upper.Seal = true
		outs := map[bool]string{}
		for _, alone = range []bool{false, true} {
			c := Config{Plan: p, IDs: ids()}
			if alone {
				r, w, err := os.Pipe()
				if err != nil {
					t.Fatal(err)
				}
				c.Stdout, c.Stderr = w, w
				k := startForked(t, c)
				w.Close()
				out, err := io.ReadAll(r)
				r.Close()
				if status, werr := k.Wait(); err != nil || werr != nil || status != 0 {
					t.Errorf("status %d, %v, %v", status, err, werr)
				}
				outs[true] = string(out)
				continue
			}
			status, out, err := run(t, c)
			if status != 0 || err != nil {
				t.Errorf("status %d, %v\n%s", status, err, out)
			}
			outs[false] = out
		}
		if diff := cmp.Diff(strings.Split(outs[false], "\n"), strings.Split(outs[true], "\n")); diff != "" {
			t.Errorf("the host's processes %v: (-init +forked)\n%s", host, diff)
		}
	}
}

// start starts a container that has to be a forked one.
func startForked(t *testing.T, c Config) *Container {
	t.Helper()
	c.Alone, c.IDs = true, ids()
	k, err := Start(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		k.Kill()
		k.Wait()
	})
	if _, ok := k.process.(*forkedChild); !ok {
		t.Fatal("it has an init")
	}
	return k
}

func TestForkedSignals(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	k := startForked(t, Config{Plan: newPlan(t, "/bin/sh", "-c", "trap 'exit 7' TERM; trap '' INT; echo; while :; do sleep 0.01; done"), Stdout: w})
	w.Close()
	if _, err := r.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	for _, sig := range []syscall.Signal{unix.SIGINT, unix.SIGTERM} {
		if err := k.Signal(sig); err != nil {
			t.Fatal(err)
		}
	}
	if status, err := k.Wait(); status != 7 || err != nil {
		t.Errorf("status %d, %v", status, err)
	}
	if err := k.Signal(unix.SIGTERM); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("a signal after the end: %v", err)
	}
	if _, err := k.Dial(context.Background(), 80); err == nil {
		t.Error("it answered")
	}
	if _, err := k.Exec(context.Background(), plan.Process{Args: []string{"true"}}, [3]*os.File{w, w, w}, false); err == nil {
		t.Error("it ran something else")
	}
}

// TestForkedInit: process 1 shows nothing of the caller, holds no file of the container's, and dies with the container.
func TestForkedInit(t *testing.T) {
	p := newPlan(t, "/bin/sh", "-c", "cat /proc/1/cmdline; echo; cat /proc/1/comm; exec >&-; exec sleep 1000")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	k := startForked(t, Config{Plan: p, Stdout: w})
	w.Close()
	out, err := io.ReadAll(r) // to its end, although the container runs
	if err != nil || strings.Join(strings.Fields(strings.ReplaceAll(string(out), "\x00", " ")), " ") != "carrel-init carrel-init" {
		t.Errorf("process 1 shows %q, %v", out, err)
	}
	k.Kill()
	if status, _ := k.Wait(); status != 128+9 {
		t.Errorf("status %d", status)
	}
}

// TestForkedEnvironment: a script that needs the container for an answer gets it from there.
func TestForkedEnvironment(t *testing.T) {
	for _, tc := range []struct {
		script string
		forked bool
	}{
		{"export A=${B:-c}\nif [ \"$A\" = c ]; then export A=done; fi\n", true},
		{"if [ -n \"$APP\" ]; then echo none >&2; [ -d /x ] && . /x/y; fi; export A=done\n", true},
		{"[ -d /proc/self ] && export A=done\n", false},
		{"export A=$(echo done)\n", false},
		{"A=do; read B </proc/version; export A=${A}ne\n", false},
		{"export A=done; echo >&2\n", false},
	} {
		p := newPlan(t, "/bin/sh", "-c", "echo $A")
		dir := filepath.Join(p.Layers[0].Folder, ".singularity.d/env")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "90-environment.sh"), []byte(tc.script), 0o644); err != nil {
			t.Fatal(err)
		}
		p.Process.Action, p.Process.Args = &plan.Action{Name: "exec", Args: p.Process.Args}, nil
		c := Config{Plan: p, IDs: ids(), Alone: true}
		files := []*os.File{os.Stdin, os.Stdout, os.Stderr}
		if _, err := compile(&c, files, -1); (err == nil) != tc.forked {
			t.Errorf("%q: %v", tc.script, err)
		}
		alone = true
		status, out, err := run(t, c)
		alone = false
		if err != nil || status != 0 || strings.TrimSpace(out) != "done" {
			t.Errorf("%q: got %d %q %v", tc.script, status, out, err)
		}
	}
}

// TestForkedKnowsThePlan: whoever adds something to the plan has to decide what a container without an init of its own does
// about it: carry it out (compile.go), or leave it to an init (canFork).
func TestForkedKnowsThePlan(t *testing.T) {
	known := map[reflect.Type]string{
		reflect.TypeFor[plan.Plan]():    "UserNS PIDNS WaitMapped UID GID Groups Hostname Net Layers Upper Ops Process KeepAlive",
		reflect.TypeFor[plan.Layer]():   "Folder FUSE Device FSType Aside",
		reflect.TypeFor[plan.Upper]():   "Kind Dir Size Seal",
		reflect.TypeFor[plan.Op]():      "Kind Source Layer Dest ReadOnly Optional Quiet NoExec Dev Mode Size Content MergeField OnlyIfMissing NoMake OnLink NoRecurse",
		reflect.TypeFor[plan.Process](): "Args Env Dir DirFallback Action Umask KeepCaps AddCaps DropCaps Limits CPUs FakeRoot NoSync DenyList SealMounts OwnInput Filter Groups CloseFDs NewSession Terminal",
		reflect.TypeFor[plan.Action]():  "Name App Args Host Force Shell AppendPath PrependPath Prompt",
	}
	for typ, names := range known {
		for i := range typ.NumField() {
			if name := typ.Field(i).Name; !slices.Contains(strings.Fields(names), name) {
				t.Errorf("%s.%s is not known to compile.go", typ, name)
			}
		}
	}
}
