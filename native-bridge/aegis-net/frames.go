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
)

// frameReader takes frames from a stream, each behind its length.
type frameReader struct{ from *bufio.Reader }

func newFrameReader(from io.Reader) *frameReader {
	return &frameReader{bufio.NewReaderSize(from, readBuffer)}
}

// next is the next frame, in memory of its own. A length that no frame has ends the link: nothing after it can be told apart. io.EOF is the
// end between two frames.
func (r *frameReader) next() ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(r.from, length[:]); err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(length[:])
	if size > maxFrame {
		return nil, fmt.Errorf("a frame of %d bytes; at most %d are possible", size, maxFrame)
	}
	frame := make([]byte, size)
	if _, err := io.ReadFull(r.from, frame); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return frame, nil
}
