package process

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// pipeSize lets the command run ahead of the harness; the kernel's default is 64 KiB.
const pipeSize = 1 << 20

// streams are both sides of a command's standard streams. Ours are non-blocking, for Go's poller; theirs are blocking,
// as every program expects: the two ends of a pipe have flags of their own.
type streams struct {
	stdin          *os.File // nil: the command reads /dev/null
	stdout, stderr *os.File
	theirs         [3]uintptr
}

func openStreams(stdinPipe bool) (s *streams, err error) {
	s = &streams{}
	defer func() {
		if err != nil {
			s.closeOurs()
			s.closeTheirs()
		}
	}()
	var theirs int
	if stdinPipe {
		theirs, s.stdin, err = pipe("stdin", 1)
	} else {
		theirs, err = syscall.Open(os.DevNull, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	}
	if err != nil {
		return s, err
	}
	s.theirs[0] = uintptr(theirs)
	if theirs, s.stdout, err = pipe("stdout", 0); err != nil {
		return s, err
	}
	s.theirs[1] = uintptr(theirs)
	if theirs, s.stderr, err = pipe("stderr", 0); err != nil {
		return s, err
	}
	s.theirs[2] = uintptr(theirs)
	return s, nil
}

// pipe makes a pipe as large as the kernel lets it be; ours is the end that belongs to the harness, 0 to read, 1 to
// write.
func pipe(name string, ours int) (theirs int, file *os.File, err error) {
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_CLOEXEC); err != nil {
		return -1, nil, os.NewSyscallError("pipe2", err)
	}
	// Only speed hangs on it: a refusal (fs.pipe-max-size) leaves a smaller pipe.
	_, _ = unix.FcntlInt(uintptr(ends[0]), unix.F_SETPIPE_SZ, pipeSize)
	if err := unix.SetNonblock(ends[ours], true); err != nil {
		syscall.Close(ends[0])
		syscall.Close(ends[1])
		return -1, nil, os.NewSyscallError("fcntl", err)
	}
	return ends[1-ours], os.NewFile(uintptr(ends[ours]), name), nil
}

func (s *streams) closeOurs() {
	for _, file := range []*os.File{s.stdin, s.stdout, s.stderr} {
		if file != nil {
			file.Close()
		}
	}
}

func (s *streams) closeTheirs() {
	for _, fd := range s.theirs {
		if fd > 0 {
			syscall.Close(int(fd))
		}
	}
}
