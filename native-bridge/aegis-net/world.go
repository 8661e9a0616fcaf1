package main

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"
)

// world is what is outside of the guest's network: the host's.
type world struct {
	dialTCP func(to []netip.AddrPort) (*net.TCPConn, error)
	dialUDP func(to netip.AddrPort) (net.Conn, error)
	// own says whether an address is one of the host's.
	own func(netip.Addr) bool
	// resolvers are the host's name servers, as they are now.
	resolvers func() []string
}

func hostWorld() world {
	addresses := &ownAddresses{}
	servers := &resolverFile{path: "/etc/resolv.conf"}
	return world{dialTCP: dialTCP, dialUDP: dialUDP, own: addresses.has, resolvers: servers.list}
}

func dialTCP(to []netip.AddrPort) (conn *net.TCPConn, err error) {
	for _, one := range to {
		var dialer net.Dialer
		ctx, cancel := context.WithTimeout(context.Background(), dialWithin)
		var dialed net.Conn
		dialed, err = dialer.DialContext(ctx, "tcp", one.String())
		cancel()
		if tcp, ok := dialed.(*net.TCPConn); ok && err == nil {
			return tcp, nil
		}
	}
	return nil, err
}

func dialUDP(to netip.AddrPort) (net.Conn, error) {
	return net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
}

func isRefused(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }

// addressesFor is how long the list of the host's addresses is taken for true.
const addressesFor = 2 * time.Second

type ownAddresses struct {
	mu   sync.Mutex
	at   time.Time
	list map[netip.Addr]struct{}
}

// has is true for every address where the host's cannot be told.
func (o *ownAddresses) has(address netip.Addr) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if time.Since(o.at) > addressesFor {
		found, err := net.InterfaceAddrs()
		if err != nil {
			return true
		}
		o.at, o.list = time.Now(), map[netip.Addr]struct{}{}
		for _, one := range found {
			if prefix, err := netip.ParsePrefix(one.String()); err == nil {
				o.list[prefix.Addr().Unmap().WithZone("")] = struct{}{}
			}
		}
	}
	_, has := o.list[address]
	return has
}
