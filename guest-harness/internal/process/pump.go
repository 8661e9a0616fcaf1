package process

import (
	"errors"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// chunk is how much is read of a pipe at a time: one frame.
	chunk = 64 << 10
	// drainGrace is how long output is waited for after the command's end while another process holds the pipe.
	drainGrace = 500 * time.Millisecond
)

// pump gives everything that comes out of the pipe to add, until every writer has closed it. A read deadline on the
// pipe ends it earlier: then only what the pipe held when the deadline was noticed is still read, which is all that
// the command wrote before its end, however much another process goes on writing.
//
// A terminal that nobody else has says EIO. The kernel looks for what was written before it looks for that, so what
// a program writes just before it ends may come between the two looks (n_tty_read): a second read finds it.
func pump(pipe *os.File, add func([]byte) error) error {
	buf := make([]byte, chunk)
	left := false
	for {
		n, err := pipe.Read(buf)
		if n > 0 {
			left = false
			if failure := add(buf[:n]); failure != nil {
				return failure
			}
		}
		switch {
		case err == nil:
		case errors.Is(err, syscall.EIO) && !left:
			left = true
		case errors.Is(err, os.ErrDeadlineExceeded):
			return drain(pipe, buf, add)
		default:
			return nil // io.EOF: every writer is gone
		}
	}
}

func drain(pipe *os.File, buf []byte, add func([]byte) error) error {
	raw, err := pipe.SyscallConn()
	if err != nil {
		return err
	}
	var failure error
	if err := raw.Control(func(fd uintptr) {
		// FIONREAD, which has this name for x/sys on every Linux.
		left, err := unix.IoctlGetInt(int(fd), unix.TIOCINQ)
		for err == nil && left > 0 && failure == nil {
			var n int
			n, err = syscall.Read(int(fd), buf[:min(left, len(buf))])
			if err == syscall.EINTR {
				err = nil
				continue
			}
			if n <= 0 {
				return
			}
			left -= n
			failure = add(buf[:n])
		}
	}); err != nil {
		return err
	}
	return failure
}
