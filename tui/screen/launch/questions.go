package launch

import (
	"strings"

	"carrel/engine"
	"carrel/tui/screen"
	"carrel/tui/widget"
)

// Questions are what the form asks, for programs that ask without a screen: the same questions, answers kept under the same
// names, and the same start made of them.
type Questions struct{ s *Screen }

// Ask reads what name says of itself and the answers of the last time. It touches the disk, and may wait for the network.
func Ask(d screen.Deps, name string) (*Questions, error) {
	s := New(d, screen.OpenLaunch{Name: name})
	m, err := read(d, name)
	if err != nil {
		return nil, err
	}
	s.take(m) // the commands it returns check the answers, which is up to who asks
	return &Questions{s}, nil
}

// Title and Description are what the app is called and what it says of itself.
func (q *Questions) Title() string { return q.s.title() }

// Description is a sentence about the app; empty when it says nothing.
func (q *Questions) Description() string { return widget.Clean(q.s.card.Description) }

// Fields are the questions in their order, with answers from the last time or good ones filled in. Their answers are changed
// in place.
func (q *Questions) Fields() []*widget.Field { return q.s.form.Fields }

// Preset tells whether a question is for answers that were saved under a name: Take fills them in.
func (q *Questions) Preset(f *widget.Field) bool { return f.ID == idPreset }

// Take fills in the answers of a name; Fields are others then.
func (q *Questions) Take(name string) { q.s.preset(name) }

// Required tells whether a question must have an answer.
func (q *Questions) Required(f *widget.Field) bool { return f.Tag != "" || f.ID == idKeep }

// Folder is the place inside of the folder that a question asks for, and whether the app can only read it.
func (q *Questions) Folder(f *widget.Field) (dest string, readOnly bool) {
	b := q.s.bind(f)
	return b.Dest, q.s.readOnly(b)
}

// Concerns tells whether a question is worth asking: whether a folder may be changed is not, when there is none.
func (q *Questions) Concerns(f *widget.Field) bool {
	dest, ok := strings.CutPrefix(f.ID, idMode)
	return !ok || q.s.form.Value(idFolder+dest) != ""
}

// Seldom tells whether a question has an answer that does for most, so that one who asks one question after the other may
// leave it out: what is folded on the screen, whether a folder may be changed, and who may open the address.
func (q *Questions) Seldom(f *widget.Field) bool {
	return f.More || f.ID == idGuard || strings.HasPrefix(f.ID, idMode)
}

// Wrong says what is wrong with an answer; empty when nothing is.
func (q *Questions) Wrong(f *widget.Field) string { return q.s.wrong(f) }

// Hides names what the image holds at the place of a folder, which the folder takes the place of; empty for nothing. It reads
// the image.
func (q *Questions) Hides(f *widget.Field) string {
	if q.s.target.Built {
		if list := under(q.s.d.Life, q.s.d.Engine, q.s.name, q.s.bind(f).Dest); len(list) > 0 {
			return takesPlace + hidden(list) + "."
		}
	}
	return ""
}

// Sees says what of the person's files the app will see.
func (q *Questions) Sees() string { return q.s.visible(q.s.spec()) }

// Spec is the start that the answers ask for.
func (q *Questions) Spec() engine.RunSpec { return q.s.spec() }

// Build is how to build the image; ok is false for one that is there.
func (q *Questions) Build() (b engine.BuildSpec, ok bool) { return q.s.build(), !q.s.target.Built }

// Save remembers the answers for the next time, here and on the screens.
func (q *Questions) Save() error { return q.s.d.Memory.Save(q.s.target.Name, q.s.answers()) }
