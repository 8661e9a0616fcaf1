// Package process starts commands and looks after every process of the guest, as PID 1 must: one reaper, no
// os/exec, whose Wait would race it.
package process

import (
	"errors"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// ErrEnded says that the process has ended and been reaped.
var ErrEnded = errors.New("the process has ended")

// Reaper waits for every child of this process, its own and the orphans that the kernel gives to PID 1. There is one
// in a program.
type Reaper struct {
	// Held while a process is started and while one is reaped: a child that ends at once is known before it is reaped,
	// and a pid is never signalled after it was reaped.
	mu   sync.Mutex
	live map[int]*Process
}

// Process is one that Spawn started.
type Process struct {
	PID    int
	reaper *Reaper
	done   chan struct{}
	status syscall.WaitStatus
}

// StartReaper subscribes to SIGCHLD and reaps from then on.
func StartReaper() *Reaper {
	r := &Reaper{live: map[int]*Process{}}
	children := make(chan os.Signal, 1)
	signal.Notify(children, syscall.SIGCHLD)
	go func() {
		for range children {
			r.reap()
		}
	}()
	return r
}

// reap takes everything that has ended: one SIGCHLD may stand for thousands.
func (r *Reaper) reap() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		if err == syscall.EINTR {
			continue
		}
		if err != nil || pid <= 0 {
			return
		}
		if p := r.live[pid]; p != nil {
			delete(r.live, pid)
			p.status = status
			close(p.done)
		}
	}
}

// Spawn starts path. It returns once execve has succeeded, or with its errno.
func (r *Reaper) Spawn(path string, argv []string, attr *syscall.ProcAttr) (*Process, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	pid, err := syscall.ForkExec(path, argv, attr)
	if err != nil {
		return nil, err
	}
	p := &Process{PID: pid, reaper: r, done: make(chan struct{})}
	r.live[pid] = p
	return p, nil
}

// Done is closed once the process has been reaped; Status is valid from then on.
func (p *Process) Done() <-chan struct{} { return p.done }

// Status is how the process ended.
func (p *Process) Status() syscall.WaitStatus { return p.status }

// SignalGroup signals the process group that the process leads; ErrEnded after its end.
func (p *Process) SignalGroup(s syscall.Signal) error {
	p.reaper.mu.Lock()
	defer p.reaper.mu.Unlock()
	if p.reaper.live[p.PID] != p {
		return ErrEnded
	}
	return syscall.Kill(-p.PID, s)
}
