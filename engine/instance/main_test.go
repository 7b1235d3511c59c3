package instance

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"carrel/engine/network/usernet"
	"carrel/engine/sandbox"
	"carrel/engine/sandbox/plan"
	"carrel/internal/leaktest"
	"carrel/internal/testroot"
)

// TestMain lets the test binary be the supervisor that tests spawn, and the app that runs in their containers.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "supervise":
			os.Exit(supervise())
		case "stop-it": // DIR, as somebody else
			conn, err := connect(os.Args[2], "")
			if err == nil {
				var a answer
				if err = sendPacket(conn, request{Op: opKill}); err == nil {
					_, err = receivePacket(conn, &a)
				}
			}
			if err != nil {
				fmt.Println("refused:", err)
				os.Exit(1)
			}
			os.Exit(0)
		case "app":
			os.Exit(app(os.Args[2:]))
		}
	}
	leaktest.Main(m)
}

// order is what a test tells the supervisor it spawns.
type order struct {
	Spec wireSpec
	Plan plan.Plan
	Slow bool // to start
	// Proxy is where port 3128 of the container's gateway leads, with an outgoing link.
	Proxy netip.AddrPort
	Panic bool
}

// wireSpec is the part of a Spec that can be sent.
type wireSpec struct {
	Name, Dir, Title, Image, Command string
	Raw                              json.RawMessage
	Ports                            []PortSpec
	Ready                            *Ready
	Wait, Grace, Recheck             time.Duration
	HostNetwork, KeepAlive, Guard    bool
	Closed                           bool
	StopSignal                       syscall.Signal
	LogSize, MemoryLimit             int64
	Restart                          Restart
	TimeLimit                        time.Duration
	Terminal, Stdin                  bool
}

var gateway = netip.MustParseAddr("10.219.73.1")

