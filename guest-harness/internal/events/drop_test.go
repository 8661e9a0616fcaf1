package events

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestNotedEventsAreKeptUntilTheyAreAcknowledged(t *testing.T) {
	ring := NewRing()
	must(t, ring.Add(Stdout, []byte("a")))
	must(t, ring.Add(Stderr, []byte("b")))
	if err := ring.Take(noted + 1); !errors.Is(err, ErrAhead) {
		t.Fatalf("noted before it was sent: %v", err)
	}
	buf := make([]byte, MaxOutput+HeaderSize)
	if _, _, err := after(t, ring, 0).Read(context.Background(), buf); err != nil {
		t.Fatal(err)
	}
	must(t, ring.Take(noted+2))
	must(t, ring.Take(noted+1))
	if acked, noted := ring.Progress(); acked != 0 || noted != 2 {
		t.Fatalf("acknowledged %d, noted %d", acked, noted)
	}
	again := after(t, ring, 0)
	if n, _, err := again.Read(context.Background(), buf); err != nil || n != 2*(HeaderSize+1) {
		t.Fatalf("%d %v", n, err)
	}
	must(t, ring.Take(2))
	if acked, noted := ring.Progress(); acked != 2 || noted != 2 {
		t.Fatalf("acknowledged %d, noted %d", acked, noted)
	}
}

func TestADroppedRingHoldsNobodyUp(t *testing.T) {
	ring := NewRing()
	written := make(chan error, 1)
	go func() {
		err := ring.Add(Stdout, make([]byte, 3*Capacity))
		if err == nil {
			err = ring.End([]byte("{}"))
		}
		written <- err
	}()
	reading := make(chan error, 1)
	go func() {
		reader, err := ring.ReadAfter(0)
		for buf := make([]byte, MaxOutput+HeaderSize); err == nil; {
			_, _, err = reader.Read(context.Background(), buf)
		}
		reading <- err
	}()
	select {
	case err := <-written:
		t.Fatalf("a full ring took everything: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	ring.Drop()
	must(t, <-written)
	if err := <-reading; !errors.Is(err, ErrForgotten) {
		t.Fatal(err)
	}
	if _, err := ring.ReadAfter(0); !errors.Is(err, ErrForgotten) {
		t.Fatal(err)
	}
}
