// Package transport finds the byte stream that leads to the host, and gives each connection of the host as a net.Conn.
package transport

import (
	"errors"
	"net"
	"time"
)

const (
	// portName is the virtio-serial port that QEMU gives a guest.
	portName = "aegis"
	// vsockPort is where the harness listens under libkrun.
	vsockPort = 1024
	// findFor bounds the wait for a device: the kernel learns a port's name from a message that may come after init has begun.
	findFor = 10 * time.Second
)

// Listener gives the host's connections, one after the other. The error of Accept is final.
type Listener interface {
	Accept() (net.Conn, error)
}

// Find opens the transport that this guest has: the virtio-serial port if it is there, else vsock.
func Find() (Listener, error) {
	for deadline := time.Now().Add(findFor); ; time.Sleep(time.Millisecond) {
		path, err := findPort("/sys/class/virtio-ports", "/dev")
		if err != nil {
			return nil, err
		}
		if path != "" {
			return openSerial(path)
		}
		if hasVsock() {
			return listenVsock()
		}
		if time.Now().After(deadline) {
			return nil, errors.New("neither a virtio-serial port named " + portName + " nor a vsock device")
		}
	}
}

// address is what the connections of a machine with one peer have instead of an address.
type address string

func (a address) Network() string { return string(a) }
func (a address) String() string  { return string(a) }
