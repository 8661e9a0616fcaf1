package server

import (
	"net/http"

	"aegis.dev/guest-harness/internal/process"
	"aegis.dev/guest-harness/internal/wire"
)

// The states of GET /health.
const (
	waiting = "waiting"
	running = "running"
	exited  = "exited"
)

func (s *Server) health() wire.Health {
	return wire.Health{
		Protocol: wire.Protocol,
		Harness:  Version,
		Kernel:   s.machine.Kernel(),
		State:    s.state(),
		UptimeMs: s.machine.Uptime().Milliseconds(),
	}
}

func (s *Server) state() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !s.booted:
		return waiting
	case s.failed:
		return exited
	case s.primary == nil:
		return running
	}
	select {
	case <-s.primary.Done():
		return exited
	default:
		return running
	}
}

// boot answers POST /boot: once, and only a message that can be read counts as the one time.
func (s *Server) boot(w http.ResponseWriter, r *http.Request) *wire.Failure {
	body, failure := readBody(w, r)
	if failure != nil {
		return failure
	}
	// Secrets came in it. The command has them in its environment when this returns, and what runs beside it will have them, too.
	defer clear(body)
	message, failure := wire.DecodeBoot(body)
	if failure != nil {
		return failure
	}
	s.mu.Lock()
	if s.booted || s.stopping {
		s.mu.Unlock()
		return wire.Failf(wire.State, "this guest has been booted already")
	}
	s.booted = true
	s.mu.Unlock()

	primary, failure := s.start(message)
	s.mu.Lock()
	s.primary, s.program, s.failed = primary, message, failure != nil
	s.mu.Unlock()
	if failure != nil {
		return failure
	}
	answer(w, wire.Booted{PID: primary.PID})
	return nil
}

func (s *Server) start(message *wire.Boot) (*process.Command, *wire.Failure) {
	if failure := s.machine.Prepare(message); failure != nil {
		return nil, failure
	}
	message.Cwd = process.DirectoryOrRoot(message.Cwd)
	return process.Start(s.reaper, &process.Spec{
		Argv:      message.Argv,
		Env:       message.Env,
		Cwd:       message.Cwd,
		StdinPipe: message.StdinPipe,
	}, s.events.ring, s.machine.SyncWorkspace)
}
