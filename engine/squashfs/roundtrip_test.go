package squashfs

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"carrel/engine/tree"
)

func TestWriteThenRead(t *testing.T) {
	for _, c := range []Compression{Zstd, Gzip, None} {
		for _, blockSize := range []int{MinBlockSize, DefaultBlockSize, MaxBlockSize} {
			t.Run(fmt.Sprintf("%v-%d", c, blockSize), func(t *testing.T) {
				for seed := range uint64(4) {
					src := randomTree(seed, min(blockSize, 16<<10), true)
					b, stats := pack(t, src, Options{Compression: c, BlockSize: blockSize})
					if int64(len(b)) != stats.PaddedSize || stats.PaddedSize%4096 != 0 || stats.Size > stats.PaddedSize {
						t.Fatalf("%d bytes, stats %+v", len(b), stats)
					}
					r := openBytes(t, b)
					same(t, "image", list(t, src), list(t, r))
					for n := uint32(1); n <= r.Superblock().Inodes; n++ {
						ref, err := r.Lookup(n)
						if err != nil {
							t.Fatal(err)
						}
						in, err := r.Inode(ref)
						if err != nil || in.Number != n {
							t.Fatalf("inode %d is %+v, %v", n, in, err)
						}
					}
				}
			})
		}
	}
}

func TestBytesDoNotDependOnProcessors(t *testing.T) {
	src := randomTree(7, 32<<10, true)
	var want []byte
	for _, procs := range []int{1, 2, 4} {
		old := runtime.GOMAXPROCS(procs)
		for range 2 {
			b, _ := pack(t, src, Options{BlockSize: 32 << 10})
			if want == nil {
				want = b
			}
			if !bytes.Equal(b, want) {
				t.Errorf("image differs with GOMAXPROCS=%d", procs)
			}
		}
		runtime.GOMAXPROCS(old)
	}
	for _, workers := range []int{1, 3, 17} {
		if b, _ := pack(t, src, Options{BlockSize: 32 << 10, Workers: workers}); !bytes.Equal(b, want) {
			t.Errorf("image differs with %d workers", workers)
		}
	}
}

