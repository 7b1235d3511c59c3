package squashfs

import (
	"bytes"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"
)

// machineCode is noise with many opcodes of every architecture's branches in it, and this test's own code.
func machineCode(t *testing.T) []byte {
	rng := rand.New(rand.NewPCG(5, 5))
	b := noise(rng, 64<<10)
	for i := 0; i+8 < len(b); i += 1 + rng.IntN(12) {
		switch rng.IntN(8) {
		case 0:
			b[i], b[i+4] = 0xe8, 0
		case 1:
			b[i], b[i+4] = 0xe9, 0xff
		case 2:
			b[i&^3+3] = 0xeb
		case 3:
			b[i&^3] = 0x48 | b[i&^3]&3
			b[i&^3+3] = b[i&^3+3]&^3 | 1
		case 4:
			j := i &^ 1
			b[j+1], b[j+3] = 0xf0|b[j+1]&7, 0xf8|b[j+3]&7
		case 5:
			b[i&^3], b[i&^3+1] = 0x40, b[i&^3+1]&0x3f
		case 6:
			b[i&^3], b[i&^3+1] = 0x7f, b[i&^3+1]|0xc0
		case 7: // a bundle of branches
			j := i &^ 15
			if j+16 > len(b) {
				break
			}
			b[j] = 0x16
			for slot := range 3 {
				for bit, on := range map[int]bool{37: true, 38: false, 39: true, 40: false, 9: false, 10: false, 11: false} {
					at := 5 + 41*slot + bit
					b[j+at/8] &^= 1 << (at % 8)
					if on {
						b[j+at/8] |= 1 << (at % 8)
					}
				}
			}
		}
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(exe)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	code := make([]byte, 60<<10)
	if _, err := f.ReadAt(code, 256<<10); err != nil {
		t.Fatal(err)
	}
	return append(b, code...)
}

func TestXZFilters(t *testing.T) {
	needTool(t, "xz")
	data := machineCode(t)
	for _, filters := range [][]string{
		{"--lzma2=dict=128KiB"}, {"--x86", "--lzma2"}, {"--arm", "--lzma2"}, {"--armthumb", "--lzma2"}, {"--powerpc", "--lzma2"},
		{"--sparc", "--lzma2"}, {"--ia64", "--lzma2"}, {"--x86=start=4096", "--arm", "--lzma2"},
	} {
		cmd := exec.Command("xz", append([]string{"-c", "--format=xz", "--check=crc32"}, filters...)...)
		cmd.Stdin = bytes.NewReader(data)
		packed, err := cmd.Output()
		if err != nil {
			t.Fatal(filters, err)
		}
		out := make([]byte, len(data))
		n, err := xzDecompressor{}.decompress(out, packed)
		if err != nil || n != len(data) || !bytes.Equal(out, data) {
			t.Errorf("%v: %d bytes, %v", filters, n, err)
		}
		if _, err := (xzDecompressor{}).decompress(out[:n-1], packed); err == nil {
			t.Errorf("%v: a block that is too long gave no error", filters)
		}
		packed[len(packed)/2] ^= 1
		if _, err := (xzDecompressor{}).decompress(out, packed); err == nil {
			t.Errorf("%v: a damaged block gave no error", filters)
		}
	}
}
