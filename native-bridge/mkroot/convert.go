package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/Microsoft/hcsshim/ext4/tar2ext4"
)

// convert reads a tar from in to its very end and writes an ext4 image to out. Two halves run side by side, a pipe between
// them: one checks every entry of the archive and writes it anew in one plain form, the other (tar2ext4) lays out the image.
// The returned size is what the file system needs; the file may be shorter when its last blocks are empty.
func convert(in io.Reader, out *os.File, limit int64, report func(progress)) (result, error) {
	reader, writer := io.Pipe()
	image := make(chan error, 1)
	go func() {
		err := layOut(reader, out, limit)
		// Whoever still writes to the pipe must hear that nobody reads it any more.
		reader.CloseWithError(errImageFailed)
		image <- err
	}()

	source := &counter{reader: bufio.NewReaderSize(in, 1<<20)}
	entries := &normaliser{source: source, limit: limit, report: report}
	readErr := entries.copyTo(writer)
	if readErr == nil {
		readErr = writer.Close()
	} else {
		writer.CloseWithError(readErr)
	}
	imageErr := <-image

	switch {
	// The archive's fault comes first, unless it only says that the other half has given up.
	case readErr != nil && !errors.Is(readErr, errImageFailed):
		return result{}, readErr
	case imageErr != nil:
		return result{}, imageFailure(imageErr, entries.current)
	case readErr != nil:
		return result{}, readErr
	}
	size, err := finish(out)
	if err != nil {
		return result{}, err
	}
	return result{Bytes: size, Entries: entries.count}, nil
}

var errImageFailed = errors.New("the image could not be written")

// layOut runs tar2ext4. A panic in it is a failure of this conversion like any other.
func layOut(in io.Reader, out io.ReadWriteSeeker, limit int64) (err error) {
	defer func() {
		if trouble := recover(); trouble != nil {
			err = &failure{Code: codeInternal, Message: fmt.Sprint(trouble)}
		}
	}()
	if err := tar2ext4.Convert(in, out, tar2ext4.MaximumDiskSize(limit)); err != nil {
		return err
	}
	// What follows the last entry belongs to the archive: its writer must not meet a closed pipe.
	_, err = io.Copy(io.Discard, in)
	return err
}

// imageFailure names an error of tar2ext4, whose errors are texts except for those of the operating system.
func imageFailure(err error, entry string) error {
	var known *failure
	if errors.As(err, &known) {
		known.Entry = entry
		return known
	}
	var system *os.PathError
	if errors.As(err, &system) {
		return asFailure(err)
	}
	if strings.Contains(err.Error(), "disk exceeded maximum size") {
		return &failure{Code: codeTooLarge, Message: err.Error(), Entry: entry}
	}
	return &failure{Code: codeBadEntry, Message: err.Error(), Entry: entry}
}

// counter counts what is read through it.
type counter struct {
	reader io.Reader
	bytes  int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.reader.Read(p)
	c.bytes += int64(n)
	return n, err
}
