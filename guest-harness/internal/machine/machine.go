package machine

import (
	"os"
	"time"

	"aegis.dev/guest-harness/internal/wire"
	"golang.org/x/sys/unix"
)

// Guest is the virtual machine that this process is PID 1 of.
type Guest struct{}

// Prepare sets the machine up as the boot message says: clock, randomness, name, loopback, network, file systems.
func (Guest) Prepare(boot *wire.Boot) *wire.Failure {
	if err := setClock(boot.Clock); err != nil {
		return wire.Failf(wire.Internal, "the clock: %s", err)
	}
	if err := addSeed(boot.Seed); err != nil {
		return wire.Failf(wire.Internal, "the random seed: %s", err)
	}
	if err := unix.Sethostname([]byte(boot.Hostname)); err != nil {
		return wire.Failf(wire.Internal, "the host name: %s", errnoText(err))
	}
	if err := raiseLoopback(); err != nil {
		return wire.Failf(wire.Internal, "the loopback: %s", err)
	}
	if boot.Network != nil {
		if err := raiseNetwork(boot.Network); err != nil {
			return wire.Failf(wire.Internal, "the network: %s", errnoText(err))
		}
	}
	return enterImage(boot)
}

// Kernel is the running kernel's release, as uname -r prints it.
func (Guest) Kernel() string {
	var name unix.Utsname
	if unix.Uname(&name) != nil {
		return "" // uname fails for a bad address only
	}
	return unix.ByteSliceToString(name.Release[:])
}

// Uptime is the time since the kernel started.
func (Guest) Uptime() time.Duration {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts) != nil {
		return 0 // every Linux that this runs on has the clock
	}
	return time.Duration(ts.Nano())
}

// Memory is how many bytes of memory the machine has.
func (Guest) Memory() uint64 {
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) != nil {
		return 0 // it fails for a bad address only
	}
	return uint64(info.Totalram) * uint64(info.Unit)
}

// SetClock sets the wall clock to what the host's says.
func (Guest) SetClock(now time.Time) error { return setClock(now) }

// SyncWorkspace writes out what the command has left in /workspace.
func (Guest) SyncWorkspace() {
	directory, err := os.Open("/workspace")
	if err != nil {
		return // the command may have unmounted it; its end is told all the same
	}
	defer directory.Close()
	_ = unix.Syncfs(int(directory.Fd()))
}

// KillAll kills every process but PID 1.
func (Guest) KillAll() { _ = unix.Kill(-1, unix.SIGKILL) }

// syncFor bounds the last sync: a workspace whose server is gone would block it for good.
const syncFor = 5 * time.Second

// End writes everything out and restarts the machine, at which its VMM ends. It does not return.
func (Guest) End() {
	synced := make(chan struct{})
	go func() {
		unix.Sync()
		close(synced)
	}()
	select {
	case <-synced:
	case <-time.After(syncFor):
	}
	Restart()
}

// Restart restarts the machine at once. It does not return.
func Restart() {
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)
	// Without the right to restart there is still the end of PID 1, which the kernel answers with a panic.
	os.Exit(1)
}
