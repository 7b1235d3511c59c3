package launch

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"sort"
	"strings"

	"carrel/engine/sandbox/plan"
)

// libs is where Singularity's images look for libraries of the host (LD_LIBRARY_PATH of their environment).
const libs = "/.singularity.d/libs"

// GPUKind is a maker's way to reach graphics processors.
type GPUKind string

const (
	GPUNvidia GPUKind = "nvidia" // --nv
	GPUAMD    GPUKind = "amd"    // --rocm
)

// GPU is what of the host's driver a container needs: the parts that have to fit the kernel's module, which an image
// cannot know.
type GPU struct {
	Kind      GPUKind
	Devices   []string // paths of device files or folders of them
	Libraries []Bind   // to places below /.singularity.d/libs
	Programs  []Bind   // to /usr/bin
	Sockets   []string
}

// ErrNoGPU: the host has no driver of that kind.
var ErrNoGPU = errors.New("no driver found")

// driver says what belongs to a kind of driver. Patterns are those of path.Match; the names are those that the makers
// install (NVIDIA: "Installed Components" of the Linux driver's README; AMD: the packages of ROCm's runtime).
type driver struct {
	devices   []string
	libraries []string // of base names without what follows ".so"
	needed    string   // the library without which there is no driver
	programs  []string
	sockets   []string
}

var drivers = map[GPUKind]driver{
	GPUNvidia: {
		devices: []string{"/dev/nvidia[0-9]*", "/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools", "/dev/nvidia-modeset", "/dev/nvidia-caps", "/dev/nvidia-caps-imex-channels", "/dev/dri", "/dev/dxg"},
		libraries: []string{
			"libcuda", "libcudadebugger", "libnvidia-*", "lib*_nvidia", "libnvcuvid", "libnvoptix", "libnvrm*", "libdxcore", "libd3d12*",
			"libEGL", "libGL", "libGLX", "libGLdispatch", "libGLESv1_CM", "libGLESv2", "libOpenGL", "libOpenCL",
		},
		needed:   "libcuda",
		programs: []string{"nvidia-smi", "nvidia-debugdump", "nvidia-persistenced", "nvidia-cuda-mps-control", "nvidia-cuda-mps-server"},
		sockets:  []string{"/run/nvidia-persistenced/socket", "/tmp/nvidia-mps"},
	},
	GPUAMD: {
		devices: []string{"/dev/kfd", "/dev/dri"},
		libraries: []string{
			"libamdhip*", "libhsa-runtime64", "libhsa-amd-aqlprofile64", "libhsakmt", "libamd_comgr", "libamdocl*", "libOpenCL", "libdrm", "libdrm_amdgpu",
			"libhip*", "libhsakmt*", "librocblas", "librocfft*", "librocrand", "librocsolver", "librocsparse", "librocm-core", "librocm_smi*", "librocprofiler*", "libroctracer*", "libroctx*",
			"libMIOpen", "librccl", "libhiprtc*",
		},
		needed:   "libhsa-runtime64",
		programs: []string{"rocminfo", "rocm-smi", "rocm_agent_enumerator"},
	},
}

// programDirs are where a driver's programs are looked for.
var programDirs = []string{"/usr/bin", "/usr/local/bin", "/usr/local/cuda/bin", "/opt/rocm/bin", "/bin", "/usr/sbin", "/run/current-system/sw/bin", "/usr/lib/wsl/lib"}

// libraryDirs are looked through beside the linker's cache: where a system keeps drivers without telling its linker.
var libraryDirs = []string{"/run/opengl-driver/lib", "/usr/lib/wsl/lib", "/opt/rocm/lib", "/usr/lib/x86_64-linux-gnu/nvidia/current"}

