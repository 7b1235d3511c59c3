package singularity

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"carrel/engine"
)

// launch is what run, exec, shell, test and instances can be asked for.
type launch struct {
	binds, mounts                                               list
	overlays, noMount, scratch, envFiles, security              []string
	noEnv, containLibs                                          []string
	env                                                         map[string]string
	home, cwd, workdir, app, hostname, dns, network, shell      string
	addCaps, dropCaps                                           string
	writable, writableTmpfs, contain, containAll, cleanEnv      bool
	noHome, fakeroot, userns, pid, noPID, ipc, uts, net         bool
	nv, rocm, noPrivs, keepPrivs, compat, oci, noUmask, noEval  bool
	noInit, underlay, unsquash, disableCache, noHTTPS           bool
	noNV, noROCm, ignored                                       bool
	tmpDir                                                      string
	memory, memorySwap, memoryReservation, cpus, cpuSet, memSet string
	cpuShares, pids, blkio                                      int
	pidFile                                                     string // instances only
}

// defaultMounts are what --no-mount can leave out. Images see the host's file systems (hostfs) in no case.
var defaultMounts = []string{"proc", "sys", "dev", "devpts", "home", "tmp", "hostfs", "cwd", "bind-paths"}

// nothing stand for values of options that are not there.
var (
	noSwitch bool
	noText   string
)

const (
	noSetuid   = "containers never run set-user-ID programs with other rights than yours (no_new_privs is always on)"
	noCrypto   = "encrypted images are not supported"
	noCDI      = "the Container Device Interface is not supported: --nv and --rocm pass graphics cards in, and -B /dev/NAME a device"
	noHelpers  = "there is no fakeroot program that could be used"
	noChoice   = "the best that this computer allows is used, as `carrel doctor` tells"
	noTemp     = "what is made for a while is in Carrel's cache, which CARREL_HOME or XDG_CACHE_HOME move"
	noDaemon   = "the variable DOCKER_HOST says where Docker listens, for docker-daemon: (unix:// and tcp://)"
	noAccounts = "registries are entered with what `registry login`, `docker login` or `podman login` has stored, or as APPTAINER_DOCKER_USERNAME and APPTAINER_DOCKER_PASSWORD say"
)

