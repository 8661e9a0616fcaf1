// Package events holds what a command has produced until the host has said that it is stored: the frames of
// `POST /events` and the bounded ring they wait in (docs/HARNESS_PROTOCOL.md).
package events

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Kind tells what a frame carries.
type Kind byte

const (
	Stdout Kind = 1
	Stderr Kind = 2
	Event  Kind = 3
)

const (
	// HeaderSize is the length of a frame's header in bytes.
	HeaderSize = 16
	// MaxOutput is the largest payload of a Stdout or Stderr frame.
	MaxOutput = 64 << 10
	// MaxEvent is the largest payload of an Event frame.
	MaxEvent = 1 << 20
	// AckSize is the length of one acknowledgement.
	AckSize = 8
)

// Frame is one decoded frame. Payload aliases the bytes it was decoded from.
type Frame struct {
	Kind    Kind
	Seq     uint64
	Payload []byte
}

// ErrShort says that the bytes end inside a frame: more are needed.
var ErrShort = errors.New("the frame is not complete")

// putHeader writes a frame's header into dst, which has room for HeaderSize bytes.
func putHeader(dst []byte, kind Kind, length int, seq uint64) {
	binary.BigEndian.PutUint32(dst, uint32(length))
	dst[4], dst[5], dst[6], dst[7] = byte(kind), 0, 0, 0
	binary.BigEndian.PutUint64(dst[8:], seq)
}

// Append adds the encoded frame to dst.
func Append(dst []byte, f Frame) []byte {
	var header [HeaderSize]byte
	putHeader(header[:], f.Kind, len(f.Payload), f.Seq)
	return append(append(dst, header[:]...), f.Payload...)
}

// Decode takes the first frame off b and says how many bytes it took; ErrShort when b ends inside the frame, any other
// error when no continuation of b can be a frame.
func Decode(b []byte) (Frame, int, error) {
	if len(b) < HeaderSize {
		return Frame{}, 0, ErrShort
	}
	kind, length := Kind(b[4]), uint64(binary.BigEndian.Uint32(b))
	limit := uint64(MaxOutput)
	switch kind {
	case Stdout, Stderr:
	case Event:
		limit = MaxEvent
	default:
		return Frame{}, 0, fmt.Errorf("unknown frame type %d", kind)
	}
	if length > limit {
		return Frame{}, 0, fmt.Errorf("a frame of %d bytes; at most %d are allowed", length, limit)
	}
	if b[5] != 0 || b[6] != 0 || b[7] != 0 {
		return Frame{}, 0, errors.New("reserved bytes are not zero")
	}
	seq := binary.BigEndian.Uint64(b[8:])
	if seq == 0 {
		return Frame{}, 0, errors.New("sequence numbers start at 1")
	}
	end := HeaderSize + length
	if uint64(len(b)) < end {
		return Frame{}, 0, ErrShort
	}
	return Frame{Kind: kind, Seq: seq, Payload: b[HeaderSize:end]}, int(end), nil
}

// ReadAcks calls ack for each acknowledgement read from r, in order. It returns nil at a clean end, io.ErrUnexpectedEOF
// when r ends inside a number, and the error of r or of ack otherwise.
func ReadAcks(r io.Reader, ack func(seq uint64) error) error {
	var buf [512 * AckSize]byte
	kept := 0
	for {
		n, err := r.Read(buf[kept:])
		kept += n
		whole := kept - kept%AckSize
		// An acknowledgement covers everything before it, so only the last one of a batch moves anything, but each is
		// checked: a wrong number in the middle is a broken host.
		for at := 0; at < whole; at += AckSize {
			if failure := ack(binary.BigEndian.Uint64(buf[at:])); failure != nil {
				return failure
			}
		}
		kept = copy(buf[:], buf[whole:kept])
		switch {
		case err == io.EOF && kept == 0:
			return nil
		case err == io.EOF:
			return io.ErrUnexpectedEOF
		case err != nil:
			return err
		}
	}
}
