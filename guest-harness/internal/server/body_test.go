package server

import (
	"bytes"
	"io"
	"testing"
)

// keeper remembers the memory that it was asked to read into.
type keeper struct {
	io.Reader
	buffers [][]byte
}

func (k *keeper) Read(into []byte) (int, error) {
	n, err := k.Reader.Read(into)
	k.buffers = append(k.buffers, into[:n])
	return n, err
}

func TestReadAllLeavesNoCopy(t *testing.T) {
	body := bytes.Repeat([]byte("secret"), 5000)
	reader := &keeper{Reader: bytes.NewReader(body)}
	got, err := readAll(reader)
	if err != nil || !bytes.Equal(got, body) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	clear(got)
	for i, buffer := range reader.buffers {
		if bytes.Contains(buffer, []byte("s")) {
			t.Errorf("the buffer of read %d still holds what was read", i)
		}
	}
}