// options are the flags of run, exec, shell, test, instance start and instance run.
func (l *launch) options(instance bool) []option {
	out := []option{
		{long: "add-caps", value: &l.addCaps, env: []string{"ADD_CAPS"}, help: "capabilities to add, comma separated", differs: "for a user, they count in the container's user namespace only"},
		{long: "allow-setuid", value: &noSwitch, env: []string{"ALLOW_SETUID"}, absent: noSetuid},
		{long: "app", value: &l.app, env: []string{"APP", "APPNAME"}, help: "an app (SCIF) of the image"},
		{long: "apply-cgroups", value: &noText, env: []string{"APPLY_CGROUPS"}, absent: "limits are given one by one (--memory, --cpus, --pids-limit …)"},
		{long: "authfile", value: &noText, env: []string{"AUTH_FILE"}, absent: noAccounts},
		{long: "bind", short: "B", value: &l.binds, env: []string{"BIND", "BINDPATH"}, help: "a folder or file to show inside, as src[:dest[:opts]]; several with commas between; of an image with image-src=PATH or id=N"},
		{long: "blkio-weight", value: &l.blkio, env: []string{"BLKIO_WEIGHT"}, help: "relative weight of input and output, 10 to 1000", differs: "control groups version 2 only"},
		{long: "blkio-weight-device", value: &noText, env: []string{"BLKIO_WEIGHT_DEVICE"}, absent: "control groups version 2 know no weight of a single device by that name"},
		{long: "cdi-dirs", value: &noText, absent: noCDI},
		{long: "cleanenv", short: "e", value: &l.cleanEnv, env: []string{"CLEANENV"}, help: "pass no variables on", differs: "proxies, TERM and TZ are passed on, and LANG is C.UTF-8"},
		{long: "compat", value: &l.compat, env: []string{"COMPAT"}, help: "as a Docker container: --containall --no-umask --writable-tmpfs"},
		{long: "contain", short: "c", value: &l.contain, env: []string{"CONTAIN"}, help: "own /dev, /tmp and home instead of this computer's"},
		{long: "containall", short: "C", value: &l.containAll, env: []string{"CONTAINALL"}, help: "--contain, and own processes, IPC and environment"},
		{long: "containlibs", value: &l.containLibs, env: []string{"CONTAINLIBS"}, help: "libraries of this computer to add to those inside", hidden: true},
		{long: "cpu-shares", value: &l.cpuShares, env: []string{"CPU_SHARES"}, help: "relative share of the processors", differs: limitsDiffer},
		{long: "cpus", value: &l.cpus, env: []string{"CPUS"}, help: "number of processors, such as 1.5", differs: limitsDiffer},
		{long: "cpuset-cpus", value: &l.cpuSet, env: []string{"CPUSET_CPUS"}, help: "which processors, such as 0-3", differs: limitsDiffer},
		{long: "cpuset-mems", value: &l.memSet, env: []string{"CPUSET_MEMS"}, help: "which memory nodes", differs: limitsDiffer},
		{long: "cwd", value: &l.cwd, env: []string{"CWD", "PWD", "TARGET_CWD", "TARGET_PWD"}, help: "folder inside to start in"},
		{long: "pwd", value: &l.cwd, help: "the same as --cwd", hidden: true},
		{long: "device", value: &noText, absent: noCDI},
		{long: "disable-cache", value: &l.disableCache, env: []string{"DISABLE_CACHE"}, help: "without effect", differs: "an image made from a reference is an image of Carrel's store; it is made once"},
		{long: "dns", value: &l.dns, env: []string{"DNS"}, help: "name servers for resolv.conf, comma separated"},
		{long: "docker-host", value: &noText, env: []string{"DOCKER_HOST"}, absent: noDaemon},
		{long: "docker-login", value: &noSwitch, env: []string{"DOCKER_LOGIN"}, absent: noAccounts},
		{long: "docker-password", value: &noText, env: []string{}, absent: noAccounts},
		{long: "docker-username", value: &noText, env: []string{}, absent: noAccounts},
		{long: "drop-caps", value: &l.dropCaps, env: []string{"DROP_CAPS"}, help: "capabilities to drop, comma separated"},
		{long: "env", value: &l.env, env: []string{"ENV"}, help: "variables to set inside, as NAME=VALUE"},
		{long: "env-file", value: &l.envFiles, env: []string{"ENV_FILE"}, help: "files with variables to set inside"},
		{long: "fakeroot", short: "f", value: &l.fakeroot, env: []string{"FAKEROOT"}, help: "appear as root inside", differs: "needs no fakeroot program: where there are no subordinate ids, what only root may do is answered with success"},
		{long: "fusemount", value: &noText, env: []string{"FUSESPEC"}, absent: "mount it outside, and bind the folder"},
		{long: "home", short: "H", value: &l.home, env: []string{"HOME"}, help: "another folder as home, as src[:dest]"},
		{long: "hostname", value: &l.hostname, env: []string{"HOSTNAME"}, help: "host name inside"},
		{long: "ignore-fakeroot-command", value: &l.ignored, env: []string{"IGNORE_FAKEROOT_COMMAND"}, help: "without effect", differs: noHelpers, hidden: true},
		{long: "ignore-subuid", value: &l.ignored, env: []string{"IGNORE_SUBUID"}, help: "without effect", differs: noChoice, hidden: true},
		{long: "ignore-userns", value: &l.ignored, env: []string{"IGNORE_USERNS"}, help: "without effect", differs: noChoice, hidden: true},
		{long: "intel-hpu", value: &noSwitch, env: []string{"INTEL_HPU"}, absent: "bind the devices: -B /dev/accel, and /dev/infiniband where several computers work together"},
		{long: "ipc", short: "i", value: &l.ipc, env: []string{"IPC", "UNSHARE_IPC"}, help: "own IPC namespace"},
		{long: "keep-privs", value: &l.keepPrivs, env: []string{"KEEP_PRIVS"}, help: "root keeps its privileges, which is so anyway; refused for others"},
		{long: "memory", value: &l.memory, env: []string{"MEMORY"}, help: "limit of memory, such as 2G", differs: limitsDiffer},
		{long: "memory-reservation", value: &l.memoryReservation, env: []string{"MEMORY_RESERVATION"}, help: "memory that is spared from reclaim", differs: limitsDiffer},
		{long: "memory-swap", value: &l.memorySwap, env: []string{"MEMORY_SWAP"}, help: "limit of memory and swap together; -1: any", differs: limitsDiffer},
		{long: "mount", value: &l.mounts, env: []string{"MOUNT"}, help: "a bind as type=bind,source=…,destination=…[,ro][,image-src=…]"},
		{long: "net", short: "n", value: &l.net, env: []string{"NET", "UNSHARE_NET"}, help: "own network namespace", differs: "with a way out for every user (user-mode network), where Apptainer needs root for a bridge"},
		{long: "netns-path", value: &noText, env: []string{"NETNS_PATH"}, absent: "namespaces of others are not joined: a Go program with threads may not, and their rights would come along"},
		{long: "network", value: &l.network, env: []string{"NETWORK"}, help: "kind of own network: none, or private", differs: "none, and private for the user-mode network; CNI's other kinds need root and its plugins"},
		{long: "network-args", value: &noText, env: []string{"NETWORK_ARGS"}, absent: "there are no CNI plugins; `carrel run -p` publishes ports, for every user"},
		{long: "no-env", value: &l.noEnv, env: []string{"NOENV"}, help: "variables that are not passed on"},
		{long: "no-eval", value: &l.noEval, env: []string{"NO_EVAL"}, help: "without effect", differs: "values of --env are never evaluated by a shell; the runscript of an OCI image is part of the image"},
		{long: "no-home", value: &l.noHome, env: []string{"NO_HOME"}, help: "do not show the home folder"},
		{long: "no-https", value: &l.noHTTPS, env: []string{"NO_HTTPS", "NOHTTPS"}, help: "speak HTTP to the registry of the image"},
		{long: "nohttps", value: &l.noHTTPS, help: "the same as --no-https", hidden: true},
		{long: "no-init", value: &l.noInit, env: []string{"NO_INIT", "NOSHIMINIT"}, help: "without effect", differs: "with own processes there is always an init: it reaps, and forwards signals"},
		{long: "no-mount", value: &l.noMount, env: []string{"NO_MOUNT"}, help: "default mounts to leave out: proc, sys, dev, devpts, home, tmp, cwd, bind-paths, or /etc/localtime, /etc/hosts"},
		{long: "no-nv", value: &l.noNV, env: []string{"NV_OFF", "NO_NV"}, help: "not --nv, also where a variable asks for it", hidden: true},
		{long: "no-pid", value: &l.noPID, env: []string{"NO_PID"}, help: "no own PID namespace, also with --containall"},
		{long: "no-privs", value: &l.noPrivs, env: []string{"NO_PRIVS"}, help: "take all privileges from root"},
		{long: "no-rocm", value: &l.noROCm, env: []string{"ROCM_OFF", "NO_ROCM"}, help: "not --rocm, also where a variable asks for it", hidden: true},
		{long: "no-umask", value: &l.noUmask, env: []string{"NO_UMASK"}, help: "umask 0022 instead of the caller's"},
		{long: "nv", value: &l.nv, env: []string{"NV"}, help: "pass NVIDIA's driver in"},
		{long: "nvccli", value: &noSwitch, env: []string{"NVCCLI"}, absent: "--nv needs no nvidia-container-cli"},
		{long: "oom-kill-disable", value: &noSwitch, env: []string{"OOM_KILL_DISABLE"}, absent: "control groups version 2 have no such switch"},
		{long: "oci", value: &l.oci, env: []string{"OCI"}, help: "start the image's program in the folder, and as the user, that the image names; with --compat", differs: "a flag of SingularityCE's, whose images in OCI's form (OCI-SIF) are not made; the caller is the image's user by name and number"},
		{long: "overlay", short: "o", value: &l.overlays, env: []string{"OVERLAY", "OVERLAYIMAGE"}, help: "a folder or ext3 file that keeps changes, or one or a SquashFS file to lay over, with :ro", differs: "works for every user, without helpers; an ext3 file is not changed in place but written anew when the container ends, and grows where it is too small"},
		{long: "passphrase", value: &noSwitch, absent: noCrypto},
		{long: "pem-path", value: &noText, env: []string{"ENCRYPTION_PEM_PATH"}, absent: noCrypto},
		{long: "pid", short: "p", value: &l.pid, env: []string{"PID", "UNSHARE_PID"}, help: "own PID namespace"},
		{long: "pids-limit", value: &l.pids, env: []string{"PIDS_LIMIT"}, help: "limit of processes; -1: none", differs: limitsDiffer},
		{long: "rocm", value: &l.rocm, env: []string{"ROCM"}, help: "pass AMD's driver in"},
		{long: "scratch", short: "S", value: &l.scratch, env: []string{"SCRATCH", "SCRATCHDIR"}, help: "empty writable folders inside, in memory or in the work folder"},
		{long: "security", value: &l.security, env: []string{"SECURITY"}, help: "a seccomp profile (seccomp:FILE); for root also other ids (uid:N, gid:N)", differs: "apparmor: and selinux: are refused, with the reason"},
		{long: "sharens", value: &noSwitch, env: []string{"SHARENS"}, absent: "start an instance, and exec in it (instance://NAME)"},
		{long: "tmpdir", value: &l.tmpDir, env: []string{"TMPDIR"}, help: "without effect", differs: noTemp, hidden: true},
		{long: "underlay", value: &l.underlay, env: []string{"UNDERLAY"}, help: "without effect", differs: "places for binds are always made by an overlay, with the same result", hidden: true},
		{long: "unsquash", value: &l.unsquash, env: []string{"UNSQUASH"}, help: "without effect", differs: "SIF files are mounted; where that is forbidden, convert once: build --sandbox"},
		{long: "userns", short: "u", value: &l.userns, env: []string{"USERNS", "UNSHARE_USERNS"}, help: "own user namespace, which every user but root has anyway"},
		{long: "uts", value: &l.uts, env: []string{"UTS", "UNSHARE_UTS"}, help: "own UTS namespace"},
		{long: "workdir", short: "W", value: &l.workdir, env: []string{"WORKDIR"}, help: "folder for /tmp, /var/tmp and home with --contain, and for scratch folders"},
		{long: "writable", short: "w", value: &l.writable, env: []string{"WRITABLE"}, help: "keep what changes in the image", differs: "works for a SIF too: changes are kept in it as a further SquashFS partition, which Apptainer reads"},
		{long: "writable-tmpfs", value: &l.writableTmpfs, env: []string{"WRITABLE_TMPFS"}, help: "let the image's files be changed until the end", differs: "as much as the memory holds, not 64 MiB"},
	}
	if instance {
		out = append(out,
			option{long: "pid-file", value: &l.pidFile, env: []string{"PID_FILE"}, help: "write the instance's process number to a file"},
			option{long: "boot", value: &noSwitch, env: []string{"BOOT"}, absent: "containers do not boot; start the program itself"},
			option{long: "dmtcp-launch", value: &noText, env: []string{"DMTCP_LAUNCH"}, absent: "checkpoints are not supported"},
			option{long: "dmtcp-restart", value: &noText, env: []string{"DMTCP_RESTART"}, absent: "checkpoints are not supported"},
		)
	}
	return out
}

