// Package again does a launch that was done a moment ago once more. What package sandbox has written down as system calls
// (forked.Program) depends on the call: the command line, the environment, the current folder, who calls; and on files: of the
// host, and of the folder that becomes the root. A Memo has all of these beside the program. As long as they are the same the
// program is, too, and the next such call need not work it out: it compares, and starts it.
//
// A memo is made by a launch that has gone the whole way, and lasts for a minute (Lasting): what has to be done now and then,
// such as noting that an image is used, is done by those launches. It is no more than a memory: one that is missing, damaged,
// too old or does not fit means that the launch goes the whole way, and so does a program that fails at any of its calls.
//
// This package depends on little, so that it can be used by a package initializer, before those of most other packages (The Go
// Programming Language Specification, "Program initialization"); see package quick.
package again

import (
	"bytes"
	"encoding/binary"
	"os"
	"strconv"
	"syscall"
	"time"

	"carrel/engine/sandbox/forked"
	"carrel/internal/openfiles"
)

// Lasting is how long a memo is used after the launch that made it.
const Lasting = time.Minute

// form is raised when the text of memos changes.
const form = "carrel-again-1\n"

// Call is one call of this program that may repeat an earlier one.
type Call struct {
	// Key is everything that the launch depends on beside files, Dir the folder of memos.
	Key []byte
	Dir string
	// Args are the last arguments of the command line. They are not in Key: they are the last of the container's as well.
	Args []string
	// Files are those of the host that have been read so far, beside what the engine reads.
	Files []string
	// Running is the container that was started from a memo; nil: there is none.
	Running *Running
}

// NewCall describes a call; fixed is how many of the arguments decide what is started. nil where that cannot be found out.
func NewCall(args, env []string, fixed int) *Call {
	c := &Call{Args: args[fixed:], Dir: folder(env, os.Geteuid())}
	cwd, err := syscall.Getwd()
	if err != nil {
		return nil
	}
	var self syscall.Stat_t
	if err := syscall.Stat("/proc/self/exe", &self); err != nil {
		return nil
	}
	k := make([]byte, 0, 4096)
	add := func(b string) {
		k = binary.AppendUvarint(k, uint64(len(b)))
		k = append(k, b...)
	}
	add(form)
	add(whole(&self))
	for _, n := range []int{os.Getuid(), os.Geteuid(), os.Getgid(), os.Getegid(), int(openfiles.Limit.Cur), int(openfiles.Limit.Max)} {
		k = binary.AppendVarint(k, int64(n))
	}
	groups, err := syscall.Getgroups()
	if err != nil {
		return nil
	}
	k = binary.AppendUvarint(k, uint64(len(groups)))
	for _, g := range groups {
		k = binary.AppendUvarint(k, uint64(g))
	}
	for _, ns := range []string{"/proc/self/ns/mnt", "/proc/self/ns/user"} {
		b := make([]byte, 64)
		n, err := syscall.Readlink(ns, b)
		if err != nil {
			return nil
		}
		add(string(b[:n]))
	}
	add(cwd)
	k = binary.AppendUvarint(k, uint64(fixed))
	for _, a := range args[:fixed] {
		add(a)
	}
	k = binary.AppendUvarint(k, uint64(len(env)))
	for _, v := range env {
		add(v)
	}
	c.Key = k
	return c
}

// folder is where memos are: in memory, because they have the environment in them, which may hold secrets, and in a place of
// this user alone. XDG_RUNTIME_DIR is one (XDG Base Directory Specification); where there is none, a folder is made in shm(7).
func folder(env []string, uid int) string {
	const name = "XDG_RUNTIME_DIR=/"
	for _, kv := range env {
		if len(kv) > len(name) && kv[:len(name)] == name {
			return kv[len(name)-1:] + "/carrel-again"
		}
	}
	return "/dev/shm/carrel-again-" + strconv.Itoa(uid)
}

// private makes the folder, and tells whether nobody else can write to it.
func private(dir string) error {
	err := syscall.Mkdir(dir, 0o700)
	if err != nil && err != syscall.EEXIST {
		return err
	}
	var st syscall.Stat_t
	if err := syscall.Lstat(dir, &st); err != nil {
		return err
	}
	if st.Mode != syscall.S_IFDIR|0o700 || int(st.Uid) != os.Geteuid() {
		return syscall.EPERM
	}
	return nil
}

// path is the file of the memo of the call: its name is a sum (FNV-1a), its text has the whole key.
func (c *Call) path() string {
	sum := uint64(14695981039346656037)
	for _, b := range c.Key {
		sum = (sum ^ uint64(b)) * 1099511628211
	}
	return c.Dir + "/" + strconv.FormatUint(sum, 16)
}

