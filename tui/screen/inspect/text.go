package inspect

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"carrel/engine"
	"carrel/tui/screen"
	"carrel/tui/task"
	"carrel/tui/theme"
	"carrel/tui/widget"
)

func (s *Screen) definition(w int) []string {
	t := s.d.Theme
	if s.def == "" {
		why := "This image holds no definition. It was made by another program, or from a registry."
		if s.defErr != nil {
			why += " (" + widget.Clean(s.defErr.Error()) + ")"
		}
		var out []string
		for _, l := range widget.Wrap(why, min(w, 80)) {
			out = append(out, t.Muted.Render(l))
		}
		return out
	}
	return screen.ColorDefinition(t, s.def)
}

// said are labels the overview shows under words of their own.
var said = []string{"org.opencontainers.image.", "carrel."}

func (s *Screen) overview(w int) []string {
	t, c := s.d.Theme, s.card
	if w <= 0 {
		return nil
	}
	w = min(w, 96)
	out := []string{t.Strong.Render(s.Title())}
	for _, l := range widget.Wrap(widget.Clean(c.Description), w) {
		out = append(out, t.Muted.Render(l))
	}
	group := func(title string, pairs ...[2]string) {
		if f := widget.Facts(t, max(1, w-2), pairs...); len(f) > 0 {
			out = append(out, "", t.Title.Render(title))
			out = append(out, widget.Indent(f, 2)...)
		}
	}
	var ports, binds, args [][2]string
	for _, p := range c.Ports {
		ports = append(ports, [2]string{"port " + strconv.Itoa(p.Container), orDash(widget.Clean(p.Text), p.Proto)})
	}
	for _, b := range c.Binds {
		mode := "read and change"
		if b.Mode == task.BindReadOnly {
			mode = "only read"
		}
		if b.Required {
			mode += ", required"
		}
		binds = append(binds, [2]string{widget.Clean(b.Dest), orDash(widget.Clean(b.Text), "a folder") + " (" + mode + ")"})
	}
	for _, a := range c.Args {
		args = append(args, [2]string{widget.Clean(a.Name), orDash(widget.Clean(a.Text), "") + choices(a)})
	}
	for _, v := range c.Env {
		args = append(args, [2]string{widget.Clean(v.Name), orDash(widget.Clean(v.Text), "a variable")})
	}
	group("What it serves", ports...)
	group("Folders it works in", binds...)
	group("What it can be told", args...)
	state := ""
	if s.target.Kind == engine.TargetCatalog {
		state = "not built here yet"
		if s.target.Built {
			state = "built here"
		}
	}
	size, made := "", ""
	if s.in.Path != "" {
		size, made = widget.Bytes(s.in.Size), widget.Ago(s.in.ModTime, s.now)
	}
	group("The image",
		[2]string{"file", widget.Clean(widget.Tilde(s.target.Path, s.d.Home))},
		[2]string{"state", state},
		[2]string{"size", size}, [2]string{"made", made}, [2]string{"made from", madeFrom(s.def)},
		[2]string{"kind", s.in.Kind}, [2]string{"processor", widget.Clean(s.in.Arch)}, [2]string{"problem", widget.Clean(s.in.Problem)},
	)
	group("Who made it",
		[2]string{"authors", widget.Clean(c.Authors)}, [2]string{"cite", widget.Clean(c.Cite)}, [2]string{"version", widget.Clean(c.Version)},
		[2]string{"licence", widget.Clean(c.Licenses)}, [2]string{"page", widget.Clean(c.URL)}, [2]string{"source", widget.Clean(c.Source)},
		[2]string{"manual", widget.Clean(c.Documentation)}, [2]string{"keywords", widget.Clean(strings.Join(c.Keywords, ", "))},
	)
	var labels [][2]string
	for _, k := range slices.Sorted(maps.Keys(s.in.Labels)) {
		if !slices.ContainsFunc(said, func(p string) bool { return strings.HasPrefix(k, p) }) {
			labels = append(labels, [2]string{widget.Clean(k), widget.Clean(s.in.Labels[k])})
		}
	}
	group("Other labels", labels...)
	if c.Example != "" {
		out = append(out, "", t.Title.Render("Example"), "  "+t.Command.Render(widget.Clean(c.Example)))
	}
	return out
}

// madeFrom is what the definition begins with: "debootstrap, bookworm".
func madeFrom(def string) string {
	var boot, from string
	for l := range strings.Lines(def) {
		l = strings.TrimSpace(l)
		if strings.HasPrefix(l, "%") {
			break
		}
		k, v, _ := strings.Cut(l, ":")
		switch strings.ToLower(strings.TrimSpace(k)) {
		case "bootstrap":
			boot = strings.TrimSpace(v)
		case "from", "osversion":
			from = strings.TrimSpace(v)
		}
	}
	if from != "" && boot != "" {
		from = ", " + from
	}
	return widget.Clean(boot + from)
}

func choices(a task.CardArg) string {
	if len(a.Choices) == 0 {
		return ""
	}
	return " (" + widget.Clean(strings.Join(a.Choices, ", ")) + ")"
}

func orDash(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// runs is what starting the image carries out, and in which environment.
func (s *Screen) runs(w int) []string {
	t := s.d.Theme
	if w <= 0 {
		return nil
	}
	var out []string
	part := func(title, note, text string) {
		text = strings.TrimRight(text, "\n ")
		if strings.TrimSpace(text) == "" {
			return
		}
		if len(out) > 0 {
			out = append(out, "")
		}
		out = append(out, t.Title.Render(title)+"  "+t.Muted.Render(note))
		language := "shell"
		if note == "%help" {
			language = ""
		}
		for _, r := range lines(text, language) {
			r.num = 0
			out = append(out, "  "+t.Faint.Render(theme.Wall)+" "+r.draw(t, 0))
		}
	}
	part("When it is started", "%runscript", s.in.Runscript)
	part("When it is started in the background", "%startscript", s.in.Startscript)
	if s.in.Runscript == "" {
		out = append(out, t.Muted.Render("It has no script of its own: starting it opens a shell."))
	}
	part("How it tests itself", "%test", s.in.Test)
	part("What it says of itself", "%help", s.in.Help)
	for _, k := range slices.Sorted(maps.Keys(s.in.Environment)) {
		part("Environment", widget.Clean(k), s.in.Environment[k])
	}
	if len(s.in.Apps) > 0 {
		out = append(out, "", t.Title.Render("Apps inside")+"  "+t.Muted.Render("SCIF"))
		for _, a := range s.in.Apps {
			out = append(out, "  "+widget.Clean(a))
		}
	}
	return out
}
