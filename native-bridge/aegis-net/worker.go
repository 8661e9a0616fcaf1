package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
)

// The files that a network is started with, beside its standard ones.
const (
	controlFile = 3 + iota
	linkFile
	ledgerFile
	countersFile
)

// work is the network until its link ends.
func work(stdin io.Reader, world world) error {
	listener, err := net.FileListener(os.NewFile(controlFile, "control"))
	if err != nil {
		return fmt.Errorf("the control socket: %w", err)
	}
	link, err := packetConn(os.NewFile(linkFile, "link"))
	if err != nil {
		return fmt.Errorf("the link: %w", err)
	}
	counted, err := mapCounters(os.NewFile(countersFile, "counters"))
	if err != nil {
		return fmt.Errorf("the counters: %w", err)
	}
	var given handover
	if err := json.NewDecoder(stdin).Decode(&given); err != nil {
		return fmt.Errorf("what the network is to go on with: %w", err)
	}
	n, err := newNetwork(&given, world, counted, &ledger{to: os.NewFile(ledgerFile, "ledger")})
	if err != nil {
		return err
	}
	c := &control{listener: listener}
	go c.serve(n)
	defer c.drain()
	defer n.finish()
	return n.run(link)
}
