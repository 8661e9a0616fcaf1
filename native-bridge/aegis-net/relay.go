package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// linkBuffer is what the kernel is asked to hold between relay and network, in each direction.
const linkBuffer = 1 << 20

// packetPair is a connection between relay and network that keeps frames apart: of one that dies, no half frame is left.
func packetPair() (ours *net.UnixConn, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	theirs = os.NewFile(uintptr(fds[1]), "link")
	ours, err = packetConn(os.NewFile(uintptr(fds[0]), "link"))
	if err != nil {
		theirs.Close()
		return nil, nil, err
	}
	return ours, theirs, nil
}

// packetConn takes a file for the connection that it is.
func packetConn(file *os.File) (*net.UnixConn, error) {
	defer file.Close()
	conn, err := net.FileConn(file)
	if err != nil {
		return nil, err
	}
	packets, ok := conn.(*net.UnixConn)
	if !ok {
		conn.Close()
		return nil, errors.New("the link is no Unix socket")
	}
	_ = packets.SetWriteBuffer(linkBuffer) // as far as the system allows
	return packets, nil
}

// relay carries frames between the guest's link, a stream that must never end within a frame, and the network that there is. Without one they are
// lost, as on a cable that is pulled out.
type relay struct {
	network atomic.Pointer[net.UnixConn]
	// opened is closed when link is there.
	opened chan struct{}
	link   net.Conn

	mu sync.Mutex
	// carried is closed when all that the last network has sent is with the guest.
	carried chan struct{}
}

func newRelay() *relay {
	carried := make(chan struct{})
	close(carried)
	return &relay{opened: make(chan struct{}), carried: carried}
}

// run carries frames from the link to whichever network there is, until the link ends.
func (r *relay) run(open func() (net.Conn, error)) error {
	link, err := open()
	if err != nil {
		return err
	}
	defer link.Close()
	r.link = link
	close(r.opened)
	frames := newFrameReader(link)
	for {
		frame, err := frames.next()
		switch {
		// A VMM that ends without having read all of it resets the connection.
		case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
			return nil
		case err != nil:
			return fmt.Errorf("the guest's link: %w", err)
		case len(frame) < ethernetHeader:
			continue
		}
		if network := r.network.Load(); network != nil {
			_, _ = network.Write(frame) // one that has gone is replaced
		}
	}
}

// enter makes a network the one that has the link, after what the one before has sent.
func (r *relay) enter(network *net.UnixConn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before, done := r.carried, make(chan struct{})
	r.carried = done
	go func() {
		defer close(done)
		defer network.Close()
		<-before
		<-r.opened
		r.toGuest(network)
	}()
	r.network.Store(network)
}

// leave lets go of the network, which sees that the link has ended.
func (r *relay) leave() {
	if network := r.network.Swap(nil); network != nil {
		_ = network.CloseWrite()
	}
}

// toGuest carries what a network sends until it has gone.
func (r *relay) toGuest(network *net.UnixConn) {
	memory := make([]byte, lengthBytes+maxFrame)
	for {
		size, err := network.Read(memory[lengthBytes:])
		if err != nil {
			return
		}
		binary.BigEndian.PutUint32(memory, uint32(size))
		if _, err := r.link.Write(memory[:lengthBytes+size]); err != nil {
			return // the reader sees the link's end
		}
	}
}