const limitsDiffer = "by control groups version 2 where they are delegated; otherwise by resource limits, with a word, where Apptainer stops"

// shellOption is the one more that shell has.
func (l *launch) shellOption() option {
	return option{long: "shell", short: "s", value: &l.shell, env: []string{"SHELL"}, help: "another shell of the image"}
}

// spec turns the flags into what the engine is asked for. Remarks for a person are added to notes.
func (l *launch) spec(ctx context.Context, c *Config, warn func(string, ...any)) (engine.RunSpec, error) {
	if l.compat || l.oci {
		l.containAll, l.noUmask, l.writableTmpfs = true, true, true
	}
	if l.containAll {
		l.contain, l.cleanEnv, l.ipc = true, true, true
		l.pid = l.pid || !l.noPID
	}
	s := engine.RunSpec{
		Profile: engine.ProfileSingularity, App: l.app, Cwd: l.cwd, CleanEnv: l.cleanEnv, Contain: l.contain, NoHome: l.noHome,
		Root: l.fakeroot, Writable: l.writable,
		// There, what a killed container wrote is in the image or overlay already, and nobody is asked.
		Leftovers: engine.LeftoversKeep,
		Details: engine.Details{
			ReadOnly: !l.writableTmpfs, HostPIDs: !l.pid, UserNS: l.userns, IPC: l.ipc, UTS: l.uts, Hostname: l.hostname, Scratch: l.scratch,
			NoMount: l.noMount, Shell: l.shell, Nvidia: l.nv && !l.noNV, AMD: l.rocm && !l.noROCm, NoEnv: l.noEnv, AddCaps: l.addCaps, DropCaps: l.dropCaps, NoPrivs: l.noPrivs && !l.keepPrivs,
			Security: l.security, AsSelf: !l.oci,
		},
	}
	if l.keepPrivs && !l.fakeroot && c.User.UID != 0 {
		return s, &hintError{errors.New("Could not configure --keep-privs: --keep-privs requires root privileges"), "add --fakeroot to be root inside"}
	}
	if l.noUmask {
		mask := 0o022
		s.Details.Umask = &mask
	}
	for _, server := range strings.Split(l.dns, ",") {
		if server = strings.TrimSpace(server); server == "" {
			continue
		}
		if _, err := netip.ParseAddr(server); err != nil {
			return s, usage("write the addresses of name servers, such as 9.9.9.9", "--dns %s: %q is not an address", l.dns, server)
		}
		s.Details.DNS = append(s.Details.DNS, server)
	}
	for _, name := range l.noMount {
		if !path.IsAbs(name) && !slices.Contains(defaultMounts, name) {
			warn("--no-mount %s: ignored, there is no such mount; there are %s, and paths", name, strings.Join(defaultMounts, ", "))
		}
	}
	var err error
	if s.Binds, err = parseBinds(l.binds, l.mounts, c.User.Cwd); err != nil {
		return s, err
	}
	for _, lib := range l.containLibs {
		s.Binds = append(s.Binds, engine.Bind{Source: absolute(lib, c.User.Cwd), Dest: path.Join("/.singularity.d/libs", filepath.Base(lib)), ReadOnly: true})
	}
	if s.Env, err = l.variables(ctx, c); err != nil {
		return s, err
	}
	if l.home != "" {
		if s.Home, s.HomeDest, err = parseHome(l.home, c.User.Cwd); err != nil {
			return s, err
		}
	}
	if l.workdir != "" {
		s.Workdir = absolute(l.workdir, c.User.Cwd)
	}
	for _, o := range l.overlays {
		file, ro := strings.CutSuffix(o, ":ro")
		file = strings.TrimSuffix(file, ":rw")
		s.Details.Overlays = append(s.Details.Overlays, engine.Overlay{Path: absolute(file, c.User.Cwd), ReadOnly: ro})
	}
	if err := l.ownNetwork(&s, warn); err != nil {
		return s, err
	}
	s.Details.Limits, err = l.limits()
	return s, err
}

