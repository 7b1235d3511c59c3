package oci

import (
	"archive/tar"
	"bytes"
	"fmt"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"testing"

	"carrel/engine/tree"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

func TestFlatten(t *testing.T) {
	rows := []struct {
		name   string
		layers [][]item // lowest first
		want   []string
	}{
		{"one layer", [][]item{{"a/", "a/b", "l -> a/b", "h => a/b"}}, []string{"a/", "a/b", "h => a/b", "l -> a/b"}},
		{"upper wins", [][]item{{"a=1", "b"}, {"a=2"}}, []string{"a=2", "b"}},
		{"directories merge", [][]item{{"d/", "d/a"}, {"d/", "d/b"}}, []string{"d/", "d/a", "d/b"}},
		{"whiteout", [][]item{{"d/", "d/a", "d/b"}, {"d/", "d/.wh.a"}}, []string{"d/", "d/b"}},
		{"whiteout of a directory", [][]item{{"d/", "d/e/", "d/e/a"}, {"d/", "d/.wh.e"}}, []string{"d/"}},
		{"whiteout spares its own layer", [][]item{{"d/", "d/a=1"}, {"d/", "d/a=2", "d/.wh.a"}}, []string{"d/", "d/a=2"}},
		{"whiteout and new directory", [][]item{{"d/", "d/a"}, {".wh.d", "d/", "d/b"}}, []string{"d/", "d/b"}},
		{"whiteout between", [][]item{{"d/", "d/a"}, {".wh.d"}, {"d/", "d/b"}}, []string{"d/", "d/b"}},
		{"opaque", [][]item{{"d/", "d/a", "d/e/", "d/e/x"}, {"d/", "d/b", "d/.wh..wh..opq"}}, []string{"d/", "d/b"}},
		{"opaque in the middle", [][]item{{"d/", "d/a"}, {"d/", "d/.wh..wh..opq", "d/b"}, {"d/", "d/c"}}, []string{"d/", "d/b", "d/c"}},
		{"opaque root", [][]item{{"a", "b/", "b/c"}, {".wh..wh..opq", "d"}}, []string{"d"}},
		{"aufs files", [][]item{{".wh..wh.plnk/", ".wh..wh.plnk/1", ".wh..wh.aufs", "a"}}, []string{"a"}},
		{"file over directory", [][]item{{"d/", "d/a"}, {"d=x"}}, []string{"d=x"}},
		{"directory over file", [][]item{{"d=x"}, {"d/", "d/a"}}, []string{"d/", "d/a"}},
		{"directory over file over directory", [][]item{{"d/", "d/a"}, {"d=x"}, {"d/", "d/b"}}, []string{"d/", "d/b"}},
		{"directory over link", [][]item{{"usr/", "usr/bin/", "bin -> usr/bin"}, {"bin/", "bin/x"}}, []string{"bin/", "bin/x", "usr/", "usr/bin/"}},

		{"parent is a link below", [][]item{{"usr/", "usr/bin/", "bin -> usr/bin"}, {"bin/x"}},
			[]string{"bin -> usr/bin", "usr/", "usr/bin/", "usr/bin/x=bin/x"}},
		{"parent is an absolute link two below", [][]item{{"usr/", "usr/bin/", "usr/bin/x=old", "bin -> /usr/bin"}, {"a"}, {"bin/x=new"}},
			[]string{"a", "bin -> /usr/bin", "usr/", "usr/bin/", "usr/bin/x=new"}},
		{"whiteout through a link below", [][]item{{"usr/", "usr/bin/", "usr/bin/x", "bin -> usr/bin"}, {"bin/.wh.x"}},
			[]string{"bin -> usr/bin", "usr/", "usr/bin/"}},
		{"link below was replaced", [][]item{{"usr/", "bin -> usr"}, {"bin/", "bin/y"}, {"bin/x"}}, []string{"bin/", "bin/x", "bin/y", "usr/"}},
		{"link in the same layer", [][]item{{"usr/", "bin -> usr", "bin/x=1"}}, []string{"bin -> usr", "usr/", "usr/x=1"}},
		{"link out of the root ends at it", [][]item{{"a/", "a/l -> ../../../b"}, {"a/l/x=1"}}, []string{"a/", "a/l -> ../../../b", "b/", "b/x=1"}},
		{"implied parent over a file", [][]item{{"a=1"}, {"a/x"}}, []string{"a/", "a/x"}},
		{"implied parent keeps lower siblings", [][]item{{"a/", "a/y"}, {"a/x"}}, []string{"a/", "a/x", "a/y"}},
		{"no parents at all", [][]item{{"a/b/c"}}, []string{"a/", "a/b/", "a/b/c"}},

		{"hard link, target replaced above", [][]item{{"t=1", "h => t"}, {"t=2"}}, []string{"h=1", "t=2"}},
		{"hard links, target removed above", [][]item{{"t=1", "h => t", "i => t"}, {".wh.t"}}, []string{"h=1", "i => h"}},
		{"hard links to a hidden hard link", [][]item{{"t=1", "h => t", "i => h", "j => i"}, {".wh.h", ".wh.i"}}, []string{"j=1", "t => j"}},
		{"all names but the last removed", [][]item{{"t=1", "h => t", "i => h"}, {".wh.h", ".wh.t"}}, []string{"i=1"}},
		{"hard link to a lower layer", [][]item{{"t=1"}, {"h => t"}}, []string{"h=1", "t => h"}},
		{"hard link to a lower layer, target replaced", [][]item{{"t=1"}, {"h => t"}, {"t=2"}}, []string{"h=1", "t=2"}},
		{"hard link to a lower hard link", [][]item{{"t=1", "g => t"}, {"h => g"}}, []string{"g=1", "h => g", "t => g"}},
		{"hard link to a lower hard link, both removed", [][]item{{"t=1", "g => t"}, {"h => g"}, {".wh.g", ".wh.t"}}, []string{"h=1"}},
		{"hard link through a link below", [][]item{{"usr/", "usr/t=1", "bin -> usr"}, {"usr/", "usr/h => bin/t"}},
			[]string{"bin -> usr", "usr/", "usr/h=1", "usr/t => usr/h"}},
		{"a file given twice", [][]item{{"a=1", "a => a"}}, []string{"a=1"}},
		{"dotted names", [][]item{{"./", "./a/", "./a/./b=1", "a//c=2"}}, []string{"a/", "a/b=1", "a/c=2"}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			var layers []v1.Layer
			for i, items := range row.layers {
				if i%2 == 0 {
					layers = append(layers, layerOf(t, tarOf(t, items...)))
				} else {
					layers = append(layers, zstdLayer(t, tarOf(t, items...)))
				}
			}
			got, err := flatten(t, Options{}, layers...)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(canonical(row.want), canonical(got.list())); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// canonical brings both sides into one order; list names a hard-linked file by its first name.
func canonical(list []string) []string { return slices.Sorted(slices.Values(list)) }

// apply is flattening done in the plain way, bottom up on a tree in memory.
func (m *memory) apply(items []item) {
	for _, i := range items {
		dir, base := path.Split(string(i))
		if base == ".wh..wh..opq" {
			for p := range m.nodes {
				if strings.HasPrefix(p, dir) {
					delete(m.nodes, p)
				}
			}
		} else if removed, ok := strings.CutPrefix(base, ".wh."); ok {
			m.remove(dir + removed)
		}
	}
	for _, i := range items {
		if strings.Contains(string(i), ".wh.") {
			continue
		}
		h, body := i.header()
		p := path.Clean(h.Name)
		for dir := path.Dir(p); dir != "."; dir = path.Dir(dir) {
			if n := m.nodes[dir]; n != nil && !n.entry.IsDir() {
				m.remove(dir)
			}
		}
		e := tree.Entry{Path: p}
		if h.Typeflag == tar.TypeLink {
			e.HardLink = h.Linkname
		} else {
			e, _ = newEntry(h, p)
		}
		m.Add(e, bytes.NewReader(body))
	}
}

// Random layers, with and without their parent folders, give what the plain way gives.
func TestFlattenIsWhatApplyingLayersGives(t *testing.T) {
	host := serve(t)
	for seed := range uint64(150) {
		r := rand.New(rand.NewPCG(seed, 1))
		want := newMemory()
		var layers []v1.Layer
		var all [][]item
		for n := range 2 + r.IntN(4) {
			items := randomLayer(r, n, seed%2 == 0)
			all = append(all, items)
			want.apply(items)
			layers = append(layers, layerOf(t, tarOf(t, items...)))
		}
		m := open(t, push(t, host, imageOf(t, layers...)), Options{})
		got := newMemory()
		if err := m.WriteTo(t.Context(), got); err != nil {
			t.Fatalf("seed %d: %v\n%q", seed, err, all)
		}
		if diff := cmp.Diff(want.list(), got.list()); diff != "" {
			t.Fatalf("seed %d (- applied, + flattened): %s\n%s", seed, diff, show(all))
		}
	}
}

func show(layers [][]item) string {
	var b strings.Builder
	for i, l := range layers {
		fmt.Fprintf(&b, "layer %d: %q\n", i, l)
	}
	return b.String()
}

func randomLayer(r *rand.Rand, n int, parents bool) []item {
	kinds := map[string]byte{} // of this layer's paths
	var items []item
	var files []string
	dirOK := func(dir string) bool {
		for ; dir != "."; dir = path.Dir(dir) {
			if k, ok := kinds[dir]; ok && k != 'd' {
				return false
			}
		}
		return true
	}
	for range 2 + r.IntN(8) {
		p := string("abc"[r.IntN(3)])
		for range r.IntN(3) {
			p += "/" + string("abc"[r.IntN(3)])
		}
		dir := path.Dir(p)
		if kinds[p] != 0 || !dirOK(dir) {
			continue
		}
		if parents {
			var missing []string
			for d := dir; d != "." && kinds[d] == 0; d = path.Dir(d) {
				missing = append(missing, d)
			}
			for _, d := range slices.Backward(missing) {
				kinds[d] = 'd'
				items = append(items, item(d+"/"))
			}
		} else {
			for d := dir; d != "."; d = path.Dir(d) {
				kinds[d] = 'd' // implied, must not become a file of this layer
			}
		}
		prefix := ""
		if dir != "." {
			prefix = dir + "/"
		}
		switch k := r.IntN(8); {
		case k == 0:
			kinds[p] = 'w'
			items = append(items, item(prefix+".wh."+path.Base(p)))
		case k == 1 && dir != "." && parents:
			if kinds[dir+"/opq"] == 0 {
				kinds[dir+"/opq"] = 'o'
				items = append(items, item(prefix+".wh..wh..opq"))
			}
		case k <= 3:
			kinds[p] = 'd'
			items = append(items, item(p+"/"))
		case k == 4 && len(files) > 0:
			kinds[p] = 'f'
			items = append(items, item(p+" => "+files[r.IntN(len(files))]))
			files = append(files, p)
		default:
			kinds[p] = 'f'
			items = append(items, item(fmt.Sprintf("%s=%s in %d", p, p, n)))
			files = append(files, p)
		}
	}
	return items
}

func TestEntriesKeepTheirAttributes(t *testing.T) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	long := strings.Repeat("long/", 60) + "name"
	headers := []*tar.Header{
		{Typeflag: tar.TypeReg, Name: "suid", Mode: 0o4755, Uid: 1000, Gid: 70000, ModTime: testTime, Format: tar.FormatPAX,
			PAXRecords: map[string]string{"SCHILY.xattr.security.capability": "\x01\x00\x00\x02", "SCHILY.xattr.user.overlay.opaque": "y"}},
		{Typeflag: tar.TypeReg, Name: long, Mode: 0o600, ModTime: testTime, Format: tar.FormatGNU},
		{Typeflag: tar.TypeChar, Name: "null", Mode: 0o666, Devmajor: 1, Devminor: 3},
		{Typeflag: tar.TypeBlock, Name: "disk", Mode: 0o660, Devmajor: 8, Devminor: 1},
		{Typeflag: tar.TypeFifo, Name: "fifo", Mode: 0o600},
		{Typeflag: tar.TypeSymlink, Name: "out", Linkname: "../../../etc/passwd", Mode: 0o777},
	}
	for _, h := range headers {
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
	}
	w.Close()
	got, err := flatten(t, Options{}, layerOf(t, b.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	entry := func(p string) tree.Entry {
		if got.nodes[p] == nil {
			t.Fatalf("no %s", p)
		}
		return got.nodes[p].entry
	}
	suid := tree.Entry{Path: "suid", Mode: 0o104755, UID: 1000, GID: 70000, ModTime: testTime,
		Xattrs: map[string][]byte{"security.capability": []byte("\x01\x00\x00\x02")}}
	if diff := cmp.Diff(suid, entry("suid")); diff != "" {
		t.Error(diff)
	}
	if e := entry(long); e.Mode != 0o100600 {
		t.Errorf("long name: %o", e.Mode)
	}
	if e := entry("null"); e.Mode != 0o020666 || e.Major != 1 || e.Minor != 3 {
		t.Errorf("char device: %+v", e)
	}
	if e := entry("disk"); e.Mode != 0o060660 || e.Major != 8 || e.Minor != 1 {
		t.Errorf("block device: %+v", e)
	}
	if e := entry("fifo"); e.Mode != 0o010600 {
		t.Errorf("fifo: %o", e.Mode)
	}
	if e := entry("out"); e.Link != "../../../etc/passwd" {
		t.Errorf("link: %+v", e)
	}
}
