package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"testing"
)

// benchLink is both ends of a guest's link: the guest's, a stream, and that of the network behind a relay.
func benchLink(b *testing.B) (net.Conn, *net.UnixConn) {
	b.Helper()
	inner, outer := streamPair(b)
	ours, network := connectedPackets(b)
	r := newRelay()
	r.enter(ours)
	go func() { _ = r.run(func() (net.Conn, error) { return outer, nil }) }()
	b.Cleanup(func() { inner.Close(); network.Close() })
	return inner, network
}

// BenchmarkRelay is what the way through the supervisor costs: a frame from the guest and an answer of 60 bytes, against the same over the stream alone.
func BenchmarkRelay(b *testing.B) {
	for _, size := range []int{60, 1514, 65534} {
		framed := append(binary.BigEndian.AppendUint32(nil, uint32(size)), bytes.Repeat([]byte("x"), size)...)
		answer := make([]byte, 60)
		ask := func(b *testing.B, guest net.Conn) {
			memory := make([]byte, lengthBytes+len(answer))
			b.SetBytes(int64(size))
			for b.Loop() {
				if _, err := guest.Write(framed); err != nil {
					b.Fatal(err)
				}
				if _, err := io.ReadFull(guest, memory); err != nil {
					b.Fatal(err)
				}
			}
		}
		b.Run(fmt.Sprintf("relayed/%d", size), func(b *testing.B) {
			guest, network := benchLink(b)
			go func() {
				memory := make([]byte, maxFrame)
				for {
					if _, err := network.Read(memory); err != nil {
						return
					}
					_, _ = network.Write(answer)
				}
			}()
			ask(b, guest)
		})
		b.Run(fmt.Sprintf("direct/%d", size), func(b *testing.B) {
			guest, outer := streamPair(b)
			go func() {
				frames := newFrameReader(outer)
				for {
					if _, err := frames.next(); err != nil {
						return
					}
					_, _ = outer.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(answer))), answer...))
				}
			}()
			b.Cleanup(func() { guest.Close() })
			ask(b, guest)
		})
	}
}
