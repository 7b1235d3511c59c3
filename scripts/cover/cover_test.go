package main

import "testing"

func TestParse(t *testing.T) {
	for text, want := range map[string]result{
		"ok  \tcarrel/engine/card\t0.012s\tcoverage: 91.2% of statements":             {"carrel/engine/card", 91.2, false},
		"ok  \tcarrel/engine/tree\t(cached)\tcoverage: 0.0% of statements [no tests]": {"carrel/engine/tree", 0, false},
		"\tcarrel/engine/progress\t\tcoverage: 0.0% of statements":                    {"carrel/engine/progress", 0, false},
		"FAIL\tcarrel/engine/oci\t1.5s":                                               {"carrel/engine/oci", -1, true},
		"ok  \tcarrel/engine/x\t0.1s\tcoverage: [no statements]":                      {"carrel/engine/x", -1, false},
	} {
		if got, ok := parse(text); !ok || got != want {
			t.Errorf("%q: got %+v, %v", text, got, ok)
		}
	}
	for _, text := range []string{"", "FAIL", "--- FAIL: TestX (0.00s)", "    x_test.go:3: carrel/engine/x is bad", "PASS"} {
		if got, ok := parse(text); ok {
			t.Errorf("%q: got %+v", text, got)
		}
	}
}
