// aegis-net is the network of one guest: a TCP/IP stack in user space (gVisor's) that ends every flow of the guest here, asks the
// guest's policy about it, and opens one of the host's own sockets for it, or refuses it.
//
//	aegis-net CONTROL_SOCKET < CONFIGURATION
//
// The configuration is one line of JSON (config.go). The guest's frames come over a Unix socket, each behind its length as four bytes,
// most significant first, as QEMU's `-netdev stream` and libkrun's krun_add_net_unixstream have it. What was refused is told over the control
// socket (control.go), where the policy can be changed as well. It ends when the guest's link does.
package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
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
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: aegis-net CONTROL_SOCKET < CONFIGURATION")
		os.Exit(exitUsage)
	}
	if err := run(os.Args[1], os.Stdin); err != nil {
		fmt.Fprintf(os.Stderr, "aegis-net: %v\n", err)
		os.Exit(exitFailure)
	}
}

func run(controlSocket string, stdin io.Reader) error {
	line, err := bufio.NewReaderSize(io.LimitReader(stdin, maxMessage), 64<<10).ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("the configuration: %w", err)
	}
	config, err := decodeConfig(line)
	if err != nil {
		return err
	}
	if err := confine(); err != nil {
		return err
	}
	control, err := listenControl(controlSocket)
	if err != nil {
		return err
	}
	network, err := newNetwork(config.MTU, &config.Policy, hostWorld())
	if err != nil {
		return err
	}
	go control.serve(network)
	conn, err := openLink(config)
	if err != nil {
		return err
	}
	defer control.drain()
	defer network.finish()
	return network.run(conn)
}