func (l *launch) ownNetwork(s *engine.RunSpec, warn func(string, ...any)) error {
	switch l.network {
	case "":
		s.Isolated = l.net
	case "none":
		s.NoNetwork = true
	case "private", "bridge", "ptp", "fakeroot", "slirp4netns", "pasta":
		if l.network != "private" {
			warn("--network %s: the network is Carrel's own user-mode one", l.network)
		}
		s.Isolated = true
	default:
		return usage("the kinds are none and private; without --net the network is this computer's", "network %q is not known", l.network)
	}
	return nil
}

func (l *launch) limits() (engine.Limits, error) {
	out := engine.Limits{CPUSet: l.cpuSet, MemSet: l.memSet}
	for _, n := range []struct {
		flag      string
		value     int
		low, high int
		hint      string
		to        *int64
	}{
		{"pids-limit", l.pids, 1, math.MaxInt, "write a number of processes from 1 on, or -1 for any", &out.PIDs},
		{"cpu-shares", l.cpuShares, 2, 262144, "write a number from 2 to 262144, or -1 for the usual share", &out.CPUShares},
		{"blkio-weight", l.blkio, 10, 1000, "write a number from 10 to 1000", &out.IOWeight},
	} {
		switch {
		case n.value == 0, n.value == -1 && n.flag != "blkio-weight": // none
		case n.value < n.low || n.value > n.high:
			return out, usage(n.hint, "--%s %d: not a limit", n.flag, n.value)
		default:
			*n.to = int64(n.value)
		}
	}
	for _, m := range []struct {
		flag, text string
		to         *int64
	}{{"memory", l.memory, &out.Memory}, {"memory-swap", l.memorySwap, &out.MemorySwap}, {"memory-reservation", l.memoryReservation, &out.MemoryReservation}} {
		if m.text == "" {
			continue
		}
		n, err := parseSize(m.text)
		if err != nil {
			return out, usage("write a number with K, M, G or T, such as 512M", "--%s %s: %w", m.flag, m.text, err)
		}
		if n < 0 && !(n == -1 && m.flag == "memory-swap") {
			return out, usage("write a number with K, M, G or T, such as 512M", "--%s %s: less than nothing", m.flag, m.text)
		}
		*m.to = n
	}
	if l.cpus != "" {
		n, err := strconv.ParseFloat(l.cpus, 64)
		if err != nil || n <= 0 || math.IsInf(n, 0) || math.IsNaN(n) {
			return out, usage("write a number such as 1.5", "--cpus %s: not a number of processors", l.cpus)
		}
		out.CPUs = n
	}
	return out, nil
}

