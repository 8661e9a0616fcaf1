package files

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"syscall"

	"aegis.dev/guest-harness/internal/wire"
)

// Read gives a piece of a file, and how large the file is.
func Read(m *wire.FileRead) (*wire.FilePiece, *wire.Failure) {
	file, failure := openRegular(m.Path, m.Path, os.O_RDONLY)
	if failure != nil {
		return nil, failure
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, failureOf(m.Path, err)
	}
	wanted := min(m.Limit, max(0, info.Size()-m.Offset))
	if info.Size() == 0 {
		// The kernel's own files, such as those of /proc, say no size and hold something all the same.
		wanted = m.Limit
	}
	bytes := make([]byte, wanted)
	n, err := file.ReadAt(bytes, m.Offset)
	if err != nil && err != io.EOF {
		return nil, failureOf(m.Path, err)
	}
	return &wire.FilePiece{Size: info.Size(), Bytes: bytes[:n]}, nil
}

// Write makes a file of these bytes, or puts them at the end of the one that is there. An exclusive one refuses what is there.
func Write(m *wire.FileWrite) *wire.Failure {
	if err := os.MkdirAll(path.Dir(m.Path), 0o755); err != nil {
		return failureOf(m.Path, err)
	}
	how := os.O_WRONLY | os.O_CREATE | os.O_APPEND
	if m.Exclusive {
		how |= os.O_EXCL
	}
	file, failure := openRegular(m.Path, m.Path, how)
	if failure != nil {
		return failure
	}
	var err error
	if m.Mode >= 0 {
		err = file.Chmod(fs.FileMode(m.Mode))
	}
	if err == nil && !m.Append {
		err = file.Truncate(0)
	}
	if err == nil {
		_, err = file.Write(m.Bytes)
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return failureOf(m.Path, err)
	}
	return nil
}

// openRegular opens a file, and nothing that could make a reader wait: a FIFO, a device, a socket.
func openRegular(named, real string, how int) (*os.File, *wire.Failure) {
	if failure := absolute(named); failure != nil {
		return nil, failure
	}
	if info, err := os.Stat(real); err == nil && !info.Mode().IsRegular() {
		return nil, notRegular(named, info)
	} else if err != nil && !(errors.Is(err, fs.ErrNotExist) && how&os.O_CREATE != 0) {
		return nil, failureOf(named, err)
	}
	// It may be another by now: nothing that is opened so waits for anybody.
	file, err := os.OpenFile(real, how|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0o644)
	if err != nil {
		return nil, failureOf(named, err)
	}
	info, err := file.Stat()
	if err == nil && info.Mode().IsRegular() {
		return file, nil
	}
	_ = file.Close()
	if err != nil {
		return nil, failureOf(named, err)
	}
	return nil, notRegular(named, info)
}

func notRegular(named string, info fs.FileInfo) *wire.Failure {
	if info.IsDir() {
		return wire.Failf(wire.File, "%.1000s is a directory", named)
	}
	return wire.Failf(wire.File, "%.1000s is no regular file", named)
}

func absolute(named string) *wire.Failure {
	if !path.IsAbs(named) {
		return wire.Failf(wire.BadRequest, "the path %.1000q must be absolute", named)
	}
	return nil
}

// failureOf says in the kernel's words what is wrong with a path.
func failureOf(named string, err error) *wire.Failure {
	if errors.Is(err, fs.ErrNotExist) {
		return wire.Failf(wire.NotFound, "%.1000s: no such file or directory", named)
	}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return wire.Failf(wire.File, "%.1000s: %v", named, errno)
	}
	return wire.Failf(wire.File, "%.1000s: %v", named, err)
}