// FindGPU looks a driver up in the system whose root folder is root ("/" for this computer's). A *GPUError that wraps
// ErrNoGPU says what is missing.
func FindGPU(root string, kind GPUKind) (GPU, error) {
	d, ok := drivers[kind]
	if !ok {
		return GPU{}, fmt.Errorf("gpu %q: %w", kind, ErrNoGPU)
	}
	g := GPU{Kind: kind}
	for _, pattern := range d.devices {
		found, _ := filepath.Glob(filepath.Join(root, pattern)) // the patterns are good
		g.Devices = append(g.Devices, found...)
	}
	for i, dev := range g.Devices {
		g.Devices[i] = "/" + strings.TrimPrefix(strings.TrimPrefix(dev, filepath.Clean(root)), "/")
	}
	found, needed := findLibraries(root, d)
	g.Libraries = found
	for _, name := range d.programs {
		for _, dir := range programDirs {
			if st, err := os.Stat(filepath.Join(root, dir, name)); err == nil && st.Mode().IsRegular() {
				g.Programs = append(g.Programs, Bind{Source: filepath.Join(root, dir, name), Dest: "/usr/bin/" + name, ReadOnly: true})
				break
			}
		}
	}
	for _, s := range d.sockets {
		if _, err := os.Stat(filepath.Join(root, s)); err == nil {
			g.Sockets = append(g.Sockets, s)
		}
	}
	if !needed || len(g.Devices) == 0 {
		return g, &GPUError{Kind: kind, Devices: len(g.Devices) > 0, Library: needed}
	}
	return g, nil
}

// findLibraries lists a driver's libraries, by the linker's cache first, and tells whether the one that is needed is
// among them.
func findLibraries(root string, d driver) (out []Bind, needed bool) {
	seen := map[string]bool{}
	take := func(name, file string) {
		base, _, ok := strings.Cut(name, ".so")
		if !ok || seen[name] || !d.has(base) {
			return
		}
		source := filepath.Join(root, file)
		if st, err := os.Stat(source); err != nil || !st.Mode().IsRegular() {
			return
		}
		seen[name] = true
		needed = needed || base == d.needed
		out = append(out, Bind{Source: source, Dest: path.Join(libs, name), ReadOnly: true})
	}
	data, err := os.ReadFile(filepath.Join(root, "/etc/ld.so.cache"))
	if err == nil {
		entries, _ := parseLinkerCache(data, runtime.GOARCH) // a damaged cache is one with fewer entries
		for _, e := range entries {
			take(e.name, e.path)
			take(path.Base(e.path), e.path) // programs ask for libraries of the same driver by their full version
		}
	}
	for _, dir := range libraryDirs {
		names, _ := os.ReadDir(filepath.Join(root, dir)) // most systems have none of them
		for _, n := range names {
			take(n.Name(), path.Join(dir, n.Name()))
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Dest < out[j].Dest })
	return out, needed
}

func (d driver) has(base string) bool {
	for _, pattern := range d.libraries {
		if ok, _ := path.Match(pattern, base); ok {
			return true
		}
	}
	return false
}

// GPUError says what of a driver is not there.
type GPUError struct {
	Kind             GPUKind
	Devices, Library bool // whether these were found
}

func (e *GPUError) Error() string {
	maker, needed := "NVIDIA", drivers[e.Kind].needed
	if e.Kind == GPUAMD {
		maker = "AMD"
	}
	switch {
	case e.Library:
		return fmt.Sprintf("find %s driver: its library is here, but no device is: the kernel's module is not loaded, or the computer has no such card", maker)
	case e.Devices:
		return fmt.Sprintf("find %s driver: devices are here, but not the driver's library %s", maker, needed)
	}
	return fmt.Sprintf("find %s driver: this computer has none (neither devices nor %s)", maker, needed)
}

func (e *GPUError) Unwrap() error { return ErrNoGPU }

// Hint says what to do about it.
func (e *GPUError) Hint() string {
	switch {
	case e.Library && e.Kind == GPUNvidia:
		return "an administrator loads the module: modprobe nvidia nvidia-uvm; on a cluster, ask for a node with a GPU"
	case e.Devices && e.Kind == GPUNvidia:
		return "install the driver's user part (libcuda), and run ldconfig"
	}
	return "on a cluster, ask for a node with a GPU; what runs without one runs as before"
}

// gpus mounts what GPUs need. A library or device that vanished meanwhile is left out.
func (m *mounts) gpus() {
	for _, g := range m.o.GPUs {
		if m.o.own() {
			for _, d := range g.Devices {
				m.device(d)
			}
		}
		for _, b := range append(g.Libraries, g.Programs...) {
			m.add(plan.Op{Kind: plan.OpBind, Source: b.Source, Dest: b.Dest, ReadOnly: true, Optional: true, Quiet: true})
		}
		for _, s := range g.Sockets {
			m.optional(s, s)
		}
	}
}
