package events

import (
	"context"
	"fmt"
	"io"
)

// Reader gives the frames of a ring in order, each once. It is not safe for more than one goroutine, but for Finish.
type Reader struct {
	ring      *Ring
	seq       uint64 // the last frame given
	at        uint64 // where the next one starts
	finishing bool
}

// ReadAfter gives a reader of every frame whose number is greater than seq, and acknowledges those up to seq: a host
// that comes back with the last number it has stored must not find a ring full of what it has.
func (r *Ring) ReadAfter(seq uint64) (*Reader, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if seq < r.acked || r.dropped {
		return nil, fmt.Errorf("%w: asked for those after %d, kept are those after %d", ErrForgotten, seq, r.acked)
	}
	if err := r.acknowledge(seq); err != nil {
		return nil, err
	}
	return &Reader{ring: r, seq: seq, at: r.tail}, nil
}

// Finish says that no acknowledgement will come any more: Read ends as soon as it has given the last event.
func (rd *Reader) Finish() {
	rd.ring.mu.Lock()
	defer rd.ring.mu.Unlock()
	rd.finishing = true
	rd.ring.data.Broadcast()
}

// Read copies as many whole frames as fit into buf, which has room for the largest, and waits for one when there is
// none. more says whether the next Read would not wait. io.EOF comes after the last event, once it is acknowledged.
func (rd *Reader) Read(ctx context.Context, buf []byte) (n int, more bool, err error) {
	r := rd.ring
	stop := context.AfterFunc(ctx, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.data.Broadcast()
	})
	defer stop()
	r.mu.Lock()
	defer r.mu.Unlock()
	for rd.seq == r.last && !r.dropped {
		if ctx.Err() != nil {
			return 0, false, ctx.Err()
		}
		if r.ended && (rd.finishing || r.acked == r.last) {
			return 0, false, io.EOF
		}
		r.data.Wait()
	}
	if ctx.Err() != nil {
		return 0, false, ctx.Err()
	}
	// Another reader's host may have acknowledged what this one has not been given.
	if rd.at < r.tail || r.dropped {
		return 0, false, ErrForgotten
	}
	for rd.seq < r.last {
		length, seq := r.header(rd.at)
		if n+HeaderSize+length > len(buf) {
			break
		}
		r.copyOut(buf[n:n+HeaderSize+length], rd.at)
		n += HeaderSize + length
		rd.at += uint64(HeaderSize + length)
		rd.seq = seq
	}
	r.given = max(r.given, rd.seq)
	return n, rd.seq < r.last, nil
}
