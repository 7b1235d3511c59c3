package fuse

import (
	"fmt"
	"strings"
	"testing"

	"carrel/engine/squashfs"
	"carrel/engine/tree"
)

func TestWalk(t *testing.T) {
	var k walk
	folders := func(n int) {
		for range n {
			k.list()
		}
	}
	folders(walkFolders)
	if k.names() {
		t.Error("a walk too soon")
	}
	folders(1)
	if !k.names() {
		t.Error("not a walk")
	}
	k.use(false)
	if k.names() {
		t.Error("a walk that reads")
	}
	folders(walkFolders + 1)
	k.use(true) // names were not enough
	folders(walkFolders + 1)
	if k.names() {
		t.Error("the same mistake again")
	}
	folders(walkFolders)
	if !k.names() {
		t.Error("not a walk, though twice as long")
	}
	for range 100 {
		k.listed.Store(1 << 31)
		k.use(true)
	}
	folders(walkFolders * 4)
	if k.names() {
		t.Error("a walk after a hundred mistakes")
	}
}

// TestWalkThenLook lists more folders than make a walk, and looks at the files afterwards, whose attributes were left out.
func TestWalkThenLook(t *testing.T) {
	es := entries{object(".", tree.TypeDir|0o755)}
	for i := range 3 * walkFolders {
		for _, name := range []string{"a", "b", "c"} {
			es = append(es, regular(fmt.Sprintf("d%03d/%s", i, name), name))
		}
	}
	img := makeImage(t, es, squashfs.Options{})
	got := inContainer(t, img, Options{OneOwner: true}, `cd $1; find . | wc -l; find . -type f -size 1c | wc -l; cat d*/* | tr -d '\n' | wc -c; ls -lR . | grep -c '^-rw-r--r-- .* 1 '; find . | wc -l`)
	n := 3 * walkFolders
	want := fmt.Sprintf("%d\n%d\n%d\n%d\n%d", 4*n+1, 3*n, 3*n, 3*n, 4*n+1)
	if strings.Join(strings.Fields(got), "\n") != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAheadGivesWay(t *testing.T) {
	s := &server{ahead: newAhead()}
	for i := range uint32(10 * aheadOrders) { // nobody carries them out: none may wait for that
		s.order(order{fragment: i})
	}
	if len(s.ahead.orders) != aheadOrders {
		t.Errorf("%d orders wait", len(s.ahead.orders))
	}
}
