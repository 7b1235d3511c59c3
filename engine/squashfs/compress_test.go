package squashfs

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestImageTellsItsLevel: the image names the level its blocks have, which is not always the one that was asked for.
func TestImageTellsItsLevel(t *testing.T) {
	contents := objects{regular("a", bytes.Repeat([]byte("some text, and more of it. "), 4000))}
	images := map[string][]byte{}
	for _, row := range []struct {
		comp      Compression
		asked     int
		effective uint32 // 0: the image has no options, because it is mksquashfs's default
	}{
		{Zstd, 0, 3}, {Zstd, 1, 1}, {Zstd, 2, 1}, {Zstd, 3, 3}, {Zstd, 5, 3}, {Zstd, 6, 6}, {Zstd, 9, 6}, {Zstd, 10, 10}, {Zstd, 15, 10}, {Zstd, 22, 10},
		{Gzip, 0, 0}, {Gzip, 9, 0}, {Gzip, 6, 6}, {None, 0, 0},
	} {
		name := filepath.Join(t.TempDir(), "image")
		f, err := os.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		w, err := NewWriter(f, Options{Compression: row.comp, Level: row.asked})
		if err != nil {
			t.Fatal(err)
		}
		if err := contents.WriteTo(t.Context(), w); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Close(); err != nil {
			t.Fatal(err)
		}
		f.Close()
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var told uint32
		if binary.LittleEndian.Uint16(b[24:])&flagCompressorOptions != 0 {
			told = binary.LittleEndian.Uint32(b[superblockSize+2:])
		}
		if told != row.effective {
			t.Errorf("%v level %d: the image tells %d, want %d", row.comp, row.asked, told, row.effective)
		}
		key := fmt.Sprint(row.comp, row.effective)
		if images[key] != nil && !bytes.Equal(images[key], b) {
			t.Errorf("%v level %d is not what it is told to be", row.comp, row.asked)
		}
		images[key] = b
		if tool, err := exec.LookPath("unsquashfs"); err == nil && told != 0 {
			out, err := exec.Command(tool, "-s", name).CombinedOutput()
			if want := fmt.Sprintf("compression-level %d\n", told); err != nil || !strings.Contains(string(out), want) {
				t.Errorf("unsquashfs -s: %v\n%s", err, out)
			}
		}
	}
}
