// Package server answers the host's requests (docs/HARNESS_PROTOCOL.md) over connections that a transport gives it.
package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"aegis.dev/guest-harness/internal/events"
	"aegis.dev/guest-harness/internal/process"
	"aegis.dev/guest-harness/internal/wire"
	"golang.org/x/net/http2"
)

// Version is the harness's own.
const Version = "0.1.0"

// Machine is what the server needs of the machine it runs in.
type Machine interface {
	// Prepare does all that comes before the command: afterwards the image is the root.
	Prepare(*wire.Boot) *wire.Failure
	Kernel() string
	Uptime() time.Duration
	// Memory is how many bytes the machine has.
	Memory() uint64
	// CPUMillis is the processor time that the machine has spent on work.
	CPUMillis() uint64
	// NetworkBytes is what has passed through the machine's network devices.
	NetworkBytes() uint64
	SetClock(time.Time) error
	SyncWorkspace()
	KillAll()
	// End writes everything out and ends the machine.
	End()
	// Crashed is called with the trace of a bug in the harness; the machine ends.
	Crashed(trace string)
}

// Server is the harness as its host sees it.
type Server struct {
	machine Machine
	reaper  *process.Reaper
	events  feed // the primary's
	execs   execs
	http2   http2.Server

	mu       sync.Mutex
	booted   bool             // POST /boot has been accepted
	failed   bool             // and went wrong
	primary  *process.Command // once started
	program  *wire.Boot       // what it was started with
	stopping bool
	tunnels  tunnels
}

const (
	// A host may send streamWindow ahead on one stream. The connection's window is as large as there can be: the HTTP/2
	// server gives it back only when a handler has read, and a tunnel whose program does not read must not hold up others.
	streamWindow     = 128 << 10
	connectionWindow = 1<<31 - 1
	maxStreams       = maxTunnels + 1000
	// A host that says nothing for idle is sent a ping, so that a connection whose host has gone is noticed. One that is
	// stopped for long (a debugger, a laptop's lid) is not given up.
	idle     = 15 * time.Second
	pingWait = 10 * time.Minute
)

// New gives a server for one machine.
func New(machine Machine, reaper *process.Reaper) *Server {
	return &Server{
		machine: machine,
		reaper:  reaper,
		events:  feed{ring: events.NewRing()},
		execs:   execs{all: map[string]*exec{}},
		http2: http2.Server{
			MaxReadFrameSize:             1 << 20,
			MaxConcurrentStreams:         maxStreams,
			MaxUploadBufferPerConnection: connectionWindow,
			MaxUploadBufferPerStream:     streamWindow,
			ReadIdleTimeout:              idle,
			PingTimeout:                  pingWait,
		},
	}
}

// Serve answers the requests of one connection and returns when it has ended.
func (s *Server) Serve(conn net.Conn) {
	s.http2.ServeConn(conn, &http2.ServeConnOpts{Handler: s})
}

// Forward passes a signal that PID 1 got to the command, if there is one.
func (s *Server) Forward(signal syscall.Signal) {
	s.mu.Lock()
	primary := s.primary
	s.mu.Unlock()
	if primary != nil {
		_ = primary.SignalGroup(signal) // it may have ended in the meantime
	}
}

// ServeHTTP answers one request. A bug in a handler ends the machine: a harness in an unknown state must not go on.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer func() {
		if bug := recover(); bug == http.ErrAbortHandler {
			panic(bug) // net/http's own way to reset a stream
		} else if bug != nil {
			s.machine.Crashed(fmt.Sprintf("%v\n%s", bug, debug.Stack()))
		}
	}()
	var failure *wire.Failure
	if r.Method == http.MethodConnect {
		if failure = s.connect(w, r); failure != nil {
			send(w, failure.Status(), failure)
		}
		return
	}
	switch r.Method + " " + r.URL.Path {
	case "GET /health":
		answer(w, s.health())
	case "GET /activity":
		answer(w, wire.Activity{CPUMs: s.machine.CPUMillis(), NetworkBytes: s.machine.NetworkBytes(), Tunnels: s.tunnels.open.Load()})
	case "POST /boot":
		failure = s.boot(w, r)
	case "POST /events":
		failure = s.events.serve(w, r, s.events.ring.Acknowledge)
	case "POST /stdin":
		failure = s.stdin(w, r)
	case "POST /signal":
		failure = s.signal(w, r)
	case "POST /clock":
		failure = s.clock(w, r)
	case "POST /shutdown":
		failure = s.shutdown(w, r)
	case "GET /execs":
		answer(w, s.execs.list())
	case "GET /files":
		failure = s.archive(w, r)
	case "PUT /files":
		failure = s.extract(w, r)
	case "POST /files/read":
		failure = s.readFile(w, r)
	case "POST /files/write":
		failure = s.writeFile(w, r)
	default:
		if id, verb, ok := execRoute(r); ok {
			failure = s.exec(w, r, id, verb)
			break
		}
		failure = wire.Failf(wire.NotFound, "no route %s %s", r.Method, r.URL.Path)
	}
	if failure != nil {
		send(w, failure.Status(), failure)
	}
}

func answer(w http.ResponseWriter, body any) { send(w, http.StatusOK, body) }

func send(w http.ResponseWriter, status int, body any) {
	encoded, err := json.Marshal(body)
	if err != nil {
		panic(err) // answers are structs of strings and numbers
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(encoded) // the host may be gone
}

// readBody reads a JSON body, which is limited.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, *wire.Failure) {
	body, err := readAll(http.MaxBytesReader(w, r.Body, wire.MaxBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, wire.Failf(wire.BadRequest, "a body of more than %d bytes", wire.MaxBody)
	case err != nil:
		return nil, wire.Failf(wire.BadRequest, "the body ended early: %v", err)
	}
	return body, nil
}

// readAll is io.ReadAll that leaves no copy of what it has read behind as its buffer grows: a body may hold secrets.
func readAll(body io.Reader) ([]byte, error) {
	buf := make([]byte, 0, 4096)
	for {
		if len(buf) == cap(buf) {
			larger := make([]byte, len(buf), 2*cap(buf))
			copy(larger, buf)
			clear(buf)
			buf = larger
		}
		n, err := body.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if err == io.EOF {
			return buf, nil
		}
		if err != nil {
			return buf, err
		}
	}
}

// running gives the command, or the failure that says why there is none.
func (s *Server) running() (*process.Command, *wire.Failure) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.primary == nil {
		return nil, wire.Failf(wire.State, "no command has been started")
	}
	return s.primary, nil
}