func supervise() int {
	took, err := Takeover()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	var o order
	if err := json.NewDecoder(os.Stdin).Decode(&o); err != nil {
		took(err)
		return 1
	}
	if o.Panic {
		panic("a supervisor that crashes")
	}
	w := o.Spec
	status, err := Run(context.Background(), Spec{
		Name: w.Name, Dir: w.Dir, Title: w.Title, Image: w.Image, Command: w.Command, Raw: w.Raw, Ports: w.Ports, Ready: w.Ready,
		Wait: w.Wait, Recheck: w.Recheck, Grace: w.Grace, HostNetwork: w.HostNetwork, Closed: w.Closed, KeepAlive: w.KeepAlive, Guard: w.Guard, StopSignal: w.StopSignal, LogSize: w.LogSize, MemoryLimit: w.MemoryLimit,
		Restart: w.Restart, TimeLimit: w.TimeLimit, Terminal: w.Terminal, Stdin: w.Stdin,
		Took: took,
		UserNet: func(ctx context.Context, link *os.File) (io.Closer, error) {
			defer link.Close()
			fd, err := unix.FcntlInt(link.Fd(), unix.F_DUPFD_CLOEXEC, 3)
			if err != nil {
				return nil, err
			}
			return usernet.Start(ctx, fd, usernet.Config{Gateway: gateway, HostPorts: map[uint16]netip.AddrPort{3128: o.Proxy}})
		},
		Start: func(ctx context.Context, stdin, stdout, stderr *os.File, note func(string)) (*sandbox.Container, func() error, error) {
			if o.Slow {
				<-ctx.Done()
				return nil, nil, ctx.Err()
			}
			ids := sandbox.NoIDMap()
			if os.Getuid() != 0 {
				ids = sandbox.SingleID(os.Getuid(), os.Getgid())
			}
			k, err := sandbox.Start(ctx, sandbox.Config{Plan: o.Plan, IDs: ids, Stdin: stdin, Stdout: stdout, Stderr: stderr, Note: note})
			return k, nil, err
		},
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	return status
}

// app is a program in a container.
func app(args []string) int {
	arg := func(i int) string {
		if i < len(args) {
			return args[i]
		}
		return ""
	}
	listen := func() net.Listener {
		l, err := net.Listen("tcp", arg(1))
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(3)
		}
		return l
	}
	switch arg(0) {
	case "http": // ADDR [LINE]: serves, and says so
		l := listen()
		if arg(2) != "" {
			fmt.Fprintln(os.Stderr, arg(2))
		}
		return fail(http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "path %s host %s", r.URL.Path, r.Host)
		})))
	case "late": // ADDR: serves from SIGUSR1 on
		signals := make(chan os.Signal, 1)
		signal.Notify(signals, syscall.SIGUSR1)
		<-signals
		return fail(http.Serve(listen(), http.NotFoundHandler()))
	case "errors": // ADDR
		return fail(http.Serve(listen(), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.Error(w, "broken", http.StatusInternalServerError)
		})))
	case "moody": // ADDR: serves, answers errors from SIGUSR1 on, serves again from SIGUSR2 on
		signals := make(chan os.Signal, 1)
		signal.Notify(signals, syscall.SIGUSR1, syscall.SIGUSR2)
		var broken atomic.Bool
		go func() {
			for sig := range signals {
				broken.Store(sig == syscall.SIGUSR1)
			}
		}()
		return fail(http.Serve(listen(), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if broken.Load() {
				http.Error(w, "broken", http.StatusInternalServerError)
			}
		})))
	case "reticent": // ADDR: takes connections, reads, and says nothing
		l := listen()
		for {
			c, err := l.Accept()
			if err != nil {
				return fail(err)
			}
			go io.Copy(io.Discard, c)
		}
	case "udp": // ADDR: sends back what comes
		c, err := net.ListenPacket("udp", arg(1))
		buf := make([]byte, 1<<16)
		for err == nil {
			var n int
			var from net.Addr
			if n, from, err = c.ReadFrom(buf); err == nil {
				_, err = c.WriteTo(buf[:n], from)
			}
		}
		return fail(err)
	case "silent": // ADDR: accepts and says nothing
		l := listen()
		for {
			c, err := l.Accept()
			if err != nil {
				return fail(err)
			}
			defer c.Close()
		}
	case "restart": // ADDR: serves, ends its serving at SIGUSR1, serves again at SIGUSR2
		signals := make(chan os.Signal, 1)
		signal.Notify(signals, syscall.SIGUSR1, syscall.SIGUSR2)
		for {
			l := listen()
			go http.Serve(l, http.NotFoundHandler())
			<-signals
			l.Close()
			<-signals
		}
	case "stubborn":
		signal.Ignore(syscall.SIGTERM)
		fmt.Println("ignoring")
		time.Sleep(time.Hour) // not select {}, which the runtime of a static program takes for a deadlock
	case "lines": // how many
		var n int
		fmt.Sscan(arg(1), &n)
		for i := range n {
			fmt.Println("line", i)
		}
		fmt.Fprintln(os.Stderr, "that was all")
		return 7
	case "hog": // megabytes of memory
		var n int
		fmt.Sscan(arg(1), &n)
		memory := make([]byte, n<<20)
		for i := 0; i < len(memory); i += 4096 {
			memory[i] = 1
		}
		return 0
	case "map": // megabytes of memory, asked for at once
		var n int
		fmt.Sscan(arg(1), &n)
		if _, err := unix.Mmap(-1, 0, n<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS); err != nil {
			return fail(err)
		}
		return 0
	case "flood": // megabytes
		var n int
		fmt.Sscan(arg(1), &n)
		piece := []byte(strings.Repeat(strings.Repeat("x", 99)+"\n", 10486))
		for range n {
			os.Stdout.Write(piece)
		}
		return 0
	}
	return fail(fmt.Errorf("unknown app %q", args))
}

func fail(err error) int {
	fmt.Fprintln(os.Stderr, err)
	return 4
}

// world is the root folder of a test's instances.
type world struct {
	t    *testing.T
	root string
	fs   string // root file system of the containers
	app  string // this test binary, in it
}

