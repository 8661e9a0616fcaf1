package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
)

const (
	// ethernetHeader is the least that a frame has, and maxFrame the most that a guest's link carries.
	ethernetHeader = 14
	maxFrame       = 65536 + ethernetHeader + 4
	readBuffer     = 256 << 10
	lengthBytes    = 4
)

// frameReader takes frames from a stream, each behind its length.
type frameReader struct {
	from *bufio.Reader
	// given is how many bytes of the buffer the last frame takes.
	given int
}

func newFrameReader(from io.Reader) *frameReader {
	return &frameReader{from: bufio.NewReaderSize(from, readBuffer)}
}

// next is the next frame, which is there until the one after it is asked for. A length that no frame has ends the link: nothing after it can be told apart. io.EOF is the
// end between two frames.
func (r *frameReader) next() ([]byte, error) {
	if _, err := r.from.Discard(r.given); err != nil {
		return nil, err
	}
	r.given = 0
	length, err := r.from.Peek(lengthBytes)
	if err != nil {
		return nil, within(err, len(length))
	}
	size := binary.BigEndian.Uint32(length)
	if size > maxFrame {
		return nil, fmt.Errorf("a frame of %d bytes; at most %d are possible", size, maxFrame)
	}
	framed, err := r.from.Peek(lengthBytes + int(size))
	if err != nil {
		return nil, within(err, len(framed))
	}
	r.given = len(framed)
	return framed[lengthBytes:], nil
}

// within says that an end which comes after a part of a frame is none between two.
func within(err error, part int) error {
	if err == io.EOF && part > 0 {
		return io.ErrUnexpectedEOF
	}
	return err
}
