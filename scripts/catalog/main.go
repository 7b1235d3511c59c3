// Command catalog is `make catalog`: it builds every app of the built-in catalog, starts it as the user who calls it, uses it in
// a headless Chromium, and prints a table. It needs Debian's mirror, npm's registry for expfactory, chromium and chromedriver.
//
//	go run ./scripts/catalog [-images FOLDER] [-pictures FOLDER] [-safe] [NAME …]
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"carrel/catalog"
	"carrel/internal/browser"
	"carrel/internal/cattest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	var r runner
	flag.StringVar(&r.images, "images", "", "`FOLDER` to keep images in; one that is there is not built again")
	flag.StringVar(&r.pictures, "pictures", "", "`FOLDER` to keep pictures of the pages in")
	flag.BoolVar(&r.safe, "safe", false, "start the apps as the screens do, with carrel run --safe")
	flag.StringVar(&r.carrel, "carrel", "", "the `PROGRAM` to use; built from this checkout without it")
	flag.Parse()
	err := r.run(ctx, flag.Args())
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "FAIL:", err)
		os.Exit(1)
	}
}

type runner struct {
	images, pictures, carrel string
	safe                     bool
	work                     string
}

// A row is what became of an app.
type row struct {
	name                string
	built, ready, check time.Duration
	size                int64
	err                 error
}

func (r *runner) run(ctx context.Context, names []string) (err error) {
	if r.work, err = os.MkdirTemp("", "catalog-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(r.work)) }()
	if r.images == "" {
		r.images = r.work
	}
	for _, folder := range []string{r.images, r.pictures} {
		if folder == "" {
			continue
		}
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return err
		}
	}
	if r.carrel == "" {
		r.carrel = filepath.Join(r.work, "carrel")
		build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", r.carrel, "./cmd/carrel")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		build.Stdout, build.Stderr = os.Stdout, os.Stderr
		if err := build.Run(); err != nil {
			return fmt.Errorf("build carrel: %w", err)
		}
	}
	c, err := catalog.Load(ctx, catalog.Internal())
	if err != nil {
		return err
	}
	if len(names) == 0 {
		for _, e := range c.List() {
			names = append(names, e.ID())
		}
	}
	var rows []row
	for _, name := range names {
		e, err := c.Find(name)
		if err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "== %s\n", name)
		for _, check := range cattest.For(e.ID()) {
			one := r.try(ctx, e, check)
			if one.err != nil {
				fmt.Fprintf(os.Stderr, "%s: %v\n", one.name, one.err)
			}
			rows = append(rows, one)
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
	}
	return print(rows)
}

// print shows the table; the error is that something failed.
func print(rows []row) error {
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "APP\tBUILT\tSIZE\tREADY\tUSED\t")
	failed := 0
	for _, r := range rows {
		result := "✓"
		if r.err != nil {
			result = "✗"
			failed++
		}
		fmt.Fprintf(out, "%s\t%s\t%s\t%s\t%s\t%s\n", r.name, seconds(r.built), megabytes(r.size), seconds(r.ready), seconds(r.check), result)
	}
	if err := out.Flush(); err != nil {
		return err
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d apps", failed, len(rows))
	}
	return nil
}

func seconds(d time.Duration) string {
	if d == 0 {
		return "–"
	}
	return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + " s"
}

func megabytes(n int64) string {
	if n == 0 {
		return "–"
	}
	return strconv.FormatInt((n+500_000)/1_000_000, 10) + " MB"
}

// try builds, starts and uses an app.
func (r *runner) try(ctx context.Context, e *catalog.Entry, check cattest.Check) (one row) {
	one.name = e.ID()
	if check.Name != "" {
		one.name += ", " + check.Name
	}
	if e.Err != nil {
		one.err = e.Err
		return one
	}
	port := e.Card.PrimaryPort()
	if port == nil {
		one.err = errors.New("it has no port that could be tried")
		return one
	}
	file := strings.ReplaceAll(e.ID(), ":", "-")
	image := filepath.Join(r.images, file+".sif")
	if _, err := os.Stat(image); err != nil {
		start := time.Now()
		if _, err := r.command(ctx, "build", "--log", strings.TrimSuffix(image, ".sif")+".log", image, e.ID()); err != nil {
			one.err = err
			return one
		}
		one.built = time.Since(start)
	}
	if info, err := os.Stat(image); err == nil {
		one.size = info.Size()
	}
	if check.Name != "" {
		file += "-" + check.Name
	}
	app := cattest.App{}
	if r.pictures != "" {
		app.Picture = func(name string, png []byte) error {
			return os.WriteFile(filepath.Join(r.pictures, file+"-"+name+".png"), png, 0o644)
		}
	}
	instance := fmt.Sprintf("catalog-%s-%d", file, os.Getpid())
	args := []string{"run", "-d", "--name", instance, "--wait", "120s", "-p", strconv.Itoa(port.Container)}
	if r.safe {
		args = append(args, "--safe")
	}
	if check.Bind != "" {
		app.Folder = filepath.Join(r.work, file)
		if err := os.Mkdir(app.Folder, 0o755); err != nil {
			one.err = err
			return one
		}
		args = append(args, "-B", app.Folder+":"+check.Bind)
	}
	start := time.Now()
	out, err := r.command(ctx, append(append(args, image), check.Args...)...)
	defer func() {
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		_, err := r.command(bounded, "stop", instance)
		one.err = errors.Join(one.err, err)
	}()
	if err != nil {
		one.err = err
		return one
	}
	one.ready = time.Since(start)
	for _, word := range strings.Fields(out) {
		if strings.HasPrefix(word, "http://") {
			app.URL = word
		}
	}
	start = time.Now()
	one.err = use(ctx, check, app)
	one.check = time.Since(start)
	return one
}

// use does a check in a browser of its own; when it fails there is a last picture.
func use(ctx context.Context, check cattest.Check, app cattest.App) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Minute)
	defer cancel()
	b, err := browser.Start(ctx, browser.Options{})
	if err != nil {
		return err
	}
	err = check.Use(ctx, b, app)
	if err != nil && app.Picture != nil {
		if png, shot := b.Screenshot(ctx); shot == nil {
			err = errors.Join(err, app.Picture("failed", png))
		}
	}
	return errors.Join(err, b.Close())
}

// command runs carrel; what it wrote is in the error when it fails.
func (r *runner) command(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, r.carrel, args...)
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
