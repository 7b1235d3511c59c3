package instance

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"carrel/engine/instance/logfile"
	"carrel/internal/atomicfile"
)

const (
	stateFile   = "state.json"
	controlFile = "control"
	crashFile   = "supervisor.log"
)

// record is the content of a state file.
type record struct {
	Instance
	Machine machine `json:"machine"`
	// Start is field 22 of the supervisor's /proc/PID/stat; with Reserved, of the starter's.
	Start uint64 `json:"pid_start"`
	// Beats: the time of the file tells when its process was last there.
	Beats bool `json:"beats,omitempty"`
	// Reserved: no supervisor has taken over yet.
	Reserved bool `json:"reserved,omitempty"`
	// Control is the abstract name (unix(7)) of the control socket, where the folder's file system has no sockets.
	Control string `json:"control,omitempty"`
}

// readRecord reads a state file; ErrNotFound when there is none.
func readRecord(dir string) (record, error) {
	var r record
	data, err := os.ReadFile(filepath.Join(dir, stateFile))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return r, ErrNotFound
	}
	if err != nil {
		return r, fmt.Errorf("read state of %s: %w", filepath.Base(dir), err)
	}
	if err := json.Unmarshal(data, &r); err != nil {
		return r, fmt.Errorf("read state of %s: %w", filepath.Base(dir), err)
	}
	return r, nil
}

// write replaces the state file. durable waits for the disk. Where nothing can be replaced, because the disk is full or over a
// quota, it is written in place: somebody may be waiting for what it says.
func (r *record) write(dir string, durable bool) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("write state of %s: %w", r.Name, err)
	}
	if err = r.replace(dir, data, durable); err != nil && overwrite(filepath.Join(dir, stateFile), data) == nil {
		return nil
	}
	return err
}

// overwrite writes a file that is there in place, in one piece, which takes no more room on most file systems. Who reads it
// in this moment may find it damaged, and reads it again when it is told of the change.
func overwrite(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	st, err := f.Stat()
	if err == nil {
		if n := int(st.Size()) - len(data); n > 0 {
			data = append(data, bytes.Repeat([]byte(" "), n)...) // JSON may end with it
		}
		_, err = f.WriteAt(data, 0)
	}
	return errors.Join(err, f.Close())
}

// replace gives the state file new content.
func (r *record) replace(dir string, data []byte, durable bool) error {
	f, err := atomicfile.Create(filepath.Join(dir, stateFile), 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write(append(data, '\n')); err != nil {
		return fmt.Errorf("write state of %s: %w", r.Name, err)
	}
	if durable {
		return f.Commit()
	}
	return f.CommitCached()
}

// load is the instance of a folder as it stands now: with StateLost where the supervisor has died, and Elsewhere where that
// cannot be known here.
func load(dir string, here machine) (Instance, record, error) {
	r, err := readRecord(dir)
	if err != nil {
		return Instance{}, r, err
	}
	in, gone := r.present(dir, here)
	if gone {
		// Between reading the state and looking for the process it may have come to its proper end.
		if r, err = readRecord(dir); err != nil {
			return Instance{}, r, err
		}
		in, _ = r.present(dir, here)
	}
	return in, r, nil
}

// present is the state of a record now, and whether its process was found gone.
func (r *record) present(dir string, here machine) (in Instance, gone bool) {
	in = r.Instance
	in.Dir, in.LogFile = dir, logfile.Path(dir)
	if !r.Machine.sameAs(here) {
		in.Elsewhere = r.Machine.Host
		if d := r.silent(dir, time.Now()); d > 0 && in.State.Live() {
			in.lose(heard(in.Elsewhere, d))
		}
		return in, false
	}
	if !in.State.Live() {
		return in, false
	}
	switch {
	case r.Machine.Boot != here.Boot:
		gone = true // the machine was started again since
	case r.Machine.Space != here.Space:
		// Another container of this machine: its process numbers say nothing here, but its socket is the same kernel's.
		in.Init = 0
		conn, err := connect(dir, r.Control)
		if gone = err != nil; !gone {
			conn.Close()
		}
	default:
		gone = !alive(in.PID, r.Start)
		if !gone && !r.Reserved {
			in.Started = startedAt(in.Started, r.Start, time.Now())
		}
	}
	if gone {
		problem := "its supervisor was killed, or the computer was switched off; everything in it has ended"
		if r.Reserved {
			problem = "it was never started: the program that was about to was interrupted"
		}
		in.lose(problem)
	}
	return in, gone
}

// lose makes it an instance whose supervisor is gone.
func (in *Instance) lose(problem string) {
	in.State, in.Reason, in.Problem, in.Hint = StateLost, ReasonLost, problem, ""
	for i := range in.Addresses {
		in.Addresses[i].Ready = false
	}
}
