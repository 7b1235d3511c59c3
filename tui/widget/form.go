package widget

import (
	"strings"

	tea "charm.land/bubbletea/v2"

	"carrel/tui/theme"
)

// Tone says what a remark beside a field means.
type Tone int

// The tones: each has a sign of its own, so that colour is never needed to tell them apart.
const (
	Plain Tone = iota
	Good
	Warning
	Error
	Busy
)

// Remark is what a form says about what was typed.
type Remark struct {
	Tone Tone
	Text string
}

// Render draws a remark, cut to w cells.
func (r Remark) Render(t *theme.Theme, w int) string {
	if r.Text == "" {
		return ""
	}
	switch r.Tone {
	case Good:
		return Cut(t.OK.Render(theme.Check)+" "+t.Muted.Render(r.Text), w)
	case Warning:
		return Cut(t.Warn.Bold(true).Render(theme.Note)+" "+r.Text, w)
	case Error:
		return Cut(t.Bad.Render(theme.Cross+" "+r.Text), w)
	}
	return Cut(t.Muted.Render(r.Text), w)
}

// Kind says how a field is filled in.
type Kind int

// The kinds of fields.
const (
	TextKind   Kind = iota // a line of text
	FolderKind             // a folder, in a box of its own, with completion
	NumberKind             // digits only; up and down count
	RadioKind              // one of a few, all visible
	ChoiceKind             // one of many, one visible
	CheckKind              // yes or no
)

// Option is one answer of a radio or choice field.
type Option struct {
	Value string
	Label string
	Help  string
}

// Field is one question of a form.
type Field struct {
	ID    string
	Kind  Kind
	Label string
	Tag   string // at the right: "required"
	Help  string // one sentence for them
	Hint  string // what goes into an empty field
	Lead  string // before the text, not editable: "http://127.0.0.1:"
	More  bool   // belongs to the part that is folded at first

	Text    Text
	Options []Option
	Choice  int  // index into Options
	On      bool // CheckKind

	Ghost    string // completion of what was typed
	Remarks  []Remark
	Disabled string // why it cannot be changed; empty: it can
}

// Value is the answer as text.
func (f *Field) Value() string {
	switch f.Kind {
	case RadioKind, ChoiceKind:
		if f.Choice >= 0 && f.Choice < len(f.Options) {
			return f.Options[f.Choice].Value
		}
		return ""
	case CheckKind:
		if f.On {
			return "yes"
		}
		return "no"
	}
	return strings.TrimSpace(f.Text.Value())
}

// SetValue answers the question; an option that does not exist changes nothing.
func (f *Field) SetValue(v string) {
	switch f.Kind {
	case RadioKind, ChoiceKind:
		for i, o := range f.Options {
			if o.Value == v {
				f.Choice = i
			}
		}
	case CheckKind:
		f.On = v == "yes"
	default:
		f.Text.Set(v)
	}
}

// Typed tells whether letters belong to the field.
func (f *Field) Typed() bool {
	return f.Disabled == "" && (f.Kind == TextKind || f.Kind == FolderKind || f.Kind == NumberKind)
}

// Update takes a key or pasted text; used tells whether it was for this field, changed whether the answer is another.
func (f *Field) Update(msg tea.Msg) (used, changed bool) {
	if f.Disabled != "" {
		return false, false
	}
	was := f.Value()
	k, isKey := msg.(tea.KeyPressMsg)
	switch f.Kind {
	case RadioKind, ChoiceKind:
		if !isKey {
			return false, false
		}
		switch k.String() {
		case "left", "h":
			f.Choice = max(0, f.Choice-1)
		case "right", "l":
			f.Choice = min(len(f.Options)-1, f.Choice+1)
		case "space":
			if len(f.Options) > 0 {
				f.Choice = (f.Choice + 1) % len(f.Options)
			}
		default:
			return false, false
		}
		return true, f.Value() != was
	case CheckKind:
		if !isKey {
			return false, false
		}
		switch k.String() {
		case "space", "left", "right", "h", "l", "x":
			f.On = !f.On
			return true, true
		}
		return false, false
	case NumberKind:
		if isKey && k.Text != "" && strings.Trim(k.Text, "0123456789") != "" {
			return false, false
		}
	}
	if !isKey || k.Text != "" || editing[k.String()] {
		f.Text.Update(msg)
		return true, f.Value() != was
	}
	return false, false
}

