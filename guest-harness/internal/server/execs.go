package server

import (
	"net/http"
	"slices"
	"strings"
	"sync"

	"aegis.dev/guest-harness/internal/events"
	"aegis.dev/guest-harness/internal/process"
	"aegis.dev/guest-harness/internal/wire"
)

// maxExecs bounds how many execs are kept, those that run and those that have ended and were not forgotten.
const maxExecs = 32

// exec is a command that was started beside the primary.
type exec struct {
	id      string
	message *wire.Exec
	events  feed
	command *process.Command // nil while it is being started
}

func (e *exec) ended() bool {
	select {
	case <-e.command.Done():
		return true
	default:
		return false
	}
}

// execs are those that the host has not forgotten.
type execs struct {
	mu    sync.Mutex
	all   map[string]*exec
	order []string // oldest first
}

// execRoute splits METHOD /execs/ID[/WHAT] into the id and `METHOD WHAT`.
func execRoute(r *http.Request) (id, verb string, ok bool) {
	rest, ok := strings.CutPrefix(r.URL.Path, "/execs/")
	if !ok {
		return "", "", false
	}
	id, what, _ := strings.Cut(rest, "/")
	return id, r.Method + " " + what, true
}

// exec answers the requests that concern one exec.
func (s *Server) exec(w http.ResponseWriter, r *http.Request, id, verb string) *wire.Failure {
	if !wire.IsExecID(id) {
		return wire.Failf(wire.BadRequest, "an exec's id has 1 to 128 letters, digits, '.', '_' and '-'")
	}
	if verb == "POST " {
		return s.startExec(w, r, id)
	}
	e, failure := s.execs.find(id)
	if failure != nil {
		return failure
	}
	switch verb {
	case "POST events":
		return e.events.serve(w, r, e.events.ring.Take)
	case "POST stdin":
		return feedStdin(w, r, e.command)
	case "POST signal":
		return sendSignal(w, r, func() (*process.Command, *wire.Failure) { return e.command, nil })
	case "POST size":
		return e.resize(w, r)
	case "DELETE ":
		s.execs.forget(e)
		w.WriteHeader(http.StatusNoContent)
		return nil
	default:
		return wire.Failf(wire.NotFound, "no route %s %s", r.Method, r.URL.Path)
	}
}

func (s *Server) startExec(w http.ResponseWriter, r *http.Request, id string) *wire.Failure {
	body, failure := readBody(w, r)
	if failure != nil {
		return failure
	}
	message, failure := wire.DecodeExec(body)
	if failure != nil {
		return failure
	}
	program, failure := s.alive()
	if failure != nil {
		return failure
	}
	e, failure := s.execs.reserve(id, message)
	if failure != nil {
		return failure
	}
	cwd := message.Cwd
	if cwd == "" {
		cwd = program.Cwd
	}
	command, failure := process.Start(s.reaper, &process.Spec{
		Argv:      message.Argv,
		Env:       process.Environment(program.Env, message.Env, message.UID),
		Cwd:       cwd,
		UID:       message.UID,
		GID:       message.GID,
		StdinPipe: message.StdinPipe,
		TTY:       message.TTY,
	}, e.events.ring, func() {})
	s.execs.started(e, command)
	if failure != nil {
		return failure
	}
	if r.Context().Err() != nil {
		// The host has given up waiting. Its DELETE may have come before there was anything to forget.
		s.execs.forget(e)
		return nil
	}
	answer(w, wire.Booted{PID: command.PID})
	return nil
}

// alive gives what the primary was started with, as long as it runs.
func (s *Server) alive() (*wire.Boot, *wire.Failure) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.primary == nil {
		return nil, wire.Failf(wire.State, "no command has been started")
	}
	select {
	case <-s.primary.Done():
		return nil, wire.Failf(wire.State, "the guest's command has ended")
	default:
	}
	if s.stopping {
		return nil, wire.Failf(wire.State, "the guest is stopping")
	}
	return s.program, nil
}

func (e *exec) resize(w http.ResponseWriter, r *http.Request) *wire.Failure {
	body, failure := readBody(w, r)
	if failure != nil {
		return failure
	}
	size, failure := wire.DecodeSize(body)
	if failure != nil {
		return failure
	}
	if err := e.command.Resize(size); err != nil {
		return wire.Failf(wire.State, "%v", err)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// reserve takes the id and a place. Where there is none left, the oldest that has ended and that nobody reads goes.
func (x *execs) reserve(id string, message *wire.Exec) (*exec, *wire.Failure) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.all[id] != nil {
		return nil, wire.Failf(wire.State, "there is an exec %s already", id)
	}
	if len(x.order) >= maxExecs {
		at := slices.IndexFunc(x.order, func(id string) bool {
			e := x.all[id]
			return e.command != nil && e.ended() && !e.events.hasReader()
		})
		if at == -1 {
			return nil, wire.Failf(wire.Limit, "%d commands run in this guest already, beside its own", maxExecs)
		}
		x.remove(x.all[x.order[at]])
	}
	e := &exec{id: id, message: message, events: feed{ring: events.NewRing()}}
	x.all[id] = e
	x.order = append(x.order, id)
	return e, nil
}

// started says what became of one that was reserved; nil: nothing.
func (x *execs) started(e *exec, command *process.Command) {
	x.mu.Lock()
	defer x.mu.Unlock()
	e.command = command
	if command == nil {
		x.remove(e)
	}
}

func (x *execs) remove(e *exec) {
	delete(x.all, e.id)
	x.order = slices.DeleteFunc(x.order, func(id string) bool { return id == e.id })
	e.events.ring.Drop()
}

func (x *execs) find(id string) (*exec, *wire.Failure) {
	x.mu.Lock()
	defer x.mu.Unlock()
	e := x.all[id]
	if e == nil || e.command == nil {
		return nil, wire.Failf(wire.NotFound, "there is no exec %s", id)
	}
	return e, nil
}

// forget ends an exec that runs, and keeps nothing of it.
func (x *execs) forget(e *exec) {
	x.mu.Lock()
	known := x.all[e.id] == e
	if known {
		x.remove(e)
	}
	x.mu.Unlock()
	if known {
		go e.command.HangUp()
	}
}

func (x *execs) list() wire.Execs {
	x.mu.Lock()
	defer x.mu.Unlock()
	list := wire.Execs{Execs: []wire.ExecState{}}
	for _, id := range x.order {
		e := x.all[id]
		if e.command == nil {
			continue
		}
		acked, noted := e.events.ring.Progress()
		list.Execs = append(list.Execs, wire.ExecState{
			ID:       id,
			PID:      e.command.PID,
			Ended:    e.ended(),
			TTY:      e.message.TTY != nil,
			Stdin:    e.message.StdinPipe,
			Detached: e.message.Detached,
			Acked:    acked,
			Noted:    noted,
		})
	}
	return list
}
