package build

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"carrel/engine/definition"
	"carrel/engine/progress"
	"carrel/engine/sandbox"
	"carrel/engine/sandbox/plan"
	"carrel/engine/source/debian"
	"carrel/internal/spawn"
)

const (
	scriptPath  = "/.post.script"
	labelsPath  = "/.build.labels"
	sectionPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	aptConfig   = "/dev/.carrel-apt.conf"
	// postUmask is the umask of sections: files that the group may write, as Apptainer has it.
	postUmask = 0o002
	// maxLine bounds a line of a section's output in bytes.
	maxLine = 64 << 10
)

// onHost runs %pre or %setup, on the host, as the user who builds.
func (b *builder) onHost(ctx context.Context, s *stage, name string) error {
	sec := s.def.Section(name)
	if sec.IsEmpty() || !b.wants(name) {
		return nil
	}
	b.start(progress.StepSetup, "%"+name)
	script := filepath.Join(b.dir, name+".sh")
	if err := os.WriteFile(script, []byte(traced(sec.Body)), 0o700); err != nil {
		return b.fail(progress.StepSetup, err)
	}
	args, err := sec.Command(script)
	if err != nil {
		return b.fail(progress.StepSetup, err)
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir = b.spec.Folders[0]
	cmd.Env = append(os.Environ(), "APPTAINER_ROOTFS="+s.root, "SINGULARITY_ROOTFS="+s.root)
	// A group of its own, so that everything the script started ends with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	out, wait, err := b.lines(progress.StepSetup)
	if err != nil {
		return b.fail(progress.StepSetup, err)
	}
	cmd.Stdout, cmd.Stderr = out, out
	spawn.Do(func() { err = cmd.Start() })
	if err == nil {
		err = cmd.Wait()
	}
	out.Close()
	wait()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return b.sectionError(progress.StepSetup, "%"+name, sec, exit.ExitCode())
	}
	if err != nil {
		return b.fail(progress.StepSetup, err)
	}
	b.done(progress.StepSetup, "")
	return nil
}

// post runs %post in the container and reads the labels it wrote.
func (b *builder) post(ctx context.Context, s *stage) error {
	sec := s.def.Section("post")
	if sec.IsEmpty() || !b.wants("post") || s.did("%post") {
		return nil
	}
	b.start(progress.StepInstall, "")
	if err := b.section(ctx, s, progress.StepInstall, "%post", sec, nil); err != nil {
		return err
	}
	if err := b.readLabels(s); err != nil {
		return b.fail(progress.StepInstall, err)
	}
	s.finished("%post", sec)
	b.done(progress.StepInstall, "")
	return nil
}

// section runs a section's body as a script in the stage's container.
func (b *builder) section(ctx context.Context, s *stage, step progress.Step, name string, sec *definition.Section, env []string) error {
	args, err := sec.Command(scriptPath)
	if err != nil {
		return b.fail(step, err)
	}
	if b.fetched == nil {
		if b.fetched, err = b.openDownloads(); err != nil {
			return b.fail(step, err)
		}
	}
	// As Apptainer does, with what the base says of its environment: the PATH of a conda or CUDA image, say.
	b.force = env
	status, err := b.run(ctx, s, step, plan.Process{
		Env: b.environment(), Dir: "/", Umask: postUmask, Action: &plan.Action{Name: "exec", Args: args, Force: env},
	}, []byte(traced(sec.Body)))
	if err != nil {
		return b.fail(step, err)
	}
	if status != 0 {
		return b.sectionError(step, name, sec, status)
	}
	return nil
}

// environment is that of %post: little, and nothing of the caller's but the way to the network.
func (b *builder) environment() []string {
	env := []string{"PATH=" + sectionPath, "HOME=/root", "USER=root", "LANG=C", "DEBIAN_FRONTEND=noninteractive", "APT_CONFIG=" + aptConfig}
	for _, prefix := range []string{"APPTAINER_", "SINGULARITY_"} {
		env = append(env, prefix+"ENVIRONMENT=/.singularity.d/env/91-environment.sh", prefix+"LABELS="+labelsPath)
	}
	if b.fetched != nil {
		env = append(env, b.fetched.environment()...)
	}
	if b.spec.Reproducible { // https://reproducible-builds.org/specs/source-date-epoch/
		env = append(env, fmt.Sprintf("SOURCE_DATE_EPOCH=%d", b.spec.Time.Unix()))
	}
	return append(env, b.spec.Proxies...)
}

// run runs a process in the tree of a stage as in a container: its root is the tree itself, everything else is as little
// as an installation needs. Its output goes to the step's log, by lines. The script is at scriptPath meanwhile.
func (b *builder) run(ctx context.Context, s *stage, step progress.Step, p plan.Process, script []byte) (int, error) {
	out, wait, err := b.lines(step)
	if err != nil {
		return 0, err
	}
	defer wait()
	defer out.Close()
	pl, remove := b.container(s, p, script)
	defer remove()
	k, err := sandbox.Start(ctx, sandbox.Config{Plan: pl, Stdout: out, Stderr: out, Note: func(t string) { b.sink.Notice(step, t) }})
	if err != nil {
		return 0, err
	}
	status, err := k.Wait()
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	return status, err
}

