package events

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

// take reads frames until it has n of them or the ring has ended.
func take(t *testing.T, reader *Reader, n int) []Frame {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var frames []Frame
	for len(frames) < n {
		buf := make([]byte, 4*(MaxOutput+HeaderSize))
		got, _, err := reader.Read(ctx, buf)
		if err == io.EOF {
			return frames
		}
		if err != nil {
			t.Fatal(err)
		}
		for at := 0; at < got; {
			frame, size, err := Decode(buf[at:got])
			if err != nil {
				t.Fatal(err)
			}
			frames = append(frames, frame)
			at += size
		}
	}
	return frames
}

func after(t *testing.T, ring *Ring, seq uint64) *Reader {
	t.Helper()
	reader, err := ring.ReadAfter(seq)
	if err != nil {
		t.Fatal(err)
	}
	return reader
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestOutputIsSplitIntoFramesOf64KiB(t *testing.T) {
	ring := NewRing()
	output := make([]byte, 5*MaxOutput/2)
	rand.NewChaCha8([32]byte{1}).Read(output)
	must(t, ring.Add(Stdout, output))
	frames := take(t, after(t, ring, 0), 3)
	var got []byte
	for i, frame := range frames {
		if frame.Seq != uint64(i+1) || frame.Kind != Stdout || len(frame.Payload) > MaxOutput {
			t.Fatalf("frame %d: number %d, type %d, %d bytes", i, frame.Seq, frame.Kind, len(frame.Payload))
		}
		got = append(got, frame.Payload...)
	}
	if !bytes.Equal(got, output) {
		t.Fatal("the bytes differ")
	}
}

func TestFullRingBlocksUntilAcknowledged(t *testing.T) {
	ring := NewRing()
	reader := after(t, ring, 0)
	chunk := make([]byte, MaxOutput)
	added := make(chan struct{}, 64)
	go func() {
		for range 40 {
			if ring.Add(Stdout, chunk) != nil {
				return
			}
			added <- struct{}{}
		}
		close(added)
	}()
	const fits = Capacity / (MaxOutput + HeaderSize)
	frames := take(t, reader, fits)
	for range fits {
		<-added
	}
	select {
	case <-added:
		t.Fatal("more was added than the ring holds")
	case <-time.After(50 * time.Millisecond):
	}
	if len(frames) != fits {
		t.Fatalf("%d frames, not %d", len(frames), fits)
	}
	must(t, ring.Acknowledge(1))
	<-added
	for seq := uint64(fits); seq < 40; {
		more := take(t, reader, 1)
		seq = more[len(more)-1].Seq
		must(t, ring.Acknowledge(seq))
	}
	for range added {
	}
}

func TestComingBackAtN(t *testing.T) {
	ring := NewRing()
	first := after(t, ring, 0)
	for _, word := range []string{"one", "two", "three"} {
		must(t, ring.Add(Stdout, []byte(word)))
		take(t, first, 1) // given, so that the next word gets a frame of its own
	}
	frames := take(t, after(t, ring, 1), 2)
	if string(frames[0].Payload) != "two" || frames[0].Seq != 2 || string(frames[1].Payload) != "three" {
		t.Fatalf("after 1 came %v", frames)
	}
	if _, err := ring.ReadAfter(0); !errors.Is(err, ErrForgotten) {
		t.Fatalf("coming back at 1 acknowledges 1, so after 0 is gone: %v", err)
	}
	if _, err := ring.ReadAfter(4); !errors.Is(err, ErrAhead) {
		t.Fatalf("after 4, when 3 is the newest: %v", err)
	}
}

func TestComingBackFreesAFullRing(t *testing.T) {
	ring := NewRing()
	chunk := make([]byte, MaxOutput)
	const fits = Capacity / (MaxOutput + HeaderSize)
	for range fits {
		must(t, ring.Add(Stdout, chunk))
	}
	take(t, after(t, ring, 0), fits)
	done := make(chan error, 1)
	go func() { done <- ring.Add(Stderr, []byte("more")) }()
	// The acknowledgements were lost with the connection: the number in the new request has to stand for them.
	frames := take(t, after(t, ring, fits), 1)
	must(t, <-done)
	if string(frames[0].Payload) != "more" {
		t.Fatal("the blocked output did not come")
	}
}

func TestSmallWritesShareAFrameUntilItIsGiven(t *testing.T) {
	ring := NewRing()
	for range 1000 {
		must(t, ring.Add(Stdout, []byte("x")))
	}
	must(t, ring.Add(Stderr, []byte("e")))
	must(t, ring.Add(Stdout, []byte("y")))
	reader := after(t, ring, 0)
	frames := take(t, reader, 3)
	if len(frames[0].Payload) != 1000 || string(frames[1].Payload) != "e" || string(frames[2].Payload) != "y" {
		t.Fatal("the order of stdout and stderr changed, or small writes took a frame each")
	}
	must(t, ring.Add(Stdout, []byte("z")))
	if again := take(t, reader, 1); again[0].Seq != 4 || string(again[0].Payload) != "z" {
		t.Fatal("a frame that had been given was changed")
	}
}

func TestEndIsLastAndMustBeAcknowledged(t *testing.T) {
	ring := NewRing()
	reader := after(t, ring, 0)
	must(t, ring.End([]byte(`{}`)))
	if !errors.Is(ring.Add(Stdout, []byte("x")), ErrEnded) || !errors.Is(ring.End([]byte(`{}`)), ErrEnded) {
		t.Fatal("something was added after the end")
	}
	take(t, reader, 1)
	short, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if _, _, err := reader.Read(short, make([]byte, MaxOutput+HeaderSize)); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("before the acknowledgement: %v", err)
	}
	if !errors.Is(ring.Acknowledge(2), ErrAhead) {
		t.Fatal("a number that no event has had was acknowledged")
	}
	must(t, ring.Acknowledge(1))
	<-ring.Acknowledged()
	if frames := take(t, reader, 1); len(frames) != 0 {
		t.Fatal("something after the end")
	}
	if frames := take(t, after(t, ring, 1), 1); len(frames) != 0 {
		t.Fatal("a host that has everything gets nothing more")
	}
}

