package singularity

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"sort"
	"strings"
	"testing"

	"carrel/internal/apptainertest"
)

var update = flag.Bool("update", false, "write docs/compatibility.md anew from the program's tables")

const document = "../../../docs/compatibility.md"

// row is one line of the table: a verb, or a flag of one.
type row struct{ verb, flag, status, reason string }

func (r row) String() string {
	return fmt.Sprintf("| %s | %s | %s | %s |", code(r.verb), code(r.flag), r.status, r.reason)
}

func code(s string) string {
	if s == "" {
		return ""
	}
	return "`" + s + "`"
}

const (
	same      = "same"
	different = "different"
	absent    = "not there"
	older     = "Singularity 2"
)

func status(differs, absentWhy, legacy string) (string, string) {
	switch {
	case absentWhy != "":
		return absent, absentWhy
	case legacy != "":
		return older, differs
	case differs != "":
		return different, differs
	}
	return same, ""
}

// rows are what the program says of itself.
func rows() []row {
	p := &program{c: &Config{}, name: nameSingularity}
	var out []row
	flags := func(verb string, options []option) {
		for _, o := range options {
			name := "--" + o.long
			if o.short != "" {
				name = "-" + o.short + " " + name
			}
			st, why := status(o.differs, o.absent, "")
			out = append(out, row{verb, name, st, why})
		}
	}
	out = append(out, row{"", "", "", ""})
	flags("", p.globals())
	var walk func(prefix string, verbs []verb)
	walk = func(prefix string, verbs []verb) {
		for _, v := range verbs {
			full := strings.TrimSpace(prefix + " " + v.name)
			st, why := status(v.differs, "", v.legacy)
			out = append(out, row{full, "", st, why})
			if v.alias != "" {
				out = append(out, row{v.alias, "", same, "another name of " + code(full)})
			}
			flags(full, v.options)
			walk(full, v.below)
		}
	}
	walk("", p.verbs())
	for name, why := range absentVerbs {
		out = append(out, row{name, "", absent, why})
	}
	out = append(out, row{"help", "", same, ""})
	out = out[1:]
	sort.SliceStable(out, func(i, j int) bool { return out[i].verb < out[j].verb })
	return out
}

const head = `# What is as in Apptainer, and what is not

Called as ` + "`singularity`, `apptainer` or `run-singularity`" + ` (links to the one binary), Carrel understands their command lines. Compared with
Apptainer 1.4.5 and 1.5.3 (verbs and flags, those that its help hides too), SingularityCE (the same but for its OCI mode) and Singularity 2.2 of 2016 (` + "`create`, `bootstrap`" + `).

The table is held to the program by a test, in both directions. *Same* means the same for who uses it; *different* and *not there*
have their reason beside them. Every flag that is not there is known: using it says why, rather than "unknown flag".

` + "`--version`" + ` prints ` + "`apptainer version 1.4.5` or `singularity-ce version 3.11.4`" + `, because Snakemake, cwltool and others compare that with the version that
they need; ` + "`help` and `carrel version`" + ` tell Carrel's own.

## Environment variables
Each flag has its twins: ` + "`CARREL_BIND`, `APPTAINER_BIND`, `SINGULARITY_BIND`" + `; of several the first one counts, and a flag on the command line
before them. Binds and mounts of both add up. Variables of flags that are not there are told of. Only CARREL_HOME is none: it is the folder of Carrel's own files. ` + "`CARRELENV_X`, `APPTAINERENV_X`, `SINGULARITYENV_X`" + ` set X inside.

## Deliberate differences in what a container sees
- HOME that does not exist on this computer (/nonexistent) becomes an empty folder in memory at /home/USER.
- SHELL, XDG_RUNTIME_DIR and LD_PRELOAD are not passed on, and TMPDIR only where the folder is visible: programs trust them, and they name what is not there.
- USER and LOGNAME are always set. A user whose account is in a directory service is found by USER.
- /etc/hosts, /etc/resolv.conf, /etc/passwd and /etc/group are files of the container; a computer without /etc/hosts is no error.
- A working directory that cannot be shown is a remark, and the container starts in the home folder, not in /.
- no_new_privs is always on; set-user-ID programs give no rights. Root in a container keeps its capabilities unless --no-privs.
- Without --pid the container's processes are this computer's, as in Apptainer; ` + "`carrel run`" + ` always gives them their own numbers.
- Killing the program, in whatever way, ends what it serves; nothing is left mounted.
- The program of an OCI image starts in the caller's folder and as the caller, as in Apptainer. ` + "`--oci`" + ` starts it in its WORKDIR and as its USER, and so
  does ` + "`carrel run`" + `: an ordinary user is USER by name and number inside, and owns what is written to bound folders; root becomes USER indeed.
- A flag after the image belongs to the app, as in Apptainer.
- With instance://NAME, flags that say what a container is made of (mounts, limits, rights, namespaces) are refused, which Apptainer
  leaves out without a word: an instance keeps what it was started with. Their variables are left out.

## Verbs and flags
`

func render(rows []row) string {
	var b strings.Builder
	b.WriteString(head)
	b.WriteString("\n| verb | flag | | why |\n|---|---|---|---|\n")
	// What is the same of several verbs is one line.
	at := map[row]int{}
	var lines []row
	for _, r := range rows {
		k := row{"", r.flag, r.status, r.reason}
		if i, ok := at[k]; ok && r.flag != "" {
			lines[i].verb += ", " + r.verb
			continue
		}
		at[k] = len(lines)
		lines = append(lines, r)
	}
	for _, r := range lines {
		b.WriteString(r.String() + "\n")
	}
	return b.String()
}