// parseSize reads bytes with a binary unit: 512M, 2GiB, 1000, -1.
func parseSize(text string) (int64, error) {
	t := strings.ToLower(strings.TrimSpace(text))
	t = strings.TrimSuffix(strings.TrimSuffix(t, "b"), "i")
	shift := 0
	if t != "" {
		if i := strings.IndexByte("kmgt", t[len(t)-1]); i >= 0 {
			shift, t = 10*(i+1), t[:len(t)-1]
		}
	}
	n, err := strconv.ParseFloat(t, 64)
	if err != nil || math.IsNaN(n) || math.Abs(n) >= 1<<62/float64(int64(1)<<shift) {
		return 0, errors.New("not an amount of memory")
	}
	return int64(n * float64(int64(1)<<shift)), nil
}

// absolute makes a path of this computer whole.
func absolute(p, cwd string) string {
	if !filepath.IsAbs(p) {
		p = filepath.Join(cwd, p)
	}
	return filepath.Clean(p)
}

// parseHome reads --home src[:dest].
func parseHome(text, cwd string) (src, dest string, err error) {
	parts := engine.SplitEscaped(text, ':')
	if len(parts) > 2 || parts[0] == "" {
		return "", "", usage("write --home SOURCE or --home SOURCE:DESTINATION", "home %q is not of that form", text)
	}
	src = absolute(engine.Unescape(parts[0]), cwd)
	dest = src
	if len(parts) == 2 {
		dest = engine.Unescape(parts[1])
	}
	if !path.IsAbs(dest) {
		return "", "", usage("the place inside is a whole path", "home %q: %q does not begin with /", text, dest)
	}
	if _, err := os.Stat(src); err != nil {
		// Apptainer reads --home DEST, too, of a folder that exists inside only.
		return "", "", fmt.Errorf("home: %w", err)
	}
	return src, path.Clean(dest), nil
}
