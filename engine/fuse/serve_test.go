package fuse

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"math/rand/v2"
	"os"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"carrel/engine/squashfs"
	"carrel/engine/tree"
)

func newHash() hash.Hash { return sha256.New() }

func regular(p, data string) entry {
	return entry{tree.Entry{Path: p, Mode: tree.TypeRegular | 0o644, ModTime: time.Unix(1e9, 0)}, data}
}

func object(p string, mode uint32) entry {
	return entry{Entry: tree.Entry{Path: p, Mode: mode, ModTime: time.Unix(1e9+5, 0)}}
}

// sample has all kinds of entries, large files with and without holes, and a directory that takes many replies.
func sample() entries {
	rng := rand.New(rand.NewPCG(1, 2))
	large := make([]byte, 3<<20+17)
	for i := range large {
		large[i] = byte(rng.Uint32() >> 30)
	}
	es := entries{
		object(".", tree.TypeDir|0o755), object("dir", tree.TypeDir|0o1777), regular("dir/small", "small"), regular("empty", ""),
		regular("large", string(large)), regular("holes", strings.Repeat("\x00", 1<<20)+"x"+strings.Repeat("\x00", 300_000)),
		object("fifo", tree.TypeFifo|0o600), object("socket", tree.TypeSocket|0o600), object("null", tree.TypeChar|0o666),
		object("link", tree.TypeSymlink|0o777), {Entry: tree.Entry{Path: "second", HardLink: "large"}}, object("suid", tree.TypeRegular|0o4755),
	}
	es[8].Major, es[8].Minor = 1, 3
	es[9].Link = "dir/small"
	es[1].UID, es[1].GID = 1000, 1<<31
	for i := range 3000 {
		es = append(es, regular(fmt.Sprintf("many/a-name-that-is-somewhat-long-%04d", i), fmt.Sprint(i)))
	}
	return es
}

func withXattrs(es entries) entries {
	es[1].Xattrs = map[string][]byte{"user.overlay.opaque": []byte("y"), "user.long": []byte(strings.Repeat("long", 1000))}
	es[4].Xattrs = map[string][]byte{"user.empty": {}}
	return es
}

func TestServedTreeIsTheImage(t *testing.T) {
	for name, opt := range map[string]squashfs.Options{"zstd": {}, "small blocks": {BlockSize: 4096}, "none, large blocks": {Compression: squashfs.None, BlockSize: 1 << 20}} {
		for _, attrs := range []bool{false, true} {
			t.Run(fmt.Sprint(name, attrs), func(t *testing.T) {
				es := sample()
				if attrs {
					es = withXattrs(es)
				}
				img := makeImage(t, es, opt)
				got := inContainer(t, img, Options{OneOwner: true}, "list")
				if diff := cmp.Diff(imageList(t, img), lines(got)); diff != "" {
					t.Errorf("(-image +mounted)\n%.3000s", diff)
				}
			})
		}
	}
}

func lines(s string) []string {
	l := strings.Split(strings.Trim(s, "\n"), "\n")
	sort.Strings(l)
	return l
}

