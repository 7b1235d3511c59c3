package launch

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	tea "charm.land/bubbletea/v2"

	"carrel/engine"
	"carrel/internal/pattern"
	"carrel/tui/screen"
	"carrel/tui/task"
	"carrel/tui/widget"
)

func itoa(n int) string { return strconv.Itoa(n) }

// IDs of fields; those of folders, ports, arguments and variables end in what they stand for, so that remembered answers
// find them again.
const (
	idFolder  = "folder:"
	idMode    = "mode:"
	idPort    = "port:"
	idArg     = "arg:"
	idEnv     = "env:"
	idKeep    = "keep"
	idMore    = "args"
	idBinds   = "binds"
	idPublish = "publish"
	idName    = "name"
	idNet     = "offline"
	idVars    = "vars"
	idGPU     = "gpu"
	idMemory  = "memory"
	idCPUs    = "cpus"
	idTime    = "time"
	idGuard   = "guard"
	idPreset  = "preset"
)

// fill makes the fields from the card, answers them from memory or with good defaults, and begins to check them.
func (s *Screen) fill(memory map[string]string) tea.Cmd {
	c := &s.card
	s.form = widget.Form{Folded: true, Fold: "More: other folders, arguments, environment, limits, graphics, network, name"}
	add := func(f *widget.Field) { s.form.Fields = append(s.form.Fields, f) }
	if f := s.presetField(); f != nil {
		add(f)
	}
	for i, b := range c.Binds {
		more := i > 0 && !b.Required
		label := widget.Clean(b.Text)
		if label == "" {
			label = "Which folder do you want to work in?"
		}
		f := &widget.Field{ID: idFolder + b.Dest, Kind: widget.FolderKind, Label: label, More: more}
		if b.Required {
			f.Tag = "required"
			f.Hint = "~/" + s.folderName(i)
		}
		add(f)
		if b.Mode != task.BindReadOnly {
			add(&widget.Field{ID: idMode + b.Dest, Kind: widget.RadioKind, Label: "Changes in that folder", More: more, Options: []widget.Option{
				{Value: "rw", Label: "read and change"}, {Value: "ro", Label: "only read"},
			}})
		}
	}
	for _, a := range c.Args {
		add(argField(a, c.Choices))
	}
	for i, p := range c.Ports {
		label, lead := "Address in your browser", "http://127.0.0.1:"
		switch p.Proto {
		case task.ProtoTCP:
			label, lead = "Port on this computer", "127.0.0.1:"
		case task.ProtoHTTPS:
			lead = "https://127.0.0.1:"
		}
		if len(c.Ports) > 1 && p.Text != "" {
			label = widget.Clean(p.Text)
		}
		f := &widget.Field{ID: idPort + itoa(p.Container), Kind: widget.NumberKind, Label: label, Lead: lead, More: i > 1}
		f.Help = fmt.Sprintf("Only this computer can reach it. Inside, the app uses %d.", p.Container)
		f.SetValue(itoa(p.Container))
		add(f)
	}
	if s.d.Writable {
		f := &widget.Field{ID: idKeep, Kind: widget.RadioKind, Label: "Changes inside the container", Options: []widget.Option{
			{Value: "no", Label: "start fresh each time"}, {Value: "yes", Label: "keep them"},
		}}
		f.Help = "Whatever is in your folders is kept in any case."
		switch c.Writable {
		case task.WritableKeep:
			f.Choice = 1
		case task.WritableAsk: // the app's maker wants it to be seen; what loses nothing is proposed
			f.Choice = 1
			f.Remarks = []widget.Remark{{Text: "What you install or change inside stays for the next time, in your copy of the image. Start fresh to throw it away instead."}}
		}
		add(f)
	}
	for _, v := range c.Env {
		f := &widget.Field{ID: idEnv + v.Name, Kind: widget.TextKind, Label: widget.Clean(v.Name), Help: widget.Clean(v.Text), Hint: widget.Clean(v.Default), More: true}
		add(f)
	}
	add(&widget.Field{ID: idBinds, Kind: widget.TextKind, Label: "Other folders", Hint: "~/data:/data, ~/more:/more:ro", Help: "Each as folder:place inside, with :ro for only read; several with commas. A comma or colon of a name has a \\ before it.", More: true})
	if len(c.Ports) == 0 {
		add(&widget.Field{ID: idPublish, Kind: widget.TextKind, Label: "Port", Hint: "8888", Help: "If the app serves a page that Carrel does not find by itself: its port, or HERE:PORT.", More: true})
	}
	add(&widget.Field{ID: idMore, Kind: widget.TextKind, Label: "Arguments", Hint: "none", Help: "What would stand behind the name on a command line.", More: true})
	for _, f := range s.limits() {
		add(f)
	}
	add(&widget.Field{ID: idNet, Kind: widget.CheckKind, Label: "Without the internet", Help: "The app can serve its page, but reach nothing outside.", More: true})
	add(&widget.Field{ID: idName, Kind: widget.TextKind, Label: "Name while it runs", Hint: widget.Clean(s.target.Name), Help: "To tell two of the same app apart.", More: true})

	for _, f := range s.form.Fields {
		if v, ok := memory[f.ID]; ok && f.ID != idPreset {
			f.SetValue(v)
		} else if f.Kind == widget.FolderKind && f.Tag != "" {
			f.SetValue(f.Hint)
		}
		if v, ok := s.give[f.ID]; ok {
			f.SetValue(v)
		}
	}
	var cmds []tea.Cmd
	for _, f := range s.form.Fields {
		switch {
		case f.Kind == widget.FolderKind:
			cmds = append(cmds, s.lookUnder(s.bind(f).Dest))
			s.remark(f)
			cmds = append(cmds, s.d.FolderNow(screen.FolderDue{Form: s.id, Field: f.ID, Text: f.Text.Value()}))
		case f.ID == idBinds && f.Value() != "":
			cmds = append(cmds, s.bindsNow(f.Value()))
		case f.Kind == widget.NumberKind:
			cmds = append(cmds, s.portNow(portDue{s.id, f.ID, f.Value()}))
		}
	}
	s.compose()
	s.Resize(s.w, s.h)
	return tea.Batch(cmds...)
}

