package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// startWriteback has the kernel begin to write what it holds of the file from offset on, and does not wait for it
// (sync_file_range(2)). It promises nothing: that is fsync's.
func startWriteback(file *os.File, offset int64) {
	_ = unix.SyncFileRange(int(file.Fd()), offset, 0, unix.SYNC_FILE_RANGE_WRITE)
}
