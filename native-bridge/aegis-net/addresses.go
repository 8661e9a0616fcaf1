package main

import "net/netip"

// The guest's network, the same for each guest: nobody else is on it. libs/vm tells the guest of it in its boot message.
var (
	subnet4  = netip.MustParsePrefix("192.168.127.0/24")
	gateway4 = netip.MustParseAddr("192.168.127.1")
	// host4 and host6 stand for the host's loopback.
	host4    = netip.MustParseAddr("192.168.127.254")
	subnet6  = netip.MustParsePrefix("fd7f:ae61:5::/64")
	gateway6 = netip.MustParseAddr("fd7f:ae61:5::1")
	host6    = netip.MustParseAddr("fd7f:ae61:5::fe")
)

const (
	gatewayMAC = "\x5a\x94\xef\xe4\x0c\xdd"
	// hostName is the name of host4 and host6 in the guest, zone the domain that we answer for.
	hostName    = "host.aegis.internal"
	gatewayName = "gateway.aegis.internal"
	zone        = "aegis.internal"
	dnsPort     = 53
)
