package transport

import (
	"bytes"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/sys/unix"
)

// findPort gives the device of the virtio-serial port named portName, or "" when there is none (yet).
func findPort(sys, dev string) (string, error) {
	entries, err := os.ReadDir(sys)
	if os.IsNotExist(err) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	for _, entry := range entries {
		name, err := os.ReadFile(filepath.Join(sys, entry.Name(), "name"))
		if err == nil && strings.TrimSpace(string(name)) == portName {
			return filepath.Join(dev, entry.Name()), nil
		}
	}
	return "", nil
}

// serial is a virtio-serial port: one byte stream that outlives the host's connections. It stays open for good, so
// that no process of the guest can open it (the driver lets one in at a time).
//
// The descriptor is non-blocking and is waited for with poll(2), because a blocked read or write of this driver cannot be
// woken, and a write without a host would wait for the next one and reach it.
type serial struct {
	fd      int
	current *serialConn
	// What was read beyond the end of a connection's predecessor: the beginning of this one.
	ahead []byte
}

func openSerial(path string) (*serial, error) {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return &serial{fd: fd}, nil
}

// hangupPause is how long not to look at a port without a host: poll answers at once with POLLHUP, so it cannot wait. A host that
// comes soon is met soon; one that stays away, as a daemon that has died, costs an idle guest next to nothing.
func hangupPause(gone time.Duration) time.Duration {
	return min(max(gone/20, 2*time.Millisecond), 100*time.Millisecond)
}

// preface is what an HTTP/2 client sends first (RFC 9113, 3.4).
var preface = []byte(http2.ClientPreface)

// Accept waits for the last connection to be closed and for the host's next one: for bytes that begin as an HTTP/2
// connection does. Anything before them is left over from a connection that broke, and is dropped.
func (s *serial) Accept() (net.Conn, error) {
	if s.current != nil {
		<-s.current.released
	}
	buf := make([]byte, 4<<10)
	seen := time.Now()
	for {
		if at := bytes.LastIndex(s.ahead, preface); at >= 0 {
			s.current = &serialConn{port: s, first: s.ahead[at:], frames: framing{skip: len(preface)}}
			s.current.frames.advance(s.current.first)
			s.current.closed, s.current.released = make(chan struct{}), make(chan struct{})
			s.ahead = nil
			if err := unix.Pipe2(s.current.wake[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
				return nil, os.NewSyscallError("pipe2", err)
			}
			return s.current, nil
		}
		s.ahead = s.ahead[max(0, len(s.ahead)-len(preface)+1):]
		fds := []unix.PollFd{{Fd: int32(s.fd), Events: unix.POLLIN}}
		if _, err := unix.Poll(fds, -1); err != nil && err != unix.EINTR {
			return nil, os.NewSyscallError("poll", err)
		}
		if fds[0].Revents&unix.POLLHUP != 0 || fds[0].Revents&unix.POLLIN == 0 {
			s.ahead = nil
			time.Sleep(hangupPause(time.Since(seen)))
			continue
		}
		seen = time.Now()
		n, err := unix.Read(s.fd, buf)
		if err != nil && err != unix.EAGAIN && err != unix.EINTR {
			return nil, os.NewSyscallError("read", err)
		}
		s.ahead = append(s.ahead, buf[:max(n, 0)]...)
	}
}

// serialConn is one connection of the host over the port. Close frees whoever waits in Read or Write.
type serialConn struct {
	port   *serial
	first  []byte
	frames framing
	over   bool // the next connection has begun
	// A pipe that Close writes to: the one way to end a poll.
	wake [2]int
	once sync.Once
	// closed is closed first; released once nobody uses the port for this connection any more.
	closed, released chan struct{}
	// Read-held around every system call, so that none of this connection's takes what belongs to the next one.
	using sync.RWMutex
}

// Read gives io.EOF when the host has gone, or has come back so soon that nobody saw it go.
func (c *serialConn) Read(p []byte) (int, error) {
	if len(c.first) > 0 {
		n := copy(p, c.first)
		c.first = c.first[n:]
		return n, nil
	}
	for {
		n, err := c.receive(p)
		switch {
		case err == net.ErrClosed:
			return 0, err
		case err == nil && n > 0:
			return n, nil
		case err == nil && len(p) > 0:
			return 0, io.EOF // the driver's answer without a host
		case err == unix.EINTR:
		case err != unix.EAGAIN:
			return 0, os.NewSyscallError("read", err)
		default:
			if err := c.wait(unix.POLLIN); err != nil {
				return 0, err
			}
		}
	}
}

// receive makes one read, and keeps what belongs to the next connection for Accept.
func (c *serialConn) receive(p []byte) (int, error) {
	return c.call(func(fd int, p []byte) (int, error) {
		if c.over {
			return 0, nil
		}
		n, err := unix.Read(fd, p)
		if err != nil {
			return n, err
		}
		at, found := c.frames.advance(p[:n])
		if !found {
			return n, nil
		}
		c.over = true
		c.port.ahead = append(append(c.port.ahead, preface[:max(0, -at)]...), p[max(0, at):n]...)
		return max(0, at), nil
	}, p)
}

func (c *serialConn) Write(p []byte) (int, error) {
	done := 0
	for done < len(p) {
		n, err := c.call(unix.Write, p[done:])
		switch {
		case err == net.ErrClosed:
			return done, err
		case err == nil:
			done += n
		case err == unix.EINTR:
		case err != unix.EAGAIN:
			return done, os.NewSyscallError("write", err)
		default:
			if err := c.wait(unix.POLLOUT); err != nil {
				return done, err
			}
		}
	}
	return done, nil
}

// call makes one system call that does not block, unless the connection is closed.
func (c *serialConn) call(system func(int, []byte) (int, error), p []byte) (int, error) {
	c.using.RLock()
	defer c.using.RUnlock()
	select {
	case <-c.closed:
		return 0, net.ErrClosed
	default:
		return system(c.port.fd, p)
	}
}

// wait returns when the port is ready for events: io.EOF when the host has gone, net.ErrClosed after Close.
func (c *serialConn) wait(events int16) error {
	c.using.RLock()
	defer c.using.RUnlock()
	select {
	case <-c.closed:
		return net.ErrClosed
	default:
	}
	for {
		fds := []unix.PollFd{{Fd: int32(c.port.fd), Events: events}, {Fd: int32(c.wake[0]), Events: unix.POLLIN}}
		_, err := unix.Poll(fds, -1)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return os.NewSyscallError("poll", err)
		case fds[1].Revents != 0:
			return net.ErrClosed
		case fds[0].Revents&events != 0:
			return nil
		case fds[0].Revents != 0: // POLLHUP alone: nothing is left to read, and nobody to write to
			return io.EOF
		}
	}
}

func (c *serialConn) Close() error {
	c.once.Do(func() {
		_, _ = unix.Write(c.wake[1], []byte{0}) // an empty pipe takes one byte
		close(c.closed)
		c.using.Lock()
		defer c.using.Unlock()
		unix.Close(c.wake[0])
		unix.Close(c.wake[1])
		close(c.released)
	})
	return nil
}

func (c *serialConn) LocalAddr() net.Addr              { return address("virtio-serial") }
func (c *serialConn) RemoteAddr() net.Addr             { return address("virtio-serial") }
func (c *serialConn) SetDeadline(time.Time) error      { return os.ErrNoDeadline }
func (c *serialConn) SetReadDeadline(time.Time) error  { return os.ErrNoDeadline }
func (c *serialConn) SetWriteDeadline(time.Time) error { return os.ErrNoDeadline }
