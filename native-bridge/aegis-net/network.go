package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/ethernet"
	"gvisor.dev/gvisor/pkg/tcpip/network/arp"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
)

const nic = tcpip.NICID(1)

// network is the guest's network.
type network struct {
	stack   *stack.Stack
	link    *link
	world   world
	policy  atomic.Pointer[policy]
	setting sync.Mutex
	pins    *pins
	flows   *flows
	reports *reports
	counted *counters
	ledger  *ledger
	echoes  chan struct{}
	// down is true when nothing is to pass.
	down bool
}

func newNetwork(given *handover, world world, counted *counters, ledger *ledger) (*network, error) {
	n := &network{
		stack: stack.New(stack.Options{
			NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, ipv6.NewProtocol, arp.NewProtocol},
			TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol, icmp.NewProtocol4, icmp.NewProtocol6},
		}),
		link:    &link{mtu: given.MTU, counted: counted},
		world:   world,
		pins:    newPins(),
		flows:   newFlows(),
		reports: newReports(counted),
		counted: counted,
		ledger:  ledger,
		down:    given.Down,
		echoes:  make(chan struct{}, maxEchoes),
	}
	n.policy.Store(&given.Policy)
	for _, one := range given.Pins {
		n.pins.put(one)
	}
	if given.Crash != nil {
		n.reports.crashed(given.Crash)
	}
	if err := n.configure(); err != nil {
		return nil, err
	}
	return n, n.serveDNS()
}

func (n *network) configure() error {
	tune := func(option tcpip.SettableTransportProtocolOption) error {
		if err := n.stack.SetTransportProtocolOption(tcp.ProtocolNumber, option); err != nil {
			return errors.New(err.String())
		}
		return nil
	}
	sack := tcpip.TCPSACKEnabled(true)
	moderate := tcpip.TCPModerateReceiveBufferOption(true)
	receive := tcpip.TCPReceiveBufferSizeRangeOption{Min: 4 << 10, Default: 1 << 20, Max: 4 << 20}
	send := tcpip.TCPSendBufferSizeRangeOption{Min: 4 << 10, Default: 1 << 20, Max: 4 << 20}
	if err := errors.Join(tune(&sack), tune(&moderate), tune(&receive), tune(&send)); err != nil {
		return err
	}
	if err := n.stack.CreateNIC(nic, ethernet.New(n.link)); err != nil {
		return fmt.Errorf("the device: %s", err)
	}
	for _, own := range []netip.Addr{gateway4, host4, gateway6, host6} {
		if err := n.stack.AddProtocolAddress(nic, tcpip.ProtocolAddress{
			Protocol:          protocolOf(own),
			AddressWithPrefix: tcpip.AddrFromSlice(own.AsSlice()).WithPrefix(),
		}, stack.AddressProperties{}); err != nil {
			return fmt.Errorf("%s: %s", own, err)
		}
	}
	// The stack answers as whatever host the guest wants to reach.
	if err := n.stack.SetPromiscuousMode(nic, true); err != nil {
		return fmt.Errorf("the device: %s", err)
	}
	if err := n.stack.SetSpoofing(nic, true); err != nil {
		return fmt.Errorf("the device: %s", err)
	}
	n.stack.SetRouteTable([]tcpip.Route{
		{Destination: header.IPv4EmptySubnet, NIC: nic},
		{Destination: header.IPv6EmptySubnet, NIC: nic},
	})
	forwardTCP := tcp.NewForwarder(n.stack, 0, maxOpening, n.openTCP)
	n.stack.SetTransportProtocolHandler(tcp.ProtocolNumber, forwardTCP.HandlePacket)
	forwardUDP := udp.NewForwarder(n.stack, n.openUDP)
	n.stack.SetTransportProtocolHandler(udp.ProtocolNumber, forwardUDP.HandlePacket)
	return nil
}

func protocolOf(address netip.Addr) tcpip.NetworkProtocolNumber {
	if address.Is4() {
		return ipv4.ProtocolNumber
	}
	return ipv6.ProtocolNumber
}

