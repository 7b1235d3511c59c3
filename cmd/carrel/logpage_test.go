package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"carrel/engine"
)

func TestLogPage(t *testing.T) {
	at := time.Date(2001, 2, 3, 4, 5, 6, 0, time.Local)
	line := func(stream, text string, partial bool) engine.LogLine {
		return engine.LogLine{Time: at, Stream: stream, Text: text, Partial: partial}
	}
	for _, test := range []struct {
		name    string
		batches [][]engine.LogLine
		times   bool
		want    string
	}{
		{"lines", [][]engine.LogLine{{line("out", "a", false), line("out", "", false), line("err", "b", false)}}, false, "a\n\nb\n"},
		{"a progress bar", [][]engine.LogLine{{line("out", "\r10%", true)}, {line("out", "\r20%", true)}}, false, "\r10%\r20%"},
		{"and its end", [][]engine.LogLine{{line("out", "\r10%", true)}, {line("out", "\r20%", false)}}, true, "2001-02-03 04:05:06.000 \r10%\r20%\n"},
		{"a remark in between", [][]engine.LogLine{{line("out", "Password: ", true), line("carrel", "ready", false), line("out", "x", true)}}, false, "Password: \ncarrel: ready\nx"},
	} {
		f, err := os.Create(filepath.Join(t.TempDir(), "out"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		p := logPage{a: &app{out: f}, times: test.times}
		for _, b := range test.batches {
			if err := p.print(b); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := os.ReadFile(f.Name()); err != nil || string(got) != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
	today := logPage{a: &app{}, times: true}
	if got := today.head(engine.LogLine{Time: at}, at.Add(time.Hour)); got != "04:05:06.000 " {
		t.Errorf("of today: %q", got)
	}
}

func TestParseSince(t *testing.T) {
	now := time.Date(2026, 3, 5, 10, 30, 0, 0, time.UTC)
	for text, want := range map[string]string{
		"10m": "2026-03-05 10:20:00", "2h": "2026-03-05 08:30:00", "09:15": "2026-03-05 09:15:00", "23:59": "2026-03-04 23:59:00",
		"10:30:00": "2026-03-05 10:30:00", "2026-01-31": "2026-01-31 00:00:00", "2026-01-31 14:30": "2026-01-31 14:30:00",
		"2026-01-31T14:30:05": "2026-01-31 14:30:05", "2026-01-31T14:30:00+02:00": "2026-01-31 12:30:00", "-5m": "", "yesterday": "", "": "", "25:00": "",
	} {
		got, err := parseSince(text, now)
		if (err == nil) != (want != "") || err == nil && got.UTC().Format(time.DateTime) != want {
			t.Errorf("%q: %v, %v; want %q", text, got, err, want)
		}
	}
}

func TestParseKeys(t *testing.T) {
	for text, want := range map[string]string{
		"ctrl-p,ctrl-q": "\x10\x11", "ctrl-a,d": "\x01d", "CTRL-P": "\x10", "ctrl-@": "\x00", "ctrl-[": "\x1b", "q": "q", "none": "", "": "",
		"ctrl-": "error", "ctrl-pp": "error", "a,,b": "error", "ä": "error",
	} {
		got, err := parseKeys(text)
		if (err != nil) != (want == "error") || err == nil && string(got) != want {
			t.Errorf("%q: %q, %v; want %q", text, got, err, want)
		}
	}
}
