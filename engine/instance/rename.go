package instance

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Rename gives an instance another name; command is then what starts the same again. One that runs is renamed by its
// supervisor, and goes on. The error wraps fs.ErrExist where the name is taken, by one that has ended, too.
func Rename(ctx context.Context, root, from, to, command string) error {
	if err := CheckName(to); err != nil {
		return err
	}
	in, err := Get(root, from)
	if err != nil {
		return err
	}
	if in.State.Live() {
		return renameLive(ctx, in.Dir, from, to, command)
	}
	unlock, err := lock(root)
	if err != nil {
		return err
	}
	defer unlock()
	if in, err = Get(root, from); err != nil {
		return err
	}
	if in.State.Live() {
		return fmt.Errorf("rename %s: %w", from, ErrRunning) // begun this moment
	}
	target := filepath.Join(root, to)
	if err := move(in.Dir, target); err != nil {
		return err
	}
	r, err := readRecord(target)
	if err != nil {
		return err
	}
	r.Name, r.Command = to, command
	return r.write(target, false)
}

func renameLive(ctx context.Context, dir, from, to, command string) error {
	conn, _, err := ask("rename", dir)
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	var a answer
	if err = sendPacket(conn, request{Op: opRename, Name: to, Command: command}); err == nil {
		_, err = receivePacket(conn, &a)
	}
	switch {
	case err != nil:
		return fmt.Errorf("rename %s: %w", from, err)
	case a.Error != nil && a.Status == statusExists:
		return &takenError{from, to}
	case a.Error != nil:
		return a.Error
	}
	return nil
}

// statusExists is the Status of an answer whose error is that a name is taken.
const statusExists = 1

// takenError is a name that another instance has.
type takenError struct{ from, to string }

func (e *takenError) Error() string {
	return fmt.Sprintf("rename %s: there is an app %s already", e.from, e.to)
}
func (e *takenError) Unwrap() error { return fs.ErrExist }

// Hint says what to do about it.
func (e *takenError) Hint() string {
	return "choose another name, or forget the other app, once it has ended: carrel rm " + e.to
}

// move renames a folder to a name that nobody has. The root is locked.
func move(dir, target string) error {
	if _, err := os.Lstat(target); err == nil {
		return &takenError{filepath.Base(dir), filepath.Base(target)}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("rename %s: %w", filepath.Base(dir), err)
	}
	if err := os.Rename(dir, target); err != nil {
		return fmt.Errorf("rename %s: %w", filepath.Base(dir), err)
	}
	return nil
}

// rename takes the folder of this instance, which runs, to another name.
func (s *supervisor) rename(to, command string) error {
	if err := CheckName(to); err != nil {
		return err
	}
	root := filepath.Dir(s.folder())
	unlock, err := lock(root)
	if err != nil {
		return err
	}
	defer unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	from, target := s.rec.Name, filepath.Join(root, to)
	// The state and the log are written to one of both places at any time: their locks are held.
	if err := s.log.Move(target, func() error { return move(s.spec.Dir, target) }); err != nil {
		return err
	}
	s.spec.Dir, s.spec.Name, s.rec.Name = target, to, to
	if command != "" {
		s.rec.Command = command
	}
	err = s.rec.write(target, false)
	s.log.Remark("renamed from " + from)
	return err
}

// folder is where this instance has its files now.
func (s *supervisor) folder() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.spec.Dir
}