// editing are the keys a text field takes besides characters.
var editing = map[string]bool{
	"left": true, "right": true, "home": true, "end": true, "backspace": true, "delete": true,
	"ctrl+a": true, "ctrl+e": true, "ctrl+u": true, "ctrl+k": true, "ctrl+w": true, "ctrl+h": true, "ctrl+d": true,
	"ctrl+b": true, "ctrl+f": true, "alt+left": true, "alt+right": true, "alt+b": true, "alt+f": true, "alt+backspace": true,
	"ctrl+left": true, "ctrl+right": true,
}

// Form is a column of fields, one of which has the focus.
type Form struct {
	Fields []*Field
	Folded bool   // hide the fields marked More
	Fold   string // what the line says that unfolds them
	focus  int    // index into shown(); the fold line is one of its places
}

// FoldID is the ID the focus is on when it is on the line that folds and unfolds.
const FoldID = "\x00fold"

type place struct {
	field *Field // nil: the fold line
}

func (f *Form) shown() []place {
	var basic, more []place
	for _, fd := range f.Fields {
		if fd.More {
			more = append(more, place{fd})
		} else {
			basic = append(basic, place{fd})
		}
	}
	if len(more) > 0 {
		basic = append(basic, place{})
		if !f.Folded {
			basic = append(basic, more...)
		}
	}
	return basic
}

// Field returns the field of an ID, nil when there is none.
func (f *Form) Field(id string) *Field {
	for _, fd := range f.Fields {
		if fd.ID == id {
			return fd
		}
	}
	return nil
}

// Value is the answer of a field, empty when there is none.
func (f *Form) Value(id string) string {
	if fd := f.Field(id); fd != nil {
		return fd.Value()
	}
	return ""
}

// Focused is the field that has the focus, nil when it is on the fold line or there is none.
func (f *Form) Focused() *Field {
	if p := f.shown(); f.focus < len(p) {
		return p[f.focus].field
	}
	return nil
}

// OnFold tells whether the focus is on the line that folds.
func (f *Form) OnFold() bool {
	p := f.shown()
	return f.focus < len(p) && p[f.focus].field == nil
}

// Focus moves the focus to a field.
func (f *Form) Focus(id string) {
	for i, p := range f.shown() {
		if p.field != nil && p.field.ID == id {
			f.focus = i
		}
	}
}

// Move moves the focus by n places, around the ends.
func (f *Form) Move(n int) {
	if k := len(f.shown()); k > 0 {
		f.focus = ((f.focus+n)%k + k) % k
	}
}

// ToggleFold shows or hides the further fields.
func (f *Form) ToggleFold() { f.Folded = !f.Folded }

// labelWidth is the column in which one-line fields begin, 0 where it is too narrow for two columns.
func (f *Form) labelWidth(w int) int {
	if w < 62 {
		return 0
	}
	n := 0
	for _, fd := range f.Fields {
		if fd.Kind != FolderKind {
			n = max(n, Width(fd.Label))
		}
	}
	return min(n+3, 36)
}

// lines draws all places; starts holds the first line of each, and its end at the last position. There is a blank line
// between two places where h leaves room for all of them.
func (f *Form) lines(t *theme.Theme, w, h int) (lines []string, starts []int) {
	if lines, starts = f.spaced(t, w, true); len(lines) > h {
		lines, starts = f.spaced(t, w, false)
	}
	if len(lines) > h { // beside them the bar that says so
		lines, starts = f.spaced(t, max(0, w-2), false)
	}
	return lines, starts
}

