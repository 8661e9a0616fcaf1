package process

import (
	"bytes"
	"strconv"
	"syscall"
)

// killedForMemory says whether the kernel's log tells that the out-of-memory killer took the process. /proc/vmstat
// counts such kills but does not say whose.
func killedForMemory(pid int) bool {
	fd, err := syscall.Open("/dev/kmsg", syscall.O_RDONLY|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer syscall.Close(fd)
	record := make([]byte, 8<<10)
	for {
		n, err := syscall.Read(fd, record)
		switch {
		case err == syscall.EPIPE || err == syscall.EINTR: // overwritten while it was read: the next one follows
		case err != nil || n <= 0:
			return false
		case isOOMKill(record[:n], pid):
			return true
		}
	}
}

// isOOMKill reads one record of /dev/kmsg: "PRIORITY,SEQUENCE,TIME,FLAGS;TEXT". Only the kernel itself writes with
// facility 0, so a process cannot forge one.
func isOOMKill(record []byte, pid int) bool {
	prefix, text, ok := bytes.Cut(record, []byte(";"))
	if !ok {
		return false
	}
	priority, _, _ := bytes.Cut(prefix, []byte(","))
	if n, err := strconv.Atoi(string(priority)); err != nil || n < 0 || n>>3 != 0 {
		return false
	}
	return bytes.Contains(bytes.ToLower(text), []byte("out of memory: killed process "+strconv.Itoa(pid)+" ("))
}