// folderName is the name of the new folder that is offered where none is known.
func (s *Screen) folderName(i int) string {
	name := "carrel-" + strings.Trim(strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-', r == '_':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '-'
	}, strings.TrimSuffix(s.target.Name, filepath.Ext(s.target.Name))), "-")
	if i > 0 {
		name += "-" + itoa(i+1)
	}
	return name
}

// definitionName is what a definition file is called for a person: the folder's name, when the file is named as all are.
func definitionName(path string) string {
	base := filepath.Base(path)
	if st := strings.TrimPrefix(base, "Singularity"); base != st {
		base = filepath.Base(filepath.Dir(path)) + strings.ReplaceAll(st, ".", "-")
	}
	return strings.TrimSuffix(base, ".def")
}

// short is the length up to which choices are shown beside each other.
const short = 36

// without is how the text of an argument says what happens when it is left out.
var without = pattern.New(`\s*\(none: ([^)]+)\)`)

func argField(a task.CardArg, about map[string]string) *widget.Field {
	label := widget.Clean(a.Text)
	if label == "" {
		label = widget.Clean(a.Name)
	}
	f := &widget.Field{ID: idArg + itoa(a.N), Kind: widget.TextKind, Label: label}
	n := 0
	if m := without.FindStringSubmatch(label); m != nil && len(a.Choices) > 0 {
		f.Label = strings.TrimSpace(strings.Replace(label, m[0], "", 1))
		f.Options = append(f.Options, widget.Option{Label: m[1]})
		n = widget.Width(m[1]) + 5
	}
	for _, c := range a.Choices {
		help := widget.Clean(about[c])
		c = widget.Clean(c)
		f.Options = append(f.Options, widget.Option{Value: c, Label: c, Help: help})
		n += widget.Width(c) + 5
	}
	if len(a.Choices) > 0 {
		f.Kind = widget.ChoiceKind
		if n <= short {
			f.Kind = widget.RadioKind
		}
	}
	return f
}

// bind is the label of a folder field's place inside.
func (s *Screen) bind(f *widget.Field) task.CardBind {
	dest := strings.TrimPrefix(f.ID, idFolder)
	for _, b := range s.card.Binds {
		if b.Dest == dest {
			return b
		}
	}
	return task.CardBind{Dest: dest}
}

func (s *Screen) readOnly(b task.CardBind) bool {
	return b.Mode == task.BindReadOnly || s.form.Value(idMode+b.Dest) == "ro"
}

