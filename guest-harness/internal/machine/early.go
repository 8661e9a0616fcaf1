// Package machine is what PID 1 does to the machine itself: its file systems, clock, randomness, name and end.
package machine

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Name is PID 1's name, as /proc/1/comm shows it.
const Name = "aegis-harness"

// SetName names the calling thread, which must be the main one for the name to be the process's.
func SetName() error {
	name, err := unix.BytePtrFromString(Name)
	if err != nil {
		return err
	}
	return unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(name)), 0, 0, 0)
}

// MountEarly mounts what the harness itself needs on its own small root, and makes a kernel panic, which is what the
// end of PID 1 is, restart the machine at once: a VM whose harness has died must end, not hang.
func MountEarly() error {
	for _, m := range []struct{ kind, target string }{{"devtmpfs", "/dev"}, {"proc", "/proc"}, {"sysfs", "/sys"}} {
		// EBUSY: the kernel has mounted it already.
		if err := unix.Mount(m.kind, m.target, m.kind, 0, ""); err != nil && !errors.Is(err, unix.EBUSY) {
			return fmt.Errorf("%s on %s: %w", m.kind, m.target, err)
		}
	}
	return os.WriteFile("/proc/sys/kernel/panic", []byte("-1"), 0)
}
