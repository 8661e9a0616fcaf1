package main

import (
	"os"
	"syscall"
)

// FALLOC_FL_KEEP_SIZE and FALLOC_FL_PUNCH_HOLE of linux/falloc.h.
const punchHoleKeepingSize = 0x1 | 0x2

func punchHole(file *os.File, offset, length int64) {
	_ = syscall.Fallocate(int(file.Fd()), punchHoleKeepingSize, offset, length)
}
