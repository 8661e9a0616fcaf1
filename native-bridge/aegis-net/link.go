package main

import (
	"net"
	"sync"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// link is the stack's device: whole Ethernet frames to and from the guest. It is wrapped in gVisor's ethernet.Endpoint, which makes and
// takes their headers.
type link struct {
	mtu     uint32
	counted *counters

	mu         sync.RWMutex
	dispatcher stack.NetworkDispatcher

	writing sync.Mutex
	conn    *net.UnixConn
	vectors net.Buffers
}

var _ stack.LinkEndpoint = (*link)(nil)

// MTU counts the Ethernet header, which the endpoint around this one takes off.
func (l *link) MTU() uint32                             { return l.mtu + header.EthernetMinimumSize }
func (l *link) SetMTU(uint32)                           {}
func (l *link) MaxHeaderLength() uint16                 { return 0 }
func (l *link) LinkAddress() tcpip.LinkAddress          { return tcpip.LinkAddress(gatewayMAC) }
func (l *link) SetLinkAddress(tcpip.LinkAddress)        {}
func (l *link) ARPHardwareType() header.ARPHardwareType { return header.ARPHardwareEther }
func (l *link) AddHeader(*stack.PacketBuffer)           {}
func (l *link) ParseHeader(*stack.PacketBuffer) bool    { return true }
func (l *link) Wait()                                   {}
func (l *link) Close()                                  {}
func (l *link) SetOnCloseAction(func())                 {}

// Capabilities: what comes over a Unix socket has no bit errors, so checksums of the guest are not computed again.
func (l *link) Capabilities() stack.LinkEndpointCapabilities {
	return stack.CapabilityRXChecksumOffload
}

func (l *link) Attach(dispatcher stack.NetworkDispatcher) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dispatcher = dispatcher
}

func (l *link) IsAttached() bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.dispatcher != nil
}

// deliver hands a frame of the guest to the stack, which takes a copy.
func (l *link) deliver(frame []byte) {
	l.mu.RLock()
	dispatcher := l.dispatcher
	l.mu.RUnlock()
	if dispatcher == nil {
		return
	}
	packet := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(frame)})
	defer packet.DecRef()
	dispatcher.DeliverNetworkPacket(0, packet)
}

func (l *link) attachConn(conn *net.UnixConn) {
	l.writing.Lock()
	defer l.writing.Unlock()
	l.conn = conn
}

// WritePackets sends frames to the guest. A guest that does not take them, since it is paused, makes the stack wait. An error is the link's
// end, which its reader sees.
func (l *link) WritePackets(packets stack.PacketBufferList) (int, tcpip.Error) {
	l.writing.Lock()
	defer l.writing.Unlock()
	if l.conn == nil {
		return packets.Len(), nil
	}
	all := packets.AsSlice()
	for i, packet := range all {
		l.counted.received(packet.Size())
		l.vectors = append(l.vectors[:0], packet.AsSlices()...)
		// One packet is one call: so the other side gets it as one. WriteTo eats the slice it is called on.
		vectors := l.vectors
		if _, err := vectors.WriteTo(l.conn); err != nil {
			return i, &tcpip.ErrAborted{}
		}
	}
	return len(all), nil
}

// write sends one frame that the stack knows nothing of.
func (l *link) write(frame []byte) {
	l.writing.Lock()
	defer l.writing.Unlock()
	if l.conn == nil {
		return
	}
	l.counted.received(len(frame))
	_, _ = l.conn.Write(frame) // the reader sees the link's end
}