func TestAReaderWhoseHostHasFinishedEndsWithTheLastEvent(t *testing.T) {
	ring := NewRing()
	reader := after(t, ring, 0)
	must(t, ring.End([]byte(`{}`)))
	reader.Finish()
	if frames := take(t, reader, 2); len(frames) != 1 {
		t.Fatalf("%d frames", len(frames))
	}
}

// T-208: two writers never interleave, whatever the sizes, and each keeps its own order.
func TestT208TwoWritersAndASlowReaderLoseNothing(t *testing.T) {
	ring := NewRing()
	var writers sync.WaitGroup
	var sent [3][]byte
	for _, kind := range []Kind{Stdout, Stderr} {
		random := rand.New(rand.NewPCG(uint64(kind), 7))
		sent[kind] = make([]byte, 6<<20)
		for i := range sent[kind] {
			sent[kind][i] = byte(random.Uint32())
		}
		writers.Go(func() {
			for rest := sent[kind]; len(rest) > 0; {
				n := min(len(rest), 1+random.IntN(100_000))
				if ring.Add(kind, rest[:n]) != nil {
					return
				}
				rest = rest[n:]
			}
		})
	}
	go func() {
		writers.Wait()
		_ = ring.End([]byte(`{}`))
	}()
	var got [3][]byte
	reader := after(t, ring, 0)
	for next := uint64(1); ; {
		frames := take(t, reader, 1)
		if len(frames) == 0 {
			break
		}
		for _, frame := range frames {
			if frame.Seq != next {
				t.Fatalf("number %d where %d was due", frame.Seq, next)
			}
			next++
			if frame.Kind != Event {
				got[frame.Kind] = append(got[frame.Kind], frame.Payload...)
			}
		}
		must(t, ring.Acknowledge(next-1))
		if next%17 == 0 { // the connection breaks and the host comes back
			reader = after(t, ring, next-1)
		}
	}
	for _, kind := range []Kind{Stdout, Stderr} {
		if !bytes.Equal(got[kind], sent[kind]) {
			t.Fatalf("stream %d lost or changed bytes: %d of %d", kind, len(got[kind]), len(sent[kind]))
		}
	}
}

func TestReadEndsWithItsContext(t *testing.T) {
	ring := NewRing()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	reader := after(t, ring, 0)
	go func() {
		_, _, err := reader.Read(ctx, make([]byte, MaxOutput+HeaderSize))
		ended <- err
	}()
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}
