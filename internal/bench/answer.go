package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// A server is a program that is started in a tree and answers on a port.
type server struct {
	title  string
	script string // for sh; PORT stands for the port
	path   string // asked for
	runs   int
}

// answerQuestions ask how long it takes from the start of a server to its first answer, for an ordinary user.
func answerQuestions(ctx context.Context, l *lab) ([]question, error) {
	t, err := l.tree(ctx)
	if err != nil {
		return nil, err
	}
	sif, err := l.image(ctx, "zstd")
	if err != nil {
		return nil, err
	}
	servers := []server{{
		title: "python3 -m http.server", runs: 10, path: "/",
		script: "cd /etc && exec python3 -m http.server --bind 127.0.0.1 PORT",
	}}
	if t.jupyter {
		servers = append(servers, server{
			title: "jupyter-notebook", runs: 10, path: "/api",
			script: "cd /tmp && export HOME=HOMEDIR && exec jupyter-notebook --allow-root --no-browser --ip=127.0.0.1 --port=PORT --NotebookApp.port_retries=0",
		})
	}
	p := l.user()
	var out []question
	for _, s := range servers {
		inside, err := os.MkdirTemp("/tmp", "carrel-bench-") // visible in all containers under this name
		if err != nil {
			return nil, err
		}
		l.later(func() error { return os.RemoveAll(inside) })
		if err := os.Chmod(inside, 0o777); err != nil {
			return nil, err
		}
		s.script = strings.ReplaceAll(s.script, "HOMEDIR", inside)
		plain := func(name string, args ...string) contender { return l.answering(s, name, p, args) }
		q := question{
			title: "First answer of " + s.title + ", as " + p.name, unit: seconds, runs: s.runs,
			about: "From the start of the process to the first HTTP answer, in the host's network unless said. From " + t.name +
				"; the image files are in memory, each mount of one is new and so begins with nothing read.",
			contenders: []contender{
				withOurs(plain("Carrel, image, first start", l.carrel, "exec", sif, "sh", "-c")),
				l.answeringHot(s, p, sif),
				l.answeringPublished(s, p, sif),
				withOurs(plain("Carrel, folder", l.carrel, "exec", t.dir, "sh", "-c")),
				withLess(plain("bubblewrap, folder", bubblewrapBinds(p, t.dir, "sh", "-c")...), "a folder, no image"),
				withLess(plain("Charliecloud, folder", "ch-run", t.dir, "--", "sh", "-c"), "a folder, no image"),
				withLess(l.answeringApptainer(s, "Apptainer, folder", p, t.dir), "a folder, no image"),
				l.answeringApptainer(s, "Apptainer, same image (zstd)", p, sif),
				l.answeringImage(s, p),
				withLess(plain("podman, folder", "podman", "--root", filepath.Join(p.home, "podman"), "run", "--rm", "--cgroups=disabled", "--network=host", "--rootfs", t.dir+":O", "sh", "-c"), "a folder, no image"),
			},
		}
		out = append(out, q)
	}
	return out, nil
}

// answering is a server started by a command, which ends in what takes a script.
func (l *lab) answering(s server, name string, p person, args []string) contender {
	return contender{
		name: name, missing: missing(args[0]), how: l.show(append(args, s.script)),
		run: func(ctx context.Context) (measure, error) {
			port, err := freePort()
			if err != nil {
				return measure{}, err
			}
			script := strings.ReplaceAll(s.script, "PORT", strconv.Itoa(port))
			return l.firstAnswer(ctx, l.call(p, append(args[:len(args):len(args)], script)...), port, s.path)
		},
	}
}

func (l *lab) answeringHot(s server, p person, sif string) contender {
	args := []string{l.carrel, "exec", sif, "sh", "-c"}
	c := contender{name: "Carrel, image, a later start", ours: true, how: l.show(append(args, s.script))}
	hot := p
	c.prepare = func(ctx context.Context) (err error) {
		hot, err = l.hotHome(ctx, p, sif)
		return err
	}
	c.run = func(ctx context.Context) (measure, error) { return l.answering(s, "", hot, args).run(ctx) }
	return c
}

func (l *lab) answeringPublished(s server, p person, sif string) contender {
	c := contender{name: "Carrel, image, own network, published port", ours: true, how: l.show([]string{l.carrel, "exec", "-p", "PORT", sif, "sh", "-c", s.script})}
	c.run = func(ctx context.Context) (measure, error) {
		port, err := freePort()
		if err != nil {
			return measure{}, err
		}
		number := strconv.Itoa(port)
		script := strings.ReplaceAll(s.script, "PORT", number)
		return l.firstAnswer(ctx, l.call(p, l.carrel, "exec", "-p", number+":"+number, sif, "sh", "-c", script), port, s.path)
	}
	return c
}

func (l *lab) answeringApptainer(s server, name string, p person, image string) contender {
	if l.apptain == "" {
		return contender{name: name, missing: "apptainer"}
	}
	c := l.answering(s, name, p, []string{l.apptain, "exec", image, "sh", "-c"})
	c.missing = ""
	return c
}

// answeringImage is Apptainer with an image of its own, as it makes them by default.
func (l *lab) answeringImage(s server, p person) contender {
	c := contender{name: "Apptainer, its own image (gzip)"}
	switch {
	case l.apptain == "":
		c.missing = "apptainer"
		return c
	case l.quick && l.images["apptainer"] == "":
		c.missing = "an image made by Apptainer (not in a quick run)"
		return c
	}
	c.how = "apptainer build image.sif FOLDER; apptainer exec image.sif sh -c …"
	sif := ""
	c.prepare = func(ctx context.Context) (err error) {
		sif, err = l.image(ctx, "apptainer")
		return err
	}
	c.run = func(ctx context.Context) (measure, error) { return l.answeringApptainer(s, "", p, sif).run(ctx) }
	return c
}

// answerLimit is how long a server may take.
const answerLimit = 60 * time.Second

// firstAnswer starts a server, and gives the time until it answered. The server is ended then.
func (l *lab) firstAnswer(ctx context.Context, c call, port int, path string) (measure, error) {
	client := http.Client{Timeout: answerLimit, Transport: &http.Transport{DisableKeepAlives: true}}
	url := fmt.Sprintf("http://127.0.0.1:%d%s", port, path)
	start := time.Now()
	r, err := l.start(ctx, c)
	if err != nil {
		return measure{}, err
	}
	defer r.end()
	var m measure
	looked := start
	answered := until(ctx, answerLimit, func() bool {
		resp, err := client.Get(url)
		if err == nil {
			m = took(time.Since(start))
			resp.Body.Close()
			return resp.StatusCode == http.StatusOK
		}
		if time.Since(looked) < time.Second {
			return false
		}
		looked = time.Now()
		return r.ended() != nil
	})
	if err := r.ended(); err != nil {
		return measure{}, err
	}
	if !answered || len(m.values) == 0 {
		return measure{}, fmt.Errorf("%s: no answer", url)
	}
	return m, nil
}

// freePort finds a port that nobody listens on.
func freePort() (int, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port, nil
}
