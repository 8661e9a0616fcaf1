package events

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
)

// Capacity bounds what a guest keeps of a command for its host: bytes of frames, headers included, that are not yet
// acknowledged.
const Capacity = 1 << 20

// noted marks a number that the host has stored and wants to be kept all the same.
const noted = 1 << 63

var (
	// ErrForgotten says that events after the one asked for have been acknowledged and are gone.
	ErrForgotten = errors.New("those events have been acknowledged and forgotten")
	// ErrAhead says that a number was named that no event has had yet.
	ErrAhead = errors.New("no event with that number has been sent")
	// ErrEnded says that the last event has been added.
	ErrEnded = errors.New("the last event has been added already")
)

// Ring keeps encoded frames, oldest first, until they are acknowledged, in Capacity bytes that it allocates once.
// Adding blocks while they do not fit, so a slow host blocks the command and loses nothing. Safe for any number of
// goroutines; frames never interleave.
type Ring struct {
	mu    sync.Mutex
	space sync.Cond
	data  sync.Cond

	buf []byte
	// Offsets count every byte ever added; an offset's place in buf is its remainder. [tail, head) is kept.
	head, tail uint64
	// The newest frame: where its header is, what it carries and how much.
	newest     uint64
	newestKind Kind
	newestLen  int

	last  uint64 // the newest frame's number
	acked uint64 // the highest number acknowledged
	noted uint64 // the highest number that the host has stored, acknowledged or not
	given uint64 // the highest number any reader has been given
	ended bool
	// Everything is dropped from now on: nobody will ever ask for it.
	dropped bool
	done    chan struct{}
}

// NewRing gives an empty ring.
func NewRing() *Ring {
	r := &Ring{buf: make([]byte, Capacity), done: make(chan struct{})}
	r.space.L, r.data.L = &r.mu, &r.mu
	return r
}

// Acknowledged is closed once the last event has been acknowledged.
func (r *Ring) Acknowledged() <-chan struct{} { return r.done }

// Add appends output, in frames of at most MaxOutput bytes, and returns when all of it is kept.
func (r *Ring) Add(kind Kind, output []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(output) > 0 && !r.dropped {
		if r.ended {
			return ErrEnded
		}
		if n := r.extend(kind, output); n > 0 {
			output = output[n:]
			continue
		}
		n := min(len(output), MaxOutput)
		if r.free() < HeaderSize+n {
			r.space.Wait()
			continue
		}
		r.append(kind, output[:n])
		output = output[n:]
	}
	return nil
}

// End appends the last event and refuses everything after it.
func (r *Ring) End(event []byte) error {
	if len(event) > MaxOutput {
		return fmt.Errorf("an event of %d bytes", len(event))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for !r.ended && !r.dropped {
		if r.free() < HeaderSize+len(event) {
			r.space.Wait()
			continue
		}
		r.ended = true
		r.append(Event, event)
		r.space.Broadcast()
		return nil
	}
	if r.dropped {
		return nil
	}
	return ErrEnded
}

// Drop forgets everything that is kept and all that comes: a command that still writes is held up no more, and its
// readers end.
func (r *Ring) Drop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dropped = true
	r.buf = nil
	r.space.Broadcast()
	r.data.Broadcast()
}

// Take is Acknowledge for a number whose highest bit is zero. Where it is set, the events up to the number in the
// other bits are noted: the host has stored them, and they are kept until it acknowledges them.
func (r *Ring) Take(number uint64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if number < noted {
		return r.acknowledge(number)
	}
	seq := number - noted
	if seq > r.given {
		return fmt.Errorf("%w: %d, the newest sent is %d", ErrAhead, seq, r.given)
	}
	r.noted = max(r.noted, seq)
	return nil
}

// Progress gives the highest numbers that the host has acknowledged and noted.
func (r *Ring) Progress() (acked, noted uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.acked, max(r.noted, r.acked)
}

// Acknowledge forgets every frame up to and including seq. A number that no reader has been given is ErrAhead.
func (r *Ring) Acknowledge(seq uint64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.acknowledge(seq)
}

func (r *Ring) acknowledge(seq uint64) error {
	if seq > r.given {
		return fmt.Errorf("%w: %d, the newest sent is %d", ErrAhead, seq, r.given)
	}
	if seq <= r.acked || r.dropped {
		return nil
	}
	for r.tail < r.head {
		length, number := r.header(r.tail)
		if number > seq {
			break
		}
		r.tail += uint64(HeaderSize + length)
	}
	r.acked = seq
	if r.ended && r.acked == r.last {
		close(r.done)
		r.data.Broadcast()
	}
	r.space.Broadcast()
	return nil
}

// extend puts what fits of output into the newest frame when no reader has been given it yet: many small writes of a
// command that is faster than its host become few frames.
func (r *Ring) extend(kind Kind, output []byte) int {
	if r.last <= r.given || kind != r.newestKind || kind == Event {
		return 0
	}
	n := min(len(output), MaxOutput-r.newestLen, r.free())
	if n == 0 {
		return 0
	}
	r.copyIn(r.head, output[:n])
	r.head += uint64(n)
	r.newestLen += n
	var length [4]byte
	binary.BigEndian.PutUint32(length[:], uint32(r.newestLen))
	r.copyIn(r.newest, length[:])
	return n
}

func (r *Ring) append(kind Kind, payload []byte) {
	r.last++
	var header [HeaderSize]byte
	putHeader(header[:], kind, len(payload), r.last)
	r.copyIn(r.head, header[:])
	r.copyIn(r.head+HeaderSize, payload)
	r.newest, r.newestKind, r.newestLen = r.head, kind, len(payload)
	r.head += uint64(HeaderSize + len(payload))
	r.data.Broadcast()
}

func (r *Ring) free() int { return Capacity - int(r.head-r.tail) }

func (r *Ring) header(at uint64) (length int, seq uint64) {
	var header [HeaderSize]byte
	r.copyOut(header[:], at)
	return int(binary.BigEndian.Uint32(header[:])), binary.BigEndian.Uint64(header[8:])
}

func (r *Ring) copyIn(at uint64, src []byte) {
	n := copy(r.buf[at%Capacity:], src)
	copy(r.buf, src[n:])
}

func (r *Ring) copyOut(dst []byte, at uint64) {
	n := copy(dst, r.buf[at%Capacity:])
	copy(dst[n:], r.buf)
}
