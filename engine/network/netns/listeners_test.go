package netns

import (
	"encoding/binary"
	"net/netip"
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
