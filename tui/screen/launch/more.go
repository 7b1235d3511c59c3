package launch

import (
	"path/filepath"
	"strconv"
	"strings"

	tea "charm.land/bubbletea/v2"

	"carrel/engine"
	"carrel/internal/amount"
	"carrel/tui/screen"
	"carrel/tui/task"
	"carrel/tui/widget"
)

// limits are the fields of what is asked for seldom: variables, graphics processors, limits, and who may open the address.
func (s *Screen) limits() []*widget.Field {
	out := []*widget.Field{
		{ID: idVars, Kind: widget.TextKind, Label: "Variables", Hint: "none", Help: "NAME=value, several with spaces; values with spaces in quotes."},
		{ID: idGPU, Kind: widget.RadioKind, Label: "Graphics processor", Help: "Shows it, and its driver, to the app.", Options: []widget.Option{
			{Value: "", Label: "none"}, {Value: "nvidia", Label: "NVIDIA"}, {Value: "amd", Label: "AMD"},
		}},
		{ID: idMemory, Kind: widget.TextKind, Label: "Memory, at most", Hint: "no limit", Help: "Such as 4G. An app that wants more is ended, instead of slowing this computer down."},
		{ID: idCPUs, Kind: widget.TextKind, Label: "Processors, at most", Hint: "all", Help: "Such as 2, or 1.5."},
		{ID: idTime, Kind: widget.TextKind, Label: "Ends after", Hint: "never", Help: "Such as 2h, 90m or 1d."},
	}
	if (s.others || s.guarded) && len(s.card.Ports) > 0 {
		f := &widget.Field{ID: idGuard, Kind: widget.RadioKind, Label: "Who may open it", Options: []widget.Option{
			{Value: "on", Label: "me alone, by a link"}, {Value: "off", Label: "all who use this computer"},
		}}
		f.Help = "Other people use this computer too: without a guard any of them can open the address."
		if !s.guarded {
			f.Choice = 1
		}
		out = append(out, f)
	}
	for _, f := range out {
		f.More = f.ID != idGuard
	}
	return out
}

// limit puts a field of limits into what is asked for.
func (s *Screen) limit(spec *engine.RunSpec, f *widget.Field, v string) {
	switch f.ID {
	case idVars:
		for _, w := range words(v) {
			if name, value, ok := strings.Cut(w, "="); ok && name != "" {
				if spec.Env == nil {
					spec.Env = map[string]string{}
				}
				spec.Env[name] = value
			}
		}
	case idGPU:
		spec.Details.Nvidia, spec.Details.AMD = v == "nvidia", v == "amd"
	case idMemory:
		if n, err := amount.Bytes(v); err == nil && n >= leastMemory {
			spec.Details.Limits.Memory = n
		}
	case idCPUs:
		if n, err := strconv.ParseFloat(v, 64); err == nil && n >= 0.01 && n < 1e5 {
			spec.Details.Limits.CPUs = n
		}
	case idTime:
		if d, err := amount.Span(v); err == nil && d > 0 {
			spec.TimeLimit = d
		}
	case idGuard:
		if on := v == "on"; on != s.guarded {
			spec.Guard = map[bool]engine.GuardMode{true: engine.GuardOn, false: engine.GuardOff}[on]
		}
	}
}

// leastMemory is the smallest limit that means something, in bytes.
const leastMemory = 1 << 20

