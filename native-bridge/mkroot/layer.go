package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"strings"
	"sync/atomic"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// A zstd frame may ask for so much of what came before it (T-82); more is refused before it is allocated.
const maxWindow = 128 << 20

// openLayer is a layer's tar, unpacked ahead of its reader.
type openLayer struct {
	request layerRequest
	file    *os.File
	blob    *counter
	digest  hash.Hash
	unpack  io.Reader
	close   func()
	// What the blob has given, for all to see.
	read   *atomic.Int64
	bytes  int64
	limits *limits
	*ahead
	diff hash.Hash
}

// open begins to read a layer's blob. Bytes read of it are added to read.
func open(request layerRequest, limits *limits, read *atomic.Int64) (*openLayer, error) {
	file, err := os.Open(request.Path)
	if err != nil {
		return nil, err
	}
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		_ = file.Close()
		return nil, fmt.Errorf("%s is not a regular file", request.Path)
	}
	l := &openLayer{request: request, file: file, read: read, limits: limits, digest: sha256.New(), diff: sha256.New(), close: func() {}}
	l.blob = &counter{reader: file}
	l.ahead = readAhead(readerFunc(l.unpacked))
	return l, nil
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// blobBytes reads the blob itself. Its faults are the machine's, not the layer's.
func (l *openLayer) blobBytes(p []byte) (int, error) {
	count, err := l.blob.Read(p)
	if l.request.DiffID == "" {
		l.digest.Write(p[:count])
	}
	l.read.Add(int64(count))
	if err != nil && !errors.Is(err, io.EOF) {
		err = asFailure(err)
	}
	return count, err
}

// unpacked reads what is in the blob, and at its end checks that it was the blob that was meant.
func (l *openLayer) unpacked(p []byte) (int, error) {
	if l.unpack == nil {
		if err := l.start(); err != nil {
			return 0, l.fault(err)
		}
	}
	count, err := l.unpack.Read(p)
	l.bytes += int64(count)
	switch {
	case l.bytes > l.limits.Total:
		return 0, overLimit("the unpacked size of a layer", inBytes(l.limits.Total))
	case l.bytes > ratioFreeBytes && l.bytes/l.limits.Ratio > l.blob.bytes:
		return 0, overLimit("the ratio at which a layer is compressed", fmt.Sprint(l.limits.Ratio))
	case errors.Is(err, io.EOF):
		// Whatever the blob is: what comes out of it is checked against the image's configuration, in Read.
		if l.request.DiffID == "" {
			if wrong := compare("the layer's blob", l.request.Digest, l.digest); wrong != nil {
				return 0, wrong
			}
		}
		return count, io.EOF
	case err != nil:
		return 0, l.fault(err)
	}
	return count, nil
}

func (l *openLayer) start() error {
	buffered := bufio.NewReaderSize(readerFunc(l.blobBytes), 256<<10)
	compression := l.request.Compression
	if compression == compressionAuto {
		compression = compressionOf(buffered)
	}
	switch compression {
	case compressionGzip:
		reader, err := gzip.NewReader(buffered)
		if errors.Is(err, io.EOF) {
			return io.ErrUnexpectedEOF
		}
		l.unpack = reader
		return err
	case compressionZstd:
		if _, err := buffered.Peek(1); errors.Is(err, io.EOF) {
			return io.ErrUnexpectedEOF
		}
		reader, err := zstd.NewReader(buffered, zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderLowmem(true), zstd.WithDecoderConcurrency(1))
		if err != nil {
			return err
		}
		l.unpack, l.close = reader, reader.Close
	default:
		l.unpack = buffered
	}
	return nil
}

// compressionOf looks at the first bytes: RFC 1952 and RFC 8878, whose frames may be preceded by skippable ones.
func compressionOf(blob *bufio.Reader) string {
	magic, _ := blob.Peek(4)
	switch {
	case len(magic) >= 2 && magic[0] == 0x1f && magic[1] == 0x8b:
		return compressionGzip
	case len(magic) == 4 && (order.Uint32(magic) == 0xFD2FB528 || order.Uint32(magic)&^0xf == 0x184D2A50):
		return compressionZstd
	}
	return compressionNone
}

// fault tells the layer's faults from others.
func (l *openLayer) fault(err error) error {
	var known *failure
	switch {
	case errors.As(err, &known):
		return known
	case errors.Is(err, zstd.ErrWindowSizeExceeded):
		return overLimit("the window of a zstd frame", inBytes(maxWindow))
	case errors.Is(err, io.ErrUnexpectedEOF):
		return &failure{Code: codeBadCompression, Message: "the layer's blob is cut off"}
	}
	return &failure{Code: codeBadCompression, Message: err.Error()}
}

// Read gives what is unpacked, and at its end checks that it is what the image's configuration says.
func (l *openLayer) Read(p []byte) (int, error) {
	count, err := l.ahead.Read(p)
	l.diff.Write(p[:count])
	if errors.Is(err, io.EOF) {
		if wrong := compare("the unpacked layer", l.request.DiffID, l.diff); wrong != nil {
			return count, wrong
		}
	}
	return count, err
}

// end gives up what is still unread.
func (l *openLayer) end() {
	l.stop()
	l.close()
	_ = l.file.Close()
}

const sha256Prefix = "sha256:"

func compare(what, expected string, made hash.Hash) error {
	actual := sha256Prefix + hex.EncodeToString(made.Sum(nil))
	if expected == "" || expected == actual {
		return nil
	}
	return &failure{
		Code: codeMismatch, What: what, Expected: expected, Actual: actual,
		Message: fmt.Sprintf("%s should be %s and is %s", what, expected, actual),
	}
}

func isDigest(text string) bool {
	digits, is := strings.CutPrefix(text, sha256Prefix)
	if !is || len(digits) != 2*sha256.Size || strings.ToLower(digits) != digits {
		return false
	}
	_, err := hex.DecodeString(digits)
	return err == nil
}
