package main

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
)

// atomicFile is a file that gets its name when it is complete and on disk.
type atomicFile struct {
	file            *os.File
	temporary, path string
	mutex           sync.Mutex
	settled         bool
}

// createAtomic makes the temporary file beside path. It follows no link that lies at that name.
func createAtomic(path string) (*atomicFile, error) {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s exists and is not a regular file", path)
	}
	temporary := fmt.Sprintf("%s.tmp-%d", path, os.Getpid())
	file, err := os.OpenFile(temporary, os.O_RDWR|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, 0o644)
	if err != nil {
		return nil, err
	}
	return &atomicFile{file: file, temporary: temporary, path: path}, nil
}

// commit gives the file at least size bytes, a whole number of blocks (every virtio-blk sector size divides one), and its
// name. It returns the file's size.
func (a *atomicFile) commit(size int64) (int64, error) {
	info, err := a.file.Stat()
	if err != nil {
		return 0, err
	}
	size = (max(size, info.Size()) + blockSize - 1) / blockSize * blockSize
	if size != info.Size() {
		if err := a.file.Truncate(size); err != nil {
			return 0, err
		}
	}
	if err := a.file.Sync(); err != nil {
		return 0, err
	}

	a.mutex.Lock()
	defer a.mutex.Unlock()
	if a.settled {
		return 0, fmt.Errorf("%s was given up", a.path)
	}
	a.settled = true
	if err := os.Rename(a.temporary, a.path); err != nil {
		_ = os.Remove(a.temporary)
		return 0, err
	}
	return size, syncDirectory(filepath.Dir(a.path))
}

// discard removes the temporary file, unless it has become the real one.
func (a *atomicFile) discard() {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	if !a.settled {
		a.settled = true
		_ = os.Remove(a.temporary)
	}
}

func syncDirectory(path string) error {
	directory, err := os.Open(path)
	if err != nil {
		return err
	}
	defer directory.Close()
	return directory.Sync()
}