var tableLine = regexp.MustCompile("^\\| (?:`([^`]*)`)? ?\\| (?:`([^`]*)`)? ?\\| ([^|]*) \\| (.*?) ?\\|$")

// documented reads the table of the document.
func documented(t *testing.T) []row {
	t.Helper()
	data, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	var out []row
	for line := range strings.Lines(string(data)) {
		m := tableLine.FindStringSubmatch(strings.TrimRight(line, "\n"))
		if m == nil || m[3] == "" || strings.HasPrefix(line, "|---") {
			continue
		}
		for _, verb := range strings.Split(m[1], ", ") {
			out = append(out, row{verb, m[2], m[3], m[4]})
		}
	}
	return out
}

func TestDocumentTellsWhatTheProgramDoes(t *testing.T) {
	if *update {
		if err := os.WriteFile(document, []byte(render(rows())), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	type key struct{ verb, flag string }
	program, doc := map[key]row{}, map[key]row{}
	for _, r := range rows() {
		if _, twice := program[key{r.verb, r.flag}]; twice {
			t.Errorf("%v: twice in the program's tables", r)
		}
		program[key{r.verb, r.flag}] = r
		if r.status != same && r.reason == "" {
			t.Errorf("%v: no reason", r)
		}
	}
	for _, r := range documented(t) {
		doc[key{r.verb, r.flag}] = r
	}
	for k, r := range program {
		if d, ok := doc[k]; !ok {
			t.Errorf("not in the document: %v", r)
		} else if d != r {
			t.Errorf("the document says\n%v\nthe program\n%v", d, r)
		}
	}
	for k, r := range doc {
		if _, ok := program[k]; !ok {
			t.Errorf("only in the document: %v", r)
		}
	}
}

// TestTableIsComplete compares the flags with those that a real Apptainer lists.
func TestTableIsComplete(t *testing.T) {
	command := apptainertest.Command(t)
	type key struct{ verb, flag string }
	known := map[key]bool{}
	verbs := map[string]bool{}
	for _, r := range rows() {
		verbs[r.verb] = true
		if r.flag != "" {
			fields := strings.Fields(r.flag)
			known[key{r.verb, fields[len(fields)-1]}] = true
		}
	}
	list := func(verb string) string {
		out, err := exec.Command(command, append([]string{"help"}, strings.Fields(verb)...)...).Output()
		if err != nil {
			t.Fatalf("apptainer help %s: %v", verb, err)
		}
		return string(out)
	}
	flags := regexp.MustCompile(`(?m)^ +(?:-\w, +)?(--[a-z-]+)`)
	below := regexp.MustCompile(`(?m)^  ([a-z-]+) {2,}`)
	var visit func(verb string)
	visit = func(verb string) {
		if _, gone := absentVerbs[verb]; gone || verb == "help" {
			return
		}
		if !verbs[verb] && verb != "" {
			t.Errorf("verb %q is not in the table", verb)
			return
		}
		text := list(verb)
		options, _, _ := strings.Cut(text, "\nExamples:")
		for _, m := range flags.FindAllStringSubmatch(options, -1) {
			if m[1] != "--help" && !known[key{verb, m[1]}] {
				t.Errorf("%s %s is not in the table", verb, m[1])
			}
		}
		if _, commands, ok := strings.Cut(options, "Available Commands:"); ok {
			for _, m := range below.FindAllStringSubmatch(commands, -1) {
				visit(strings.TrimSpace(verb + " " + m[1]))
			}
		}
	}
	visit("")
}

func TestAbsentFlagsSayWhy(t *testing.T) {
	for _, args := range [][]string{{"exec", "--nvccli", "x", "y"}, {"exec", "--pem-path", "f", "x", "y"}, {"build", "-e", "x", "y"}, {"sign", "x"}, {"key", "list"}, {"keys", "list"}, {"exec", "--device", "x", "x", "y"}, {"exec", "--oom-kill-disable", "x", "y"}} {
		status, _, errs := call(t, nil, args...)
		if status != exitUsage || !strings.Contains(errs, "is not there: ") {
			t.Errorf("%q: %d, %q", args, status, errs)
		}
	}
}

func TestUnknown(t *testing.T) {
	for _, args := range [][]string{{"exec", "--frobnicate", "x", "y"}, {"frobnicate"}, {"exec", "x"}, {"instance", "frobnicate"}, {"version", "x"}} {
		status, _, errs := call(t, nil, args...)
		if status != exitUsage || !strings.HasPrefix(errs, "Error: ") || strings.Count(errs, "\n") != 2 {
			t.Errorf("%q: %d, %q", args, status, errs)
		}
	}
}

func TestHelpOfEveryVerb(t *testing.T) {
	for _, r := range rows() {
		if r.flag != "" || r.status == absent || r.verb == "help" || r.verb == "" {
			continue
		}
		status, out, errs := call(t, nil, append([]string{"help"}, strings.Fields(r.verb)...)...)
		if status != 0 || errs != "" || !strings.Contains(out, "Usage:") || strings.Contains(out, "not there") {
			t.Errorf("%s: %d %q %q", r.verb, status, out, errs)
		}
	}
}