// Memo is a launch that can be done again.
type Memo struct {
	Look
	// Hold is a file that has to be there, is locked (flock(2), shared) as long as the container runs, and gets the time of its
	// start; empty: none.
	Hold string
	// Terminal tells whether the caller has a controlling terminal.
	Terminal bool
	// Flags are those of clone(2), and Program is what Append of package forked has written.
	Flags   uintptr
	Program []byte
}

// maxMemo bounds the file of a memo, bytes.
const maxMemo = 1 << 20

// Save keeps the memo of a call whose launch began at a given time. It does nothing when one of the files has been changed so
// shortly before that it may have been changed since it was read. It also removes memos that have lasted.
func (c *Call) Save(m *Memo, began time.Time) error {
	if err := private(c.Dir); err != nil {
		return err
	}
	sweep(c.Dir, began)
	b := binary.AppendUvarint([]byte(form), uint64(len(c.Key)))
	b = append(b, c.Key...)
	b = binary.AppendVarint(b, began.UnixNano())
	b, ok := m.Look.append(b, began)
	if !ok {
		return nil
	}
	text := func(t []byte) {
		b = binary.AppendUvarint(b, uint64(len(t)))
		b = append(b, t...)
	}
	text([]byte(m.Hold))
	text([]byte(strconv.FormatBool(m.Terminal)))
	b = binary.AppendUvarint(b, uint64(m.Flags))
	text(m.Program)
	if len(b) > maxMemo {
		return nil
	}
	f, err := os.CreateTemp(c.Dir, ".new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), c.path())
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}

// sweep removes what nobody will use any more.
func sweep(dir string, now time.Time) {
	d, err := os.Open(dir)
	if err != nil {
		return
	}
	defer d.Close()
	names, _ := d.Readdirnames(-1)
	for _, n := range names {
		if st, err := os.Lstat(dir + "/" + n); err == nil && now.Sub(st.ModTime()) > Lasting {
			os.Remove(dir + "/" + n)
		}
	}
}

// Drop removes the memo of the call.
func (c *Call) Drop() { _ = syscall.Unlink(c.path()) }

// load reads the memo of a call, and tells whether it is one that may be used: of this call, of this user, not too old.
func (c *Call) load(now time.Time) (*Memo, bool) {
	data, ok := c.read()
	if !ok {
		return nil, false
	}
	return c.parse(data, now)
}

func (c *Call) parse(data []byte, now time.Time) (*Memo, bool) {
	r := &reader{b: data}
	if !bytes.Equal(r.take(len(form)), []byte(form)) || !bytes.Equal(r.text(), c.Key) {
		return nil, false
	}
	if age := now.UnixNano() - r.int(); age < 0 || age > int64(Lasting) {
		return nil, false
	}
	m := &Memo{}
	m.Look = r.look()
	m.Hold = string(r.text())
	m.Terminal = string(r.text()) == "true"
	m.Flags = uintptr(r.uint())
	m.Program = r.text()
	return m, !r.failed && len(r.b) == 0
}

// read reads the file of the memo, when nobody but this user can have written it.
func (c *Call) read() ([]byte, bool) {
	fd, err := syscall.Open(c.path(), syscall.O_RDONLY|syscall.O_CLOEXEC|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, false
	}
	defer syscall.Close(fd)
	var st syscall.Stat_t
	if syscall.Fstat(fd, &st) != nil || st.Mode&syscall.S_IFMT != syscall.S_IFREG || int(st.Uid) != os.Geteuid() || st.Mode&0o022 != 0 || st.Size > maxMemo {
		return nil, false
	}
	data := make([]byte, st.Size)
	n, err := syscall.Read(fd, data)
	return data, err == nil && n == len(data)
}

// reader reads the text of a memo.
type reader struct {
	b      []byte
	failed bool
}

func (r *reader) take(n int) []byte {
	if n > len(r.b) {
		r.failed, r.b = true, nil
		return nil
	}
	t := r.b[:n]
	r.b = r.b[n:]
	return t
}

func (r *reader) uint() uint64 {
	n, size := binary.Uvarint(r.b)
	if size <= 0 {
		r.failed, r.b = true, nil
		return 0
	}
	r.b = r.b[size:]
	return n
}

func (r *reader) int() int64 {
	n, size := binary.Varint(r.b)
	if size <= 0 {
		r.failed, r.b = true, nil
		return 0
	}
	r.b = r.b[size:]
	return n
}

func (r *reader) text() []byte { return r.take(int(min(r.uint(), maxMemo))) }

// program is the program of a memo, for a call.
func (m *Memo) program(c *Call) (*forked.Program, error) { return forked.Decode(m.Program, c.Args) }
