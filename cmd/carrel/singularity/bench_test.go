package singularity

import (
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"

	"carrel/internal/testroot"
)

// BenchmarkExec measures whole processes, the program's and bubblewrap's, in turn, so that what else the computer does meets
// both: `singularity exec FOLDER true` and `exec IMAGE.sif true` against bwrap on the same folder. The metrics are medians
// of milliseconds, and of ratios of pairs.
func BenchmarkExec(b *testing.B) {
	bwrap, err := exec.LookPath("bwrap")
	if err != nil {
		b.Skip("missing: bwrap")
	}
	dir := b.TempDir()
	program := filepath.Join(dir, "singularity")
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", program, "carrel/cmd/carrel")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	folder, image := testroot.Make(b), filepath.Join(dir, "image.sif")
	env := append(os.Environ(), "CARREL_HOME="+filepath.Join(dir, "home"))
	timed := func(args ...string) time.Duration {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Env, cmd.Dir = env, "/tmp"
		var errs strings.Builder
		cmd.Stderr = &errs
		start := time.Now()
		err := cmd.Run()
		took := time.Since(start)
		if err != nil {
			b.Fatalf("%q: %v: %s", args, err, errs.String())
		}
		return took
	}
	timed(program, "-q", "build", image, folder)
	other := []string{bwrap, "--unshare-user", "--unshare-pid", "--bind", folder, "/", "--proc", "/proc", "--dev-bind", "/dev", "/dev", "--bind", "/tmp", "/tmp", "/bin/true"}
	for _, bm := range []struct {
		name string
		args []string
	}{
		{"folder", []string{program, "exec", folder, "/bin/true"}},
		{"sif", []string{program, "exec", image, "/bin/true"}},
		{"nothing", []string{program, "version"}},
	} {
		b.Run(bm.name, func(b *testing.B) {
			var ours, theirs, ratios []float64
			for b.Loop() {
				t, o := timed(other...), timed(bm.args...)
				theirs, ours = append(theirs, t.Seconds()*1000), append(ours, o.Seconds()*1000)
				ratios = append(ratios, o.Seconds()/t.Seconds())
			}
			b.ReportMetric(median(ours), "ms")
			b.ReportMetric(median(theirs), "bwrap-ms")
			b.ReportMetric(median(ratios), "ratio")
		})
	}
}

func median(v []float64) float64 {
	sort.Float64s(v)
	return v[len(v)/2]
}
