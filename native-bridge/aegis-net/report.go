package main

import (
	"sync"
	"time"
)

const (
	// reportEvery is the least time between two reports, and reportEveryMost what it grows to while there is something in each.
	reportEvery     = 250 * time.Millisecond
	reportEveryMost = 30 * time.Second
	// maxReported is how many different flows of each kind one report names; of the others it says how many there were.
	maxReported = 32
	// maxAlike is how many flows with one destination are named one by one.
	maxAlike = 8
)

// refusal is a flow that was refused, or an address that was taken out of a DNS answer.
type refusal struct {
	// tcp, udp, icmp, dns.
	Protocol string `json:"protocol"`
	Address  string `json:"address,omitempty"`
	Port     uint16 `json:"port,omitempty"`
	Name     string `json:"name,omitempty"`
	Why      string `json:"why"`
	// Always is true where no policy would have let it pass.
	Always bool `json:"always,omitempty"`
}

type counted struct {
	refusal
	Count int `json:"count"`
}

type flowKey struct {
	Protocol string `json:"protocol"`
	// Address is empty for a name that was looked up.
	Address string `json:"address,omitempty"`
	Port    uint16 `json:"port,omitempty"`
	Name    string `json:"name,omitempty"`
}

// endedFlow is a flow that was let through and is over; or several with the same destination, where there were too many to name each: then
// the bytes are those of all, and the time is that of the longest.
type endedFlow struct {
	flowKey
	SentBytes     uint64 `json:"sentBytes"`
	ReceivedBytes uint64 `json:"receivedBytes"`
	Millis        int64  `json:"millis"`
	Count         int    `json:"count"`
}

// unnamed are the flows that are over and for which a report had no room.
type unnamed struct {
	Count         int    `json:"count"`
	SentBytes     uint64 `json:"sentBytes"`
	ReceivedBytes uint64 `json:"receivedBytes"`
}

// report is what happened since the one before it. It goes into a journal that is kept for ever: a guest that scans ports must not fill it.
type report struct {
	Refused []counted `json:"refused"`
	// More is how many refusals beside those there were.
	More      int         `json:"more"`
	Ended     []endedFlow `json:"ended,omitempty"`
	EndedMore *unnamed    `json:"endedMore,omitempty"`
	// Crash says that networks before this one have crashed.
	Crash *crash `json:"crash,omitempty"`
}

// reports gathers what is to be told until somebody takes it.
type reports struct {
	counted *counters

	mu        sync.Mutex
	counts    map[refusal]int
	order     []refusal
	more      int
	ended     []endedFlow
	endedMore unnamed
	crash     *crash
	pending   chan struct{}
	over      chan struct{}
	finish    func()
}

func newReports(counted *counters) *reports {
	over := make(chan struct{})
	return &reports{
		counted: counted,
		counts:  map[refusal]int{},
		pending: make(chan struct{}, 1),
		over:    over,
		finish:  sync.OnceFunc(func() { close(over) }),
	}
}

// wake says that there is something to take.
func (r *reports) wake() {
	select {
	case r.pending <- struct{}{}:
	default:
	}
}

func (r *reports) refuse(one refusal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counted.refused.Add(1)
	if _, known := r.counts[one]; known {
		r.counts[one]++
	} else if len(r.counts) < maxReported {
		r.counts[one] = 1
		r.order = append(r.order, one)
	} else {
		r.more++
	}
	r.wake()
}

// end tells of a flow that was let through: by itself while there is room, of which no destination takes all; then together with others of its
// destination.
func (r *reports) end(one endedFlow) {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer r.wake()
	var same *endedFlow
	alike := 0
	for i := range r.ended {
		if r.ended[i].flowKey == one.flowKey {
			same = &r.ended[i]
			alike++
		}
	}
	switch {
	case len(r.ended) < maxReported && alike < maxAlike:
		r.ended = append(r.ended, one)
	case same != nil:
		same.Count += one.Count
		same.SentBytes += one.SentBytes
		same.ReceivedBytes += one.ReceivedBytes
		same.Millis = max(same.Millis, one.Millis)
	default:
		r.endedMore.Count += one.Count
		r.endedMore.SentBytes += one.SentBytes
		r.endedMore.ReceivedBytes += one.ReceivedBytes
	}
}

// crashed says that the network has crashed before.
func (r *reports) crashed(one *crash) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.crash = one
	r.wake()
}

func (r *reports) some() bool { return len(r.order)+len(r.ended) > 0 || r.crash != nil }

// take gives what there is, in the order it came; false where there is nothing.
func (r *reports) take() (report, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.some() {
		return report{}, false
	}
	taken := report{Refused: []counted{}, More: r.more, Ended: r.ended, Crash: r.crash}
	for _, one := range r.order {
		taken.Refused = append(taken.Refused, counted{one, r.counts[one]})
	}
	if r.endedMore.Count > 0 {
		more := r.endedMore
		taken.EndedMore = &more
	}
	clear(r.counts)
	r.order, r.more, r.ended, r.endedMore, r.crash = nil, 0, nil, unnamed{}, nil
	return taken, true
}

// each hands reports to write until it fails, done is closed, or the last one has been written: then it says true. Many in a row come ever
// more seldom.
func (r *reports) each(done <-chan struct{}, write func(report) error) bool {
	wait := reportEvery
	for {
		last := false
		select {
		case <-done:
			return false
		case <-r.over:
			last = true
		case <-r.pending:
		}
		taken, some := r.take()
		if some && write(taken) != nil {
			return false
		}
		if last {
			return true
		}
		if !some {
			continue
		}
		quiet := time.After(wait)
		select {
		case <-done:
			return false
		case <-r.over:
			continue
		case <-quiet:
		}
		r.mu.Lock()
		busy := r.some()
		r.mu.Unlock()
		if busy {
			wait = min(wait*2, reportEveryMost)
		} else {
			wait = reportEvery
		}
	}
}
