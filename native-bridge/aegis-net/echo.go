package main

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
)

const (
	ipv4Header = 20
	ipv6Header = 40
	echoHeader = 8
	echo4      = 8
	echo6      = 128
	protocol4  = 1
	protocol6  = 58
)

// echoRequest is a guest's ping: its frame, and where in it which part begins.
type echoRequest struct {
	frame    []byte
	source   []byte
	target   []byte
	message  []byte
	address  netip.Addr
	protocol int
}

// ping is what a frame has of one.
type ping int

const (
	noPing ping = iota
	plainPing
	// oddPing has options, extension headers or fragments, or what follows those cannot be told: the stack would put it together and answer it
	// in the name of whoever is meant, so it must not get there. It is not passed on, either: what such headers ask of routers is nobody's here.
	oddPing
)

// readEcho finds an ICMP echo request in a frame. Of an odd one, only whom it is for is known.
func readEcho(frame []byte) (*echoRequest, ping) {
	if len(frame) < ethernetHeader {
		return nil, noPing
	}
	packet := frame[ethernetHeader:]
	switch kind := binary.BigEndian.Uint16(frame[12:]); {
	case kind == 0x0800 && len(packet) >= ipv4Header:
		return readEcho4(frame, packet)
	case kind == 0x86dd && len(packet) >= ipv6Header:
		return readEcho6(frame, packet)
	}
	return nil, noPing
}

func readEcho4(frame, packet []byte) (*echoRequest, ping) {
	if packet[9] != protocol4 {
		return nil, noPing
	}
	found := &echoRequest{address: netip.AddrFrom4([4]byte(packet[16:20])), protocol: protocol4}
	const dontFragment = 0x4000
	header := int(packet[0]&0xf) * 4
	if fragment := binary.BigEndian.Uint16(packet[6:]) &^ dontFragment; fragment != 0 {
		return found, oddPing
	}
	if len(packet) <= header || packet[header] != echo4 {
		return nil, noPing
	}
	if header != ipv4Header {
		return found, oddPing
	}
	return found.whole(frame, packet[12:16], packet[16:20], ipv4Header, int(binary.BigEndian.Uint16(packet[2:])))
}

func readEcho6(frame, packet []byte) (*echoRequest, ping) {
	found := &echoRequest{address: netip.AddrFrom16([16]byte(packet[24:40])), protocol: protocol6}
	next, at, fragment := behindExtensions(packet)
	switch {
	// Of a fragment, only the first has the headers that follow: where those are extensions, the others tell nothing.
	case fragment && (next == protocol6 || isExtension(next)):
		return found, oddPing
	case fragment, next != protocol6, at >= len(packet), packet[at] != echo6:
		return nil, noPing
	case at != ipv6Header:
		return found, oddPing
	}
	return found.whole(frame, packet[8:24], packet[24:40], ipv6Header, ipv6Header+int(binary.BigEndian.Uint16(packet[4:])))
}

// whole fills in a request without anything between its two headers; one that has not all of its bytes is none, for the stack as well.
func (e *echoRequest) whole(frame, source, target []byte, header, total int) (*echoRequest, ping) {
	if total < header+echoHeader || ethernetHeader+total > len(frame) {
		return nil, noPing
	}
	e.frame, e.source, e.target = frame[:ethernetHeader+total], source, target
	e.message = e.frame[ethernetHeader+header:]
	return e, plainPing
}

const (
	hopByHop           = 0
	routing            = 43
	fragmentHeader     = 44
	destinationOptions = 60
	experiment         = 253
)

// isExtension is true for those that the stack reads; behind any other it does not look.
func isExtension(kind byte) bool {
	return kind == hopByHop || kind == routing || kind == fragmentHeader || kind == destinationOptions || kind == experiment
}

