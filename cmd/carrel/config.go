package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"carrel/engine"
)

// config is the configuration file: lines of the form "key = value", and comments that begin with #.
//
//	mirror              = http://…            where Debian packages come from, when a definition names no mirror
//	insecure_registries = lab:5000, box:5000  registries that are spoken to without TLS
//	mirror.docker.io    = lab:5000            places that are asked before a registry; HOST:PORT or HOST/PATH, several by commas
//	library             = https://…           where library:// references without a host are looked up
//	cache_limit         = 20                  gigabytes that builds and downloads may keep; 0 for any number
//	hot_limit           = 8                   gigabytes of unpacked copies of images that are used often; 0 for none
//	guard               = auto                whether a link opens apps for this user alone: auto, on or off
//	history             = 100                 apps that have ended and are remembered, with their logs; 0 for any number
//	history_days        = 30                  days that they are remembered; 0 for ever
//	history_size        = 1                   gigabytes that their logs may take, then the oldest go; 0 for any number
//	catalog             = ~/recipes           a folder with definition files of one's own; may occur several times
type config struct {
	Mirror   string
	Insecure []string
	// Mirrors are asked before a registry, by its name.
	Mirrors  map[string][]string
	Library  string
	Catalogs []string
	// CacheLimit is in bytes; 0 for none.
	CacheLimit int64
	// HotLimit is in bytes; 0 where the file does not say, negative for no copies.
	HotLimit int64
	// History is how many apps that have ended are remembered, negative for any number; HistoryDays how long, 0 for ever.
	History, HistoryDays int
	// HistorySize is how much their logs may take in bytes; 0 where the file does not say, negative for any size.
	HistorySize int64
	// Guard is empty where the file does not say.
	Guard engine.GuardMode
}

// usualCacheLimit is how much builds and downloads may keep, in bytes, unless the file says otherwise.
const usualCacheLimit = 20e9

// readConfig reads the file; none is an empty one.
func readConfig(file string) (config, error) {
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return config{CacheLimit: usualCacheLimit}, nil
	}
	if err != nil {
		return config{}, fmt.Errorf("read configuration: %w", err)
	}
	return parseConfig(file, string(data))
}

func parseConfig(file, text string) (config, error) {
	c := config{CacheLimit: usualCacheLimit}
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
		if registry, ok := strings.CutPrefix(key, "mirror."); ok {
			if err := c.addMirrors(registry, value); err != nil {
				return c, hinted(fmt.Errorf("%s: line %d: %w", file, number, err), "write mirror.docker.io = HOST:PORT")
			}
			continue
		}
		switch key {
		case "library":
			if u, err := url.Parse(value); err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
				return c, hinted(fmt.Errorf("%s: line %d: library %q is not the address of a library", file, number, value), "write library = https://HOST")
			}
			c.Library = value
		case "mirror":
			c.Mirror = value
		case "insecure_registries":
			for _, r := range strings.Split(value, ",") {
				if r = strings.TrimSpace(r); r != "" {
					c.Insecure = append(c.Insecure, r)
				}
			}
		case "cache_limit":
			gigabytes, err := strconv.ParseFloat(value, 64)
			if err != nil || !(gigabytes >= 0 && gigabytes < 1e6) {
				return c, hinted(fmt.Errorf("%s: line %d: cache_limit %q is not a number of gigabytes", file, number, value), "write cache_limit = 20")
			}
			c.CacheLimit = int64(gigabytes * 1e9)
		case "hot_limit":
			gigabytes, err := strconv.ParseFloat(value, 64)
			if err != nil || !(gigabytes >= 0 && gigabytes < 1e6) {
				return c, hinted(fmt.Errorf("%s: line %d: hot_limit %q is not a number of gigabytes", file, number, value), "write hot_limit = 8, or 0 for no unpacked copies")
			}
			if c.HotLimit = int64(gigabytes * 1e9); c.HotLimit == 0 {
				c.HotLimit = -1
			}
		case "history_size":
			gigabytes, err := strconv.ParseFloat(value, 64)
			if err != nil || !(gigabytes >= 0 && gigabytes < 1e6) {
				return c, hinted(fmt.Errorf("%s: line %d: history_size %q is not a number of gigabytes", file, number, value), "write history_size = 1, or 0 for any size")
			}
			if c.HistorySize = int64(gigabytes * 1e9); c.HistorySize == 0 {
				c.HistorySize = -1
			}
		case "guard":
			if c.Guard = engine.GuardMode(value); !slices.Contains(engine.GuardModes, c.Guard) {
				return c, hinted(fmt.Errorf("%s: line %d: guard %q is not known", file, number, value), "write guard = auto, on or off")
			}
		case "history", "history_days":
			n, err := strconv.Atoi(value)
			if err != nil || n < 0 || n > 100_000 {
				return c, hinted(fmt.Errorf("%s: line %d: %s %q is not a number from 0 on", file, number, key, value), "write history = 100, history_days = 30")
			}
			if key == "history_days" {
				c.HistoryDays = n
			} else if c.History = n; n == 0 {
				c.History = -1
			}
		case "catalog":
			if value != "" {
				c.Catalogs = append(c.Catalogs, value)
			}
		default:
			return c, hinted(fmt.Errorf("%s: line %d: there is no setting %q", file, number, key), "the settings are mirror, mirror.REGISTRY, insecure_registries, library, cache_limit, hot_limit, guard, history, history_days, history_size and catalog")
		}
	}
	return c, nil
}

// addMirrors takes a list of mirrors of a registry.
func (c *config) addMirrors(registry, list string) error {
	if registry == "" || strings.ContainsAny(registry, "/ ") {
		return fmt.Errorf("%q is not the name of a registry", registry)
	}
	for _, m := range strings.Split(list, ",") {
		m = strings.TrimSpace(m)
		host, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(m, "http://"), "https://"), "/")
		if !strings.ContainsAny(host, ".:") && host != "localhost" || strings.ContainsAny(m, " ?#@") {
			return fmt.Errorf("mirror %q is not HOST:PORT or HOST/PATH", m)
		}
		if c.Mirrors == nil {
			c.Mirrors = map[string][]string{}
		}
		c.Mirrors[registry] = append(c.Mirrors[registry], m)
	}
	return nil
}