// lookUnder finds what the image has at the place of a folder: the folder hides it.
func (s *Screen) lookUnder(dest string) tea.Cmd {
	if !s.target.Built {
		return nil
	}
	id, eng, life, name := s.id, s.d.Engine, s.d.Life, s.name
	return task.Call(func() ([]engine.ImageFile, error) { return under(life, eng, name, dest), nil }, func(list []engine.ImageFile, _ error) tea.Msg {
		return hidesMsg{id, dest, list}
	})
}

// under is what an image holds in a folder; nothing when it is none, or is not there.
func under(ctx context.Context, eng task.Engine, name, dest string) []engine.ImageFile {
	list, err := eng.Files(ctx, name, dest)
	if err != nil || len(list) == 1 && list[0].Type != "dir" && list[0].Name == filepath.Base(dest) {
		return nil
	}
	return list
}

// hidden names what is in a folder of the image: "example.ipynb, data and 2 more".
func hidden(list []engine.ImageFile) string {
	var names []string
	for _, f := range list {
		if len(names) < 2 {
			names = append(names, widget.CutMiddle(widget.Clean(f.Name), 28))
		}
	}
	if more := len(list) - len(names); more > 0 {
		return strings.Join(names, ", ") + " and " + itoa(more) + " more"
	}
	return strings.Join(names, " and ")
}

// remark says what a folder means, and what it hides.
func (s *Screen) remark(f *widget.Field) {
	if n := len(f.Remarks); n > 0 && strings.HasPrefix(f.Remarks[n-1].Text, takesPlace) {
		f.Remarks = f.Remarks[:n-1]
	}
	s.meaning(f)
	if what := s.hides[s.bind(f).Dest]; what != "" && f.Value() != "" {
		f.Remarks = append(f.Remarks[:len(f.Remarks):len(f.Remarks)], widget.Remark{
			Text: takesPlace + what + ".",
		})
	}
}

const takesPlace = "It takes the place of what the image holds there: "

func (s *Screen) meaning(f *widget.Field) {
	b := s.bind(f)
	st, checked := s.folders[f.ID]
	switch {
	case f.Value() == "" && f.Tag != "":
		f.Remarks = []widget.Remark{{Text: "The app needs a folder to work in."}}
	case f.Value() == "":
		f.Remarks = []widget.Remark{{Text: "Empty: the app starts without a folder of yours."}}
	case checked && f.Ghost != "" && screen.MissingFolder(st): // on the way to one
		f.Remarks = []widget.Remark{{Text: "Tab completes the name."}}
	case checked:
		f.Remarks = screen.FolderRemarks(st, b.Dest, s.readOnly(b))
		if screen.MissingFolder(st) && f.Value() == f.Hint { // our own proposal is no fault of theirs
			f.Remarks = []widget.Remark{{Text: "A new folder, created when you start. The app sees it as " + widget.Clean(b.Dest) + "."}}
		}
	case len(f.Remarks) == 0:
		f.Remarks = []widget.Remark{{Text: "The app sees it as " + widget.Clean(b.Dest) + "."}}
	}
}

func (s *Screen) portNow(due portDue) tea.Cmd {
	f := s.form.Field(due.field)
	if f == nil || f.Value() == "" {
		return nil
	}
	if why := s.wrong(f); why != "" {
		f.Remarks = []widget.Remark{{Tone: widget.Error, Text: why}}
		return nil
	}
	n, err := strconv.Atoi(f.Value())
	if err != nil || n == 0 {
		return nil
	}
	eng := s.d.Engine
	return task.Call(func() (engine.PortState, error) { return eng.Port(n), nil }, func(p engine.PortState, err error) tea.Msg {
		if err != nil {
			return nil
		}
		return portMsg{due.id, due.field, due.text, p}
	})
}

func (s *Screen) portAnswer(m portMsg) {
	f := s.form.Field(m.field)
	if f == nil || f.Value() != m.text {
		return
	}
	s.ports[f.ID] = m.state
	switch {
	case m.state.Free:
		f.Remarks = []widget.Remark{{Tone: widget.Good, Text: "free"}}
	case m.state.NextOne > 0:
		who := brief(widget.Clean(m.state.Holder))
		if who == "" {
			who = "another program"
		}
		f.Remarks = []widget.Remark{{Tone: widget.Warning, Text: fmt.Sprintf("taken by %s, so %d is used", who, m.state.NextOne)}}
	default:
		f.Remarks = []widget.Remark{{Tone: widget.Error, Text: "taken by " + widget.Clean(m.state.Holder)}}
	}
	s.compose()
}