// run takes the guest's frames, one packet each, until the link ends.
func (n *network) run(conn *net.UnixConn) error {
	n.link.attachConn(conn)
	defer conn.Close()
	memory := make([]byte, maxFrame)
	resting := &rest{after: restAfter, do: n.giveBack()}
	for {
		size, err := conn.Read(memory)
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
			return nil
		case err != nil:
			return fmt.Errorf("the guest's link: %w", err)
		}
		frame := memory[:size]
		n.counted.sent(size)
		resting.touch()
		if n.down || size < ethernetHeader || n.takeEcho(frame) {
			continue
		}
		n.link.deliver(frame)
	}
}

// giveBack gives memory back to the host, where enough has passed since the last time.
func (n *network) giveBack() func() {
	var before uint64
	return func() {
		if now := n.counted.sentBytes.Load() + n.counted.receivedBytes.Load(); now-before >= restFrom {
			before = now
			debug.FreeOSMemory()
		}
	}
}

// setPolicy takes effect for new flows at once, and ends those that it would have refused.
func (n *network) setPolicy(p *policy) {
	n.setting.Lock()
	defer n.setting.Unlock()
	n.ledger.write(entry{Policy: p})
	n.policy.Store(p)
	n.flows.endIf(func(f *flow) bool { return !n.judge(f.to).allows() })
}

// target is a destination as the guest sees it.
type target struct {
	protocol string
	address  netip.Addr
	port     uint16
}

func (t target) isHost() bool { return t.address == host4 || t.address == host6 }

func addressOf(address tcpip.Address) netip.Addr {
	found, _ := netip.AddrFromSlice(address.AsSlice()) // of 4 or 16 bytes, always
	return found
}

// judgement is what the policy says of a flow; the name that it went by, or another one for which the guest was given the address; and
// whether every policy would say so.
type judgement struct {
	decision
	name   string
	always bool
}

// judge says what the policy has to say of a flow.
func (n *network) judge(to target) judgement {
	policy, address := n.policy.Load(), effective(to.address)
	switch {
	case to.isHost():
		return judgement{policy.decideHostPort(to.port), hostName, false}
	case subnet4.Contains(to.address) || subnet6.Contains(to.address):
		return judgement{decision{refuse, "the guest's own network, where nobody else is"}, "", true}
	case !address.IsGlobalUnicast() && !address.IsLinkLocalUnicast() && !address.IsLoopback():
		return judgement{decision{refuse, "no address of one host"}, "", true}
	}
	names := n.pins.namesOf(address)
	verdict, name := policy.decideBy(destination{address, to.port, names, n.world.own(address)})
	if name == "" && len(names) > 0 {
		name = names[0]
	}
	return judgement{verdict, name, false}
}

// refuse tells that a flow was refused.
func (n *network) refuse(to target, because judgement) {
	n.reports.refuse(refusal{to.protocol, to.address.String(), to.port, because.name, because.Why, because.always})
}

// open begins a flow, if the policy lets it through and there is room.
func (n *network) open(to target) (*flow, bool) {
	verdict := n.judge(to)
	if !verdict.allows() {
		n.refuse(to, verdict)
		return nil, false
	}
	f := &flow{to: to, name: verdict.name, began: time.Now(), end: func() {}}
	if !n.flows.add(f) {
		n.refuse(to, judgement{decision{refuse, "too many flows at once"}, verdict.name, true})
		return nil, false
	}
	n.counted.allowed.Add(1)
	return f, true
}

// close is a flow's end, which is told once.
func (n *network) close(f *flow) {
	if n.flows.remove(f) {
		n.tellEnd(f)
	}
}

func (n *network) tellEnd(f *flow) {
	if n.policy.Load().Log {
		n.reports.end(f.ended())
	}
}

// finish ends what there is, for the guest has ended, and then the reports: with what is left to tell.
func (n *network) finish() {
	for _, f := range n.flows.endAll() {
		n.tellEnd(f)
	}
	n.reports.finish()
}

// outside is where a flow really goes.
func (t target) outside() []netip.AddrPort {
	if t.isHost() {
		return []netip.AddrPort{
			netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), t.port),
			netip.AddrPortFrom(netip.IPv6Loopback(), t.port),
		}
	}
	return []netip.AddrPort{netip.AddrPortFrom(effective(t.address), t.port)}
}
