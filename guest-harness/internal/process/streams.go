package process

import (
	"os"
	"syscall"

	"aegis.dev/guest-harness/internal/events"
	"golang.org/x/sys/unix"
)

// pipeSize lets the command run ahead of the harness; the kernel's default is 64 KiB.
const pipeSize = 1 << 20

// streams are both sides of a command's standard streams. Ours are non-blocking, for Go's poller; theirs are blocking,
// as every program expects: the two ends of a pipe have flags of their own, and so have those of a terminal.
type streams struct {
	stdin          *os.File // nil: the command reads /dev/null
	stdout, stderr *os.File // nil where there is a terminal
	terminal       *os.File // nil where there are pipes
	theirs         [3]uintptr
}

func openStreams(spec *Spec) (s *streams, err error) {
	s = &streams{}
	defer func() {
		if err != nil {
			s.closeOurs()
			s.closeTheirs()
		}
	}()
	var theirs int
	if spec.TTY != nil {
		if theirs, s.terminal, err = openTerminal(spec.TTY, spec.UID); err != nil {
			return s, err
		}
		s.theirs = [3]uintptr{uintptr(theirs), uintptr(theirs), uintptr(theirs)}
		if spec.StdinPipe {
			s.stdin, err = duplicate(s.terminal)
		}
		return s, err
	}
	if spec.StdinPipe {
		theirs, s.stdin, err = pipe("stdin", 1, spec.UID)
	} else {
		theirs, err = syscall.Open(os.DevNull, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	}
	if err != nil {
		return s, err
	}
	s.theirs[0] = uintptr(theirs)
	if theirs, s.stdout, err = pipe("stdout", 0, spec.UID); err != nil {
		return s, err
	}
	s.theirs[1] = uintptr(theirs)
	if theirs, s.stderr, err = pipe("stderr", 0, spec.UID); err != nil {
		return s, err
	}
	s.theirs[2] = uintptr(theirs)
	return s, nil
}

// outputs is what is to be read of the command.
func (s *streams) outputs() map[events.Kind]*os.File {
	if s.terminal != nil {
		return map[events.Kind]*os.File{events.Stdout: s.terminal}
	}
	return map[events.Kind]*os.File{events.Stdout: s.stdout, events.Stderr: s.stderr}
}

// duplicate gives a file of its own for the same terminal: closing it does not hang up.
func duplicate(file *os.File) (*os.File, error) {
	raw, err := file.SyscallConn()
	if err != nil {
		return nil, err
	}
	var fd int
	var failure error
	if err := raw.Control(func(old uintptr) {
		fd, failure = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0)
	}); err != nil {
		return nil, err
	}
	if failure != nil {
		return nil, os.NewSyscallError("fcntl", failure)
	}
	return os.NewFile(uintptr(fd), file.Name()), nil
}

// pipe makes a pipe as large as the kernel lets it be; ours is the end that belongs to the harness, 0 to read, 1 to
// write. Programs open theirs again by names such as /dev/stdout, so it belongs to uid.
func pipe(name string, ours int, uid uint32) (theirs int, file *os.File, err error) {
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_CLOEXEC); err != nil {
		return -1, nil, os.NewSyscallError("pipe2", err)
	}
	// Only speed hangs on it: a refusal (fs.pipe-max-size) leaves a smaller pipe.
	_, _ = unix.FcntlInt(uintptr(ends[0]), unix.F_SETPIPE_SZ, pipeSize)
	err = os.NewSyscallError("fcntl", unix.SetNonblock(ends[ours], true))
	if err == nil && uid != 0 {
		err = os.NewSyscallError("fchown", unix.Fchown(ends[1-ours], int(uid), -1))
	}
	if err != nil {
		syscall.Close(ends[0])
		syscall.Close(ends[1])
		return -1, nil, err
	}
	return ends[1-ours], os.NewFile(uintptr(ends[ours]), name), nil
}

func (s *streams) closeOurs() {
	for _, file := range []*os.File{s.stdin, s.stdout, s.stderr, s.terminal} {
		if file != nil {
			file.Close()
		}
	}
}

func (s *streams) closeTheirs() {
	for i, fd := range s.theirs {
		if fd > 0 && (i == 0 || fd != s.theirs[0]) {
			syscall.Close(int(fd))
		}
	}
}
