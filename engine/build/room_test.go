package build

import (
	"errors"
	"io"
	"strings"
	"testing"

	"carrel/engine/tree"
)

type taken []string

func (s *taken) Add(e tree.Entry, _ io.Reader) error {
	*s = append(*s, e.Path)
	return nil
}

// TestRoom: a file that the disk cannot hold is refused before anything of it is written.
func TestRoom(t *testing.T) {
	var got taken
	r := &roomy{Sink: &got, folder: t.TempDir()}
	for _, e := range []tree.Entry{{Path: "small", Mode: tree.TypeRegular, Size: 10}, {Path: "also", Mode: tree.TypeRegular, Size: 20}} {
		if err := r.Add(e, strings.NewReader("")); err != nil {
			t.Error(err)
		}
	}
	err := r.Add(tree.Entry{Path: "bomb", Mode: tree.TypeRegular, Size: 1 << 60}, strings.NewReader(""))
	room, ok := errors.AsType[*RoomError](err)
	if !ok || room.Size != 1<<60 || room.Free <= 0 || room.Hint() == "" || len(got) != 2 {
		t.Errorf("got %v, %q were written", err, got)
	}
}