func newWorld(t *testing.T) *world {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, root: filepath.Join(t.TempDir(), "running"), fs: testroot.Make(t, self), app: "/bin/" + filepath.Base(self)}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		all, err := List(w.root)
		if err != nil {
			t.Error(err)
		}
		for _, in := range all {
			if in.State.Live() {
				if err := Kill(ctx, in.Dir); err != nil {
					t.Errorf("kill %s: %v", in.Name, err)
				}
			}
			if text, _ := os.ReadFile(filepath.Join(in.Dir, crashFile)); strings.Contains(string(text), "DATA RACE") {
				t.Errorf("supervisor of %s: %s", in.Name, text)
			}
			if t.Failed() {
				text, _ := os.ReadFile(in.LogFile)
				t.Logf("%s: %s, exit %d, %q\n%.2000s", in.Name, in.State, in.ExitCode, in.Problem, text)
			}
		}
	})
	return w
}

// order is a new instance's, that runs a program.
func (w *world) order(name string, args ...string) order {
	w.t.Helper()
	name, dir, err := Reserve(w.root, name, false)
	if err != nil {
		w.t.Fatal(err)
	}
	p := plan.Plan{
		UserNS: os.Getuid() != 0, PIDNS: true, UID: -1, GID: -1, Net: &plan.Net{},
		Layers: []plan.Layer{{Folder: w.fs}},
		Upper:  plan.Upper{Kind: plan.UpperMemory},
		Ops: []plan.Op{
			{Kind: plan.OpProc, Dest: "/proc"},
			{Kind: plan.OpBind, Source: "/dev", Dest: "/dev", Dev: true},
			{Kind: plan.OpTmpfs, Dest: "/tmp", Mode: 0o1777},
		},
		Process: plan.Process{Args: args, Env: []string{"PATH=/usr/bin:/bin", "HOME=/"}, Dir: "/", Umask: -1, CloseFDs: true},
	}
	return order{Plan: p, Spec: wireSpec{Name: name, Dir: dir, Image: "/images/" + name + ".sif", Command: "carrel run " + name, Raw: json.RawMessage(`{"a":1}`)}}
}

// try spawns an order.
func (w *world) try(o order) (int, error) {
	w.t.Helper()
	data, err := json.Marshal(o)
	if err != nil {
		w.t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	return Spawn(ctx, self, []string{"supervise"}, o.Spec.Dir, strings.NewReader(string(data)))
}

// start spawns an order that must succeed, and returns the instance's folder.
func (w *world) start(o order) string {
	w.t.Helper()
	pid, err := w.try(o)
	if err != nil {
		w.t.Fatalf("start %s: %v", o.Spec.Name, err)
	}
	if in := w.get(o.Spec.Dir); in.PID != pid {
		w.t.Errorf("process %d has the state, %d was started", in.PID, pid)
	}
	return o.Spec.Dir
}

// app starts the test's own program.
func (w *world) startApp(name string, args ...string) string {
	w.t.Helper()
	return w.start(w.order(name, append([]string{w.app, "app"}, args...)...))
}

func (w *world) get(dir string) Instance {
	w.t.Helper()
	in, err := at(dir)
	if err != nil {
		w.t.Fatal(err)
	}
	return in
}

// until waits until an instance is as wanted.
func (w *world) until(dir string, wanted func(Instance) bool) Instance {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	changes, err := Watch(ctx, w.root)
	if err != nil {
		w.t.Fatal(err)
	}
	for {
		in := w.get(dir)
		if wanted(in) {
			return in
		}
		if _, more := <-changes; !more {
			w.t.Fatalf("%s stays %s: %q %+v", in.Name, in.State, in.Problem, in.Addresses)
		}
	}
}

func (w *world) ended(dir string) Instance {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	in, err := Wait(ctx, dir)
	if err != nil {
		w.t.Fatal(err)
	}
	return in
}

func (w *world) log(dir, stream string) []string {
	w.t.Helper()
	var texts []string
	err := ReadLog(context.Background(), dir, LogOptions{}, func(batch []LogLine) error {
		for _, l := range batch {
			if l.Stream == stream {
				texts = append(texts, l.Text)
			}
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return texts
}

func isReady(in Instance) bool { return in.State == StateReady }

// page fetches a URL.
func (w *world) page(url string) string {
	w.t.Helper()
	text, err := fetch(url)
	if err != nil {
		w.t.Fatal(err)
	}
	return text
}

func fetch(url string) (string, error) {
	c := http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := c.Get(url)
	if err != nil {
		return "", err
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	return string(body), err
}
