package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"time"
)

const (
	// maxMessage is the most that one line of JSON to us may have.
	maxMessage = 1 << 20
	minMTU     = 1280 // RFC 8200, section 5
	maxMTU     = 65520
	// dialFor bounds the wait for a VMM that listens, and acceptFor that for one that connects: one that never comes has died.
	dialFor   = 60 * time.Second
	acceptFor = 120 * time.Second
)

// config says where the guest's frames come from and what its network lets through.
type config struct {
	// Dial is the socket on which the VMM listens, Listen one that we make and to which it connects: one of the two.
	Dial   string `json:"dial,omitempty"`
	Listen string `json:"listen,omitempty"`
	MTU    uint32 `json:"mtu"`
	Policy policy `json:"policy"`
}

func decodeConfig(line []byte) (*config, error) {
	decoder := json.NewDecoder(bytes.NewReader(line))
	decoder.DisallowUnknownFields()
	var c config
	if err := decoder.Decode(&c); err != nil {
		return nil, fmt.Errorf("the configuration: %w", err)
	}
	if (c.Dial == "") == (c.Listen == "") {
		return nil, errors.New("the configuration needs a socket to dial or one to listen on")
	}
	if c.MTU < minMTU || c.MTU > maxMTU {
		return nil, fmt.Errorf("the configuration: mtu is from %d to %d", minMTU, maxMTU)
	}
	return &c, c.Policy.check()
}

// openLink connects to the VMM. It may not listen yet: both start at the same time.
func openLink(c *config) (net.Conn, error) {
	if c.Listen != "" {
		return acceptOne(c.Listen)
	}
	for deadline := time.Now().Add(dialFor); ; time.Sleep(2 * time.Millisecond) {
		conn, err := net.Dial("unix", c.Dial)
		if err == nil || time.Now().After(deadline) {
			return conn, err
		}
	}
}

func acceptOne(path string) (net.Conn, error) {
	_ = os.Remove(path)
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	defer listener.Close()
	if err := listener.SetDeadline(time.Now().Add(acceptFor)); err != nil {
		return nil, err
	}
	return listener.Accept()
}
