package main

import (
	"net"
	"sync/atomic"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"
)

const maxDatagram = 65535

// openUDP takes the first datagram of a conversation; false makes the stack say that the port is unreachable.
func (n *network) openUDP(request *udp.ForwarderRequest) bool {
	id := request.ID()
	to := target{"udp", addressOf(id.LocalAddress), id.LocalPort}
	f, opened := n.open(to)
	if !opened {
		return false
	}
	var queue waiter.Queue
	endpoint, failure := request.CreateEndpoint(&queue)
	if failure != nil {
		n.close(f)
		return false
	}
	inner := gonet.NewUDPConn(&queue, endpoint)
	go func() {
		defer n.close(f)
		defer inner.Close()
		outer, err := n.world.dialUDP(to.outside()[0])
		if err != nil {
			return
		}
		defer outer.Close()
		n.flows.setEnd(f, func() { inner.Close(); outer.Close() })
		done := make(chan struct{})
		go func() {
			defer close(done)
			relayDatagrams(outer, inner, &f.sent)
			inner.Close()
		}()
		relayDatagrams(inner, outer, &f.received)
		outer.Close()
		<-done
	}()
	return true
}

// relayDatagrams passes datagrams on until none has come for udpIdle. A peer that answers "unreachable" is silent, and no end.
func relayDatagrams(to, from net.Conn, count *atomic.Uint64) {
	memory := make([]byte, maxDatagram)
	for {
		_ = from.SetReadDeadline(time.Now().Add(udpIdle))
		size, err := from.Read(memory)
		if err != nil {
			if isRefused(err) {
				continue
			}
			return
		}
		// A datagram that cannot be sent is lost, as on any network.
		if _, err := to.Write(memory[:size]); err == nil {
			count.Add(uint64(size))
		}
	}
}