func (f *Form) spaced(t *theme.Theme, w int, airy bool) (lines []string, starts []int) {
	lw := f.labelWidth(w)
	for i, p := range f.shown() {
		on := i == f.focus
		gap := airy || p.field == nil || p.field.Kind == FolderKind || p.field.More && f.shown()[i-1].field == nil
		if gap && i > 0 && len(lines) > 0 && lines[len(lines)-1] != "" {
			lines = append(lines, "")
		}
		starts = append(starts, len(lines))
		if p.field == nil {
			sign := theme.Unfolded
			if f.Folded {
				sign = theme.Folded
			}
			style := t.Muted
			if on {
				style = t.Title
			}
			lines = append(lines, Marker(t, on)+style.Render(sign+" "+f.Fold))
			continue
		}
		lines = append(lines, p.field.view(t, w, lw, on)...)
		if p.field.Kind == FolderKind {
			lines = append(lines, "")
		}
	}
	return lines, append(starts, len(lines))
}

// View draws the form in w by h cells, scrolled so that the focused field is in sight.
func (f *Form) View(t *theme.Theme, w, h int) string {
	lines, starts := f.lines(t, w, h)
	off := f.offset(len(lines), starts, h)
	return Page(t, lines, off, w, h)
}

// Height is the number of lines the form takes when nothing is cut.
func (f *Form) Height(t *theme.Theme, w int) int {
	lines, _ := f.spaced(t, w, false)
	return len(lines)
}

func (f *Form) offset(total int, starts []int, h int) int {
	if total <= h || f.focus >= len(starts)-1 {
		return 0
	}
	from, to := starts[f.focus], starts[f.focus+1]
	off := 0
	if to > h {
		off = to - h
	}
	return min(off, from)
}

// Click moves the focus to the place drawn at (x, y) of a view of w by h cells, and tells whether there is one. A click on
// an option chooses it.
func (f *Form) Click(t *theme.Theme, x, y, w, h int) (hit, changed bool) {
	lines, starts := f.lines(t, w, h)
	y += f.offset(len(lines), starts, h)
	for i, p := range f.shown() {
		if y < starts[i] || y >= starts[i+1] {
			continue
		}
		was := f.focus
		f.focus = i
		switch {
		case p.field == nil:
			f.ToggleFold()
		case p.field.Disabled != "":
		case p.field.Kind == CheckKind && was == i:
			p.field.On = !p.field.On
			return true, true
		case p.field.Kind == RadioKind:
			at := f.labelWidth(w) + 2
			for j, o := range p.field.Options {
				n := Width(o.Label) + 2
				if x >= at && x < at+n {
					changed = p.field.Choice != j
					p.field.Choice = j
				}
				at += n + 3
			}
		}
		return true, changed
	}
	return false, false
}

// boxWidth is how wide a boxed field gets at most.
const boxWidth = 78

func (f *Field) view(t *theme.Theme, w, lw int, on bool) []string {
	label := t.Text.Render(f.Label)
	if on {
		label = t.Title.Render(f.Label)
	}
	if f.Disabled != "" {
		label = t.Muted.Render(f.Label)
	}
	if f.Kind == FolderKind {
		return f.boxed(t, w, on)
	}
	inner := w - 2 - lw
	control := f.control(t, max(0, inner), on)
	var out []string
	if lw > 0 {
		if len(f.Remarks) == 1 && f.Kind == NumberKind { // a word behind the field, where there is room
			short := f.Remarks[0].Render(t, w)
			if at := max(26, Width(control)+3); at+Width(short) <= inner {
				control = Line(control, at) + short
				g := *f
				g.Remarks = nil
				f = &g
			}
		}
		out = append(out, Marker(t, on)+Line(label, lw)+control)
	} else {
		inner = w - 4
		out = append(out, Marker(t, on)+label, Marker(t, on)+"  "+f.control(t, max(0, inner), on))
	}
	pad := strings.Repeat(" ", 2+lw)
	if lw == 0 {
		pad = "    "
	}
	for _, r := range f.remarks(t, max(1, w-len(pad)), on) {
		out = append(out, pad+r)
	}
	return out
}

