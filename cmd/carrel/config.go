package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// config is the configuration file: lines of the form "key = value", and comments that begin with #.
//
//	mirror              = http://…            where Debian packages come from, when a definition names no mirror
//	insecure_registries = lab:5000, box:5000  registries that are spoken to without TLS
//	catalog             = ~/recipes           a folder with definition files of one's own; may occur several times
type config struct {
	Mirror   string
	Insecure []string
	Catalogs []string
}

// readConfig reads the file; none is an empty one.
func readConfig(file string) (config, error) {
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return config{}, nil
	}
	if err != nil {
		return config{}, fmt.Errorf("read configuration: %w", err)
	}
	return parseConfig(file, string(data))
}

func parseConfig(file, text string) (config, error) {
	var c config
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		if !ok {
			return c, hinted(fmt.Errorf("%s: line %d: %q is not of the form key = value", file, number, line), "correct the line, or begin it with #")
		}
		switch key {
		case "mirror":
			c.Mirror = value
		case "insecure_registries":
			for _, r := range strings.Split(value, ",") {
				if r = strings.TrimSpace(r); r != "" {
					c.Insecure = append(c.Insecure, r)
				}
			}
		case "catalog":
			if value != "" {
				c.Catalogs = append(c.Catalogs, value)
			}
		default:
			return c, hinted(fmt.Errorf("%s: line %d: there is no setting %q", file, number, key), "the settings are mirror, insecure_registries and catalog")
		}
	}
	return c, nil
}
