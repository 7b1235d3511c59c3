// Command catalog is `make catalog`: it builds every app of the built-in catalog, starts it as the user who calls it and, when
// that is root, once more as an ordinary user (carrel-test, which make test makes), uses it in a headless Chromium, and prints a
// table. It needs Debian's mirror, npm's registry for expfactory, chromium and chromedriver.
//
//	go run ./scripts/catalog [-images FOLDER] [-pictures FOLDER] [-safe] [-as USER,…] [NAME …]
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"carrel/catalog"
	"carrel/internal/cattest"
)

// ordinary is the user that root tries the apps as.
const ordinary = "carrel-test"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	var o options
	flag.StringVar(&o.images, "images", "", "`FOLDER` to keep images in, those of another user in a folder of that name below; one that is there is not built again")
	flag.StringVar(&o.pictures, "pictures", "", "`FOLDER` to keep pictures of the pages in")
	flag.StringVar(&o.as, "as", "", "the `USERS` to be, separated by commas; the caller without it and, for root, also "+ordinary)
	flag.BoolVar(&o.safe, "safe", false, "start the apps as the screens do, with carrel run --safe")
	flag.StringVar(&o.carrel, "carrel", "", "the `PROGRAM` to use; built from this checkout without it")
	flag.Parse()
	err := o.run(ctx, flag.Args())
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "FAIL:", err)
		os.Exit(1)
	}
}

type options struct {
	images, pictures, carrel, as string
	safe                         bool
}

// A result is what became of a check, and as whom.
type result struct {
	user string
	cattest.Row
}

func (o *options) run(ctx context.Context, names []string) (err error) {
	work, err := os.MkdirTemp("", "catalog-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	if err := os.Chmod(work, 0o755); err != nil { // for the ordinary user
		return err
	}
	if o.images == "" {
		o.images = filepath.Join(work, "images")
	}
	// A copy, which everybody can call: the checkout may lie where others cannot look.
	carrel := filepath.Join(work, "carrel")
	if o.carrel == "" {
		build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", carrel, "./cmd/carrel")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		build.Stdout, build.Stderr = os.Stdout, os.Stderr
		if err := build.Run(); err != nil {
			return fmt.Errorf("build carrel: %w", err)
		}
	} else if out, err := exec.CommandContext(ctx, "cp", o.carrel, carrel).CombinedOutput(); err != nil {
		return fmt.Errorf("copy carrel: %w: %s", err, out)
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
	users, err := o.users()
	if err != nil {
		return err
	}
	runners := make([]*cattest.Runner, len(users))
	for i, u := range users {
		if runners[i], err = o.runner(work, carrel, u); err != nil {
			return err
		}
	}
	var results []result
	for _, name := range names {
		e, err := c.Find(name)
		if err != nil {
			return err
		}
		for i, u := range users {
			fmt.Fprintf(os.Stderr, "== %s, as %s\n", name, u.Username)
			for _, check := range cattest.For(e.ID()) {
				one := result{u.Username, cattest.Row{Name: e.ID(), Err: e.Err}}
				if port := e.Card.PrimaryPort(); port == nil {
					one.Err = cmp.Or(e.Err, errors.New("it has no port that could be tried"))
				} else {
					one.Row = runners[i].Try(ctx, e.ID(), port.Container, check)
				}
				if one.Err != nil {
					fmt.Fprintf(os.Stderr, "%s: %v\n", one.Name, one.Err)
				}
				results = append(results, one)
				if ctx.Err() != nil { // what there is until now is worth a table
					return errors.Join(ctx.Err(), print(results))
				}
			}
		}
	}
	return print(results)
}

// users are those the apps are tried as.
func (o *options) users() ([]*user.User, error) {
	me, err := user.Current()
	if err != nil {
		return nil, err
	}
	if o.as == "" {
		if os.Getuid() != 0 {
			return []*user.User{me}, nil
		}
		if other, err := user.Lookup(ordinary); err == nil {
			return []*user.User{me, other}, nil
		}
		fmt.Fprintf(os.Stderr, "!! there is no user %s; make test makes one\n", ordinary)
		return []*user.User{me}, nil
	}
	var all []*user.User
	for _, name := range strings.Split(o.as, ",") {
		u, err := user.Lookup(name)
		if err != nil {
			return nil, err
		}
		if u.Uid != me.Uid && me.Uid != "0" {
			return nil, fmt.Errorf("become %s: only root can", name)
		}
		all = append(all, u)
	}
	return all, nil
}

// runner tries apps as a user.
func (o *options) runner(work, carrel string, u *user.User) (*cattest.Runner, error) {
	r := &cattest.Runner{Images: o.images, Pictures: o.pictures, Safe: o.safe, Work: filepath.Join(work, "of-"+u.Username), Apptainer: os.Getenv("CARREL_APPTAINER"),
		Command: func(ctx context.Context, args ...string) *exec.Cmd { return exec.CommandContext(ctx, carrel, args...) }}
	other := u.Uid != strconv.Itoa(os.Getuid())
	if other {
		uid, err := strconv.Atoi(u.Uid)
		if err != nil {
			return nil, err
		}
		gid, err := strconv.Atoi(u.Gid)
		if err != nil {
			return nil, err
		}
		r.Images, r.Apptainer = filepath.Join(o.images, u.Username), ""
		if o.pictures != "" {
			r.Pictures = filepath.Join(o.pictures, u.Username)
		}
		r.Own = func(path string) error { return os.Lchown(path, uid, gid) }
		r.Command = func(ctx context.Context, args ...string) *exec.Cmd {
			cmd := exec.CommandContext(ctx, carrel, args...)
			cmd.Dir = "/"
			cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=" + u.HomeDir, "USER=" + u.Username, "LOGNAME=" + u.Username,
				"SHELL=/bin/sh", "LANG=C.UTF-8"}
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
			return cmd
		}
	}
	for _, folder := range []string{o.images, r.Images, r.Work, r.Pictures} {
		if folder == "" {
			continue
		}
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return nil, err
		}
	}
	if other {
		for _, folder := range []string{r.Images, r.Work} {
			if err := r.Own(folder); err != nil {
				return nil, err
			}
		}
	}
	return r, nil
}

// print shows the table; the error is that something failed.
func print(results []result) error {
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "APP\tAS\tBUILT\tSIZE\tREADY\tUSED\t")
	failed := 0
	for _, r := range results {
		mark := "✓"
		if r.Err != nil {
			mark = "✗"
			failed++
		}
		fmt.Fprintf(out, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.Name, r.user, seconds(r.Built), megabytes(r.Size), seconds(r.Ready), seconds(r.Used), mark)
	}
	if err := out.Flush(); err != nil {
		return err
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d checks", failed, len(results))
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
