// Package bindflag reads what -B, --bind and --mount are given, under each of the program's names.
package bindflag

import (
	"encoding/csv"
	"fmt"
	"path"
	"strconv"
	"strings"

	"carrel/engine"
)

const bindForm = "write SOURCE[:DESTINATION[:ro]], several with commas between; a comma or colon of a name has a backslash before it"

// Error is a text that is not understood.
type Error struct {
	err  error
	hint string
}

func (e *Error) Error() string { return e.err.Error() }
func (e *Error) Unwrap() error { return e.err }

// Hint tells the form.
func (e *Error) Hint() string { return e.hint }

func usage(hint, format string, args ...any) error { return &Error{fmt.Errorf(format, args...), hint} }

// Parse reads what --bind was given; whole makes a path of this computer whole: src[:dest[:opts]], several with commas between. Options with commas of their own
// belong to the bind before them, as in Apptainer (pkg/util/bind).
func Parse(texts []string, whole func(string) string) ([]engine.Bind, error) {
	var out []engine.Bind
	for _, text := range texts {
		var specs []string
		for _, piece := range Split(text, ',') {
			if n := len(specs); n > 0 && isOption(piece) && len(Split(specs[n-1], ':')) == 3 {
				specs[n-1] += "," + piece
				continue
			}
			specs = append(specs, piece)
		}
		for _, spec := range specs {
			if strings.TrimSpace(spec) == "" {
				continue
			}
			b, err := parseBind(spec, whole)
			if err != nil {
				return nil, err
			}
			out = append(out, b)
		}
	}
	return out, nil
}

func isOption(s string) bool {
	name, _, _ := strings.Cut(s, "=")
	switch name {
	case "ro", "rw", "image-src", "id":
		return true
	}
	return false
}

func parseBind(spec string, whole func(string) string) (engine.Bind, error) {
	parts := Split(spec, ':')
	if len(parts) > 3 {
		return engine.Bind{}, usage(bindForm, "bind %q: too many colons", spec)
	}
	source := Unescape(parts[0])
	if source == "" {
		return engine.Bind{}, usage(bindForm, "bind %q: no source", spec)
	}
	b := engine.Bind{Source: whole(source)}
	b.Dest = b.Source
	if len(parts) > 1 && parts[1] != "" {
		b.Dest = Unescape(parts[1])
	}
	if len(parts) > 2 {
		for _, o := range Split(parts[2], ',') {
			if err := bindOption(&b, Unescape(o), spec); err != nil {
				return b, err
			}
		}
	}
	return b, checkDest(&b, spec)
}

func bindOption(b *engine.Bind, option, spec string) error {
	name, value, _ := strings.Cut(option, "=")
	switch name {
	case "ro":
		b.ReadOnly = true
	case "rw", "":
	case "image-src":
		if b.InImage = path.Clean("/" + value); value == "" {
			return usage("write image-src=/FOLDER, a path in the image", "bind %q: image-src without a path", spec)
		}
	case "id":
		n, err := strconv.ParseUint(value, 10, 32)
		if err != nil || n == 0 {
			return usage("`sif list IMAGE` lists the numbers", "bind %q: %q is not the number of a partition", spec, value)
		}
		b.Part = uint32(n)
	default:
		return usage(bindForm, "bind %q: option %q is not ro, rw, image-src=PATH or id=NUMBER", spec, option)
	}
	return nil
}

func checkDest(b *engine.Bind, spec string) error {
	if !path.IsAbs(b.Dest) {
		return usage("the place inside is a whole path, such as /"+strings.TrimPrefix(b.Dest, "./"), "bind %q: destination %q does not begin with /", spec, b.Dest)
	}
	b.Dest = path.Clean(b.Dest)
	return nil
}

// ParseMounts reads what --mount was given: comma separated values as in RFC 4180, each line one mount.
func ParseMounts(texts []string, whole func(string) string) ([]engine.Bind, error) {
	const form = "write --mount type=bind,source=SOURCE,destination=DESTINATION[,ro]"
	var out []engine.Bind
	for _, text := range texts {
		r := csv.NewReader(strings.NewReader(text))
		r.FieldsPerRecord = -1
		lines, err := r.ReadAll()
		if err != nil {
			return nil, usage(form, "mount %q: %w", text, err)
		}
		for _, fields := range lines {
			var b engine.Bind
			kind := "bind"
			for _, f := range fields {
				k, v, has := strings.Cut(f, "=")
				switch strings.ToLower(strings.TrimSpace(k)) {
				case "type":
					kind = v
				case "source", "src":
					b.Source = whole(v)
					if v == "" {
						b.Source = ""
					}
				case "destination", "dst", "target", "dest":
					b.Dest = v
				case "ro", "readonly":
					b.ReadOnly = !has || v == "true" || v == "1"
				case "rw", "":
				case "image-src", "id":
					err = bindOption(&b, k+"="+v, text)
				case "bind-propagation":
					if v != "" && v != "rprivate" && v != "rslave" {
						return nil, usage(form, "mount %q: propagation is rslave always: what is mounted below the source later is seen inside, never the reverse", text)
					}
				default:
					return nil, usage(form, "mount %q: %q is not known", text, k)
				}
			}
			switch {
			case err != nil:
				return nil, err
			case kind != "bind":
				return nil, usage(form, "mount %q: type %q is not there, only bind", text, kind)
			case b.Source == "" || b.Dest == "":
				return nil, usage(form, "mount %q: source and destination are needed", text)
			}
			if err := checkDest(&b, text); err != nil {
				return nil, err
			}
			out = append(out, b)
		}
	}
	return out, nil
}

// Split splits at a separator that has no backslash before it; backslashes stay.
func Split(s string, sep byte) []string {
	var out []string
	start := 0
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s):
			i++
		case s[i] == sep:
			out = append(out, s[start:i])
			start = i + 1
		}
	}
	return append(out, s[start:])
}

// Unescape takes away the backslash before separators and backslashes.
func Unescape(s string) string {
	return strings.NewReplacer(`\\`, `\`, `\:`, `:`, `\,`, `,`).Replace(s)
}

// NoImages refuses binds from images, where only files and folders can be bound.
func NoImages(binds []engine.Bind) error {
	for _, b := range binds {
		if b.OfImage() {
			return usage("unpack it first: build --sandbox FOLDER "+b.Source, "bind %q: images cannot be bound while an image is built", b.Source)
		}
	}
	return nil
}
