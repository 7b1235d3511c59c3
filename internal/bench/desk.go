package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/creack/pty"
)

// deskQuestions ask what the screens cost with much on them: many images, a long log, a large image, apps that run.
func deskQuestions(ctx context.Context, l *lab) ([]question, error) {
	sif, err := l.image(ctx, "zstd")
	if err != nil {
		return nil, err
	}
	p := l.user()
	images, lines, size, idle := 10_000, 100_000, int64(3<<30), 10*time.Second
	if l.quick {
		size, idle = 300<<20, 2*time.Second
	}
	name := "desk" + strconv.Itoa(os.Getpid())
	writer := []string{l.carrel, "run", "-d", "--no-wait", "--name", name, sif, "sh", "-c", fmt.Sprintf("i=0; while [ $i -lt %d ]; do i=$((i+1)); echo \"line $i of a log as long as those of a busy server are\"; done; exec sleep 600", lines)}
	last := fmt.Sprintf("line %d of", lines)
	return []question{
		{
			title: "A key on a full desk, as " + p.name, unit: seconds, runs: 5, parts: []string{"first frame", "answer to a key"},
			about:      fmt.Sprintf("In a terminal of 200 by 60 cells, with %d images of one's own: to a whole frame that lists them, and from the key that moves down to the change on the screen.", images),
			contenders: append([]contender{l.crowded(p, sif, images)}, otherDesks()...),
		},
		{
			title: "Filtering the catalog, as " + p.name, unit: seconds, runs: 5,
			about:      "From the letter that narrows the catalog down to the change on the screen.",
			contenders: []contender{l.filtering(p)},
		},
		{
			title: "Looking inside a large image, as " + p.name, unit: seconds, runs: 5,
			about:      fmt.Sprintf("From the key to what an image of %d MB says of itself.", size>>20),
			contenders: []contender{l.largeImage(p, sif, size)},
		},
		{
			title: "Memory of the screens with a long log, as " + p.name, unit: megabytes, runs: 3,
			about:      fmt.Sprintf("The proportional share (PSS) of the screens' process while it shows the end of a log of %d lines.", lines),
			contenders: []contender{l.longLog(p, name, writer, last)},
		},
		{
			title: "Screens left alone beside a running app, as " + p.name, unit: percent, runs: 3,
			about:      fmt.Sprintf("The processor time of the screens over %s in which no key is pressed and the app that they show writes nothing.", idle),
			contenders: []contender{l.idleBeside(p, name, []string{l.carrel, "run", "-d", "--no-wait", "--name", name, sif, "sleep", "600"}, idle)},
		},
	}, nil
}

// otherDesks are programs of the same kind. They show what runs in an engine or a cluster, which there is none of here, so
// that they are installed is all that can be said.
func otherDesks() []contender {
	var out []contender
	for _, program := range []string{"lazydocker", "k9s"} {
		c := contender{name: program, missing: missing(program)}
		if c.missing == "" {
			c.missing = "an engine or a cluster with ten thousand images"
		}
		out = append(out, c)
	}
	return out
}

// crowded is a desk with many images: one, under many names.
func (l *lab) crowded(p person, sif string, images int) contender {
	known := p
	return contender{name: "Carrel, the desk", ours: true, how: "carrel", prepare: func(ctx context.Context) (err error) {
		if known, err = l.welcomed(ctx, p); err != nil {
			return err
		}
		one, err := l.put(known, sif, "image-00000.sif")
		if err != nil {
			return err
		}
		for i := 1; i < images; i++ {
			if err := os.Link(one, filepath.Join(filepath.Dir(one), fmt.Sprintf("image-%05d.sif", i))); err != nil {
				return err
			}
		}
		return nil
	}, run: func(ctx context.Context) (measure, error) {
		start := time.Now()
		x, err := l.openTerminal(l.call(known, l.carrel))
		if err != nil {
			return measure{}, err
		}
		defer x.close()
		x.mu.Lock()
		x.emu.Resize(200, 60)
		x.mu.Unlock()
		if err := pty.Setsize(x.file, &pty.Winsize{Rows: 60, Cols: 200}); err != nil {
			return measure{}, err
		}
		if err := x.wait(ctx, func(text string) bool { return whole(text) && strings.Contains(text, "image-00") }); err != nil {
			return measure{}, err
		}
		first := time.Since(start)
		took, err := x.answer(ctx, "j")
		return measure{values: []float64{first.Seconds(), took.Seconds()}}, err
	}}
}

// put copies an image to where a person's are kept.
func (l *lab) put(p person, sif, name string) (string, error) {
	dir := filepath.Join(p.home, ".local", "share", "carrel", "images")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	path := filepath.Join(dir, name)
	from, err := os.Open(sif)
	if err != nil {
		return "", err
	}
	defer from.Close()
	to, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o644)
	if err != nil {
		return "", err
	}
	_, err = io.Copy(to, from)
	if err = errors.Join(err, to.Close()); err != nil || p.uid == os.Getuid() {
		return path, err
	}
	for at := path; at != p.home; at = filepath.Dir(at) {
		if err := os.Lchown(at, p.uid, p.gid); err != nil {
			return "", err
		}
	}
	return path, nil
}

