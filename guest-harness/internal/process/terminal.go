package process

import (
	"errors"
	"os"
	"strconv"

	"aegis.dev/guest-harness/internal/wire"
	"golang.org/x/sys/unix"
)

// ErrNoTerminal says that the command has pipes, or has ended.
var ErrNoTerminal = errors.New("the command has no terminal")

// openTerminal makes a pseudoterminal of that size that belongs to uid: ours is its master.
func openTerminal(size *wire.Size, uid uint32) (theirs int, master *os.File, err error) {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return -1, nil, os.NewSyscallError("open /dev/ptmx", err)
	}
	theirs, err = openSlave(fd, uid)
	if err == nil {
		err = resize(fd, size)
	}
	if err != nil {
		unix.Close(fd)
		return -1, nil, err
	}
	return theirs, os.NewFile(uintptr(fd), "terminal"), nil
}

func openSlave(master int, uid uint32) (int, error) {
	if err := unix.IoctlSetPointerInt(master, unix.TIOCSPTLCK, 0); err != nil {
		return -1, os.NewSyscallError("TIOCSPTLCK", err)
	}
	number, err := unix.IoctlGetInt(master, unix.TIOCGPTN)
	if err != nil {
		return -1, os.NewSyscallError("TIOCGPTN", err)
	}
	fd, err := unix.Open("/dev/pts/"+strconv.Itoa(number), unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return -1, os.NewSyscallError("open /dev/pts", err)
	}
	if uid != 0 {
		// Programs open their terminal again, by its name.
		if err := unix.Fchown(fd, int(uid), -1); err != nil {
			unix.Close(fd)
			return -1, os.NewSyscallError("fchown", err)
		}
	}
	return fd, nil
}

func resize(fd int, size *wire.Size) error {
	return os.NewSyscallError(
		"TIOCSWINSZ",
		unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: size.Rows, Col: size.Cols}),
	)
}

// Resize gives the command's terminal another size; its foreground processes get SIGWINCH.
func (c *Command) Resize(size *wire.Size) error {
	if c.terminal == nil {
		return ErrNoTerminal
	}
	raw, err := c.terminal.SyscallConn()
	if err != nil {
		return ErrNoTerminal
	}
	var failure error
	if raw.Control(func(fd uintptr) { failure = resize(int(fd), size) }) != nil {
		return ErrNoTerminal // closed at the command's end
	}
	return failure
}
