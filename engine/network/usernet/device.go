package usernet

import (
	"fmt"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// gatewayMAC is the hardware address of the gateway: locally administered (IEEE 802, bit 1 of the first byte) and of
// meaning only on the link itself. It differs from that of the veth peer under the packet socket, so that the kernel takes
// the frames that arrive there as meant for somebody else and leaves them to the socket.
const gatewayMAC = tcpip.LinkAddress("\x02\x43\x41\x52\x52\x01")

// firstRead is how much of each frame goes to a small buffer first; a frame that fits leaves the large one unused.
const firstRead = 2048

// device is a stack.LinkEndpoint on a descriptor that carries one Ethernet frame per read and write: a TAP device or a
// packet socket. It waits in the runtime's poller, so that it costs no thread and ends when it is closed. (gVisor's own
// link/fdbased blocks a thread, and opens eventfds that it neither closes nor keeps from programs started later.)
type device struct {
	file *os.File
	raw  syscall.RawConn
	mtu  uint32
	wg   sync.WaitGroup

	mu         sync.RWMutex
	dispatcher stack.NetworkDispatcher
	onClose    func()
}

// newDevice takes fd over, also when it fails.
func newDevice(fd int, mtu uint32) (*device, error) {
	if err := unix.SetNonblock(fd, true); err != nil {
		_ = unix.Close(fd)
		return nil, os.NewSyscallError("fcntl", err)
	}
	d := &device{file: os.NewFile(uintptr(fd), "link"), mtu: mtu}
	raw, err := d.file.SyscallConn()
	if err != nil {
		_ = d.file.Close()
		return nil, fmt.Errorf("use descriptor %d: %w", fd, err)
	}
	d.raw = raw
	return d, nil
}

func (d *device) MTU() uint32                              { return d.mtu }
func (d *device) SetMTU(uint32)                            {}
func (d *device) MaxHeaderLength() uint16                  { return header.EthernetMinimumSize }
func (d *device) LinkAddress() tcpip.LinkAddress           { return gatewayMAC }
func (d *device) SetLinkAddress(tcpip.LinkAddress)         {}
func (d *device) ARPHardwareType() header.ARPHardwareType  { return header.ARPHardwareEther }
func (d *device) Wait()                                    { d.wg.Wait() }
func (d *device) ParseHeader(pkt *stack.PacketBuffer) bool { _, ok := parseEthernet(pkt); return ok }

// Capabilities says that received checksums need no check: what comes out of a local socket carries none, the kernel
// leaves it to hardware that is not there (CHECKSUM_PARTIAL, linux/skbuff.h), and no wire could have damaged it.
func (d *device) Capabilities() stack.LinkEndpointCapabilities {
	return stack.CapabilityRXChecksumOffload | stack.CapabilityResolutionRequired
}

func (d *device) SetOnCloseAction(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.onClose = f
}

// Attach implements stack.LinkEndpoint: it starts the reader, or with nil ends it. It does not wait for the reader: the stack
// calls it with a lock held that a packet just being delivered may want, and calls Wait afterwards without.
func (d *device) Attach(dispatcher stack.NetworkDispatcher) {
	d.mu.Lock()
	start := dispatcher != nil && d.dispatcher == nil
	d.dispatcher = dispatcher
	d.mu.Unlock()
	switch {
	case start:
		d.wg.Go(d.read)
	case dispatcher == nil:
		_ = d.file.Close()
	}
}

func (d *device) IsAttached() bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.dispatcher != nil
}

// Close ends the reader without waiting for it.
func (d *device) Close() {
	_ = d.file.Close()
	d.mu.Lock()
	f := d.onClose
	d.onClose = nil
	d.mu.Unlock()
	if f != nil {
		f()
	}
}

func (d *device) AddHeader(pkt *stack.PacketBuffer) {
	header.Ethernet(pkt.LinkHeader().Push(header.EthernetMinimumSize)).Encode(&header.EthernetFields{
		SrcAddr: pkt.EgressRoute.LocalLinkAddress,
		DstAddr: pkt.EgressRoute.RemoteLinkAddress,
		Type:    pkt.NetworkProtocolNumber,
	})
}

func parseEthernet(pkt *stack.PacketBuffer) (header.Ethernet, bool) {
	b, ok := pkt.LinkHeader().Consume(header.EthernetMinimumSize)
	if !ok {
		return nil, false
	}
	h := header.Ethernet(b)
	pkt.NetworkProtocolNumber = h.Type()
	return h, true
}

// WritePackets implements stack.LinkWriter. A frame for which the kernel has no room is dropped, as on any network.
func (d *device) WritePackets(packets stack.PacketBufferList) (int, tcpip.Error) {
	sent := 0
	var parts [16][]byte
	for _, pkt := range packets.AsSlice() {
		slices := append(parts[:0], pkt.AsSlices()...)
		var errno error
		err := d.raw.Write(func(fd uintptr) bool {
			for {
				_, errno = unix.Writev(int(fd), slices)
				if errno != unix.EINTR {
					return true
				}
			}
		})
		if err != nil {
			return sent, &tcpip.ErrClosedForSend{}
		}
		if errno != nil {
			return sent, &tcpip.ErrNoBufferSpace{}
		}
		sent++
	}
	return sent, nil
}

// read delivers frames until the descriptor is closed or the link is gone.
func (d *device) read() {
	small, large := make([]byte, firstRead), make([]byte, int(d.mtu)+header.EthernetMinimumSize)
	for {
		var n int
		var errno error
		err := d.raw.Read(func(fd uintptr) bool {
			n, errno = unix.Readv(int(fd), [][]byte{small, large})
			return errno != unix.EAGAIN
		})
		if err != nil {
			return
		}
		switch errno {
		case nil:
		case unix.EINTR, unix.ENETDOWN, unix.ENOBUFS:
			// ENETDOWN is reported once when somebody took the device down (packet(7)); it may come up again.
			continue
		default:
			return
		}
		if n >= header.EthernetMinimumSize {
			d.deliver(small, large, n)
		}
	}
}

func (d *device) deliver(small, large []byte, n int) {
	var payload buffer.Buffer
	payload.Append(buffer.NewViewWithData(small[:min(n, firstRead)]))
	if n > firstRead {
		payload.Append(buffer.NewViewWithData(large[:n-firstRead]))
	}
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: payload})
	defer pkt.DecRef()
	h, ok := parseEthernet(pkt)
	if !ok {
		return
	}
	// Group addresses have the lowest bit of the first byte set (RFC 9542 section 2.1).
	if to := h.DestinationAddress(); to != gatewayMAC && to[0]&1 == 0 {
		return
	}
	pkt.RXChecksumValidated = true
	d.mu.RLock()
	dispatcher := d.dispatcher
	d.mu.RUnlock()
	if dispatcher != nil {
		dispatcher.DeliverNetworkPacket(pkt.NetworkProtocolNumber, pkt)
	}
}
