package debian

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Folders and files of dpkg's database, below the root (dpkg(1), "Files").
const (
	dpkgFolder   = "var/lib/dpkg"
	infoFolder   = dpkgFolder + "/info"
	statusFile   = dpkgFolder + "/status"
	triggersPath = dpkgFolder + "/triggers"
)

// infoName is the name dpkg keeps a package's files under: with the architecture when several can be installed at once.
func (p *unpacked) infoName() string {
	if p.control.get("Multi-Arch") == "same" {
		return p.pkg.Name + ":" + p.control.get("Architecture")
	}
	return p.pkg.Name
}

// writeDatabase writes dpkg's database as it is when all packages were unpacked and none is configured yet. Date is given
// to the files that come from no package.
func writeDatabase(root *rootDir, arch string, date time.Time, packages []*unpacked) error {
	write := func(name string, mode uint32, data []byte, modTime time.Time) error {
		err := root.writeFile(name, data, mode)
		if err == nil {
			err = root.setTime(name, modTime)
		}
		if err != nil {
			return fmt.Errorf("write package database: %w", err)
		}
		return nil
	}
	packages = slices.SortedFunc(slices.Values(packages), func(a, b *unpacked) int { return cmp.Compare(a.pkg.Name, b.pkg.Name) })
	var status bytes.Buffer
	triggers := map[string]*bytes.Buffer{"File": {}, "Unincorp": {}}
	for _, p := range packages {
		p.writeStatus(&status)
		info := infoFolder + "/" + p.infoName() + "."
		if err := write(info+"list", 0o644, p.fileList(), date); err != nil {
			return err
		}
		for name, m := range p.members {
			if name == "control" {
				continue
			}
			if err := write(info+name, m.mode, m.data, m.modTime); err != nil {
				return err
			}
		}
		if err := p.interests(triggers); err != nil {
			return err
		}
	}
	for name, b := range triggers {
		if err := write(triggersPath+"/"+name, 0o644, b.Bytes(), date); err != nil {
			return err
		}
	}
	for _, f := range []struct{ name, text string }{
		{infoFolder + "/format", "1\n"}, {dpkgFolder + "/arch", arch + "\n"}, {statusFile, status.String()},
	} {
		if err := write(f.name, 0o644, []byte(f.text), date); err != nil {
			return err
		}
	}
	for _, folder := range []string{"updates", "parts", "alternatives"} {
		// A file below a folder that does not exist makes the folder; nothing needs to remain in it.
		if err := root.remove(dpkgFolder + "/" + folder + "/none"); err != nil {
			return fmt.Errorf("write package database: %w", err)
		}
	}
	return nil
}

// fileList is the content of a .list file.
func (p *unpacked) fileList() []byte {
	var b bytes.Buffer
	for _, f := range p.files {
		if !p.lost[strings.TrimPrefix(f, "/")] {
			b.WriteString(f + "\n")
		}
	}
	return b.Bytes()
}

// writeStatus writes a package's paragraph of the status file. Its conffiles are in place already and recorded with
// what they hold, so that configuring finds nothing to do about them.
func (p *unpacked) writeStatus(b *bytes.Buffer) {
	for i, f := range p.control {
		if strings.EqualFold(f.name, "Status") || strings.EqualFold(f.name, "Conffiles") {
			continue
		}
		fmt.Fprintf(b, "%s: %s\n", f.name, f.value)
		if i == 0 {
			b.WriteString("Status: install ok unpacked\n")
		}
	}
	if len(p.conffiles) > 0 {
		b.WriteString("Conffiles:\n")
		for _, c := range p.conffiles {
			b.WriteString(" " + c.path + " " + c.md5)
			if c.flag != "" {
				b.WriteString(" " + c.flag)
			}
			b.WriteString("\n")
		}
	}
	b.WriteString("\n")
}

// interests records the triggers a package is interested in (deb-triggers(5)): those on paths in the file "File", the
// others each in a file of its own. Nothing is activated: a package that is not configured yet does its part when it is.
func (p *unpacked) interests(triggers map[string]*bytes.Buffer) error {
	for line := range strings.SplitSeq(string(p.members["triggers"].data), "\n") {
		line, _, _ = strings.Cut(line, "#")
		kind, name := cutField(line)
		name = strings.TrimSpace(name)
		who := p.infoName()
		switch kind {
		case "interest", "interest-await":
		case "interest-noawait":
			who += "/noawait"
		default:
			continue
		}
		if strings.HasPrefix(name, "/") {
			fmt.Fprintf(triggers["File"], "%s %s\n", name, who)
			continue
		}
		if !validName(name) || name == "File" || name == "Unincorp" || name == "Lock" {
			return &ArchiveError{Package: p.pkg.Name, Entry: "triggers", Err: fmt.Errorf("no trigger can be named %.60q", name)}
		}
		if triggers[name] == nil {
			triggers[name] = &bytes.Buffer{}
		}
		fmt.Fprintln(triggers[name], who)
	}
	return nil
}

// installed reads the status file and returns the state of each package, "install ok installed" for instance.
func installed(root *rootDir) (map[string]string, error) {
	b, err := root.readFile(statusFile)
	if err != nil {
		return nil, fmt.Errorf("read package database: %w", err)
	}
	states := map[string]string{}
	paragraphs := newControlReader(bytes.NewReader(b))
	for {
		p, err := paragraphs.next()
		if noEOF(err) != nil {
			return nil, fmt.Errorf("read package database: %w", err)
		}
		if err != nil {
			return states, nil
		}
		fields, err := parseParagraph(p)
		if err != nil {
			return nil, fmt.Errorf("read package database: %w", err)
		}
		states[fields.get("Package")] = fields.get("Status")
	}
}

// extendedStates is apt's record of the packages that nobody asked for, so that it may propose to remove them when
// nothing needs them any more (apt-mark(8)).
func extendedStates(arch string, s *selection) []byte {
	var names []string
	for name := range s.packages {
		if !s.manual[name] && !s.essential[name] {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var b bytes.Buffer
	for _, name := range names {
		fmt.Fprintf(&b, "Package: %s\nArchitecture: %s\nAuto-Installed: 1\n\n", name, arch)
	}
	return b.Bytes()
}