// answer is how long the screen takes to change after a key, once it is at rest.
func (x *terminal) answer(ctx context.Context, key string) (time.Duration, error) {
	if err := x.settle(ctx, 300*time.Millisecond); err != nil {
		return 0, err
	}
	before := x.text()
	start := time.Now()
	if _, err := x.file.WriteString(key); err != nil {
		return 0, err
	}
	err := x.wait(ctx, func(text string) bool { return text != before })
	return time.Since(start), err
}

// opened is a contender that does something in the screens of somebody who knows them.
func (l *lab) opened(p person, ready func(context.Context, person) error, run func(context.Context, *terminal) (measure, error)) contender {
	known := p
	return contender{name: "Carrel", ours: true, how: "carrel", prepare: func(ctx context.Context) (err error) {
		if known, err = l.welcomed(ctx, p); err == nil && ready != nil {
			err = ready(ctx, known)
		}
		return err
	}, run: func(ctx context.Context) (measure, error) {
		x, err := l.openTerminal(l.call(known, l.carrel))
		if err != nil {
			return measure{}, err
		}
		defer x.close()
		if err := x.wait(ctx, whole); err != nil {
			return measure{}, err
		}
		return run(ctx, x)
	}}
}

func (l *lab) filtering(p person) contender {
	return l.opened(p, nil, func(ctx context.Context, x *terminal) (measure, error) {
		for _, key := range []string{"2", "/"} {
			if _, err := x.answer(ctx, key); err != nil {
				return measure{}, err
			}
		}
		took, err := x.answer(ctx, "j")
		return measure{values: []float64{took.Seconds()}}, err
	})
}

// largeImage looks inside an image with a file that cannot be compressed.
func (l *lab) largeImage(p person, sif string, size int64) contender {
	return l.opened(p, func(ctx context.Context, known person) error {
		big, def, image := filepath.Join(l.scratch, "big"), filepath.Join(l.scratch, "big.def"), filepath.Join(l.scratch, "big.sif")
		defer os.Remove(big)
		defer os.Remove(image) // copied
		f, err := os.Create(big)
		if err != nil {
			return err
		}
		var seed [32]byte
		_, err = io.CopyN(f, rand.NewChaCha8(seed), size)
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
		if err := os.WriteFile(def, []byte("Bootstrap: localimage\nFrom: "+sif+"\n\n%files\n    "+big+" /opt/big\n"), 0o644); err != nil {
			return err
		}
		if o := l.run(ctx, l.call(l.me(), l.carrel, "build", "--quiet", "--force", image, def)); o.Error != "" {
			return o.err()
		}
		path, err := l.put(known, image, "big.sif")
		if err == nil {
			l.later(func() error { return os.Remove(path) })
		}
		return err
	}, func(ctx context.Context, x *terminal) (measure, error) {
		if err := x.wait(ctx, func(text string) bool { return strings.Contains(text, "big.sif") }); err != nil {
			return measure{}, err
		}
		if err := x.settle(ctx, 300*time.Millisecond); err != nil {
			return measure{}, err
		}
		start := time.Now()
		if _, err := x.file.WriteString("i"); err != nil {
			return measure{}, err
		}
		err := x.wait(ctx, func(text string) bool { return strings.Contains(text, "made from") })
		return measure{values: []float64{time.Since(start).Seconds()}}, err
	})
}

// besideApp is opened while an app runs.
func (l *lab) besideApp(p person, name string, start []string, run func(context.Context, *terminal) (measure, error)) contender {
	home := p
	c := l.opened(p, func(_ context.Context, known person) error { home = known; return nil }, run)
	inner := c.run
	c.run = func(ctx context.Context) (m measure, err error) {
		if o := l.run(ctx, l.call(home, start...)); o.Error != "" {
			return measure{}, o.err()
		}
		defer func() {
			err = errors.Join(err, l.run(context.WithoutCancel(ctx), l.call(home, l.carrel, "stop", "--time", "1s", name)).err())
		}()
		return inner(ctx)
	}
	return c
}

func (l *lab) longLog(p person, name string, start []string, last string) contender {
	return l.besideApp(p, name, start, func(ctx context.Context, x *terminal) (measure, error) {
		if _, err := x.answer(ctx, "3"); err != nil {
			return measure{}, err
		}
		if err := x.wait(ctx, func(text string) bool { return strings.Contains(text, last) }); err != nil {
			return measure{}, err
		}
		if err := x.settle(ctx, 2*time.Second); err != nil {
			return measure{}, err
		}
		bytes, err := share(x.cmd.Process.Pid)
		return measure{values: []float64{float64(bytes) / 1e6}}, err
	})
}

func (l *lab) idleBeside(p person, name string, start []string, while time.Duration) contender {
	return l.besideApp(p, name, start, func(ctx context.Context, x *terminal) (measure, error) {
		if _, err := x.answer(ctx, "3"); err != nil {
			return measure{}, err
		}
		select { // what begins with the app is over by then
		case <-time.After(2 * time.Second):
		case <-ctx.Done():
			return measure{}, ctx.Err()
		}
		return x.share(ctx, while)
	})
}
