package inside

import (
	"encoding/json"
	"io"
	"sync"

	"golang.org/x/sys/unix"

	"carrel/engine/sandbox/plan"
)

// control is init's end of the socket to its supervisor; see plan/message.go.
type control struct {
	fd int
	mu sync.Mutex // one message at a time
}

func newControl(fd int) *control {
	unix.CloseOnExec(fd)
	return &control{fd: fd}
}

// send sends a message with descriptors; the descriptors stay open here. A supervisor that is gone is not an error: the
// end of the socket is noticed by receive.
func (c *control) send(m plan.Message, fds ...int) error {
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	var oob []byte
	if len(fds) > 0 {
		oob = unix.UnixRights(fds...)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		err = unix.Sendmsg(c.fd, data, oob, nil, unix.MSG_NOSIGNAL)
		if err != unix.EINTR {
			return err
		}
	}
}

// receive waits for the next message. The caller closes the descriptors. io.EOF: the supervisor is gone.
func (c *control) receive() (plan.Message, []int, error) {
	buf := make([]byte, plan.MaxMessage)
	oob := make([]byte, unix.CmsgSpace(4*plan.MaxFDs))
	for {
		n, oobn, _, _, err := unix.Recvmsg(c.fd, buf, oob, unix.MSG_CMSG_CLOEXEC)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return plan.Message{}, nil, err
		}
		if n == 0 {
			return plan.Message{}, nil, io.EOF
		}
		var fds []int
		if oobn > 0 {
			msgs, err := unix.ParseSocketControlMessage(oob[:oobn])
			if err != nil {
				return plan.Message{}, nil, err
			}
			for i := range msgs {
				got, err := unix.ParseUnixRights(&msgs[i])
				if err == nil {
					fds = append(fds, got...)
				}
			}
		}
		var m plan.Message
		if err := json.Unmarshal(buf[:n], &m); err != nil {
			for _, fd := range fds {
				unix.Close(fd)
			}
			return plan.Message{}, nil, err
		}
		return m, fds, nil
	}
}

// note tells the supervisor something that a person should know.
func (c *control) note(text string) { c.send(plan.Message{Kind: plan.MsgNote, Text: text}) }
