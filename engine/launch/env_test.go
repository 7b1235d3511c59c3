package launch

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestEnvironment holds the order in which a variable gets its value: the engine, the image, the caller where the image
// has none, by force.
func TestEnvironment(t *testing.T) {
	w := newWorld(t)
	write(t, filepath.Join(w.image, ".singularity.d/env/10-docker2singularity.sh"), "export PATH=\"/opt/tool/bin:$PATH\"\nexport KIND=\"${KIND:-\"image\"}\"\n")
	write(t, filepath.Join(w.image, ".singularity.d/env/90-environment.sh"), "export COLOUR=red\nexport JOINED=$COLOUR-$SINGULARITY_NAME\nunset GONE\n")
	const base = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	for _, tc := range []struct {
		name   string
		host   []string
		change func(*Options)
		show   string
		want   string
	}{
		{name: "the image wins over the caller", show: "$COLOUR $JOINED", want: "red red-test.sif"},
		{name: "the caller's others are passed on", host: []string{"MINE=1"}, show: "$MINE", want: "1"},
		{name: "but not into a clean environment", host: []string{"MINE=1", "https_proxy=p", "TZ=UTC"}, change: func(o *Options) { o.CleanEnv = true }, show: "x$MINE $https_proxy $TZ $LANG", want: "x p UTC C.UTF-8"},
		{name: "a caller's LANG", host: []string{"LANG=de_DE.UTF-8"}, show: "$LANG", want: "de_DE.UTF-8"},
		{name: "SINGULARITYENV_ wins over the image", host: []string{"SINGULARITYENV_COLOUR=blue"}, show: "$COLOUR", want: "blue"},
		{name: "APPTAINERENV_ over SINGULARITYENV_", host: []string{"APPTAINERENV_COLOUR=teal", "SINGULARITYENV_COLOUR=blue"}, show: "$COLOUR", want: "teal"},
		{name: "CARRELENV_ over both", host: []string{"CARRELENV_COLOUR=pink", "APPTAINERENV_COLOUR=teal"}, show: "$COLOUR", want: "pink"},
		{name: "--env over all", host: []string{"CARRELENV_COLOUR=pink"}, change: func(o *Options) { o.Env = map[string]string{"COLOUR": "gold"} }, show: "$COLOUR", want: "gold"},
		{name: "forced also into a clean environment", host: []string{"SINGULARITYENV_A=1"}, change: func(o *Options) { o.CleanEnv = true; o.Env = map[string]string{"B": "2"} }, show: "$A $B", want: "1 2"},
		{name: "forced are seen by no engine variable", host: []string{"SINGULARITYENV_COLOUR=blue", "SINGULARITY_BINDPATH=/x", "APPTAINER_SECRET=1"}, show: "x$SINGULARITY_BINDPATH$APPTAINER_SECRET$SINGULARITYENV_COLOUR", want: "x"},
		{name: "PATH is the image's", show: "$PATH $USER_PATH", want: "/opt/tool/bin:" + base + " /host/bin"},
		{name: "PREPEND_PATH", host: []string{"APPTAINERENV_PREPEND_PATH=/first"}, show: "$PATH", want: "/first:/opt/tool/bin:" + base},
		{name: "APPEND_PATH", host: []string{"SINGULARITYENV_APPEND_PATH=/last"}, show: "$PATH", want: "/opt/tool/bin:" + base + ":/last"},
		{name: "PREPEND_PATH by --env", change: func(o *Options) { o.Env = map[string]string{"PREPEND_PATH": "/first"} }, show: "$PATH x$PREPEND_PATH", want: "/first:/opt/tool/bin:" + base + " x"},
		{name: "PATH by force", host: []string{"SINGULARITYENV_PATH=/bin:/only"}, show: "$PATH", want: "/bin:/only"},
		{name: "LD_LIBRARY_PATH is not the caller's", host: []string{"LD_LIBRARY_PATH=/host/lib"}, show: "$LD_LIBRARY_PATH", want: "/.singularity.d/libs"},
		{name: "LD_LIBRARY_PATH by force keeps the driver's", host: []string{"SINGULARITYENV_LD_LIBRARY_PATH=/my/lib"}, show: "$LD_LIBRARY_PATH", want: "/my/lib:/.singularity.d/libs"},
		{name: "LD_PRELOAD stays outside", host: []string{"LD_PRELOAD=/host/lib/x.so"}, show: "x$LD_PRELOAD", want: "x"},
		{name: "the caller's shell may not be there", show: "x$SHELL", want: "x"},
		{name: "TMPDIR that is visible", host: []string{"TMPDIR=/tmp/job.7"}, show: "$TMPDIR", want: "/tmp/job.7"},
		{name: "TMPDIR that is not", host: []string{"TMPDIR=/scratch/job.7"}, show: "x$TMPDIR", want: "x"},
		{name: "names of the image", show: "$SINGULARITY_CONTAINER $APPTAINER_NAME x$SINGULARITY_COMMAND $APPTAINER_COMMAND", want: "/images/test.sif test.sif x exec"},
		{name: "binds", change: binds(Bind{Source: "/etc", Dest: "/x", ReadOnly: true}, Bind{Source: "/etc", Dest: "/y"}), show: "$SINGULARITY_BIND", want: "/etc:/x:ro,/etc:/y"},
		{name: "lines and quotes survive", host: []string{"ODD=a b 'c' \"d\" $e `f` \\g"}, show: "$ODD", want: "a b 'c' \"d\" $e `f` \\g"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := w.options("printf '%s' \"" + tc.show + "\"")
			o.Host.Env = append(o.Host.Env, tc.host...)
			if tc.change != nil {
				tc.change(&o)
			}
			if r := start(t, o); r.err != nil || r.out != tc.want {
				t.Errorf("got %q (%v, %q), want %q", r.out, r.err, r.notes, tc.want)
			}
		})
	}
}

func TestOldImageEnvironment(t *testing.T) {
	w := newWorld(t)
	write(t, filepath.Join(w.image, "environment"), "OLD=yes\nexport OLD\n")
	if r := start(t, w.options("echo $OLD")); r.out != "yes\n" {
		t.Errorf("%+v", r)
	}
}

func TestHomeInEnvironment(t *testing.T) {
	w := newWorld(t)
	want := w.home + "\n"
	if os.Getuid() == 0 {
		want = "/root\n"
	}
	if r := start(t, w.options("echo $HOME")); r.out != want {
		t.Errorf("got %q, want %q", r.out, want)
	}
	o := w.options("echo $HOME; touch ~/x && echo writable")
	o.Host.Home = ""
	if r := start(t, o); !strings.HasSuffix(r.out, "\nwritable\n") {
		t.Errorf("a user without a home: %+v", r)
	}
}
