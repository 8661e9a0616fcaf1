package main

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"
)

func TestEchoes(t *testing.T) {
	packet := append([]byte(gatewayMAC+"\x02\x00\x00\x00\x00\x01\x08\x00"), 0x45, 0, 0, 32, 0, 0, 0, 0, 64, 1, 0, 0, 192, 168, 127, 2, 8, 8, 4, 4)
	packet = append(packet, 8, 0, 0, 0, 0, 1, 0, 2, 'p', 'i', 'n', 'g', 0, 0) // padded by the link
	request, kind := readEcho(packet)
	if kind != plainPing || request.address != netip.MustParseAddr("8.8.4.4") {
		t.Fatalf("%v %v", request, kind)
	}
	reply := request.reply()
	if string(reply[:6]) != "\x02\x00\x00\x00\x00\x01" || !bytes.Equal(reply[26:30], []byte{8, 8, 4, 4}) || reply[34] != 0 || len(reply) != 46 {
		t.Errorf("%x", reply)
	}
	var sum uint32
	for i := 34; i < 46; i += 2 {
		sum += uint32(reply[i])<<8 | uint32(reply[i+1])
	}
	if sum&0xffff+sum>>16 != 0xffff {
		t.Errorf("the checksum of %x", reply)
	}
	for _, broken := range [][]byte{packet[:40], {}, append(bytes.Clone(packet[:20]), 0x20, 0)} {
		if _, kind := readEcho(broken); kind != noPing {
			t.Errorf("%x is an echo", broken)
		}
	}
}

// packet6 is an IPv6 packet in a frame: what is in it, from the first header behind the fixed one on.
func packet6(to string, first byte, parts ...[]byte) []byte {
	payload := bytes.Join(parts, nil)
	frame := append([]byte(gatewayMAC), 2, 0, 0, 0, 0, 1, 0x86, 0xdd, 0x60, 0, 0, 0)
	frame = append(binary.BigEndian.AppendUint16(frame, uint16(len(payload))), first, 64)
	frame = append(append(frame, guest6.AsSlice()...), netip.MustParseAddr(to).AsSlice()...)
	return append(frame, payload...)
}

func TestNoPingPassesThePolicyByInOtherHeaders(t *testing.T) {
	n, err := freshNetwork(1500, policyOf(t, "public"), nowhere())
	if err != nil {
		t.Fatal(err)
	}
	echo := []byte{echo6, 0, 0, 0, 0, 1, 0, 1, 'p', 'i', 'n', 'g'}
	options := func(next byte) []byte { return []byte{next, 0, 1, 4, 0, 0, 0, 0} }
	long := append([]byte{protocol6, 1, 1, 12}, make([]byte, 12)...)
	const private = "fd00::1"
	odd := map[string][]byte{
		"hop by hop":          packet6(private, hopByHop, options(protocol6), echo),
		"destination":         packet6(private, destinationOptions, options(protocol6), echo),
		"a long one":          packet6(private, destinationOptions, long, echo),
		"several":             packet6(private, hopByHop, options(routing), options(destinationOptions), long, echo),
		"experiment":          packet6(private, experiment, options(protocol6), echo),
		"a whole fragment":    packet6(private, fragmentHeader, []byte{protocol6, 0, 0, 0, 0, 0, 0, 1}, echo),
		"the first fragment":  packet6(private, fragmentHeader, []byte{protocol6, 0, 0, 1, 0, 0, 0, 1}, echo),
		"a later fragment":    packet6(private, fragmentHeader, []byte{protocol6, 0, 0, 8, 0, 0, 0, 1}, echo),
		"hidden in fragments": packet6(private, fragmentHeader, []byte{destinationOptions, 0, 0, 8, 0, 0, 0, 1}, echo),
		"options of IPv4": append([]byte(gatewayMAC+"\x02\x00\x00\x00\x00\x01\x08\x00"), 0x46, 0, 0, 32, 0, 0, 0, 0, 64, 1, 0, 0,
			192, 168, 127, 2, 10, 0, 0, 1, 1, 1, 1, 1, echo4, 0, 0, 0, 0, 1, 0, 1),
		"a fragment of IPv4": append([]byte(gatewayMAC+"\x02\x00\x00\x00\x00\x01\x08\x00"), 0x45, 0, 0, 28, 0, 0, 0x20, 0, 64, 1, 0, 0,
			192, 168, 127, 2, 10, 0, 0, 1, echo4, 0, 0, 0, 0, 1, 0, 1),
	}
	for name, frame := range odd {
		if _, kind := readEcho(frame); kind != oddPing {
			t.Errorf("%s: %d", name, kind)
		}
		if !n.takeEcho(frame) {
			t.Errorf("%s: the stack gets it", name)
		}
	}
	if told := n.told(t); !strings.Contains(told, "{icmp fd00::1 0  a ping with options, extension headers or in fragments true} 9") ||
		!strings.Contains(told, "{icmp 10.0.0.1 0") {
		t.Error(told)
	}
	if request, kind := readEcho(packet6(private, protocol6, echo)); kind != plainPing || !bytes.Equal(request.message, echo) {
		t.Errorf("a plain one: %d", kind)
	}
	udp := make([]byte, 16)
	for name, frame := range map[string][]byte{
		"UDP":                 packet6(private, 17, udp),
		"UDP in fragments":    packet6(private, fragmentHeader, []byte{17, 0, 0, 1, 0, 0, 0, 1}, udp),
		"UDP behind options":  packet6(private, destinationOptions, options(17), udp),
		"a neighbour's query": packet6("ff02::1:ff00:1", protocol6, []byte{135, 0, 0, 0, 0, 0, 0, 0}),
		"cut off":             packet6(private, destinationOptions, []byte{protocol6, 9}),
		"to the gateway":      packet6("fd7f:ae61:5::1", destinationOptions, options(protocol6), echo),
	} {
		if n.takeEcho(frame) {
			t.Errorf("%s: the stack does not get it", name)
		}
	}
}
