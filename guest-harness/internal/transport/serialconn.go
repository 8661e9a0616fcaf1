package transport

import (
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// hangupGrace is how long a host has to be gone until it is. The driver tells that one has gone and come in messages of their own, which a
// busy guest may see when it has long been talking to the one that came: such a hangup is over in a moment, and means nothing.
const hangupGrace = time.Second

// serialConn is one connection of the host over the port. Close frees whoever waits in Read or Write.
type serialConn struct {
	port   *serial
	first  []byte
	frames framing
	over   bool // the next connection has begun
	// The host seemed to be gone since the last read.
	hungUp atomic.Bool
	// A pipe that Close writes to: the one way to end a poll.
	wake [2]int
	once sync.Once
	// closed is closed first; released once nobody uses the port for this connection any more.
	closed, released chan struct{}
	// Read-held around every system call, so that none of this connection's takes what belongs to the next one.
	using sync.RWMutex
}

// Read gives io.EOF when the host has gone for good, or another has come.
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
		case err == io.EOF, err == nil && n > 0, len(p) == 0:
			return n, err
		case err == nil: // the driver's answer without a host
			if err := c.waitForHost(); err != nil {
				return 0, err
			}
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
			return 0, io.EOF
		}
		if c.hungUp.Swap(false) {
			c.frames.doubt()
		}
		n, err := unix.Read(fd, p)
		if err != nil || n == 0 {
			return n, err
		}
		own, next := c.frames.advance(p[:n])
		if next == nil {
			return n, nil
		}
		c.over, c.port.ahead = true, next
		if own == 0 {
			return 0, io.EOF
		}
		return own, nil
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

// call makes one system call, unless the connection is closed; one that may block has to end with Close.
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
	for {
		found, err := c.poll(events, -1)
		switch {
		case err != nil:
			return err
		case found&events != 0:
			return nil
		case found != 0: // POLLHUP alone: nothing is left to read, and nobody to write to
			if err := c.waitForHost(); err != nil {
				return err
			}
		}
	}
}

// waitForHost returns when the host is there: io.EOF when it has gone for good, net.ErrClosed after Close.
func (c *serialConn) waitForHost() error {
	c.hungUp.Store(true)
	for gone := time.Now(); ; {
		found, err := c.poll(0, 0)
		switch {
		case err != nil:
			return err
		case found&unix.POLLHUP == 0:
			return nil
		case time.Since(gone) >= hangupGrace:
			return io.EOF
		}
		time.Sleep(hangupPause(time.Since(gone)))
	}
}

// poll says which of the events, or POLLHUP, hold for the port; none, too, where a signal came first. It ends with Close.
func (c *serialConn) poll(events int16, timeout int) (int16, error) {
	found, err := c.call(func(fd int, _ []byte) (int, error) {
		fds := []unix.PollFd{{Fd: int32(fd), Events: events}, {Fd: int32(c.wake[0]), Events: unix.POLLIN}}
		_, err := unix.Poll(fds, timeout)
		switch {
		case err == unix.EINTR:
			return 0, nil
		case err != nil:
			return 0, os.NewSyscallError("poll", err)
		case fds[1].Revents != 0:
			return 0, net.ErrClosed
		}
		return int(fds[0].Revents), nil
	}, nil)
	return int16(found), err
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
