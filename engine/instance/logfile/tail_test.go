package logfile

import (
	"os"
	"strings"
	"testing"
)

// TestTailCountsLines: a progress bar is one line, however many records it took.
func TestTailCountsLines(t *testing.T) {
	dir := t.TempDir()
	stamp := "2026-01-31T10:00:00.000000000Z o"
	text := stamp + ". first\n" + stamp + "+ 10%\n" + stamp + "+ \r20%\n" + stamp + ". \r30%\n" + stamp + "+ a question? \n"
	if err := os.WriteFile(Path(dir), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for n, want := range map[int]string{1: "a question? ", 2: "10%|\r20%|\r30%|a question? ", 3: "first|10%|\r20%|\r30%|a question? ", 4: "first|10%|\r20%|\r30%|a question? "} {
		var got []string
		for _, l := range readAll(t, dir, Options{Tail: n}) {
			got = append(got, l.Text)
		}
		if text := strings.Join(got, "|"); text != want {
			t.Errorf("the last %d lines: %q, want %q", n, text, want)
		}
	}
}
