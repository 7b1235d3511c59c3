package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"carrel/internal/atomicfile"
)

// A family is some questions that are chosen together.
type family struct {
	name string
	ask  func(context.Context, *lab) ([]question, error)
}

// families are in the order in which they are measured: what leaves much behind on the disk comes last.
var families = []family{
	{"start", startQuestions},
	{"answer", answerQuestions},
	{"read", readQuestions},
	{"port", portQuestions},
	{"screen", screenQuestions},
	{"desk", deskQuestions},
	{"apps", appQuestions},
	{"memory", memoryQuestions},
	{"pack", packQuestions},
	{"registry", registryQuestions},
	{"bootstrap", bootstrapQuestions},
	{"unpack", unpackQuestions},
}

// limits of a whole run: after that, what is left is said to be left.
const (
	wholeLimit = 45 * time.Minute
	quickLimit = 4 * time.Minute
)

func main() {
	var err error
	switch {
	case os.Args[0] == agentName:
		err = agentMain(os.Args[1:])
	case len(os.Args) == 4 && os.Args[1] == "serve":
		err = serve(os.Args[2], os.Args[3])
	case len(os.Args) == 4 && os.Args[1] == registryVerb:
		err = serveBlobs(os.Args[2], os.Args[3])
	case os.Getuid() == 0 && os.Args[0] != insideName:
		os.Exit(inside())
	default:
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
		err = bench(ctx)
		stop()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// insideName is the name under which this program is in a mount namespace of its own.
const insideName = "carrel-bench"

// inside starts this program again in a mount namespace of its own, so that no mount is left whatever happens, and
// returns its exit status.
func inside() int {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = insideName
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		return 1
	}
	go func() {
		for s := range signals {
			_ = cmd.Process.Signal(s) // it may have ended
		}
	}()
	if err := cmd.Wait(); err != nil && cmd.ProcessState.ExitCode() < 0 {
		fmt.Fprintln(os.Stderr, "bench:", err)
	}
	return max(cmd.ProcessState.ExitCode(), 0)
}

// choose reads the variable BENCH: names of families, and quick.
func choose(text string) (chosen []family, quick bool, err error) {
	words := strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' })
	for _, w := range words {
		known := w == "quick" || slices.ContainsFunc(families, func(f family) bool { return f.name == w })
		if !known {
			names := []string{"quick"}
			for _, f := range families {
				names = append(names, f.name)
			}
			return nil, false, fmt.Errorf("BENCH=%s: there is no %q; there are: %s", text, w, strings.Join(names, " "))
		}
		quick = quick || w == "quick"
	}
	for _, f := range families {
		if slices.Contains(words, f.name) {
			chosen = append(chosen, f)
		}
	}
	if len(chosen) == 0 {
		chosen = families
	}
	return chosen, quick, nil
}

func bench(ctx context.Context) (err error) {
	binary := flag.String("carrel", "bin/carrel", "the program to measure")
	output := flag.String("o", "", "write the document to this file; a whole run writes docs/benchmarks.md")
	flag.Parse()
	chosen, quick, err := choose(os.Getenv("BENCH"))
	if err != nil {
		return err
	}
	if *output == "" && !quick && len(chosen) == len(families) {
		*output = "docs/benchmarks.md"
	}
	start := time.Now()
	say := func(text string) { fmt.Fprintf(os.Stderr, "%5.0fs %s\n", time.Since(start).Seconds(), text) }
	l, err := newLab(ctx, *binary, quick, say)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close()) }()

	rep := report{date: start, machine: machine(), quick: quick}
	rep.versions, rep.absent = l.versions(ctx)
	limit := wholeLimit
	if quick {
		limit = quickLimit
	}
	// Making the tree, once, is no part of the time.
	if _, err := l.tree(ctx); err != nil {
		rep.skipped = append(rep.skipped, "what needs a tree: "+err.Error())
	}
	timed, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for _, f := range chosen {
		if timed.Err() != nil {
			rep.skipped = append(rep.skipped, f.name+": the time was up")
			continue
		}
		questions, err := f.ask(timed, l)
		if err != nil {
			say(f.name + ": " + err.Error())
			rep.skipped = append(rep.skipped, f.name+": "+err.Error())
			continue
		}
		for _, q := range questions {
			rep.results = append(rep.results, measureAll(timed, q, pace{quick}, say)...)
		}
		if err := l.tidy(); err != nil {
			say("tidy up: " + err.Error())
		}
	}
	rep.took = time.Since(start)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err := fprintTable(os.Stdout, rep.results); err != nil {
		return err
	}
	fmt.Println("\nWhere a peer is better:")
	for _, s := range slower(rep.results) {
		fmt.Println("  " + s)
	}
	fmt.Printf("\n%s\n", strings.Join(append(rep.absent, rep.skipped...), "\n"))
	if *output == "" {
		return nil
	}
	var text strings.Builder
	if err := rep.fprintMarkdown(&text); err != nil {
		return err
	}
	if err := atomicfile.WriteFile(*output, []byte(text.String()), 0o644); err != nil {
		return err
	}
	say("written: " + *output)
	return nil
}