// behindExtensions walks the chain of an IPv6 packet (RFC 8200, section 4) to what it carries, and where that begins; or to the header behind
// that of a fragment. A chain that ends too soon carries nothing that the stack would take.
func behindExtensions(packet []byte) (next byte, at int, fragment bool) {
	next, at = packet[6], ipv6Header
	for isExtension(next) && at+8 <= len(packet) {
		kind := next
		next = packet[at]
		switch kind {
		case fragmentHeader:
			// The lowest bit says that more follow, the thirteen highest where this one belongs. One of neither is whole.
			if binary.BigEndian.Uint16(packet[at+2:])&0xfff9 != 0 {
				return next, at + 8, true
			}
			at += 8
		case experiment:
			at += 8
		default:
			at += 8 + 8*int(packet[at+1])
		}
	}
	return next, at, false
}

// takeEcho says whether a frame is a ping of somebody outside: it is sent on, and its answer comes when it comes. The stack answers those of its
// own addresses.
func (n *network) takeEcho(frame []byte) bool {
	request, kind := readEcho(frame)
	if kind == noPing || request.address == gateway4 || request.address == gateway6 || request.address.IsMulticast() {
		return false
	}
	to := target{"icmp", request.address, 0}
	if kind == oddPing {
		n.refuse(to, judgement{decision{refuse, "a ping with options, extension headers or in fragments"}, "", true})
		return true
	}
	select {
	case n.echoes <- struct{}{}:
	default:
		return true
	}
	// The frame's memory is the next one's when we have returned.
	request, _ = readEcho(bytes.Clone(frame))
	go func() {
		defer func() { <-n.echoes }()
		if to.isHost() {
			return
		}
		f, opened := n.open(to)
		if !opened {
			return
		}
		defer n.close(f)
		f.sent.Add(uint64(len(request.message)))
		if askEcho(effective(request.address), request.message) {
			f.received.Add(uint64(len(request.message)))
			n.link.write(request.reply())
		}
	}()
	return true
}

// askEcho pings from a socket of the kernel's that plain users have (net.ipv4.ping_group_range); without it there is no answer.
func askEcho(address netip.Addr, message []byte) bool {
	network, listen, kind, protocol := "udp4", "0.0.0.0", icmp.Type(ipv4.ICMPTypeEcho), protocol4
	if address.Is6() {
		network, listen, kind, protocol = "udp6", "::", ipv6.ICMPTypeEchoRequest, protocol6
	}
	socket, err := icmp.ListenPacket(network, listen)
	if err != nil {
		return false
	}
	defer socket.Close()
	sequence := int(binary.BigEndian.Uint16(message[6:]))
	// The kernel gives the number that tells our pings from others'.
	packed, err := (&icmp.Message{Type: kind, Body: &icmp.Echo{Seq: sequence, Data: message[echoHeader:]}}).Marshal(nil)
	if err != nil || socket.SetDeadline(time.Now().Add(echoWithin)) != nil {
		return false
	}
	if _, err := socket.WriteTo(packed, &net.UDPAddr{IP: address.AsSlice()}); err != nil {
		return false
	}
	memory := make([]byte, maxDatagram)
	for {
		size, _, err := socket.ReadFrom(memory)
		if err != nil {
			return false
		}
		answer, err := icmp.ParseMessage(protocol, memory[:size])
		if err != nil {
			continue
		}
		if body, ok := answer.Body.(*icmp.Echo); ok && body.Seq == sequence &&
			(answer.Type == ipv4.ICMPTypeEchoReply || answer.Type == ipv6.ICMPTypeEchoReply) {
			return true
		}
	}
}

// reply turns the request's frame into its answer, in place.
func (e *echoRequest) reply() []byte {
	swap(e.frame[0:6], e.frame[6:12])
	swap(e.source, e.target)
	e.message[2], e.message[3] = 0, 0
	var sum uint16
	if e.protocol == protocol4 {
		e.message[0] = 0
	} else {
		e.message[0] = 129
		length := binary.BigEndian.AppendUint32(nil, uint32(len(e.message)))
		sum = checksum.Checksum(append(length, 0, 0, 0, protocol6), checksum.Checksum(e.target, checksum.Checksum(e.source, 0)))
	}
	binary.BigEndian.PutUint16(e.message[2:], ^checksum.Checksum(e.message, sum))
	return e.frame
}

func swap(a, b []byte) {
	for i := range a {
		a[i], b[i] = b[i], a[i]
	}
}
