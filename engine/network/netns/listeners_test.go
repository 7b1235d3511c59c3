package netns

import (
	"encoding/binary"
	"net"
	"net/netip"
	"os/exec"
	"strconv"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// Lines as Linux 6.18 on a little-endian machine prints them.
const (
	table4 = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode                                                     
   0: 0100007F:22B8 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 31337 1 0000000000000000 100 0 0 10 0                     
   1: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4242 1 0000000000000000 100 0 0 10 0                      
   2: 0100007F:22B8 0100007F:C350 01 00000000:00000000 00:00000000 00000000  1000        0 31338 1 0000000000000000 20 4 30 10 -1                    
`
	table6 = `  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000001000000:0BB8 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 99 1 0000000000000000 100 0 0 10 0
   1: 0000000000000000FFFF00000100007F:1F90 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 100 1 0000000000000000 100 0 0 10 0
`
)

func TestParseListeners(t *testing.T) {
	got := parseListeners(parseListeners(nil, []byte(table4)), []byte(table6))
	want := []Listener{
		{netip.MustParseAddr("127.0.0.1"), 8888, 1000, 31337},
		{netip.MustParseAddr("0.0.0.0"), 80, 0, 4242},
		{netip.MustParseAddr("::1"), 3000, 1000, 99},
		{netip.MustParseAddr("127.0.0.1"), 8080, 1000, 100},
	}
	if nativeIsBig() {
		t.Skip("missing: a little-endian machine")
	}
	if d := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); d != "" {
		t.Error(d)
	}
}

func FuzzParseListeners(f *testing.F) {
	f.Add([]byte(table4))
	f.Add([]byte(table6))
	f.Add([]byte("0: :: 0A"))
	f.Fuzz(func(t *testing.T, table []byte) {
		for _, l := range parseListeners(nil, table) {
			if !l.Addr.IsValid() {
				t.Errorf("invalid address in %v", l)
			}
		}
	})
}

func nativeIsBig() bool { return binary.NativeEndian.Uint16([]byte{1, 0}) != 1 }

func TestAccepted(t *testing.T) {
	addr := netip.MustParseAddrPort
	const queued = `   0: 0100007F:1F90 0100007F:C350 01 00000000:00000010 00:00000000 00000000     0        0 0 1 0000000000000000 20 4 30 10 -1
`
	for name, test := range map[string]struct {
		table          string
		client, server string
		want           bool
	}{
		"taken":                {table4, "127.0.0.1:50000", "127.0.0.1:8888", true},
		"in the queue":         {queued, "127.0.0.1:50000", "127.0.0.1:8080", false},
		"another client's":     {table4, "127.0.0.1:50001", "127.0.0.1:8888", false},
		"the client's own end": {table4, "127.0.0.1:8888", "127.0.0.1:50000", false},
		"no table":             {"x", "127.0.0.1:50000", "127.0.0.1:8888", false},
	} {
		if got := acceptedIn([]byte(test.table), addr(test.client), addr(test.server)); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	from, to := addr(c.LocalAddr().String()), addr(c.RemoteAddr().String())
	if Accepted("self", from, to) {
		t.Error("nobody has taken it")
	}
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if !Accepted("self", from, to) {
		t.Error("it has been taken")
	}
}

// TestUnused: a namespace in which there is no socket is known at a glance, and one in which something listens is not taken
// for it.
func TestUnused(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if unused("self") || !Listens("self", l.Addr().(*net.TCPAddr).Port) {
		t.Error("a listening socket of this process is not seen")
	}
	cmd := exec.Command("sleep", "1000")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	process := strconv.Itoa(cmd.Process.Pid)
	if all, err := Listeners(process); !unused(process) || len(all) != 0 || err != nil || Listens(process, 80) {
		t.Errorf("in a new namespace: %v, %v", all, err)
	}
	if unused("no-such-process") || !Listens("no-such-process", 80) {
		t.Error("what cannot be seen is taken for unused")
	}
}
