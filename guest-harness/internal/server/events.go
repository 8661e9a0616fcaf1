package server

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"time"

	"aegis.dev/guest-harness/internal/events"
	"aegis.dev/guest-harness/internal/wire"
)

// batch is how many bytes of frames go into one write: several frames share the cost of a trip through HTTP/2.
const batch = 4 * (events.MaxOutput + events.HeaderSize)

// subscription is the one reader of the events at a time.
type subscription struct {
	cancel  context.CancelFunc
	control *http.ResponseController
}

// feed is the events of one command, and who reads them.
type feed struct {
	ring   *events.Ring
	mu     sync.Mutex
	reader *subscription
}

// serve answers one request for the events: frames out, acknowledgements in, at the same time.
func (f *feed) serve(w http.ResponseWriter, r *http.Request, acknowledge func(uint64) error) *wire.Failure {
	after, failure := afterOf(r)
	if failure != nil {
		return failure
	}
	reader, err := f.ring.ReadAfter(after)
	if err != nil {
		return wire.Failf(wire.State, "%v", err)
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	mine := &subscription{cancel: cancel, control: http.NewResponseController(w)}
	f.subscribe(mine)
	defer f.unsubscribe(mine)

	w.Header().Set("Content-Type", "application/octet-stream")
	w.WriteHeader(http.StatusOK)
	if mine.control.Flush() != nil {
		return nil // the host is gone
	}
	refused := make(chan error, 1)
	go func() {
		err := events.ReadAcks(r.Body, acknowledge)
		if err == nil {
			reader.Finish()
			return
		}
		refused <- err
		cancel()
	}()
	err = write(ctx, w, mine.control, reader)
	select {
	case err := <-refused:
		if errors.Is(err, events.ErrAhead) {
			// The status is long out: a reset is what is left to say that the host has broken the protocol.
			panic(http.ErrAbortHandler)
		}
	default:
	}
	if errors.Is(err, events.ErrForgotten) {
		panic(http.ErrAbortHandler)
	}
	return nil
}

// write copies frames to the host until there are no more, and flushes whenever it has caught up.
func write(ctx context.Context, w http.ResponseWriter, control *http.ResponseController, reader *events.Reader) error {
	buf := make([]byte, batch)
	for {
		n, more, err := reader.Read(ctx, buf)
		if err != nil {
			return err
		}
		if _, err := w.Write(buf[:n]); err != nil {
			return err
		}
		if more {
			continue
		}
		if err := control.Flush(); err != nil {
			return err
		}
	}
}

func afterOf(r *http.Request) (uint64, *wire.Failure) {
	query := r.URL.Query()
	values, there := query["after"]
	if len(query) == 1 && there && len(values) == 1 {
		if after, err := strconv.ParseUint(values[0], 10, 64); err == nil {
			return after, nil
		}
	}
	return 0, wire.Failf(wire.BadRequest, "events: the query must be after=N, a whole number")
}

// subscribe makes mine the current reader and ends the one before it, which may be blocked in a write because its host
// has stopped to read.
func (f *feed) subscribe(mine *subscription) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if old := f.reader; old != nil {
		old.cancel()
		_ = old.control.SetWriteDeadline(time.Unix(1, 0)) // its connection may be gone
	}
	f.reader = mine
}

func (f *feed) unsubscribe(mine *subscription) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.reader == mine {
		f.reader = nil
	}
}

func (f *feed) hasReader() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.reader != nil
}
