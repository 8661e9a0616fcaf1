package transport

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"strings"
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
	// The hello that was answered last.
	greeted []byte
}

func openSerial(path string) (*serial, error) {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return &serial{fd: fd}, nil
}

// hangupPause is how long not to look at a port without a host: poll answers at once with POLLHUP, so it cannot wait. A host that
// comes soon is met soon, after a quarter as long again at most; one that stays away, as a daemon that has died, costs an idle guest next to
// nothing. Looking more often costs the host's next daemon more than it gains: fifty emulated guests that do are what it has to come up beside.
func hangupPause(gone time.Duration) time.Duration {
	return min(max(gone/4, 2*time.Millisecond), 100*time.Millisecond)
}

// preface is what an HTTP/2 client sends first (RFC 9113, 3.4).
var preface = []byte(http2.ClientPreface)

// Accept waits for the last connection to be closed and for the host's next one: for a hello, which it answers, and the HTTP/2 connection
// behind it. Anything before them is left over from a connection that broke, and is dropped.
func (s *serial) Accept() (net.Conn, error) {
	if s.current != nil {
		<-s.current.released
	}
	buf := make([]byte, 4<<10)
	seen := time.Now()
	for {
		if conn, err := s.begin(); err != nil {
			return nil, err
		} else if conn != nil {
			return conn, nil
		}
		fds := []unix.PollFd{{Fd: int32(s.fd), Events: unix.POLLIN}}
		if _, err := unix.Poll(fds, -1); err != nil && err != unix.EINTR {
			return nil, os.NewSyscallError("poll", err)
		}
		if fds[0].Revents&unix.POLLHUP != 0 || fds[0].Revents&unix.POLLIN == 0 {
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

// begin answers the newest hello, once, and gives the connection when its preface is there.
func (s *serial) begin() (*serialConn, error) {
	s.ahead = lastHello(s.ahead)
	if len(s.ahead) < helloLength {
		return nil, nil
	}
	hello, first := s.ahead[:helloLength], s.ahead[helloLength:]
	if !bytes.Equal(hello, s.greeted) {
		s.greeted = bytes.Clone(hello)
		if err := s.echo(hello); err != nil {
			return nil, err
		}
	}
	if len(first) < len(preface) {
		return nil, nil
	}
	if !bytes.HasPrefix(first, preface) {
		s.ahead = first // it was the data of a connection that broke
		return nil, nil
	}
	conn := &serialConn{port: s, first: first, frames: framing{skip: len(preface)}}
	// The hello of the next host was looked for already.
	_, _ = conn.frames.advance(first)
	conn.closed, conn.released = make(chan struct{}), make(chan struct{})
	if err := unix.Pipe2(conn.wake[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return nil, os.NewSyscallError("pipe2", err)
	}
	s.current, s.ahead = conn, nil
	return conn, nil
}

// echo sends a hello back. One whose host seems to be gone is answered when that was nothing.
func (s *serial) echo(hello []byte) error {
	for len(hello) > 0 {
		fds := []unix.PollFd{{Fd: int32(s.fd), Events: unix.POLLOUT}}
		if _, err := unix.Poll(fds, -1); err != nil && err != unix.EINTR {
			return os.NewSyscallError("poll", err)
		}
		if fds[0].Revents&unix.POLLHUP != 0 {
			s.greeted = nil
			return nil
		}
		n, err := unix.Write(s.fd, hello)
		if err != nil && err != unix.EAGAIN && err != unix.EINTR {
			return os.NewSyscallError("write", err)
		}
		hello = hello[max(n, 0):]
	}
	return nil
}
