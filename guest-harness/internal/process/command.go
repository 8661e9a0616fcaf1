package process

import (
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"aegis.dev/guest-harness/internal/events"
	"aegis.dev/guest-harness/internal/wire"
)

// ErrStdinTaken says that there is no standard input to write to: none was asked for, or it was closed before, or it
// is being written.
var ErrStdinTaken = errors.New("standard input is not open")

// Spec says what to start and how.
type Spec struct {
	Argv []string
	// Env is the whole environment as NAME=value.
	Env       []string
	Cwd       string
	UID, GID  uint32
	StdinPipe bool
	// TTY is the size of a terminal of its own; nil: pipes.
	TTY *wire.Size
}

// Command is one that the host has asked for: the primary, which the guest exists for, or an exec.
type Command struct {
	*Process
	begun    time.Time
	terminal *os.File // nil: it has pipes
	stdinMu  sync.Mutex
	stdin    *os.File // nil once closed
	writing  bool
}

// Start starts a command in a session of its own; its output goes into ring. After its end, once its pipes are
// drained, beforeExit is called and the exit event ends the ring.
func Start(reaper *Reaper, spec *Spec, ring *events.Ring, beforeExit func()) (*Command, *wire.Failure) {
	if info, err := os.Stat(spec.Cwd); err != nil || !info.IsDir() {
		return nil, wire.Failf(wire.SpawnFailed, "%s: no such directory to work in", spec.Cwd)
	}
	path, failure := lookPath(spec.Argv[0], Variable(spec.Env, "PATH"), spec.Cwd)
	if failure != nil {
		return nil, failure
	}
	streams, err := openStreams(spec)
	if err != nil {
		return nil, wire.Failf(wire.Internal, "the command's standard streams: %v", err)
	}
	defer streams.closeTheirs()
	sys := &syscall.SysProcAttr{Setsid: true, Setctty: spec.TTY != nil, Ctty: 0}
	if spec.UID != 0 || spec.GID != 0 {
		sys.Credential = &syscall.Credential{Uid: spec.UID, Gid: spec.GID}
	}
	begun := time.Now()
	process, err := reaper.Spawn(path, spec.Argv, &syscall.ProcAttr{
		Dir:   spec.Cwd,
		Env:   spec.Env,
		Files: streams.theirs[:],
		Sys:   sys,
	})
	if err != nil {
		streams.closeOurs()
		if errors.Is(err, syscall.ENOENT) {
			// The file was there a moment ago: what is missing is the interpreter it names.
			return nil, wire.Failf(wire.SpawnNotFound, "%s: its interpreter does not exist", spec.Argv[0])
		}
		return nil, spawnFailure(spec.Argv[0], err)
	}
	c := &Command{Process: process, begun: begun, terminal: streams.terminal, stdin: streams.stdin}
	go c.follow(ring, streams.outputs(), beforeExit)
	return c, nil
}

// DirectoryOrRoot gives the directory, or / where there is none of that name.
func DirectoryOrRoot(path string) string {
	if info, err := os.Stat(path); err != nil || !info.IsDir() {
		return "/"
	}
	return path
}

// Variable gives the value of a variable, or nothing.
func Variable(env []string, name string) (value string) {
	for _, variable := range env {
		if text, ok := strings.CutPrefix(variable, name+"="); ok {
			value = text
		}
	}
	return value
}

func (c *Command) follow(ring *events.Ring, outputs map[events.Kind]*os.File, beforeExit func()) {
	var pumps sync.WaitGroup
	for kind, output := range outputs {
		pumps.Go(func() {
			// The ring refuses output only after its last event, which is added below.
			_ = pump(output, func(bytes []byte) error { return ring.Add(kind, bytes) })
			if output != c.terminal {
				output.Close()
			}
		})
	}
	<-c.Done()
	ran := time.Since(c.begun)
	deadline := time.Now().Add(drainGrace)
	for _, output := range outputs {
		_ = output.SetReadDeadline(deadline) // fails only when the pump has closed the pipe already
	}
	c.closeStdin()
	status := c.Status()
	oom := status.Signaled() && status.Signal() == syscall.SIGKILL && killedForMemory(c.PID)
	pumps.Wait()
	if c.terminal != nil {
		// Whoever still has it is hung up on, as when a terminal's window is closed.
		c.terminal.Close()
	}
	beforeExit()
	_ = ring.End(events.ExitOf(status, oom, ran).Encode())
}

// endOfTransmission is what ends the input of a terminal in its usual mode.
var endOfTransmission = []byte{4}

// WriteStdin copies body to the command's standard input and closes it at the end of body; a terminal is told that
// its input has ended. It drops what a command does not want to read. When body fails, standard input stays open for
// a host that comes back.
func (c *Command) WriteStdin(body io.Reader) error {
	c.stdinMu.Lock()
	stdin := c.stdin
	if stdin == nil || c.writing {
		c.stdinMu.Unlock()
		return ErrStdinTaken
	}
	c.writing = true
	c.stdinMu.Unlock()

	buf := make([]byte, chunk)
	for {
		n, err := body.Read(buf)
		if n > 0 {
			if _, failure := stdin.Write(buf[:n]); failure != nil {
				c.closeStdin()
				_, err = io.Copy(io.Discard, body)
				return err
			}
		}
		if err == io.EOF {
			if c.terminal != nil {
				_, _ = stdin.Write(endOfTransmission) // it may have ended in the meantime
			}
			c.closeStdin()
			return nil
		}
		if err != nil {
			c.stdinMu.Lock()
			defer c.stdinMu.Unlock()
			c.writing = false
			return err
		}
	}
}

func (c *Command) closeStdin() {
	c.stdinMu.Lock()
	defer c.stdinMu.Unlock()
	if c.stdin != nil {
		c.stdin.Close()
		c.stdin = nil
	}
}