// brief is who holds a port in few words: "python3 (process 20841)" of a whole command line.
func brief(holder string) string {
	cmd, pid, ok := strings.Cut(holder, " (process ")
	if !ok {
		return holder
	}
	name, _, _ := strings.Cut(cmd, " ")
	return name[strings.LastIndexByte(name, '/')+1:] + " (process " + pid
}

// answers are what is remembered.
func (s *Screen) answers() map[string]string {
	out := map[string]string{}
	for _, f := range s.form.Fields {
		if f.ID != idPreset {
			out[f.ID] = f.Value()
		}
	}
	return out
}

// compose keeps the equivalent command up to date, and what the app will see.
func (s *Screen) compose() {
	spec := s.spec()
	s.command = s.d.Engine.CommandLine(spec)
	s.sees = s.visible(spec)
}

// spec is what the form asks the engine to start.
func (s *Screen) spec() engine.RunSpec {
	spec := engine.RunSpec{Image: s.name, Profile: engine.ProfileSafe}
	if s.target.Kind == engine.TargetCatalog {
		spec.Image = s.target.Name
	}
	var args []string
	for _, f := range s.form.Fields {
		v := f.Value()
		switch {
		case strings.HasPrefix(f.ID, idFolder) && v != "":
			b := s.bind(f)
			spec.Binds = append(spec.Binds, engine.Bind{Source: s.path(v), Dest: b.Dest, ReadOnly: s.readOnly(b)})
		case strings.HasPrefix(f.ID, idPort):
			inside, _ := strconv.Atoi(strings.TrimPrefix(f.ID, idPort))
			host, err := strconv.Atoi(v)
			if err != nil {
				host = 0
			}
			if st, ok := s.ports[f.ID]; ok && !st.Free && st.NextOne > 0 && st.Port == host {
				host = st.NextOne
			}
			spec.Ports = append(spec.Ports, engine.Port{Host: host, Container: inside})
		case strings.HasPrefix(f.ID, idArg) && v != "":
			args = append(args, v)
		case strings.HasPrefix(f.ID, idEnv) && v != "":
			if spec.Env == nil {
				spec.Env = map[string]string{}
			}
			spec.Env[strings.TrimPrefix(f.ID, idEnv)] = v
		case f.ID == idKeep:
			spec.Writable = v == "yes"
		case f.ID == idBinds:
			if more, err := s.binds(v); err == nil {
				spec.Binds = append(spec.Binds, more...)
			}
		case f.ID == idPublish:
			if ports, err := publish(v); err == nil {
				spec.Ports = append(spec.Ports, ports...)
			}
		case f.ID == idMore:
			args = append(args, words(v)...)
		case f.ID == idNet:
			spec.NoNetwork = f.On
		case f.ID == idName:
			spec.Name = v
		default:
			s.limit(&spec, f, v)
		}
	}
	spec.Args = args
	return spec
}

// path makes a typed path absolute.
func (s *Screen) path(v string) string {
	p := task.Expand(v, s.d.Home)
	if abs, err := filepath.Abs(p); err == nil {
		return abs
	}
	return p
}

// binds reads "folder:place[:ro], …" as -B does; spaces around the commas do not count.
func (s *Screen) binds(v string) ([]engine.Bind, error) {
	parts := engine.SplitEscaped(v, ',')
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
	}
	return engine.ParseBinds([]string{strings.Join(parts, ",")}, s.path)
}

// publish reads ports as -p does, several with commas or spaces between.
func publish(v string) ([]engine.Port, error) {
	return engine.ParsePorts(strings.FieldsFunc(v, func(r rune) bool { return r == ',' || r == ' ' }))
}

// words splits a line into words as a shell does with quotes and backslashes.
func words(line string) []string {
	var out []string
	var b strings.Builder
	var quote rune
	in, esc := false, false
	for _, r := range line {
		switch {
		case esc:
			b.WriteRune(r)
			esc = false
		case r == '\\' && quote != '\'':
			esc, in = true, true
		case quote != 0:
			if r == quote {
				quote = 0
			} else {
				b.WriteRune(r)
			}
		case r == '\'' || r == '"':
			quote, in = r, true
		case r == ' ' || r == '\t':
			if in {
				out = append(out, b.String())
				b.Reset()
				in = false
			}
		default:
			b.WriteRune(r)
			in = true
		}
	}
	if in {
		out = append(out, b.String())
	}
	return out
}