// imageList is what a walk over the mounted image should give, with all owned by root.
func imageList(t *testing.T, img *squashfs.Reader) []string {
	t.Helper()
	var b strings.Builder
	first := map[string]bool{}
	l := &lister{w: &b, hide: func(e *tree.Entry) {
		e.UID, e.GID = 0, 0
		first[e.Path] = true
	}}
	if err := img.WriteTo(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	return lines(b.String())
}

func TestCommands(t *testing.T) {
	img := makeImage(t, withXattrs(sample()), squashfs.Options{})
	tests := []struct{ name, script, want string }{
		{"names that are not there", `! test -e $1/nothing; ! test -e $1/many/nothing; ! test -e $1/empty/x; echo ok`, "ok"},
		{"listing twice", `ls -U $1/many | wc -l; ls $1/many | wc -l; find $1/many -type f -size +0 | wc -l`, "3000\n3000\n3000"},
		{"links", `readlink $1/link; cat $1/link; stat -c %h $1/large; cmp $1/large $1/second`, "dir/small\nsmall2"},
		{"reading at random", `dd if=$1/large bs=1000 skip=1234 count=1 2>/dev/null | cksum; head -c 1235000 $1/large | tail -c 1000 | cksum`, ""},
		{"writing", `! (echo x > $1/new) 2>/dev/null; ! (echo x > $1/empty) 2>/dev/null; ! rm -f $1/empty 2>/dev/null; ! chmod 0 $1/empty 2>/dev/null; ! mkdir $1/x 2>/dev/null; echo ok`, "ok"},
		{"a second mount", `mount --bind $1 $1/dir && cat $1/dir/dir/small && umount $1/dir`, "small"},
		{"statfs", `stat -f -c '%s %f %l' $1`, "4096 0 255"},
		{"directories", `cd $1/dir; cd ..; test $(stat -c %i .) = $(stat -c %i $1); stat -c '%a %u %g' dir`, "1777 0 0"},
		{"many at once", `for i in 1 2 3 4 5 6 7 8; do (find $1 -type f -exec cat {} + | cksum) & done; wait`, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := strings.TrimSpace(inContainer(t, img, Options{OneOwner: true}, tt.script))
			if tt.want == "" { // the lines must be equal
				if l := lines(got); l[0] != l[len(l)-1] || len(l) < 2 {
					t.Errorf("got\n%s", got)
				}
			} else if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestOverlayOnTop(t *testing.T) {
	img := makeImage(t, sample(), squashfs.Options{})
	got := inContainer(t, img, Options{OneOwner: true}, `
		t=$(mktemp -d); mount -t tmpfs tmpfs $t; mkdir $t/u $t/w $t/m
		mount -t overlay -o userxattr,lowerdir=$1,upperdir=$t/u,workdir=$t/w overlay $t/m
		echo changed > $t/m/dir/small; rm $t/m/many/*; mv $t/m/dir $t/m/moved; chmod 600 $t/m/empty
		cat $t/m/moved/small; ls $t/m/many | wc -l; cat $1/dir/small; umount $t/m; umount $t; rmdir $t`)
	if got != "changed\n0\nsmall" {
		t.Errorf("got %q", got)
	}
}

func TestEndsWithTheContainer(t *testing.T) {
	img := makeImage(t, sample(), squashfs.Options{})
	c := start(t, `cat $1/dir/small; kill -9 $$`)
	done := make(chan error, 1)
	go func() { done <- Serve(context.Background(), c.fd, img, Options{}) }()
	if err := c.cmd.Wait(); err == nil {
		t.Error("the script was not killed")
	}
	if err := <-done; err != nil {
		t.Errorf("serve: %v", err)
	}
	if n := goroutines(); n > 0 {
		t.Errorf("%d goroutines are left", n)
	}
}

func TestEndsWithItsContext(t *testing.T) {
	img := makeImage(t, sample(), squashfs.Options{})
	// The script sees the end of the server as an error of every call.
	c := start(t, `cat $1/dir/small; echo; while cat $1/many/* >/dev/null 2>&1 && ls $1/dir >/dev/null 2>&1; do :; done; ls $1 2>&1 || true`)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, c.fd, img, Options{Workers: 3}) }()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("serve: %v", err)
	}
	_ = c.cmd.Wait() // cat may have come too late, which is the script's failure
	if n := goroutines(); n > 0 {
		t.Errorf("%d goroutines are left", n)
	}
}

func TestBadDescriptor(t *testing.T) {
	img := makeImage(t, entries{object(".", tree.TypeDir|0o755)}, squashfs.Options{})
	if err := Serve(t.Context(), -1, img, Options{}); !errors.Is(err, unix.EBADF) {
		t.Errorf("got %v", err)
	}
	f, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Dup(int(f.Fd()))
	f.Close()
	if err != nil {
		t.Fatal(err)
	}
	if err := Serve(t.Context(), fd, img, Options{}); err == nil {
		t.Error("/dev/null was served")
	}
}

func TestIDsAsInTheImage(t *testing.T) {
	img := makeImage(t, sample(), squashfs.Options{})
	got := inContainer(t, img, Options{}, `stat -c '%u %g' $1/dir; stat -c '%u %g' $1/empty`)
	if got != "65534 65534\n0 0\n" {
		t.Errorf("got %q", got)
	}
}
