package main

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/miekg/dns"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/ethernet"
	"gvisor.dev/gvisor/pkg/tcpip/network/arp"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
)

func openPolicy() *policy { return &policy{Otherwise: decision{allow, "the test"}} }

// nowhere is a world in which nothing answers.
func nowhere() world {
	fail := errors.New("nowhere")
	return world{
		dialTCP:   func([]netip.AddrPort) (*net.TCPConn, error) { return nil, fail },
		dialUDP:   func(netip.AddrPort) (net.Conn, error) { return nil, fail },
		own:       func(netip.Addr) bool { return false },
		resolvers: func() []string { return nil },
	}
}

// guest is the other end of the link: a machine with one address.
type guest struct{ stack *stack.Stack }

var guest4 = netip.MustParseAddr("192.168.127.2")
var guest6 = netip.MustParseAddr("fd7f:ae61:5::2")

// freshNetwork is one that nobody has handed anything over to.
func freshNetwork(mtu uint32, p *policy, world world) (*network, error) {
	return newNetwork(&handover{MTU: mtu, Policy: *p}, world, &counters{}, &ledger{})
}

// connectedPackets is both ends of a connection between relay and network.
func connectedPackets(t testing.TB) (*net.UnixConn, *net.UnixConn) {
	t.Helper()
	inner, theirs, err := packetPair()
	if err != nil {
		t.Fatal(err)
	}
	outer, err := packetConn(theirs)
	if err != nil {
		t.Fatal(err)
	}
	return inner, outer
}

func startGuest(t *testing.T, n *network) *guest {
	t.Helper()
	inner, outer := connectedPackets(t)
	ended := make(chan error, 1)
	go func() { ended <- n.run(outer) }()
	g := newGuest(t, n.link.mtu, inner)
	t.Cleanup(func() {
		inner.Close()
		if err := <-ended; err != nil && !errors.Is(err, os.ErrClosed) {
			t.Errorf("the network ended with: %v", err)
		}
	})
	return g
}

// newGuest is a guest whose frames come and go over a connection, one packet each.
func newGuest(t *testing.T, mtu uint32, conn *net.UnixConn) *guest {
	t.Helper()
	own := &link{mtu: mtu, counted: &counters{}}
	own.attachConn(conn)
	g := &guest{stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, ipv6.NewProtocol, arp.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol},
	})}
	guestLink := ethernet.New(&guestDevice{own})
	if err := g.stack.CreateNIC(nic, guestLink); err != nil {
		t.Fatal(err)
	}
	for _, address := range []netip.Addr{guest4, guest6} {
		if err := g.stack.AddProtocolAddress(nic, tcpip.ProtocolAddress{
			Protocol:          protocolOf(address),
			AddressWithPrefix: tcpip.AddressWithPrefix{Address: tcpip.AddrFromSlice(address.AsSlice()), PrefixLen: 24},
		}, stack.AddressProperties{}); err != nil {
			t.Fatal(err)
		}
	}
	g.stack.SetRouteTable([]tcpip.Route{
		{Destination: header.IPv4EmptySubnet, Gateway: tcpip.AddrFromSlice(gateway4.AsSlice()), NIC: nic},
		{Destination: header.IPv6EmptySubnet, Gateway: tcpip.AddrFromSlice(gateway6.AsSlice()), NIC: nic},
	})
	go func() {
		memory := make([]byte, maxFrame)
		for {
			size, err := conn.Read(memory)
			if err != nil {
				return
			}
			own.deliver(memory[:size])
		}
	}()
	return g
}

// guestDevice is a link with a hardware address of its own.
type guestDevice struct{ *link }

func (guestDevice) LinkAddress() tcpip.LinkAddress { return "\x5a\x94\xef\xe4\x0c\xee" }

func full(to netip.AddrPort) tcpip.FullAddress {
	return tcpip.FullAddress{NIC: nic, Addr: tcpip.AddrFromSlice(to.Addr().AsSlice()), Port: to.Port()}
}

func (g *guest) dial(to string) (*gonet.TCPConn, error) { return g.dialWithin(to, 20*time.Second) }

func (g *guest) dialWithin(to string, patience time.Duration) (*gonet.TCPConn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	at := netip.MustParseAddrPort(to)
	return gonet.DialContextTCP(ctx, g.stack, full(at), protocolOf(at.Addr()))
}

func (g *guest) dialUDP(to string) (*gonet.UDPConn, error) {
	at := netip.MustParseAddrPort(to)
	remote := full(at)
	return gonet.DialUDP(g.stack, nil, &remote, protocolOf(at.Addr()))
}

// ask asks the gateway for a name's records.
func (g *guest) ask(t *testing.T, network, name string, kind uint16) *dns.Msg {
	t.Helper()
	var conn net.Conn
	var err error
	if network == "tcp" {
		conn, err = g.dial("192.168.127.1:53")
	} else {
		conn, err = g.dialUDP("192.168.127.1:53")
	}
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	question := new(dns.Msg)
	question.SetQuestion(dns.Fqdn(name), kind)
	stream := &dns.Conn{Conn: packetOrStream(conn, network)}
	if err := stream.WriteMsg(question); err != nil {
		t.Fatal(err)
	}
	answer, err := stream.ReadMsg()
	if err != nil {
		t.Fatalf("%s %s: %v", network, name, err)
	}
	return answer
}

// packetOrStream hides that a datagram connection of gVisor's is a net.PacketConn, or shows it: dns.Conn frames by that.
func packetOrStream(conn net.Conn, network string) net.Conn {
	if network == "tcp" {
		return struct{ net.Conn }{conn}
	}
	return conn
}
