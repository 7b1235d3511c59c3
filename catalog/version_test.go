package catalog

import (
	"slices"
	"testing"
)

func TestCompareVersions(t *testing.T) {
	want := []string{"", "1", "1.0", "1.00", "1.0rc1", "1.2", "1.9--0", "1.9--1", "1.10", "1.10.2", "2", "10", "18446744073709551617", "latest", "v1", "v2.1", "v2.11"}
	got := slices.Clone(want)
	slices.Reverse(got)
	slices.SortFunc(got, compareVersions)
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
