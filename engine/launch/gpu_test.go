package launch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// linkerCache writes a cache as ldconfig(8) does.
func linkerCache(entries []linkerEntry, flags uint32) []byte {
	var strs bytes.Buffer
	at := func(s string) uint32 {
		n := uint32(cacheHeader + cacheEntry*len(entries) + strs.Len())
		strs.WriteString(s + "\x00")
		return n
	}
	var table []byte
	order := binary.LittleEndian
	for _, e := range entries {
		var b [cacheEntry]byte
		order.PutUint32(b[0:], flags)
		order.PutUint32(b[4:], at(e.name))
		order.PutUint32(b[8:], at(e.path))
		table = append(table, b[:]...)
	}
	head := make([]byte, cacheHeader)
	copy(head, cacheMagic)
	order.PutUint32(head[20:], uint32(len(entries)))
	order.PutUint32(head[24:], uint32(strs.Len()))
	return append(append(head, table...), strs.Bytes()...)
}

// driverTree makes the folder of a computer with a driver.
func driverTree(t *testing.T, devices bool, libraries ...string) string {
	t.Helper()
	root := t.TempDir()
	var entries []linkerEntry
	for _, l := range libraries {
		file := "/usr/lib/gpu/" + l
		write(t, filepath.Join(root, file+".535.1"), "library "+l)
		if err := os.Symlink(l+".535.1", filepath.Join(root, file)); err != nil {
			t.Fatal(err)
		}
		entries = append(entries, linkerEntry{l, file})
	}
	entries = append(entries, linkerEntry{"libgone.so.1", "/usr/lib/gpu/libgone.so.1"}, linkerEntry{"libcudadebugger.so.1", "/nowhere/libcudadebugger.so.1"})
	write(t, filepath.Join(root, "etc/ld.so.cache"), string(linkerCache(entries, machines[runtime.GOARCH]|3)))
	if devices {
		for _, d := range []string{"nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm", "kfd", "dri/renderD128", "sda"} {
			write(t, filepath.Join(root, "dev", d), "")
		}
	}
	write(t, filepath.Join(root, "usr/bin/nvidia-smi"), "#!/bin/sh\necho driver 535.1\n")
	return root
}

func TestFindGPU(t *testing.T) {
	root := driverTree(t, true, "libcuda.so.1", "libnvidia-ml.so.1", "libEGL_nvidia.so.0", "libc.so.6", "libhsa-runtime64.so.1", "libglib-2.0.so.0")
	g, err := FindGPU(root, GPUNvidia)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, l := range g.Libraries {
		names = append(names, filepath.Base(l.Dest))
	}
	if got, want := strings.Join(names, " "), "libEGL_nvidia.so.0 libcuda.so.1 libnvidia-ml.so.1"; got != want {
		t.Errorf("libraries %s, want %s", got, want)
	}
	if got, want := strings.Join(g.Devices, " "), "/dev/nvidia0 /dev/nvidia1 /dev/nvidiactl /dev/nvidia-uvm /dev/dri"; got != want {
		t.Errorf("devices %s, want %s", got, want)
	}
	if len(g.Programs) != 1 || g.Programs[0].Dest != "/usr/bin/nvidia-smi" {
		t.Errorf("programs %v", g.Programs)
	}
	if g, err = FindGPU(root, GPUAMD); err != nil || len(g.Libraries) != 1 || strings.Join(g.Devices, " ") != "/dev/kfd /dev/dri" {
		t.Errorf("amd: %+v, %v", g, err)
	}
	if _, err = FindGPU(root, "other"); !errors.Is(err, ErrNoGPU) {
		t.Errorf("unknown kind: %v", err)
	}
}

func TestNoGPU(t *testing.T) {
	for _, tc := range []struct {
		name, root, text string
	}{
		{"nothing", t.TempDir(), "has none"},
		{"no module", driverTree(t, false, "libcuda.so.1"), "no device"},
		{"no library", driverTree(t, true, "libc.so.6"), "not the driver's library libcuda"},
	} {
		_, err := FindGPU(tc.root, GPUNvidia)
		var e *GPUError
		if !errors.As(err, &e) || !errors.Is(err, ErrNoGPU) || !strings.Contains(err.Error(), tc.text) || e.Hint() == "" {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}

func TestGPUInside(t *testing.T) {
	root := driverTree(t, true, "libcuda.so.1")
	g, err := FindGPU(root, GPUNvidia)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	o := w.options("cat /.singularity.d/libs/libcuda.so.1; echo; echo $LD_LIBRARY_PATH; nvidia-smi; touch /usr/bin/nvidia-smi 2>/dev/null || echo read-only")
	o.GPUs = []GPU{g}
	if r := start(t, o); r.out != "library libcuda.so.1\n/.singularity.d/libs\ndriver 535.1\nread-only\n" {
		t.Errorf("%+v", r)
	}
}

func TestLinkerCacheOfThisComputer(t *testing.T) {
	data, err := os.ReadFile("/etc/ld.so.cache")
	if err != nil {
		t.Skip("missing: /etc/ld.so.cache")
	}
	entries, err := parseLinkerCache(data, runtime.GOARCH)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.name == "libc.so.6" && filepath.IsAbs(e.path) {
			return
		}
	}
	t.Errorf("no C library among %d entries", len(entries))
}

func FuzzLinkerCache(f *testing.F) {
	f.Add(linkerCache([]linkerEntry{{"libcuda.so.1", "/usr/lib/libcuda.so.1"}}, 0x303))
	f.Add([]byte("ld.so-1.7.0\x00" + cacheMagic))
	f.Fuzz(func(t *testing.T, data []byte) {
		entries, err := parseLinkerCache(data, "amd64")
		if err == nil && len(entries)*cacheEntry > len(data) {
			t.Errorf("%d entries in %d bytes", len(entries), len(data))
		}
	})
}
