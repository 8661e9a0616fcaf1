package server

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"aegis.dev/guest-harness/internal/wire"
)

const (
	// maxTunnels is how many tunnels may be open at the same time; a guest of little memory allows fewer (allowed).
	maxTunnels = 10_000
	// dialTime is how long a program whose queue is full may let a connection wait.
	dialTime = 10 * time.Second

	blockHeader = 4
	block       = 64 << 10
	// Most tunnels are idle most of the time: they wait with a small buffer and take a large one for a large upload.
	small = 2 << 10
)

var blocks = sync.Pool{New: func() any { return new([block]byte) }}

// tunnels counts those that are open.
type tunnels struct{ open atomic.Int64 }

// enter counts one more, if there is room. A tunnel whose program does not read holds at the most a stream's window, so all of
// them together take at the most a quarter of the memory.
func (t *tunnels) enter(memory uint64) bool {
	allowed := min(maxTunnels, max(64, int64(memory/(4*streamWindow))))
	if t.open.Add(1) > allowed {
		t.open.Add(-1)
		return false
	}
	return true
}

func (t *tunnels) leave() { t.open.Add(-1) }

// connect answers CONNECT: the stream becomes a connection to a port of the guest's loopback.
func (s *Server) connect(w http.ResponseWriter, r *http.Request) *wire.Failure {
	port, failure := portOf(r.Host)
	if failure != nil {
		return failure
	}
	if _, failure := s.running(); failure != nil {
		return failure
	}
	if !s.tunnels.enter(s.machine.Memory()) {
		return wire.Failf(wire.TooManyTunnels, "too many connections are open to this guest")
	}
	defer s.tunnels.leave()
	conn, failure := dial(r.Context(), port)
	if failure != nil {
		return failure
	}
	w.WriteHeader(http.StatusOK)
	control := http.NewResponseController(w)
	if control.Flush() != nil {
		reset(conn)
		return nil // the host is gone
	}
	up, gone := make(chan error, 1), make(chan struct{})
	go func() { up <- upload(conn, r.Body, gone) }()
	err := download(w, control, conn)
	if err == nil {
		select {
		case err = <-up:
		case <-gone:
			err = net.ErrClosed // it has said all it had to say, and hears no more
		}
	}
	if err != nil {
		reset(conn)
		// The host resets its side as well: what was cut off must not look like an end.
		panic(http.ErrAbortHandler)
	}
	_ = conn.Close() // both sides have ended it
	return nil
}

func portOf(authority string) (string, *wire.Failure) {
	port, there := strings.CutPrefix(authority, "127.0.0.1:")
	number, err := strconv.ParseUint(port, 10, 16)
	if !there || err != nil || number == 0 || port != strconv.FormatUint(number, 10) {
		return "", wire.Failf(wire.BadRequest, "CONNECT goes to 127.0.0.1 and a port, not to %.100q", authority)
	}
	return port, nil
}

// dial connects to the port by IPv4, and by IPv6 where nobody listens there: a program may have bound `localhost` alone.
func dial(ctx context.Context, port string) (*net.TCPConn, *wire.Failure) {
	var dialer net.Dialer
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	conn, err := dialer.DialContext(ctx, "tcp4", net.JoinHostPort("127.0.0.1", port))
	if errors.Is(err, syscall.ECONNREFUSED) {
		if conn6, err6 := dialer.DialContext(ctx, "tcp6", net.JoinHostPort("::1", port)); err6 == nil {
			conn, err = conn6, nil
		}
	}
	switch {
	case err == nil:
		return conn.(*net.TCPConn), nil
	case errors.Is(err, syscall.ECONNREFUSED):
		return nil, wire.Failf(wire.ConnectRefused, "nobody listens on port %s", port)
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded), errors.Is(err, syscall.ETIMEDOUT):
		return nil, wire.Failf(wire.ConnectTimeout, "port %s does not accept", port)
	default:
		return nil, wire.Failf(wire.ConnectFailed, "port %s: %v", port, err)
	}
}

// upload passes the request's body on, and its end. Once the program has gone it closes gone, and drops what comes: what that
// program has said before may still be on its way.
func upload(conn *net.TCPConn, body io.Reader, gone chan<- struct{}) error {
	own := make([]byte, small)
	buf := own
	var large *[block]byte
	defer func() {
		if large != nil {
			blocks.Put(large)
		}
	}()
	open := true
	for {
		n, err := body.Read(buf)
		if n > 0 && open {
			if _, failed := conn.Write(buf[:n]); failed != nil {
				open = false
				close(gone)
			}
		}
		if err == io.EOF {
			_ = conn.CloseWrite() // it may be gone
			return nil
		}
		if err != nil {
			reset(conn)
			return err
		}
		switch {
		case n == len(buf) && large == nil:
			large = blocks.Get().(*[block]byte)
			buf = large[:]
		case n < small && large != nil:
			blocks.Put(large)
			large, buf = nil, own
		}
	}
}

// download sends what the program writes in blocks, and its end as an empty one: this HTTP/2 server cannot end an answer while
// it reads the request (docs/HARNESS_PROTOCOL.md).
func download(w io.Writer, control *http.ResponseController, conn *net.TCPConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	for {
		n, piece, err := readPooled(raw)
		if err != nil {
			return err
		}
		binary.BigEndian.PutUint32(piece[:], uint32(n))
		_, err = w.Write(piece[:blockHeader+n])
		blocks.Put(piece)
		if err == nil {
			err = control.Flush()
		}
		if err != nil || n == 0 {
			return err
		}
	}
}

// readPooled waits without a buffer until there is something to read, and reads it behind the room for a header.
func readPooled(raw syscall.RawConn) (n int, piece *[block]byte, err error) {
	waited := raw.Read(func(fd uintptr) bool {
		piece = blocks.Get().(*[block]byte)
		for {
			n, err = syscall.Read(int(fd), piece[blockHeader:])
			if err != syscall.EINTR {
				break
			}
		}
		if err == nil {
			return true
		}
		blocks.Put(piece)
		piece = nil
		return err != syscall.EAGAIN
	})
	if waited != nil {
		return 0, nil, waited
	}
	return n, piece, err
}

// reset closes a connection so that its program sees that it was cut off.
func reset(conn *net.TCPConn) {
	_ = conn.SetLinger(0)
	_ = conn.Close()
}