// wrong is what is wrong with a value; empty when it can be used.
func (s *Screen) wrong(f *widget.Field) string {
	v := f.Value()
	if v == "" {
		return ""
	}
	if strings.HasPrefix(f.ID, idPort) {
		if n, err := strconv.Atoi(v); err != nil || n < 0 || n > 65535 {
			return "A port is a number up to 65535."
		}
	}
	switch f.ID {
	case idBinds:
		_, err := s.binds(v)
		return said(err)
	case idPublish:
		_, err := publish(v)
		return said(err)
	case idMemory:
		if n, err := amount.Bytes(v); err != nil || n < leastMemory {
			return "Write an amount with M or G, such as 512M or 4G."
		}
	case idCPUs:
		if n, err := strconv.ParseFloat(v, 64); err != nil || !(n >= 0.01 && n < 1e5) {
			return "Write a number such as 2 or 1.5."
		}
	case idTime:
		if d, err := amount.Span(v); err != nil || d <= 0 {
			return "Write a length of time such as 90m, 2h or 1d."
		}
	case idVars:
		for _, w := range words(v) {
			if name, _, ok := strings.Cut(w, "="); !ok || name == "" || strings.ContainsAny(name, " /$") {
				return "“" + widget.Clean(w) + "” is not of the form NAME=value."
			}
		}
	}
	return ""
}

// said is what an error says, and how to do better.
func said(err error) string {
	if err == nil {
		return ""
	}
	return strings.TrimSpace(widget.Sentence(err.Error()) + " " + widget.Sentence(engine.Hint(err)))
}

// visible says what of the person's files the app can see.
func (s *Screen) visible(spec engine.RunSpec) string {
	home := strings.TrimSuffix(s.d.Home, "/")
	for _, b := range spec.Binds {
		src := strings.TrimSuffix(filepath.Clean(b.Source), "/")
		if home != "" && (src == home || strings.HasPrefix(home, src+"/")) {
			what := "your whole home folder"
			if src != home {
				what = "all of " + widget.Clean(filepath.Clean(b.Source)) + ", your home folder with it"
			}
			return "It sees " + what + ": keys and passwords that lie there, too."
		}
	}
	writes := 0
	for _, b := range spec.Binds {
		if !b.ReadOnly {
			writes++
		}
	}
	can := ""
	if writes == 0 {
		can = " It can change nothing there."
	}
	switch n := len(spec.Binds); n {
	case 0:
		return "It sees none of your files."
	case 1:
		return "Of your files it sees this folder, and nothing else." + can
	default:
		return "Of your files it sees these " + itoa(n) + " folders, and nothing else." + can
	}
}

type bindsMsg struct {
	id      task.ID
	text    string
	remarks []widget.Remark
}

// bindsNow checks whether the other folders are there, and what of the image they hide.
func (s *Screen) bindsNow(text string) tea.Cmd {
	id, eng, life, name, built := s.id, s.d.Engine, s.d.Life, s.name, s.target.Built
	list, err := s.binds(text)
	if err != nil {
		return screen.Ask(bindsMsg{id, text, []widget.Remark{{Tone: widget.Error, Text: said(err)}}})
	}
	return task.Call(func() (out []widget.Remark, _ error) {
		for _, b := range list {
			if st := eng.Folder(b.Source); !st.Exists {
				out = append(out, widget.Remark{Tone: widget.Warning, Text: "There is no " + widget.Clean(b.Source) + "."})
			}
			if !built {
				continue
			}
			if files := under(life, eng, name, b.Dest); len(files) > 0 {
				out = append(out, widget.Remark{Text: "At " + widget.Clean(b.Dest) + " it takes the place of what the image holds there: " + hidden(files) + "."})
			}
		}
		return out, nil
	}, func(out []widget.Remark, err error) tea.Msg {
		if err != nil {
			out = []widget.Remark{{Tone: widget.Error, Text: widget.Sentence(err.Error())}}
		}
		return bindsMsg{id, text, out}
	})
}

// escape writes a name as -B reads it.
var escape = strings.NewReplacer(`\`, `\\`, ":", `\:`, ",", `\,`)

// addFolder lets the person walk to a further folder.
func (s *Screen) addFolder(f *widget.Field) tea.Cmd {
	return screen.Ask(screen.PickFolder{Title: "Another folder for the app", From: s.d.Home, Answer: func(path string) tea.Cmd {
		one := escape.Replace(widget.Tilde(path, s.d.Home)) + ":/" + escape.Replace(filepath.Base(path))
		if v := f.Value(); v != "" {
			one = v + ", " + one
		}
		f.Text.Set(one)
		return s.changed(f)
	}})
}
