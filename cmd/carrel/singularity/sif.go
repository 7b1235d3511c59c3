package singularity

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"carrel/engine"
)

// sifVerb is one that reads the parts of an image, the last argument.
func (p *program) sifVerb(v verb, run func(parts engine.Parts, args []string) error) verb {
	v.run = func(ctx context.Context, args []string) error {
		e, err := p.c.Engine()
		if err != nil {
			return err
		}
		parts, err := e.Parts(ctx, args[len(args)-1], false)
		if err != nil {
			return err
		}
		return run(parts, args)
	}
	return v
}

func (p *program) sifListVerb() verb {
	return p.sifVerb(verb{name: "list", args: "IMAGE", short: "List the parts of a SIF file", low: 1, high: 1}, func(parts engine.Parts, _ []string) error {
		line := strings.Repeat("-", 78) + "\n"
		var b strings.Builder
		fmt.Fprintf(&b, "%s%-5s|%-8s|%-8s|%-26s|%s\n%s", line, "ID", "GROUP", "LINK", "SIF POSITION (start-end)", "TYPE", line)
		for _, o := range parts.Parts {
			fmt.Fprintf(&b, "%-5d|%-8s|%-8s|%-26s|%s\n", o.ID, group(o), o.Link, fmt.Sprintf("%d-%d", o.Offset, o.Offset+o.Size), o.Type)
		}
		return p.print(b.String())
	})
}

func group(o engine.Part) string {
	if o.Group == 0 {
		return "NONE"
	}
	return fmt.Sprint(o.Group)
}

const sifTime = "2006-01-02 15:04:05 -0700 MST"

func (p *program) sifHeaderVerb() verb {
	return p.sifVerb(verb{name: "header", args: "IMAGE", short: "Show the head of a SIF file", low: 1, high: 1, differs: "without the sizes of the table of parts"}, func(s engine.Parts, _ []string) error {
		return p.print(fmt.Sprintf("Launch Script:        %s\nVersion:              01\nPrimary Architecture: %s\nID:                   %s\nCreated At:           %s\nModified At:          %s\n",
			printable(s.LaunchLine), s.Arch, s.ID, s.Created.UTC().Format(sifTime), s.Modified.UTC().Format(sifTime)))
	})
}

func (p *program) sifInfoVerb() verb {
	return p.sifVerb(verb{name: "info", args: "ID IMAGE", short: "Show one part of a SIF file", low: 2, high: 2}, func(s engine.Parts, args []string) error {
		for _, o := range s.Parts {
			if strconv.Itoa(int(o.ID)) != args[0] {
				continue
			}
			text := fmt.Sprintf("  Data Type:    %s\n  ID:           %d\n  Group ID:     %s\n  Linked ID:    %s\n  Offset:       %d\n  Size:         %d\n  Created At:   %s\n",
				o.Type, o.ID, group(o), o.Link, o.Offset, o.Size, o.Created.UTC().Format(sifTime))
			if o.Name != "" {
				text += "  Name:         " + printable(o.Name) + "\n"
			}
			return p.print(text)
		}
		return fmt.Errorf("part %s of %s: %w", args[0], s.Path, engine.ErrNotFound)
	})
}

func (p *program) sifDumpVerb() verb {
	return verb{name: "dump", args: "ID IMAGE", short: "Write one part of a SIF file to standard output", low: 2, high: 2, run: func(ctx context.Context, args []string) error {
		return p.onPart(args[0], func(e *engine.Engine, id uint32) error { return e.CopyPart(ctx, args[1], id, p.c.Out) })
	}}
}

// onPart does something with a part of a SIF, whose number was given.
func (p *program) onPart(text string, do func(e *engine.Engine, id uint32) error) error {
	id, err := engine.PartID(text)
	if err != nil {
		return usage("`sif list IMAGE` lists them", "%w", err)
	}
	e, err := p.c.Engine()
	if err != nil {
		return err
	}
	return do(e, id)
}

func (p *program) sifNewVerb() verb {
	return verb{name: "new", args: "IMAGE", short: "Make a SIF file without parts", low: 1, high: 1, differs: "never replaces a file", run: func(_ context.Context, args []string) error {
		e, err := p.c.Engine()
		if err != nil {
			return err
		}
		return e.NewSIF(args[0])
	}}
}

func (p *program) sifDelVerb() verb {
	return verb{name: "del", args: "ID IMAGE", short: "Remove one part of a SIF file", low: 2, high: 2, differs: "of a signed image only signatures are removed: without its other parts nobody could verify it", run: func(ctx context.Context, args []string) error {
		return p.onPart(args[0], func(e *engine.Engine, id uint32) error { return e.RemovePart(ctx, args[1], id) })
	}}
}

func (p *program) sifSetPrimVerb() verb {
	return verb{name: "setprim", args: "ID IMAGE", short: "Make a system partition the one that a SIF file runs from", low: 2, high: 2, run: func(_ context.Context, args []string) error {
		return p.onPart(args[0], func(e *engine.Engine, id uint32) error { return e.SetPrimary(args[1], id) })
	}}
}

func (p *program) sifAddVerb() verb {
	var part engine.NewPart
	var name, entity string
	group, link, alignment, hash := 0, 0, 0, 0
	return verb{
		name: "add", args: "[OPTION …] IMAGE FILE", short: "Put a file into a SIF file as a further part", low: 2, high: 2, interspersed: true,
		differs: "not into a signed image, whose signature would no longer be right, and no second primary partition",
		options: []option{
			{long: "alignment", value: &alignment, help: "where the part may begin, bytes"},
			{long: "datatype", value: &part.Type, help: "1 definition, 2 environment, 3 labels, 4 partition, 5 signature, 6 JSON, 7 other, 8 cryptographic message"},
			{long: "filename", value: &name, help: "name to show instead of the file's"},
			{long: "groupid", value: &group, help: "group that the part belongs to"},
			{long: "link", value: &link, help: "part that it belongs to"},
			{long: "partarch", value: &part.Arch, help: "of a partition: 1 386, 2 amd64, 3 arm, 4 arm64, 5 ppc64, 6 ppc64le, 7 mips, 8 mipsle, 9 mips64, 10 mips64le, 11 s390x, 12 riscv64"},
			{long: "partfs", value: &part.FS, help: "of a partition: 1 squashfs, 2 ext3, 3 archive, 4 raw"},
			{long: "parttype", value: &part.Role, help: "of a partition: 1 system, 2 primary system, 3 data, 4 overlay"},
			{long: "sbomformat", value: &noText, absent: "lists of what an image is made of are added as datatype 7"},
			{long: "signentity", value: &entity, absent: "signatures are not made"},
			{long: "signhash", value: &hash, absent: "signatures are not made"},
		},
		run: func(ctx context.Context, args []string) error {
			for _, n := range []int{group, link, alignment} {
				if n < 0 || int64(n) > 1<<31 {
					return usage("groups, links and alignments are numbers from 0", "%d is none", n)
				}
			}
			e, err := p.c.Engine()
			if err != nil {
				return err
			}
			f, err := os.Open(absolute(args[1], p.c.User.Cwd))
			if err != nil {
				return err
			}
			defer f.Close()
			part.Name, part.Group, part.Link, part.Alignment = filepath.Base(args[1]), uint32(group), uint32(link), int64(alignment)
			if name != "" {
				part.Name = name
			}
			err = e.AddPart(ctx, args[0], part, f)
			if errors.Is(err, engine.ErrPart) {
				return usage("`sif add --help` lists the numbers", "%w", err)
			}
			return err
		},
	}
}
