package main

import (
	"sync"
	"sync/atomic"
	"time"
)

// flow is one conversation that was let through.
type flow struct {
	to    target
	name  string
	began time.Time
	// sent and received are the bytes within it, from the guest and to it.
	sent, received atomic.Uint64
	end            func()
}

// ended is the flow as it is told.
func (f *flow) ended() endedFlow {
	return endedFlow{
		flowKey:       flowKey{f.to.protocol, f.to.address.String(), f.to.port, f.name},
		SentBytes:     f.sent.Load(),
		ReceivedBytes: f.received.Load(),
		Millis:        time.Since(f.began).Milliseconds(),
		Count:         1,
	}
}

// flows are all that there are.
type flows struct {
	mu  sync.Mutex
	all map[*flow]struct{}
}

func newFlows() *flows { return &flows{all: map[*flow]struct{}{}} }

// add says whether there is room for one more.
func (s *flows) add(f *flow) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.all) >= maxFlows {
		return false
	}
	s.all[f] = struct{}{}
	return true
}

// remove says whether it was still there.
func (s *flows) remove(f *flow) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, there := s.all[f]
	delete(s.all, f)
	return there
}

func (s *flows) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.all)
}

// endIf ends those that are condemned; whoever carries one removes it.
func (s *flows) endIf(condemned func(*flow) bool) {
	s.mu.Lock()
	var ends []func()
	for f := range s.all {
		if condemned(f) {
			ends = append(ends, f.end)
		}
	}
	s.mu.Unlock()
	for _, end := range ends {
		end()
	}
}

// endAll ends and removes all of them, and says which.
func (s *flows) endAll() (ended []*flow) {
	s.mu.Lock()
	var ends []func()
	for f := range s.all {
		ended = append(ended, f)
		ends = append(ends, f.end)
	}
	clear(s.all)
	s.mu.Unlock()
	for _, end := range ends {
		end()
	}
	return ended
}

// setEnd says how a flow is ended, once there is something to end.
func (s *flows) setEnd(f *flow, end func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f.end = end
}
