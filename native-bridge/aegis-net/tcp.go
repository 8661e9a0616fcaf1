package main

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"
)

const (
	// smallBuffer is what a connection holds while it waits, and largeBuffer what it takes while there is much to copy.
	smallBuffer = 8 << 10
	largeBuffer = 128 << 10
)

var largeBuffers = sync.Pool{New: func() any { return new([largeBuffer]byte) }}

// openTCP answers the guest's SYN once the host's connection is there, so that the guest sees a connection only where there is one.
func (n *network) openTCP(request *tcp.ForwarderRequest) {
	id := request.ID()
	to := target{"tcp", addressOf(id.LocalAddress), id.LocalPort}
	f, opened := n.open(to)
	if !opened {
		request.Complete(true)
		return
	}
	defer n.close(f)
	outer, err := n.world.dialTCP(to.outside())
	if err != nil {
		request.Complete(true)
		return
	}
	defer outer.Close()
	var queue waiter.Queue
	endpoint, failure := request.CreateEndpoint(&queue)
	request.Complete(false)
	if failure != nil {
		return
	}
	endpoint.SocketOptions().SetKeepAlive(true)
	inner := gonet.NewTCPConn(&queue, endpoint)
	defer inner.Close()
	abort := sync.OnceFunc(func() {
		endpoint.Abort() // a reset: the other side has to learn that it was no orderly end
		_ = outer.SetLinger(0)
		_ = outer.Close()
	})
	n.flows.setEnd(f, abort)
	// The policy may have changed while the connection was made.
	if !n.judge(to).allows() {
		abort()
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := pour(outer, inner, &f.sent); err != nil {
			abort()
		}
	}()
	if err := pour(inner, outer, &f.received); err != nil {
		abort()
	}
	<-done
}

type halfCloser interface {
	net.Conn
	CloseWrite() error
}

// pour copies until the source ends, passes its end on, and counts what it has copied.
func pour(to halfCloser, from net.Conn, count *atomic.Uint64) error {
	small := make([]byte, smallBuffer)
	for {
		size, err := from.Read(small)
		if size > 0 {
			if _, err := to.Write(small[:size]); err != nil {
				return err
			}
			count.Add(uint64(size))
		}
		if errors.Is(err, io.EOF) {
			return to.CloseWrite()
		}
		if err != nil {
			return err
		}
		if size == smallBuffer {
			if err := pourLarge(to, from, count); err != nil {
				if errors.Is(err, io.EOF) {
					return to.CloseWrite()
				}
				return err
			}
		}
	}
}

// pourLarge copies through a large buffer as long as it is of use.
func pourLarge(to io.Writer, from io.Reader, count *atomic.Uint64) error {
	memory := largeBuffers.Get().(*[largeBuffer]byte)
	defer largeBuffers.Put(memory)
	for {
		size, err := from.Read(memory[:])
		if size > 0 {
			if _, err := to.Write(memory[:size]); err != nil {
				return err
			}
			count.Add(uint64(size))
		}
		if err != nil || size < smallBuffer {
			return err
		}
	}
}
