package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// finishWithin is what a network may take to tell what is left when its guest has ended.
const finishWithin = 2 * time.Second

// restarts says when a network that has crashed is started anew.
type restarts struct {
	// most is how many crashes in a row are the last: the link is kept from then on, and nothing passes.
	most int
	// first is the wait before the second start in a row, twice as much before each one more, up to longest. The first waits for nothing.
	first, longest time.Duration
	// calm is how long a network has to work for its crash to be the first in a row again.
	calm time.Duration
}

var usualRestarts = restarts{most: 8, first: 250 * time.Millisecond, longest: 4 * time.Second, calm: 10 * time.Minute}

func (r restarts) wait(crashes int) time.Duration {
	if crashes <= 1 {
		return 0
	}
	return min(r.first<<min(crashes-2, 30), r.longest)
}

// supervisor holds what must survive a crash of the guest's network: the link, the control socket, and what the network has learned. It looks
// at nothing that a guest has written but the lengths, which are its VMM's. The network itself is a process below it (worker.go).
type supervisor struct {
	control  *net.UnixListener
	relay    *relay
	counters *os.File
	state    *handover
	restarts restarts
	// program is what a network is run by.
	program func() *exec.Cmd
}

// run works until the link has ended, which is no error between two frames.
func (s *supervisor) run(open func() (net.Conn, error)) error {
	// The kernel ends a network when the thread that started it does: all are started by this one, which lives as long as the process.
	runtime.LockOSThread()
	link := make(chan error, 1)
	go func() { link <- s.relay.run(open) }()
	for {
		began := time.Now()
		network, err := s.start()
		if err != nil {
			return err
		}
		select {
		case err := <-link:
			s.relay.leave()
			select {
			case <-network.ended:
			case <-time.After(finishWithin):
				_ = network.cmd.Process.Kill()
				<-network.ended
			}
			return err
		case <-network.ended:
		}
		s.relay.leave()
		if s.state.Down {
			return fmt.Errorf("the network crashed again when nothing passed any more: %s", network.end)
		}
		wait := s.crashed(network.end, time.Since(began))
		select {
		case err := <-link:
			return err
		case <-time.After(wait):
		}
	}
}

// crashed writes down a crash for the next network to tell, and says how long that is to wait.
func (s *supervisor) crashed(how string, after time.Duration) time.Duration {
	if after >= s.restarts.calm {
		s.state.inRow = 0
	}
	s.state.inRow++
	s.state.Down = s.state.inRow >= s.restarts.most
	count := 1
	if s.state.Crash != nil {
		count += s.state.Crash.Count
	}
	s.state.Crash = &crash{Count: count, Why: how, Down: s.state.Down}
	return s.restarts.wait(s.state.inRow)
}

// runningNetwork is a process in which a network works. Its end is said once `ended` is closed, and then all that it has handed over is here.
type runningNetwork struct {
	cmd   *exec.Cmd
	ended chan struct{}
	end   string
}

// start starts a network that goes on where the one before has ended.
func (s *supervisor) start() (*runningNetwork, error) {
	ours, theirs, err := packetPair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	control, err := s.control.File()
	if err != nil {
		return nil, err
	}
	defer control.Close()
	ledger, ledgerIn, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer ledgerIn.Close()
	words := &firstWords{also: os.Stderr}
	cmd := s.program()
	cmd.Stderr = words
	cmd.ExtraFiles = []*os.File{control, theirs, ledgerIn, s.counters}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if cmd.Stdin, err = s.state.encode(); err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s.relay.enter(ours)
	network := &runningNetwork{cmd: cmd, ended: make(chan struct{})}
	read := make(chan struct{})
	go func() {
		defer close(read)
		defer ledger.Close()
		s.state.follow(ledger)
	}()
	go func() {
		err := cmd.Wait()
		<-read
		network.end = endInWords(err, words.line())
		close(network.ended)
	}()
	return network, nil
}

// endInWords says how a process has ended: by which signal, or with which words.
func endInWords(err error, words string) string {
	var ended *exec.ExitError
	if !errors.As(err, &ended) {
		return "it ended too early"
	}
	if status, ok := ended.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return "killed by " + unix.SignalName(status.Signal())
	}
	if words == "" {
		return fmt.Sprintf("exit %d", ended.ExitCode())
	}
	return fmt.Sprintf("exit %d: %s", ended.ExitCode(), words)
}

// mostWords is enough for what Go says of a panic in its first line.
const mostWords = 200

// firstWords keeps the beginning of what is written, and passes all of it on.
type firstWords struct {
	also io.Writer
	kept []byte
}

func (w *firstWords) Write(piece []byte) (int, error) {
	if room := mostWords - len(w.kept); room > 0 {
		w.kept = append(w.kept, piece[:min(room, len(piece))]...)
	}
	_, _ = w.also.Write(piece) // whoever started us may be gone
	return len(piece), nil
}

func (w *firstWords) line() string { return firstLine(w.kept) }
