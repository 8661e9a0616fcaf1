package machine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"aegis.dev/guest-harness/internal/wire"
	"golang.org/x/sys/unix"
)

// raiseNetwork gives the guest's network device its addresses and routes. A kernel without IPv6 has those of IPv4 alone.
func raiseNetwork(network *wire.Network) error {
	device, err := networkDevice()
	if err != nil {
		return err
	}
	kernel, err := openNetlink()
	if err != nil {
		return err
	}
	defer kernel.close()
	if err := kernel.request(unix.RTM_NEWLINK, 0, linkMessage(device, network.MTU)); err != nil {
		return fmt.Errorf("the device: %w", err)
	}
	for _, address := range network.Addresses {
		err := kernel.request(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_EXCL, addressMessage(device, address))
		if err != nil && !(address.Addr().Is6() && withoutIPv6(err)) {
			return fmt.Errorf("%s: %w", address, err)
		}
	}
	for _, gateway := range network.Gateways {
		err := kernel.request(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_EXCL, routeMessage(device, gateway))
		if err != nil && !(gateway.Is6() && withoutIPv6(err)) {
			return fmt.Errorf("the route by %s: %w", gateway, err)
		}
	}
	return nil
}

func withoutIPv6(err error) bool {
	return errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EACCES) ||
		errors.Is(err, unix.ENETUNREACH) || errors.Is(err, unix.EHOSTUNREACH)
}

// networkDevice is the number of the one device that the VM has: the others, such as dummy0, are the kernel's own and have no hardware.
func networkDevice() (int, error) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return 0, err
	}
	for _, one := range interfaces {
		if _, err := os.Stat("/sys/class/net/" + one.Name + "/device"); err == nil {
			return one.Index, nil
		}
	}
	return 0, errors.New("the machine has no network device")
}

// netlink is a socket to the kernel's routing tables (rtnetlink(7)).
type netlink struct {
	fd       int
	sequence uint32
}

func openNetlink() (*netlink, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("netlink: %w", err)
	}
	return &netlink{fd: fd}, nil
}

func (n *netlink) close() { unix.Close(n.fd) }

// request sends one message and reads the kernel's answer to it: an error number, 0 for success.
func (n *netlink) request(kind, flags uint16, body []byte) error {
	n.sequence++
	message := binary.NativeEndian.AppendUint32(nil, uint32(unix.SizeofNlMsghdr+len(body)))
	message = binary.NativeEndian.AppendUint16(message, kind)
	message = binary.NativeEndian.AppendUint16(message, flags|unix.NLM_F_REQUEST|unix.NLM_F_ACK)
	message = binary.NativeEndian.AppendUint32(message, n.sequence)
	message = binary.NativeEndian.AppendUint32(message, 0)
	if err := unix.Sendto(n.fd, append(message, body...), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	answer := make([]byte, 4096)
	size, _, err := unix.Recvfrom(n.fd, answer, 0)
	if err != nil {
		return err
	}
	if size < unix.SizeofNlMsghdr+4 || binary.NativeEndian.Uint16(answer[4:]) != unix.NLMSG_ERROR {
		return errors.New("the kernel's answer cannot be read")
	}
	if errno := -int32(binary.NativeEndian.Uint32(answer[unix.SizeofNlMsghdr:])); errno != 0 {
		return unix.Errno(errno)
	}
	return nil
}

// attribute is a struct rtattr and its value, which is a multiple of four bytes here, as its alignment wants.
func attribute(message []byte, kind uint16, value []byte) []byte {
	message = binary.NativeEndian.AppendUint16(message, uint16(unix.SizeofRtAttr+len(value)))
	message = binary.NativeEndian.AppendUint16(message, kind)
	return append(message, value...)
}

func family(address netip.Addr) byte {
	if address.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

func number(value int) []byte { return binary.NativeEndian.AppendUint32(nil, uint32(value)) }

// linkMessage is a struct ifinfomsg that puts the device up, and its MTU.
func linkMessage(device, mtu int) []byte {
	message := []byte{unix.AF_UNSPEC, 0, 0, 0}
	message = append(message, number(device)...)
	message = append(message, number(unix.IFF_UP)...)
	message = append(message, number(unix.IFF_UP)...)
	return attribute(message, unix.IFLA_MTU, number(mtu))
}

// addressMessage is a struct ifaddrmsg. Nobody else is on the link, so it is not looked for whether another has the address.
func addressMessage(device int, address netip.Prefix) []byte {
	message := []byte{family(address.Addr()), byte(address.Bits()), unix.IFA_F_NODAD, unix.RT_SCOPE_UNIVERSE}
	message = append(message, number(device)...)
	message = attribute(message, unix.IFA_LOCAL, address.Addr().AsSlice())
	return attribute(message, unix.IFA_ADDRESS, address.Addr().AsSlice())
}

// routeMessage is a struct rtmsg of the default route.
func routeMessage(device int, gateway netip.Addr) []byte {
	message := []byte{
		family(gateway), 0, 0, 0,
		unix.RT_TABLE_MAIN, unix.RTPROT_BOOT, unix.RT_SCOPE_UNIVERSE, unix.RTN_UNICAST,
		0, 0, 0, 0,
	}
	message = attribute(message, unix.RTA_GATEWAY, gateway.AsSlice())
	return attribute(message, unix.RTA_OIF, number(device))
}
