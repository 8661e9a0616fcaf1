package main

import (
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// counters are what has passed since the VM began: frames, each with its Ethernet header, and flows.
type counters struct {
	sentBytes, sentPackets         atomic.Uint64
	receivedBytes, receivedPackets atomic.Uint64
	allowed, refused               atomic.Uint64
}

// newCountersFile is memory for them that outlives a network which counts in it.
func newCountersFile() (*os.File, error) {
	fd, err := unix.MemfdCreate("aegis-net counters", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), "counters")
	return file, file.Truncate(int64(unsafe.Sizeof(counters{})))
}

// mapCounters are the counters in such memory, for the life of the process.
func mapCounters(file *os.File) (*counters, error) {
	defer file.Close()
	memory, err := unix.Mmap(int(file.Fd()), 0, int(unsafe.Sizeof(counters{})), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, err
	}
	// A mapping begins at a page, and is never given back: aligned, and out of the collector's sight.
	return (*counters)(unsafe.Pointer(unsafe.SliceData(memory))), nil
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
