package process

import (
	"errors"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"aegis.dev/guest-harness/internal/events"
	"aegis.dev/guest-harness/internal/wire"
)

// ErrStdinTaken says that there is no standard input to write to: none was asked for, or it was closed before, or it
// is being written.
var ErrStdinTaken = errors.New("standard input is not open")

// Primary is the command that a guest exists for.
type Primary struct {
	*Process
	stdinMu sync.Mutex
	stdin   *os.File // nil once closed
	writing bool
}

// StartPrimary starts the command of boot in a session of its own; its output goes into ring. After its end, once its
// pipes are drained, beforeExit is called and the exit event ends the ring.
func StartPrimary(reaper *Reaper, boot *wire.Boot, ring *events.Ring, beforeExit func()) (*Primary, *wire.Failure) {
	cwd := boot.Cwd
	if info, err := os.Stat(cwd); err != nil || !info.IsDir() {
		cwd = "/"
	}
	path, failure := lookPath(boot.Argv[0], boot.Path, cwd)
	if failure != nil {
		return nil, failure
	}
	streams, err := openStreams(boot.StdinPipe)
	if err != nil {
		return nil, wire.Failf(wire.Internal, "the command's standard streams: %v", err)
	}
	defer streams.closeTheirs()
	process, err := reaper.Spawn(path, boot.Argv, &syscall.ProcAttr{
		Dir:   cwd,
		Env:   boot.Env,
		Files: streams.theirs[:],
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		streams.closeOurs()
		if errors.Is(err, syscall.ENOENT) {
			// The file was there a moment ago: what is missing is the interpreter it names.
			return nil, wire.Failf(wire.SpawnNotFound, "%s: its interpreter does not exist", boot.Argv[0])
		}
		return nil, spawnFailure(boot.Argv[0], err)
	}
	p := &Primary{Process: process, stdin: streams.stdin}
	go p.follow(ring, streams.stdout, streams.stderr, beforeExit)
	return p, nil
}

func (p *Primary) follow(ring *events.Ring, stdout, stderr *os.File, beforeExit func()) {
	var pumps sync.WaitGroup
	for kind, pipe := range map[events.Kind]*os.File{events.Stdout: stdout, events.Stderr: stderr} {
		pumps.Go(func() {
			defer pipe.Close()
			// The ring refuses output only after its last event, which is added below.
			_ = pump(pipe, func(output []byte) error { return ring.Add(kind, output) })
		})
	}
	<-p.Done()
	deadline := time.Now().Add(drainGrace)
	_ = stdout.SetReadDeadline(deadline) // fails only when the pump has closed the pipe already
	_ = stderr.SetReadDeadline(deadline)
	p.closeStdin()
	status := p.Status()
	oom := status.Signaled() && status.Signal() == syscall.SIGKILL && killedForMemory(p.PID)
	pumps.Wait()
	beforeExit()
	_ = ring.End(events.ExitOf(status, oom).Encode())
}

// WriteStdin copies body to the command's standard input and closes it at the end of body. It drops what a command
// does not want to read. When body fails, standard input stays open for a host that comes back.
func (p *Primary) WriteStdin(body io.Reader) error {
	p.stdinMu.Lock()
	stdin := p.stdin
	if stdin == nil || p.writing {
		p.stdinMu.Unlock()
		return ErrStdinTaken
	}
	p.writing = true
	p.stdinMu.Unlock()

	buf := make([]byte, chunk)
	for {
		n, err := body.Read(buf)
		if n > 0 {
			if _, failure := stdin.Write(buf[:n]); failure != nil {
				p.closeStdin()
				_, err = io.Copy(io.Discard, body)
				return err
			}
		}
		if err == io.EOF {
			p.closeStdin()
			return nil
		}
		if err != nil {
			p.stdinMu.Lock()
			defer p.stdinMu.Unlock()
			p.writing = false
			return err
		}
	}
}

func (p *Primary) closeStdin() {
	p.stdinMu.Lock()
	defer p.stdinMu.Unlock()
	if p.stdin != nil {
		p.stdin.Close()
		p.stdin = nil
	}
}
