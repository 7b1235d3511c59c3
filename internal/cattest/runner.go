package cattest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"carrel/internal/browser"
)

// A Runner builds apps, starts them and has them used.
type Runner struct {
	// Command is a call of carrel, as whoever the apps are to run as.
	Command func(ctx context.Context, args ...string) *exec.Cmd
	// Images is where images are kept; one that is there is not built again.
	Images string
	// Work is a folder for what is bound and for copies, Pictures one for pictures of the pages; empty: none are kept.
	Work, Pictures string
	// Own gives a file to whoever the apps run as; nil where that is the caller.
	Own func(path string) error
	// Safe starts the apps as the screens do.
	Safe bool
	// Apptainer reads what was kept in an image; empty where there is none.
	Apptainer string
}

// A Row is what became of a check.
type Row struct {
	Name               string
	Built, Ready, Used time.Duration
	Size               int64 // of the image, in bytes
	Err                error
}

// Path is where the image of an app is kept.
func (r *Runner) Path(id string) string {
	return filepath.Join(r.Images, strings.ReplaceAll(id, ":", "-")+".sif")
}

// Build builds the image of an app unless it is there, and says how long that took.
func (r *Runner) Build(ctx context.Context, id string) (time.Duration, error) {
	image := r.Path(id)
	if _, err := os.Stat(image); err == nil {
		return 0, nil
	}
	start := time.Now()
	_, err := r.call(ctx, "build", "--log", strings.TrimSuffix(image, ".sif")+".log", image, id)
	return time.Since(start), err
}

// Try builds an app, starts it and does a check on it. port is the one it serves on.
func (r *Runner) Try(ctx context.Context, id string, port int, check Check) (row Row) {
	row.Name = id
	file := strings.ReplaceAll(id, ":", "-")
	if check.Name != "" {
		row.Name += ", " + check.Name
		file += "-" + strings.ReplaceAll(check.Name, " ", "-")
	}
	if row.Built, row.Err = r.Build(ctx, id); row.Err != nil {
		return row
	}
	image := r.Path(id)
	if info, err := os.Stat(image); err == nil {
		row.Size = info.Size()
	}
	app := App{}
	if r.Pictures != "" {
		app.Picture = func(name string, png []byte) error {
			return os.WriteFile(filepath.Join(r.Pictures, file+"-"+name+".png"), png, 0o644)
		}
	}
	args := []string{"run", "-d", "--name", fmt.Sprintf("catalog-%s-%d", file, os.Getpid()), "--wait", "120s", "-p", strconv.Itoa(port)}
	if r.Safe {
		args = append(args, "--safe")
	}
	if check.Bind != "" {
		app.Folder = filepath.Join(r.Work, file)
		if row.Err = r.folder(app.Folder); row.Err != nil {
			return row
		}
		args = append(args, "-B", app.Folder+":"+check.Bind)
	}
	if check.Kept == nil {
		row.Ready, row.Used, row.Err = r.start(ctx, append(append(args, image), check.Args...), app, check.Use)
		return row
	}
	// What it keeps is kept in the image: a copy of it is started, used, stopped, and started again.
	own := filepath.Join(r.Work, file+".sif")
	defer func() { row.Err = errors.Join(row.Err, os.Remove(own)) }()
	if row.Err = r.copy(image, own); row.Err != nil {
		return row
	}
	args = append(append(args, "--writable", own), check.Args...)
	for _, use := range []func(context.Context, *browser.Browser, App) error{check.Use, check.Kept} {
		ready, used, err := r.start(ctx, args, app, use)
		row.Used += used
		if row.Ready == 0 {
			row.Ready = ready
		}
		if err != nil {
			row.Err = err
			return row
		}
	}
	if r.Apptainer != "" && check.File != "" {
		row.Err = r.elsewhere(ctx, own, check)
	}
	return row
}

// elsewhere wants a file of the image to be the same to a real Apptainer.
func (r *Runner) elsewhere(ctx context.Context, image string, check Check) error {
	cmd := exec.CommandContext(ctx, r.Apptainer, "exec", image, "cat", check.File)
	cmd.Dir = "/tmp"
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("apptainer exec: %w\n%s", err, errs.String())
	}
	if !strings.Contains(out.String(), check.Holds) {
		return fmt.Errorf("%s in Apptainer: %.200q", check.File, out.String())
	}
	return nil
}

// start starts an app, has it used, and stops it.
func (r *Runner) start(ctx context.Context, args []string, app App, use func(context.Context, *browser.Browser, App) error) (ready, used time.Duration, err error) {
	start := time.Now()
	out, err := r.call(ctx, args...)
	defer func() {
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Minute)
		defer cancel()
		_, stopped := r.call(bounded, "stop", args[3])
		err = errors.Join(err, stopped)
	}()
	if err != nil {
		return 0, 0, err
	}
	ready = time.Since(start)
	for _, word := range strings.Fields(out) {
		if strings.HasPrefix(word, "http://") {
			app.URL = word
		}
	}
	start = time.Now()
	err = inBrowser(ctx, app, use)
	return ready, time.Since(start), err
}

// inBrowser uses an app in a browser of its own; when that fails there is a last picture.
func inBrowser(ctx context.Context, app App, use func(context.Context, *browser.Browser, App) error) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Minute)
	defer cancel()
	b, err := browser.Start(ctx, browser.Options{})
	if err != nil {
		return err
	}
	err = use(ctx, b, app)
	if err != nil && app.Picture != nil {
		if png, shot := b.Screenshot(ctx); shot == nil {
			err = errors.Join(err, app.Picture("failed", png))
		}
	}
	return errors.Join(err, b.Close())
}

func (r *Runner) folder(path string) error {
	if err := os.Mkdir(path, 0o755); err != nil {
		return err
	}
	return r.give(path)
}

func (r *Runner) give(path string) error {
	if r.Own == nil {
		return nil
	}
	return r.Own(path)
}

func (r *Runner) copy(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	if _, err = io.Copy(out, in); err == nil {
		err = r.give(to)
	}
	return errors.Join(err, out.Close())
}

// call runs carrel; what it wrote is in the error when it fails.
func (r *Runner) call(ctx context.Context, args ...string) (string, error) {
	cmd := r.Command(ctx, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 20 * time.Second
	if err := cmd.Run(); err != nil {
		text := errs.String()
		return "", fmt.Errorf("carrel %s: %w\n%s", args[0], err, text[max(0, len(text)-2000):])
	}
	return out.String(), nil
}
