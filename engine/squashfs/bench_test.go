package squashfs

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"

	"carrel/engine/tree"
)

// benchTree is the folder that the benchmarks pack: a Debian root named by CARREL_BENCH_TREE, else Go's own installation.
func benchTree(b *testing.B) string {
	if p := os.Getenv("CARREL_BENCH_TREE"); p != "" {
		return p
	}
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		b.Skip("missing: CARREL_BENCH_TREE or an installation of Go")
	}
	return string(bytes.TrimSpace(out))
}

type method struct {
	comp  Compression
	level int
}

var benchMethods = []method{{Zstd, 3}, {Zstd, 1}, {Zstd, 9}, {Zstd, 15}, {Zstd, 19}, {Gzip, 9}, {Gzip, 6}, {None, 0}}

// BenchmarkPack packs a folder with this package and, side by side, with mksquashfs at the same level and number of processors.
func BenchmarkPack(b *testing.B) {
	folder := benchTree(b)
	for _, m := range benchMethods {
		b.Run(fmt.Sprintf("%v-%d/carrel", m.comp, m.level), func(b *testing.B) {
			name := filepath.Join(b.TempDir(), "image")
			var stats Stats
			for b.Loop() {
				f, err := os.Create(name)
				if err != nil {
					b.Fatal(err)
				}
				w, err := NewWriter(f, Options{Compression: m.comp, Level: m.level})
				if err != nil {
					b.Fatal(err)
				}
				if err := tree.Dir(folder, tree.DirOptions{}).WriteTo(context.Background(), w); err != nil {
					b.Fatal(err)
				}
				if stats, err = w.Close(); err != nil {
					b.Fatal(err)
				}
				f.Close()
			}
			b.ReportMetric(float64(stats.Size), "bytes")
		})
		b.Run(fmt.Sprintf("%v-%d/mksquashfs", m.comp, m.level), func(b *testing.B) {
			needTool(b, "mksquashfs")
			name := filepath.Join(b.TempDir(), "image")
			args := []string{folder, name, "-noappend", "-quiet", "-no-progress", "-processors", strconv.Itoa(runtime.GOMAXPROCS(0))}
			if m.comp == None {
				args = append(args, "-noI", "-noD", "-noF", "-noX")
			} else {
				args = append(args, "-comp", m.comp.String(), "-Xcompression-level", strconv.Itoa(m.level))
			}
			for b.Loop() {
				run(b, "mksquashfs", args...)
			}
			info, err := os.Stat(name)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(info.Size()), "bytes")
		})
	}
}

// BenchmarkStream reads whole images, as a copy from image to image does, beside unsquashfs, which writes what it reads to disk.
func BenchmarkStream(b *testing.B) {
	folder := benchTree(b)
	for _, c := range []Compression{Zstd, Gzip} {
		name := filepath.Join(b.TempDir(), "image")
		f, err := os.Create(name)
		if err != nil {
			b.Fatal(err)
		}
		defer f.Close()
		w, err := NewWriter(f, Options{Compression: c})
		if err != nil {
			b.Fatal(err)
		}
		if err := tree.Dir(folder, tree.DirOptions{}).WriteTo(context.Background(), w); err != nil {
			b.Fatal(err)
		}
		stats, err := w.Close()
		if err != nil {
			b.Fatal(err)
		}
		b.Run(c.String()+"/carrel", func(b *testing.B) {
			b.SetBytes(stats.DataSize)
			for b.Loop() {
				r, err := Open(f, stats.PaddedSize, ReaderOptions{})
				if err != nil {
					b.Fatal(err)
				}
				err = r.WriteTo(context.Background(), sinkFunc(func(_ tree.Entry, body io.Reader) error {
					if body == nil {
						return nil
					}
					_, err := io.Copy(io.Discard, body)
					return err
				}))
				if err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(c.String()+"/carrel-unpack", func(b *testing.B) {
			b.SetBytes(stats.DataSize)
			for b.Loop() {
				r, err := Open(f, stats.PaddedSize, ReaderOptions{})
				if err != nil {
					b.Fatal(err)
				}
				out := filepath.Join(b.TempDir(), "out")
				u, err := tree.Unpack(out, tree.UnpackOptions{Owners: os.Geteuid() == 0})
				if err != nil {
					b.Fatal(err)
				}
				err = r.WriteTo(context.Background(), u)
				if _, err2 := u.Close(); err == nil {
					err = err2
				}
				if err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				os.RemoveAll(out)
				b.StartTimer()
			}
		})
		b.Run(c.String()+"/unsquashfs", func(b *testing.B) {
			needTool(b, "unsquashfs")
			b.SetBytes(stats.DataSize)
			for b.Loop() {
				out := filepath.Join(b.TempDir(), "out")
				run(b, "unsquashfs", "-quiet", "-no-progress", "-d", out, name)
				b.StopTimer()
				os.RemoveAll(out)
				b.StartTimer()
			}
		})
	}
}