// container is the plan of a container that builds. done removes the mount point that the script leaves in the tree.
func (b *builder) container(s *stage, p plan.Process, script []byte) (pl plan.Plan, done func()) {
	p.KeepCaps, p.NoSync, p.CloseFDs = true, true, true
	p.FakeRoot = b.spec.SingleID
	pl = plan.Plan{
		UserNS: b.spec.UserNS, PIDNS: true, UID: -1, GID: -1,
		Layers: []plan.Layer{{Folder: s.root}}, Upper: plan.Upper{Kind: plan.UpperDirect},
		Ops: b.mounts(s.tmp), Process: p,
	}
	if b.throwAway {
		pl.Upper = plan.Upper{Kind: plan.UpperMemory}
	}
	for _, bind := range b.spec.Binds {
		pl.Ops = append(pl.Ops, plan.Op{Kind: plan.OpBind, Source: bind.Source, Dest: bind.Dest, ReadOnly: bind.ReadOnly})
	}
	gpus, remove := b.gpuOps(s.root)
	pl.Ops = append(pl.Ops, gpus...)
	if script == nil {
		return pl, remove
	}
	pl.Ops = append(pl.Ops, plan.Op{Kind: plan.OpFile, Dest: scriptPath, Content: script, Mode: 0o755})
	return pl, func() {
		os.Remove(filepath.Join(s.root, scriptPath))
		remove()
	}
}

// mounts are those of a container that builds.
func (b *builder) mounts(tmp string) []plan.Op {
	ops := []plan.Op{{Kind: plan.OpTmpfs, Dest: "/dev", Mode: 0o755, Dev: true}}
	for _, d := range []string{"null", "zero", "full", "random", "urandom", "tty"} {
		ops = append(ops, plan.Op{Kind: plan.OpBind, Source: "/dev/" + d, Dest: "/dev/" + d, Dev: true, Optional: true, Quiet: true})
	}
	ops = append(ops,
		plan.Op{Kind: plan.OpDevpts, Dest: "/dev/pts", NoExec: true, Optional: true, Quiet: true},
		plan.Op{Kind: plan.OpTmpfs, Dest: "/dev/shm", Mode: 0o1777},
	)
	for _, l := range [][2]string{{"fd", "/proc/self/fd"}, {"stdin", "/proc/self/fd/0"}, {"stdout", "/proc/self/fd/1"}, {"stderr", "/proc/self/fd/2"}, {"ptmx", "pts/ptmx"}} {
		ops = append(ops, plan.Op{Kind: plan.OpLink, Source: l[1], Dest: "/dev/" + l[0]})
	}
	if b.fetched != nil {
		ops = append(ops, b.fetched.mounts()...)
	}
	ops = append(ops,
		plan.Op{Kind: plan.OpProc, Dest: "/proc"},
		plan.Op{Kind: plan.OpBind, Source: "/sys", Dest: "/sys", ReadOnly: true, Optional: true, Quiet: true},
		plan.Op{Kind: plan.OpBind, Source: tmp, Dest: "/tmp"},
		plan.Op{Kind: plan.OpBind, Source: tmp, Dest: "/var/tmp", Optional: true, Quiet: true},
		plan.Op{Kind: plan.OpFile, Dest: "/etc/resolv.conf", Content: b.spec.Resolv, Optional: true, Quiet: true},
		plan.Op{Kind: plan.OpFile, Dest: aptConfig, Content: []byte(b.aptSettings())},
	)
	if len(b.spec.Hosts) > 0 {
		ops = append(ops, plan.Op{Kind: plan.OpFile, Dest: "/etc/hosts", Content: b.spec.Hosts, Optional: true, Quiet: true})
	}
	return ops
}

// aptSettings are read by apt during the build only (apt.conf(5), APT_CONFIG).
func (b *builder) aptSettings() string {
	conf := "Dpkg::Use-Pty \"0\";\nAcquire::Retries \"3\";\n"
	if b.spec.SingleID {
		conf += "APT::Sandbox::User \"root\";\n" // there is no other user to become
	}
	if b.fetched != nil {
		conf += b.fetched.aptConf()
	}
	return conf
}

// lines returns a pipe whose lines become events of the step; wait returns when all are sent, after the pipe is closed.
func (b *builder) lines(step progress.Step) (w *os.File, wait func(), err error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	b.at = trace{}
	var done sync.WaitGroup
	done.Go(func() {
		defer r.Close()
		br := bufio.NewReaderSize(r, maxLine)
		for {
			line, err := br.ReadSlice('\n')
			if text := strings.TrimRight(string(line), "\r\n"); len(line) > 0 {
				if i := strings.LastIndexByte(text, '\r'); i >= 0 { // a progress bar: its last state
					text = text[i+1:]
				}
				if text, shown := b.at.note(text); shown {
					b.sink.Line(step, text)
				}
			}
			if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
				return
			}
		}
	})
	return w, done.Wait, nil
}

// runner lets package debian run commands in the root it makes.
type runner struct {
	b    *builder
	s    *stage
	step progress.Step
}

func (r runner) Run(ctx context.Context, c debian.Command) error {
	p := plan.Process{Args: c.Args, Env: c.Env, Dir: c.Dir, Umask: 0o022}
	if c.Stdin != nil {
		in, err := io.ReadAll(c.Stdin)
		if err != nil {
			return err
		}
		p.Args = append([]string{"/bin/sh", "-c", `exec "$@" < ` + scriptPath, "sh"}, p.Args...)
		return r.status(ctx, p, in)
	}
	return r.status(ctx, p, nil)
}

func (r runner) status(ctx context.Context, p plan.Process, in []byte) error {
	status, err := r.b.run(ctx, r.s, r.step, p, in)
	if err != nil {
		return err
	}
	if status != 0 {
		return fmt.Errorf("%s: exit status %d", strings.Join(p.Args, " "), status)
	}
	return nil
}
