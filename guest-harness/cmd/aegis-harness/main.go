// Command aegis-harness is PID 1 of every guest: it answers the host's requests over virtio-serial or vsock, starts the
// one command the guest exists for and looks after every process (docs/HARNESS_PROTOCOL.md).
package main

import (
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"

	"aegis.dev/guest-harness/internal/machine"
	"aegis.dev/guest-harness/internal/process"
	"aegis.dev/guest-harness/internal/server"
	"aegis.dev/guest-harness/internal/transport"
)

// The main goroutine must begin on the main thread, whose name is the process's.
func init() { runtime.LockOSThread() }

func main() {
	defer func() {
		if bug := recover(); bug != nil {
			die("panic", bug)
		}
	}()
	if os.Getpid() != 1 {
		println("aegis-harness is PID 1 of a guest of AegisVM and of nothing else")
		os.Exit(2)
	}
	if err := machine.SetName(); err != nil {
		die("name", err)
	}
	runtime.UnlockOSThread()
	// The heap is a few MiB: collecting it less often costs little memory and saves time on a slow guest.
	debug.SetGCPercent(400)
	if err := machine.MountEarly(); err != nil {
		die("mounts", err)
	}
	listener, err := transport.Find()
	if err != nil {
		die("transport", err)
	}
	harness := server.New(guest{}, process.StartReaper())
	go forwardSignals(harness)
	for {
		conn, err := listener.Accept()
		if err != nil {
			die("transport", err)
		}
		go harness.Serve(conn)
	}
}

// guest is the machine, with the way a bug in the server ends it.
type guest struct{ machine.Guest }

func (guest) Crashed(trace string) { die("bug", trace) }

// die tells the console why and ends the machine. A panic that no recover sees ends PID 1, which has the same effect.
func die(what string, why any) {
	switch why := why.(type) {
	case error:
		println("aegis-harness:", what+":", why.Error())
	case string:
		println("aegis-harness:", what+":", why)
	default:
		println("aegis-harness:", what)
	}
	machine.Restart()
}

func forwardSignals(harness *server.Server) {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	for received := range signals {
		if number, ok := received.(syscall.Signal); ok {
			harness.Forward(number)
		}
	}
}
