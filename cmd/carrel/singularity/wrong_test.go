package singularity

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"carrel/internal/testroot"
)

// wrong are values that flags of exec cannot have, and a part of what is said then; for flags for which every text is right, an
// empty one.
var wrong = map[string][2]string{
	"add-caps":           {"CAP_NOTHING", `"NOTHING": there is none of that name`},
	"app":                {"nobody", "no app of that name"},
	"bind":               {"/nowhere:/mnt", "/nowhere"},
	"blkio-weight":       {"5", "write a number from 10 to 1000"},
	"containlibs":        {"/nowhere.so", "/nowhere.so"},
	"cpu-shares":         {"1", "write a number from 2"},
	"cpus":               {"many", "not a number of processors"},
	"cpuset-cpus":        {"x", "x"},
	"cpuset-mems":        {"x", "x"},
	"cwd":                {"/nowhere", "/nowhere"},
	"dns":                {"nine", "is not an address"},
	"drop-caps":          {"CAP_NOTHING", `"NOTHING": there is none of that name`},
	"env":                {"A", "A"},
	"env-file":           {"/nowhere", "/nowhere"},
	"home":               {"/nowhere", "/nowhere"},
	"hostname":           {strings.Repeat("x", 300), "host name"},
	"memory":             {"lots", "not an amount of memory"},
	"memory-reservation": {"lots", "not an amount of memory"},
	"memory-swap":        {"-7", "less than nothing"},
	"mount":              {"type=volume,source=/tmp,destination=/x", "type"},
	"network":            {"weave", "is not known"},
	"no-env":             {},
	"no-mount":           {},
	"overlay":            {"/nowhere", "there is no such folder or file"},
	"pids-limit":         {"-5", "write a number of processes"},
	"pwd":                {"/nowhere", "/nowhere"},
	"scratch":            {"work", "write where it is to be inside, beginning with /, such as --scratch /work"},
	"security":           {"magic:x", "there is no such kind"},
	"tmpdir":             {},
	"workdir":            {"/proc/nowhere", "/proc/nowhere"},
}

// with are flags without which another has no effect.
var with = map[string][]string{"workdir": {"--contain"}}

// TestWrongValues: each flag of exec is given a value that it cannot have: that is said in a sentence, with one of the two
// statuses that are not the container's, nothing is started, and nothing is left behind.
func TestWrongValues(t *testing.T) {
	root := testroot.Make(t)
	l := &launch{}
	for _, o := range l.options(false) {
		_, bare := o.value.(*bool)
		if o.absent != "" || bare {
			continue
		}
		w, ok := wrong[o.long]
		if !ok {
			t.Errorf("--%s: no wrong value is known", o.long)
		}
		if w[0] == "" {
			continue
		}
		t.Run(o.long, func(t *testing.T) {
			d := &desk{home: t.TempDir(), cwd: t.TempDir()}
			status, out, errs := call(t, d, append([]string{"exec", "--" + o.long, w[0]}, append(with[o.long], root, "sh", "-c", "echo started; touch "+filepath.Join(d.cwd, "made"))...)...)
			if status != exitUsage && status != exitFatal || out != "" || !strings.Contains(errs, w[1]) {
				t.Errorf("%d, %q, %q", status, out, errs)
			}
			if strings.Contains(errs, "errno") || strings.Contains(errs, "panic") || strings.Count(errs, "\n") > 3 {
				t.Errorf("not a sentence: %q", errs)
			}
			if names, err := os.ReadDir(d.cwd); err != nil || len(names) > 0 {
				t.Errorf("left behind: %v, %v", names, err)
			}
		})
	}
	if os.Getuid() != 0 {
		if status, out, errs := call(t, nil, "exec", "--keep-privs", root, "echo", "started"); status != exitFatal || out != "" || !strings.Contains(errs, "--keep-privs requires root privileges") {
			t.Errorf("--keep-privs: %d, %q, %q", status, out, errs)
		}
	}
	known := l.options(false)
	for name := range wrong {
		if !slices.ContainsFunc(known, func(o option) bool { return o.long == name }) {
			t.Errorf("--%s is no flag", name)
		}
	}
}
