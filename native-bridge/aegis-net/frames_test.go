package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"
	"testing/iotest"
)

func framed(frames ...[]byte) (stream []byte) {
	for _, frame := range frames {
		stream = append(binary.BigEndian.AppendUint32(stream, uint32(len(frame))), frame...)
	}
	return stream
}

func TestFramesComeWholeHoweverTheyArrive(t *testing.T) {
	want := [][]byte{make([]byte, 60), {}, make([]byte, maxFrame), []byte("short")}
	reader := newFrameReader(iotest.HalfReader(bytes.NewReader(framed(want...))))
	for i, frame := range want {
		got, err := reader.next()
		if err != nil || !bytes.Equal(got, frame) {
			t.Fatalf("frame %d: %d bytes, %v", i, len(got), err)
		}
	}
	if _, err := reader.next(); !errors.Is(err, io.EOF) {
		t.Fatalf("the end: %v", err)
	}
}

func TestALengthThatNoFrameHasEndsTheLink(t *testing.T) {
	for _, stream := range [][]byte{{0, 1, 0, 19}, {255, 255, 255, 255}, {0, 0, 0, 9, 1}, {0, 0}} {
		if _, err := newFrameReader(bytes.NewReader(stream)).next(); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("%v: %v", stream, err)
		}
	}
}

func FuzzFrames(f *testing.F) {
	f.Add(framed([]byte("a"), make([]byte, 100)))
	f.Add([]byte{255, 255, 255, 255, 0})
	f.Fuzz(func(t *testing.T, stream []byte) {
		reader := newFrameReader(bytes.NewReader(stream))
		var again []byte
		for {
			frame, err := reader.next()
			if err != nil {
				break
			}
			again = append(again, framed(frame)...)
		}
		if !bytes.HasPrefix(stream, again) {
			t.Fatal("the frames are not what came")
		}
	})
}

// FuzzGuest gives the stack what a guest may send: whatever it is, the network goes on.
func FuzzGuest(f *testing.F) {
	n, err := freshNetwork(1500, openPolicy(), nowhere())
	if err != nil {
		f.Fatal(err)
	}
	ethernet := func(kind uint16, packet ...byte) []byte {
		return append(binary.BigEndian.AppendUint16(append([]byte(gatewayMAC), 2, 0, 0, 0, 0, 1), kind), packet...)
	}
	f.Add(ethernet(0x0806, 0, 1, 8, 0, 6, 4, 0, 1))
	f.Add(ethernet(0x0800, 0x45, 0, 0, 28, 0, 0, 0, 0, 64, 1, 0, 0, 192, 168, 127, 2, 8, 8, 8, 8, 8, 0, 0, 0, 0, 1, 0, 1))
	f.Add(ethernet(0x86dd, 0x60, 0, 0, 0, 0, 8, 58, 64))
	f.Fuzz(func(t *testing.T, frame []byte) {
		if len(frame) < ethernetHeader || len(frame) > maxFrame || n.takeEcho(frame) {
			return
		}
		n.link.deliver(frame)
	})
}
