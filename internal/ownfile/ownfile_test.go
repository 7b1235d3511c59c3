package ownfile

import (
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestRanges(t *testing.T) {
	maps := `00400000-00d72000 r-xp 00000000 fe:00 77 /opt/my bin/carrel
00d72000-0175d000 r--p 00972000 fe:00 77 /opt/my bin/carrel
0175d000-01850000 rw-p 0135d000 fe:00 77 /opt/my bin/carrel
01850000-03ac0000 rw-p 00000000 00:00 0
7f0000000000-7f0000001000 r--p 00000000 fe:00 78 /other
7f0000002000-7f0000003000 r--s 00000000 fe:00 77 /opt/my bin/carrel
7ffc00000000-7ffc00001000 r-xp 00000000 00:00 0 [vdso]
x-y r-xp 00000000 fe:00 77 /opt/my bin/carrel
`
	want := []span{{0x400000, 0xd72000}, {0xd72000, 0x175d000}}
	if got := ranges([]byte(maps), 0x401000); !slices.Equal(got, want) {
		t.Errorf("got %x, want %x", got, want)
	}
	if got := ranges([]byte(maps), 0x1); len(got) > 0 {
		t.Errorf("of a file that is not there: %x", got)
	}
}

// TestRelease: less of the program is in memory, and the program goes on.
func TestRelease(t *testing.T) {
	before := resident(t)
	if err := Release(); err != nil {
		t.Fatal(err)
	}
	if after := resident(t); after >= before {
		t.Errorf("%d kB of files in memory before, %d after", before, after)
	}
	if !slices.IsSorted([]int{1, 2, 3}) || reflect.TypeOf(before).Kind() != reflect.Int {
		t.Error("code is not what it was")
	}
}

// resident is how much of files this process has in memory, in kB.
func resident(t *testing.T) int {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if v, ok := strings.CutPrefix(line, "RssFile:"); ok {
			kb, err := strconv.Atoi(strings.Fields(v)[0])
			if err != nil {
				t.Fatal(err)
			}
			return kb
		}
	}
	t.Fatal("no RssFile")
	return 0
}
