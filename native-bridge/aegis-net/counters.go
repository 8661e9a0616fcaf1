package main

import "sync/atomic"

// counters are what has passed since the network began: frames, each with its Ethernet header, and flows.
type counters struct {
	sentBytes, sentPackets         atomic.Uint64
	receivedBytes, receivedPackets atomic.Uint64
	allowed, refused               atomic.Uint64
}

// sent counts a frame of the guest's, received one to it.
func (c *counters) sent(bytes int) {
	c.sentBytes.Add(uint64(bytes))
	c.sentPackets.Add(1)
}

func (c *counters) received(bytes int) {
	c.receivedBytes.Add(uint64(bytes))
	c.receivedPackets.Add(1)
}

// counts are the counters as they are told.
type counts struct {
	SentBytes       uint64 `json:"sentBytes"`
	SentPackets     uint64 `json:"sentPackets"`
	ReceivedBytes   uint64 `json:"receivedBytes"`
	ReceivedPackets uint64 `json:"receivedPackets"`
	// Allowed are the TCP connections, UDP conversations and pings that passed, Refused all that is told as refused.
	Allowed uint64 `json:"allowed"`
	Refused uint64 `json:"refused"`
}

func (c *counters) now() *counts {
	return &counts{
		c.sentBytes.Load(), c.sentPackets.Load(), c.receivedBytes.Load(), c.receivedPackets.Load(), c.allowed.Load(), c.refused.Load(),
	}
}
