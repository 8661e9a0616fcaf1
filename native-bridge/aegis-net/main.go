// aegis-net is the network of one guest: a TCP/IP stack in user space (gVisor's) that ends every flow of the guest here, asks the
// guest's policy about it, and opens one of the host's own sockets for it, or refuses it.
//
//	aegis-net CONTROL_SOCKET < CONFIGURATION
//
// It is two processes: one that holds the link and the control socket and starts the other anew when that has crashed (supervisor.go), and the
// other in which the stack works (worker.go).
//
// The configuration is one line of JSON (config.go). The guest's frames come over a Unix socket, each behind its length as four bytes,
// most significant first, as QEMU's `-netdev stream` and libkrun's krun_add_net_unixstream have it. What was refused is told over the control
// socket (control.go), where the policy can be changed as well. It ends when the guest's link does.
package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"runtime/debug"
	"syscall"
)

const (
	exitFailure = 1
	exitUsage   = 2
	// memoryLimit is where the collector begins to work harder: of buffers there is a limited number, so it stays a soft one.
	memoryLimit = 192 << 20
)

func main() {
	debug.SetMemoryLimit(memoryLimit)
	debug.SetGCPercent(60)
	// Whoever started us may be gone: what is written to nobody is no reason to end.
	signal.Ignore(syscall.SIGPIPE, syscall.SIGHUP)
	var err error
	switch {
	case len(os.Args) == 2:
		err = supervise(os.Args[1], os.Stdin)
	// The control socket is there for whoever looks for the processes of a VM by its directory.
	case len(os.Args) == 3 && os.Args[1] == networkRole:
		if err = confine(); err == nil {
			err = work(os.Stdin, hostWorld())
		}
	default:
		fmt.Fprintln(os.Stderr, "usage: aegis-net CONTROL_SOCKET < CONFIGURATION")
		os.Exit(exitUsage)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "aegis-net: %v\n", err)
		os.Exit(exitFailure)
	}
}

// networkRole makes the program the network and not its supervisor.
const networkRole = "--network"

// networkProgram is this program as the network; as it was when it was started, even if its file is another by now.
func networkProgram(controlSocket string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = []string{os.Args[0], networkRole, controlSocket}
	return cmd
}

func supervise(controlSocket string, stdin io.Reader) error {
	line, err := bufio.NewReaderSize(io.LimitReader(stdin, maxMessage), 64<<10).ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("the configuration: %w", err)
	}
	config, err := decodeConfig(line)
	if err != nil {
		return err
	}
	// A file must not grow any more once we are confined.
	counters, err := newCountersFile()
	if err != nil {
		return fmt.Errorf("the counters: %w", err)
	}
	if err := confine(); err != nil {
		return err
	}
	control, err := listenControl(controlSocket)
	if err != nil {
		return err
	}
	s := &supervisor{
		control:  control,
		relay:    newRelay(),
		counters: counters,
		state:    newHandover(config),
		restarts: usualRestarts,
		program:  func() *exec.Cmd { return networkProgram(controlSocket) },
	}
	return s.run(func() (net.Conn, error) { return openLink(config) })
}