func TestOffset(t *testing.T) {
	src := randomTree(3, 8<<10, true)
	plain, _ := pack(t, src, Options{BlockSize: 8 << 10})
	m := &memory{b: bytes.Repeat([]byte{0xaa}, 8192)}
	w, err := NewWriter(m, Options{BlockSize: 8 << 10, Offset: 8192})
	if err != nil {
		t.Fatal(err)
	}
	if err := src.WriteTo(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	stats, err := w.Close()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(m.b[:8192], bytes.Repeat([]byte{0xaa}, 8192)) || !bytes.Equal(m.b[8192:8192+stats.PaddedSize], plain) {
		t.Error("image at an offset differs")
	}
}

// reference lists a folder that another program made or will read.
func reference(t *testing.T, folder string) map[string]string {
	return list(t, tree.Dir(folder, tree.DirOptions{}))
}

// testBlock is a block size small enough that files of many blocks are quickly made.
const testBlock = 16 << 10

func makeFolder(t *testing.T, seed uint64) string {
	t.Helper()
	folder := filepath.Join(t.TempDir(), "tree")
	u, err := tree.Unpack(folder, tree.UnpackOptions{Owners: os.Geteuid() == 0})
	if err != nil {
		t.Fatal(err)
	}
	if err := randomTree(seed, testBlock, os.Geteuid() == 0).WriteTo(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	if _, err := u.Close(); err != nil {
		t.Fatal(err)
	}
	return folder
}

func TestUnsquashfsReadsOurs(t *testing.T) {
	needTool(t, "unsquashfs")
	defer unix.Umask(unix.Umask(0)) // unsquashfs of a user follows it
	folder := makeFolder(t, 11)
	want := reference(t, folder)
	for _, opt := range []Options{
		{}, {BlockSize: testBlock}, {BlockSize: testBlock, Level: 19}, {BlockSize: testBlock, Compression: Gzip}, {BlockSize: testBlock, Compression: Gzip, Level: 1},
		{BlockSize: testBlock, Compression: None}, {BlockSize: MaxBlockSize}, {BlockSize: MinBlockSize},
	} {
		t.Run(fmt.Sprintf("%v-%d-%d", opt.Compression, opt.Level, opt.BlockSize), func(t *testing.T) {
			b, _ := pack(t, tree.Dir(folder, tree.DirOptions{}), opt)
			out := filepath.Join(t.TempDir(), "out")
			run(t, "unsquashfs", "-no-progress", "-d", out, writeFile(t, b))
			same(t, "unsquashfs", want, reference(t, out))
		})
	}
}

func TestReadMksquashfs(t *testing.T) {
	needTool(t, "mksquashfs")
	folder := makeFolder(t, 12)
	want := reference(t, folder)
	for _, args := range [][]string{
		{"-b", "16K", "-comp", "gzip"}, {"-b", "16K", "-comp", "zstd"}, {"-b", "16K", "-comp", "xz"}, {"-b", "16K", "-comp", "xz", "-Xbcj", "x86"},
		{"-b", "16K", "-comp", "lz4"}, {"-b", "16K", "-comp", "lz4", "-Xhc"}, {"-b", "16K", "-noI", "-noD", "-noF", "-noX", "-noId"},
		{"-b", "16K", "-comp", "zstd", "-always-use-fragments"}, {"-b", "16K", "-comp", "gzip", "-no-fragments", "-no-exports"}, {}, {"-b", "1M"}, {"-b", "4K", "-no-duplicates"},
	} {
		t.Run(fmt.Sprint(args), func(t *testing.T) {
			image := filepath.Join(t.TempDir(), "x.sqfs")
			run(t, "mksquashfs", append([]string{folder, image, "-quiet", "-no-progress"}, args...)...)
			b, err := os.ReadFile(image)
			if err != nil {
				t.Fatal(err)
			}
			same(t, "image", want, list(t, openBytes(t, b)))
		})
	}
	t.Run("lzo", func(t *testing.T) {
		image := filepath.Join(t.TempDir(), "x.sqfs")
		run(t, "mksquashfs", folder, image, "-quiet", "-no-progress", "-comp", "lzo")
		b, err := os.ReadFile(image)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Open(bytes.NewReader(b), int64(len(b)), ReaderOptions{}); err == nil {
			t.Error("lzo was opened")
		}
	})
}

func TestKernelMountsOurs(t *testing.T) {
	needRoot(t)
	needTool(t, "mount")
	if _, err := os.Stat("/dev/loop-control"); err != nil {
		t.Skip("missing: loop devices")
	}
	src := randomTree(13, testBlock, true)
	// A directory large enough to have an index, with long names so that it spans many metadata blocks.
	src = append(src, dir("many", 0o755))
	for i := range 5000 {
		src = append(src, regular(fmt.Sprintf("many/%05d-a-rather-long-name-so-that-the-listing-is-large", i), []byte{byte(i)}))
	}
	want := list(t, src)
	for _, opt := range []Options{{}, {BlockSize: testBlock, Compression: Gzip}, {BlockSize: testBlock, Compression: None}, {BlockSize: MaxBlockSize}, {BlockSize: MinBlockSize}} {
		b, _ := pack(t, src, opt)
		image, at := writeFile(t, b), t.TempDir()
		run(t, "mount", "-t", "squashfs", "-o", "loop,ro", image, at)
		t.Cleanup(func() { run(t, "umount", at) })
		same(t, "mounted image", want, reference(t, at))
		same(t, "image", want, list(t, openBytes(t, b)))
	}
}

// wholeRoot is a root file system of more than 10,000 entries of all kinds: the folder that CARREL_BENCH_TREE names, or else a copy
// of parts of this computer's own with what these lack.
func wholeRoot(t *testing.T) string {
	if folder := os.Getenv("CARREL_BENCH_TREE"); folder != "" {
		return folder
	}
	root := filepath.Join(t.TempDir(), "root")
	for _, dir := range []string{"/etc", "/usr/bin", "/usr/lib", "/usr/share", "/dev", "/var/empty/deep"} {
		if err := os.MkdirAll(root+dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	count := func() (n int) {
		if err := filepath.WalkDir(root, func(string, os.DirEntry, error) error { n++; return nil }); err != nil {
			t.Fatal(err)
		}
		return n
	}
	const enough = 11_000
	for _, part := range []string{"/etc", "/usr/share/zoneinfo", "/usr/share/perl", "/usr/share/terminfo", "/usr/share/man", "/usr/lib/python3", "/usr/share/doc"} {
		if _, err := os.Stat(part); err == nil && count() < enough {
			run(t, "cp", "-a", "--one-file-system", part, filepath.Dir(root+part))
		}
	}
	for _, program := range []string{"su", "passwd", "mount", "ping", "bash", "perl"} {
		if _, err := os.Stat("/usr/bin/" + program); err == nil {
			run(t, "cp", "-a", "/usr/bin/"+program, root+"/usr/bin/")
		}
	}
	for name, mode := range map[string]uint32{"null": unix.S_IFCHR | 0o666, "disk": unix.S_IFBLK | 0o660, "fifo": unix.S_IFIFO | 0o600, "log": unix.S_IFSOCK | 0o666} {
		if err := unix.Mknod(filepath.Join(root, "dev", name), mode, int(unix.Mkdev(1, 3))); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Link(root+"/usr/bin/bash", root+"/usr/bin/rbash-linked"); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setxattr(root+"/usr/bin/perl", "user.note", []byte("kept"), 0); err != nil {
		t.Fatal(err)
	}
	// A computer with few packages has less; what is missing are small files, of which there are many anyway.
	for dir := range max(0, enough-count()+99) / 100 {
		below := filepath.Join(root, "usr/share/more", strconv.Itoa(dir))
		if err := os.MkdirAll(below, 0o755); err != nil {
			t.Fatal(err)
		}
		for i := range 100 {
			if err := os.WriteFile(filepath.Join(below, strconv.Itoa(i)), bytes.Repeat([]byte{byte(i)}, 37*i), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	return root
}

// TestWholeRoot packs and reads a whole root file system: with unsquashfs for what we write, and by us for what mksquashfs writes
// with each compressor, and tar2sqfs.
func TestWholeRoot(t *testing.T) {
	needRoot(t)
	needTool(t, "tar2sqfs")
	folder := wholeRoot(t)
	needTool(t, "unsquashfs")
	needTool(t, "mksquashfs")
	want := reference(t, folder)
	b, stats := pack(t, tree.Dir(folder, tree.DirOptions{}), Options{})
	t.Logf("%d entries, %+v", len(want), stats)
	same(t, "our image", want, list(t, openBytes(t, b)))
	out := filepath.Join(t.TempDir(), "out")
	run(t, "unsquashfs", "-no-progress", "-quiet", "-d", out, writeFile(t, b))
	same(t, "unsquashfs", want, reference(t, out))
	if len(want) < 10_000 {
		t.Errorf("only %d entries", len(want))
	}
	for _, args := range [][]string{{"gzip", "-Xcompression-level", "1"}, {"zstd", "-Xcompression-level", "1"}, {"xz"}, {"lz4"}, {"tar2sqfs"}} {
		image := filepath.Join(t.TempDir(), "x.sqfs")
		if args[0] == "tar2sqfs" {
			run(t, "sh", "-c", `tar -C "$1" --xattrs --xattrs-include='*' -c . | tar2sqfs -q "$2"`, "sh", folder, image)
		} else {
			run(t, "mksquashfs", append([]string{folder, image, "-quiet", "-no-progress", "-comp"}, args...)...)
		}
		f, err := os.Open(image)
		if err != nil {
			t.Fatal(err)
		}
		info, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		r, err := Open(f, info.Size(), ReaderOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if args[0] == "tar2sqfs" {
			delete(want, "dev/log") // archives hold no sockets (tar(5))
		}
		same(t, args[0], want, list(t, r))
		f.Close()
		os.Remove(image)
	}
}
