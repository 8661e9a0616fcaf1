package server

import (
	"errors"
	"net/http"
	"syscall"
	"time"

	"aegis.dev/guest-harness/internal/process"
	"aegis.dev/guest-harness/internal/wire"
)

// stdin answers POST /stdin: the body is the command's standard input.
func (s *Server) stdin(w http.ResponseWriter, r *http.Request) *wire.Failure {
	primary, failure := s.running()
	if failure != nil {
		return failure
	}
	return feedStdin(w, r, primary)
}

func feedStdin(w http.ResponseWriter, r *http.Request, command *process.Command) *wire.Failure {
	switch err := command.WriteStdin(r.Body); {
	case errors.Is(err, process.ErrStdinTaken):
		return wire.Failf(wire.State, "%v", err)
	case err != nil:
		return wire.Failf(wire.BadRequest, "the body ended early: %v", err)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// signal answers POST /signal.
func (s *Server) signal(w http.ResponseWriter, r *http.Request) *wire.Failure {
	return sendSignal(w, r, s.running)
}

func sendSignal(
	w http.ResponseWriter, r *http.Request, find func() (*process.Command, *wire.Failure),
) *wire.Failure {
	body, failure := readBody(w, r)
	if failure != nil {
		return failure
	}
	signal, failure := wire.DecodeSignal(body)
	if failure != nil {
		return failure
	}
	command, failure := find()
	if failure != nil {
		return failure
	}
	switch err := command.SignalGroup(signal); {
	case errors.Is(err, process.ErrEnded):
		return wire.Failf(wire.State, "the command has ended")
	case err != nil:
		return wire.Failf(wire.BadRequest, "signal %d: %v", int(signal), err)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// clock answers POST /clock: the machine stood still for a while.
func (s *Server) clock(w http.ResponseWriter, r *http.Request) *wire.Failure {
	body, failure := readBody(w, r)
	if failure != nil {
		return failure
	}
	now, failure := wire.DecodeClock(body)
	if failure != nil {
		return failure
	}
	if err := s.machine.SetClock(now); err != nil {
		return wire.Failf(wire.Internal, "the clock: %v", err)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

const (
	// farewell is how long a shutdown waits, at the most, for a host that reads the events to acknowledge the last one.
	farewell = time.Second
	// parting lets the answer to POST /shutdown leave the machine before the machine ends.
	parting = 10 * time.Millisecond
)

// shutdown answers POST /shutdown at once and goes on after it. A second one changes nothing.
func (s *Server) shutdown(w http.ResponseWriter, r *http.Request) *wire.Failure {
	body, failure := readBody(w, r)
	if failure != nil {
		return failure
	}
	grace, failure := wire.DecodeShutdown(body)
	if failure != nil {
		return failure
	}
	w.WriteHeader(http.StatusAccepted)
	_ = http.NewResponseController(w).Flush() // the machine ends whether or not the host hears of it
	s.mu.Lock()
	first := !s.stopping
	s.stopping = true
	s.mu.Unlock()
	if first {
		go s.stop(grace)
	}
	return nil
}

func (s *Server) stop(grace time.Duration) {
	time.Sleep(parting)
	s.mu.Lock()
	primary := s.primary
	s.mu.Unlock()
	if primary != nil {
		if primary.SignalGroup(syscall.SIGTERM) == nil {
			select {
			case <-primary.Done():
			case <-time.After(grace):
			}
		}
	}
	s.machine.KillAll()
	if primary != nil && s.events.hasReader() {
		select {
		case <-s.events.ring.Acknowledged():
		case <-time.After(farewell):
		}
	}
	s.machine.End()
}
