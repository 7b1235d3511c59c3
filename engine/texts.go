package engine

import (
	"encoding/csv"
	"fmt"
	"path"
	"strconv"
	"strings"

	"carrel/engine/network"
)

const bindForm = "write SOURCE[:DESTINATION[:ro]], several with commas between; a comma or colon of a name has a backslash before it"

// TextError is a text of a bind or a port that is not understood.
type TextError struct {
	Err  error
	Form string // how it is written
}

func (e *TextError) Error() string { return e.Err.Error() }
func (e *TextError) Unwrap() error { return e.Err }

// Hint tells the form.
func (e *TextError) Hint() string { return e.Form }

func badText(form, format string, args ...any) error {
	return &TextError{fmt.Errorf(format, args...), form}
}

// ParseBinds reads binds as --bind is given them: src[:dest[:opts]], several with commas between; whole makes a path of this
// computer whole. Options with commas of their own belong to the bind before them, as in Apptainer (pkg/util/bind). What is
// not understood is a *TextError.
func ParseBinds(texts []string, whole func(string) string) ([]Bind, error) {
	var out []Bind
	for _, text := range texts {
		var specs []string
		for _, piece := range SplitEscaped(text, ',') {
			if n := len(specs); n > 0 && isOption(piece) && len(SplitEscaped(specs[n-1], ':')) == 3 {
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

func parseBind(spec string, whole func(string) string) (Bind, error) {
	parts := SplitEscaped(spec, ':')
	if len(parts) > 3 {
		return Bind{}, badText(bindForm, "bind %q: too many colons", spec)
	}
	source := Unescape(parts[0])
	if source == "" {
		return Bind{}, badText(bindForm, "bind %q: no source", spec)
	}
	b := Bind{Source: whole(source)}
	b.Dest = b.Source
	if len(parts) > 1 && parts[1] != "" {
		b.Dest = Unescape(parts[1])
	}
	if len(parts) > 2 {
		for _, o := range SplitEscaped(parts[2], ',') {
			if err := bindOption(&b, Unescape(o), spec); err != nil {
				return b, err
			}
		}
	}
	return b, checkDest(&b, spec)
}

func bindOption(b *Bind, option, spec string) error {
	name, value, _ := strings.Cut(option, "=")
	switch name {
	case "ro":
		b.ReadOnly = true
	case "rw", "":
	case "image-src":
		if b.InImage = path.Clean("/" + value); value == "" {
			return badText("write image-src=/FOLDER, a path in the image", "bind %q: image-src without a path", spec)
		}
	case "id":
		n, err := strconv.ParseUint(value, 10, 32)
		if err != nil || n == 0 {
			return badText("`sif list IMAGE` lists the numbers", "bind %q: %q is not the number of a partition", spec, value)
		}
		b.Part = uint32(n)
	default:
		return badText(bindForm, "bind %q: option %q is not ro, rw, image-src=PATH or id=NUMBER", spec, option)
	}
	return nil
}

func checkDest(b *Bind, spec string) error {
	if !path.IsAbs(b.Dest) {
		return badText("the place inside is a whole path, such as /"+strings.TrimPrefix(b.Dest, "./"), "bind %q: destination %q does not begin with /", spec, b.Dest)
	}
	b.Dest = path.Clean(b.Dest)
	return nil
}

// ParseMounts reads what --mount was given: comma separated values as in RFC 4180, each line one mount.
func ParseMounts(texts []string, whole func(string) string) ([]Bind, error) {
	const form = "write --mount type=bind,source=SOURCE,destination=DESTINATION[,ro]"
	var out []Bind
	for _, text := range texts {
		r := csv.NewReader(strings.NewReader(text))
		r.FieldsPerRecord = -1
		lines, err := r.ReadAll()
		if err != nil {
			return nil, badText(form, "mount %q: %w", text, err)
		}
		for _, fields := range lines {
			var b Bind
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
						return nil, badText(form, "mount %q: propagation is rslave always: what is mounted below the source later is seen inside, never the reverse", text)
					}
				default:
					return nil, badText(form, "mount %q: %q is not known", text, k)
				}
			}
			switch {
			case err != nil:
				return nil, err
			case kind != "bind":
				return nil, badText(form, "mount %q: type %q is not there, only bind", text, kind)
			case b.Source == "" || b.Dest == "":
				return nil, badText(form, "mount %q: source and destination are needed", text)
			}
			if err := checkDest(&b, text); err != nil {
				return nil, err
			}
			out = append(out, b)
		}
	}
	return out, nil
}

// NoImageBinds refuses binds from images, where only files and folders can be bound.
func NoImageBinds(binds []Bind) error {
	for _, b := range binds {
		if b.OfImage() {
			return badText("unpack it first: build --sandbox FOLDER "+b.Source, "bind %q: images cannot be bound while an image is built", b.Source)
		}
	}
	return nil
}

// ParsePorts reads ports as --publish is given them: PORT, HERE:PORT or ADDRESS:HERE:PORT. What is not understood is a
// *TextError.
func ParsePorts(texts []string) ([]Port, error) {
	var out []Port
	for _, text := range texts {
		all, err := network.ParseMapping(text)
		if err != nil {
			return nil, &TextError{err, Hint(err)}
		}
		for _, m := range all {
			p := Port{Host: int(m.HostPort), Container: int(m.ContainerPort), Fixed: !m.Wish, UDP: m.UDP, Proto: m.Proto}
			if m.HostIP.IsValid() {
				p.HostIP = m.HostIP.String()
			}
			out = append(out, p)
		}
	}
	return out, nil
}

// SplitEscaped splits at a separator that has no backslash before it; backslashes stay.
func SplitEscaped(s string, sep byte) []string {
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
