package plain

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"carrel/catalog/propose"
	"carrel/internal/atomicfile"
	"carrel/tui/widget"
)

// own makes an app of a folder: it looks at what is in it, proposes how to run it, writes a definition file, and builds it.
func (p *program) own() error {
	dir := ""
	_, err := p.text("Which folder holds your files?", widget.Tilde(p.Cwd, p.Home), func(s string) string {
		dir = p.expand(s)
		st := p.Engine.Folder(dir)
		switch {
		case !st.Exists:
			return "There is no such folder."
		case !st.IsDir:
			return "That is a file. Write the folder it is in."
		case !st.Readable:
			return "You may not read that folder."
		}
		return ""
	})
	if err != nil {
		return err
	}
	files, o := os.DirFS(dir), propose.Options{Name: filepath.Base(dir)}
	all, err := propose.Look(p.ctx, files, o)
	var broken *propose.FileError
	if errors.As(err, &broken) { // something else can be chosen
		p.say(widget.Clean(broken.Error()))
	} else if err != nil {
		p.failed("Looking into the folder", err)
		return nil
	}
	var options []option
	var specs []func() (propose.Spec, error)
	seen := map[propose.Kind]bool{}
	for _, s := range all {
		seen[s.Kind] = true
		options = append(options, option{name: widget.Clean(s.Description), note: "because of " + widget.Clean(s.Why)})
		specs = append(specs, func() (propose.Spec, error) { return s, nil })
	}
	for _, k := range propose.Kinds {
		if !seen[k.Kind] {
			options = append(options, option{name: k.Text})
			specs = append(specs, func() (propose.Spec, error) { return propose.Default(p.ctx, k.Kind, files, o) })
		}
	}
	if len(all) == 0 {
		p.say("Nothing in the folder says what to run.")
	}
	n, err := p.choose("What is it?", options, min(0, len(all)-1))
	if err != nil {
		return err
	}
	spec, err := specs[n]()
	if err != nil {
		p.failed("Proposing that", err)
		return nil
	}
	if spec.Text == "" {
		if spec.Title, err = p.text("What is it called?", spec.Title, nil); err != nil {
			return err
		}
		if spec.Command, err = p.text("Which command starts it?", spec.Command, nil); err != nil {
			return err
		}
		if spec.Port > 0 {
			text, err := p.text("On which port does it listen?", strconv.Itoa(spec.Port), func(s string) string {
				if n, err := strconv.Atoi(s); err != nil || n < 1 || n > 65535 {
					return "A port is a number from 1 to 65535."
				}
				return ""
			})
			if err != nil {
				return err
			}
			spec.Port, _ = strconv.Atoi(text) // checked above
		}
		if spec.Include, err = p.yes("Should the files be in the image, so that it can be handed on with them?", spec.Include); err != nil {
			return err
		}
	}
	for _, r := range spec.Remarks {
		p.say("Note: %s", widget.Sentence(widget.Clean(r)))
	}
	file := filepath.Join(dir, "Singularity")
	if _, err := os.Lstat(file); err == nil {
		if ok, err := p.yes(widget.Clean(widget.Tilde(file, p.Home))+" exists already. Replace it?", false); err != nil || !ok {
			return err
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		p.failed("Writing the definition", err)
		return nil
	}
	if err := atomicfile.WriteFile(file, []byte(spec.Definition()), 0o644); err != nil {
		p.failed("Writing the definition", err)
		return nil
	}
	p.say("Wrote %s, a definition file: the text an image is built from.", widget.Clean(widget.Tilde(file, p.Home)))
	return p.launch(file)
}