// remarks are the lines under a field: what is wrong always, help only while it has the focus.
func (f *Field) remarks(t *theme.Theme, w int, on bool) []string {
	var out []string
	for _, r := range f.Remarks {
		if r.Text == "" {
			continue
		}
		for i, l := range Wrap(r.Text, max(1, w-2)) {
			if i == 0 {
				out = append(out, Remark{r.Tone, l}.Render(t, w))
				continue
			}
			style := t.Muted
			switch r.Tone {
			case Error:
				style = t.Bad
			case Warning:
				style = t.Text
			}
			pad := "  "
			if r.Tone == Plain || r.Tone == Busy {
				pad = ""
			}
			out = append(out, pad+style.Render(l))
		}
	}
	if f.Disabled != "" {
		return append(out, t.Muted.Render(Cut(f.Disabled, w)))
	}
	if on && f.Help != "" {
		for _, l := range Wrap(f.Help, w) {
			out = append(out, t.Muted.Render(l))
		}
	}
	return out
}

func (f *Field) control(t *theme.Theme, w int, on bool) string {
	switch f.Kind {
	case RadioKind:
		parts := make([]string, len(f.Options))
		for i, o := range f.Options {
			sign, style := theme.Ring, t.Muted
			if i == f.Choice {
				sign, style = theme.Dot, t.Text
				if on {
					style = t.Title
				}
			}
			if f.Disabled != "" {
				style = t.Muted
			}
			parts[i] = style.Render(sign + " " + o.Label)
		}
		return Cut(strings.Join(parts, "   "), w)
	case ChoiceKind:
		if f.Choice < 0 || f.Choice >= len(f.Options) {
			return t.Muted.Render(Cut("nothing to choose from", w))
		}
		o := f.Options[f.Choice]
		s := t.Strong.Render(o.Label)
		if on {
			s = t.Accent.Render("← ") + t.Title.Render(o.Label) + t.Accent.Render(" →")
		}
		if o.Help != "" {
			s += "   " + t.Muted.Render(o.Help)
		}
		return Cut(s, w)
	case CheckKind:
		sign := "[ ]"
		if f.On {
			sign = "[" + theme.Check + "]"
		}
		if on {
			return t.Title.Render(sign)
		}
		return t.Text.Render(sign)
	}
	lead := t.Muted.Render(f.Lead)
	size := 12
	if f.Kind == TextKind {
		size = 60
	}
	size = min(size, max(0, w-Width(f.Lead)))
	if f.Kind == NumberKind && !on {
		size = min(size, max(1, Width(f.Text.Value())))
	}
	ghost := f.Ghost
	if f.Text.Value() == "" && ghost == "" {
		ghost = f.Hint
	}
	return Cut(lead+f.Text.View(t, size, on, ghost), w)
}

func (f *Field) boxed(t *theme.Theme, w int, on bool) []string {
	bw := min(max(0, w-4), boxWidth)
	style := t.Text
	if on {
		style = t.Title
	}
	var out []string
	for i, l := range Wrap(f.Label, max(1, bw-Width(f.Tag)-1)) { // the question is the app's own words, and may be long
		l = style.Render(l)
		if i == 0 && f.Tag != "" {
			l = Spread(l, t.Muted.Render(f.Tag), bw)
		}
		out = append(out, Marker(t, on)+l)
	}
	border := t.Faint
	if on {
		border = t.Accent
	}
	if bw < 6 {
		return append(out, Marker(t, on)+f.Text.View(t, max(0, w-2), on, f.Ghost))
	}
	ghost := f.Ghost
	if f.Text.Value() == "" && ghost == "" {
		ghost = f.Hint
	}
	out = append(out,
		"  "+border.Render(theme.CornerTL+strings.Repeat(theme.Rule, bw-2)+theme.CornerTR),
		"  "+border.Render(theme.Wall)+" "+f.Text.View(t, bw-4, on, ghost)+" "+border.Render(theme.Wall),
		"  "+border.Render(theme.CornerBL+strings.Repeat(theme.Rule, bw-2)+theme.CornerBR),
	)
	return append(out, Indent(f.remarks(t, max(1, min(w-2, boxWidth)), on), 2)...)
}
