package shelf

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"carrel/internal/pattern"
)

// ErrNoGit is a computer without the program git.
var ErrNoGit = errors.New("the program git is not installed")

// GitError is what git said when it failed.
type GitError struct {
	Address, Text string
	Err           error
}

// Error is its last words.
func (e *GitError) Error() string {
	if e.Text == "" {
		return "git: " + e.Err.Error()
	}
	return "git: " + e.Text
}

// Hint says what to look at.
func (e *GitError) Hint() string {
	switch t := strings.ToLower(e.Text); {
	case errors.Is(e.Err, ErrNoGit):
		return "ask your administrator for git, or add the repository as a packed folder: https://…/archive/main.tar.gz"
	case strings.Contains(t, "could not read username"), strings.Contains(t, "authentication"), strings.Contains(t, "permission denied"), strings.Contains(t, "terminal prompts disabled"):
		return "the repository does not exist, or is not public: check the address; for a private one use its SSH address"
	case strings.Contains(t, "could not resolve"), strings.Contains(t, "unable to access"), strings.Contains(t, "timed out"):
		return "check the address and the network: git ls-remote " + e.Address
	case strings.Contains(t, "remote branch"), strings.Contains(t, "couldn't find remote ref"), strings.Contains(t, "not our ref"):
		return "see which branches and tags there are: git ls-remote " + e.Address
	}
	return ""
}

// Unwrap is the cause.
func (e *GitError) Unwrap() error { return e.Err }

var commitRule = pattern.New(`^[0-9a-f]{40}([0-9a-f]{24})?$`)

// isCommit tells whether a ref is a whole commit name, which never means anything else later.
func isCommit(ref string) bool { return commitRule.MatchString(ref) }

// clone copies the state of a repository that ref names into a folder, without its history, and returns the commit.
func (s *Shelf) clone(ctx context.Context, address, ref, dir string) (string, error) {
	if s.Git == "" {
		return "", &GitError{Address: address, Err: ErrNoGit}
	}
	s.say("cloning %s", address)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		watchSize(ctx, dir, cancel)
	}()
	defer func() { cancel(nil); <-watched }()
	git := func(args ...string) (string, error) {
		// Hooks and filters of the person's own configuration are for their own repositories; what a foreign one brings is
		// only copied. ext:: addresses would be commands (git-remote-ext(1)).
		all := append([]string{"-C", dir, "-c", "core.hooksPath=/dev/null", "-c", "protocol.ext.allow=never", "-c", "core.fsmonitor=false",
			"-c", "core.autocrlf=false", "-c", "advice.detachedHead=false", "-c", "gc.auto=0", "-c", "submodule.recurse=false",
			"-c", "http.lowSpeedLimit=100", "-c", "http.lowSpeedTime=60"}, args...)
		cmd := exec.CommandContext(ctx, s.Git, all...)
		cmd.Env = append(withoutGit(s.Env), "GIT_TERMINAL_PROMPT=0", "GIT_ASKPASS=true", "SSH_ASKPASS=true", "GIT_LFS_SKIP_SMUDGE=1", "LC_ALL=C",
			"GIT_SSH_COMMAND=ssh -o BatchMode=yes", "GIT_CEILING_DIRECTORIES="+filepath.Dir(dir))
		cmd.WaitDelay = 5 * time.Second
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &bounded{b: &stderr, left: 64 << 10}
		err := cmd.Run()
		if cause := context.Cause(ctx); cause != nil {
			return "", cause
		}
		if err != nil {
			return "", &GitError{address, lastWords(stderr.String()), err}
		}
		return strings.TrimSpace(stdout.String()), nil
	}
	if _, err := git("init", "--quiet", "--template="); err != nil {
		return "", err
	}
	// What stands there has the last word about attributes (gitattributes(5)): a filter that the person has set up for files
	// of their own is not run over these.
	if err := writeAttributes(dir); err != nil {
		return "", err
	}
	what := ref
	if what == "" {
		what = "HEAD"
	}
	// A server that does not give out single commits gives all of a pinned one's branches instead.
	if _, err := git("fetch", "--quiet", "--depth=1", "--no-tags", "--no-recurse-submodules", "--", address, what); err != nil {
		if !isCommit(ref) || ctx.Err() != nil {
			return "", err
		}
		if _, err := git("fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--", address, "+refs/heads/*:refs/remotes/origin/*"); err != nil {
			return "", err
		}
		if _, err := git("checkout", "--quiet", "--detach", ref, "--"); err != nil {
			return "", err
		}
	} else if _, err := git("checkout", "--quiet", "--detach", "FETCH_HEAD", "--"); err != nil {
		return "", err
	}
	commit, err := git("rev-parse", "HEAD")
	if err != nil {
		return "", err
	}
	if isCommit(ref) && commit != ref {
		return "", fmt.Errorf("git: the repository gave commit %s instead of %s", commit, ref)
	}
	if err := os.RemoveAll(filepath.Join(dir, ".git")); err != nil {
		return "", err
	}
	return commit, checkSize(dir)
}

// writeAttributes has git take the files of a new repository as they are.
func writeAttributes(dir string) error {
	info := filepath.Join(dir, ".git", "info")
	if err := os.MkdirAll(info, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(info, "attributes"), []byte("* -filter -text -ident -working-tree-encoding\n"), 0o644)
}

// withoutGit is an environment without what would point git at another repository (git(1), "ENVIRONMENT VARIABLES").
func withoutGit(env []string) []string {
	out := make([]string, 0, len(env)+8)
	for _, kv := range env {
		k, _, _ := strings.Cut(kv, "=")
		switch k {
		case "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_NAMESPACE", "GIT_SSH_COMMAND",
			"GIT_TEMPLATE_DIR", "GIT_EXTERNAL_DIFF", "GIT_ASKPASS", "SSH_ASKPASS", "LC_ALL", "GIT_CEILING_DIRECTORIES", "GIT_TERMINAL_PROMPT":
			continue
		}
		out = append(out, kv)
	}
	return out
}

// watchSize ends what ctx is for when a folder grows over the bound.
func watchSize(ctx context.Context, dir string, cancel context.CancelCauseFunc) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := checkSize(dir); errors.Is(err, ErrTooLarge) {
				cancel(err)
				return
			}
		}
	}
}

// checkSize tells whether a folder is over the bounds of a copy.
func checkSize(dir string) error {
	var size int64
	files := 0
	return filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil // it has gone meanwhile: git moves its files about
		}
		if files++; files > MaxFiles {
			return fmt.Errorf("%w: over %d files", ErrTooLarge, MaxFiles)
		}
		if info, err := d.Info(); err == nil && info.Mode().IsRegular() {
			size += info.Size()
		}
		if size > MaxSize {
			return fmt.Errorf("%w: over %d MB", ErrTooLarge, int64(MaxSize)>>20)
		}
		return nil
	})
}

// lastWords is the last line of what a program wrote that says something.
func lastWords(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for _, prefix := range []string{"fatal: ", "error: ", "ERROR: "} {
		for _, l := range lines {
			if rest, ok := strings.CutPrefix(strings.TrimSpace(l), prefix); ok {
				return rest
			}
		}
	}
	return strings.TrimSpace(lines[len(lines)-1])
}

// bounded keeps the beginning of what is written and drops the rest.
type bounded struct {
	b    *bytes.Buffer
	left int
}

func (w *bounded) Write(p []byte) (int, error) {
	n := min(len(p), w.left)
	w.b.Write(p[:n])
	w.left -= n
	return len(p), nil
}
