package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"slices"
)

const (
	blockSize      = 4096
	blocksPerGroup = 8 * blockSize
	descriptorSize = 32
	// How much of a file is read at once. A piece of this size that is all zeros takes no place on the disk.
	pieceSize   = 64 << 10
	pieceBlocks = pieceSize / blockSize
	// What one extent of ext4 can hold.
	maxExtentBlocks = 0x8000
	writeBuffer     = 1 << 20
	// How much is written before the kernel is told to begin with it, so that the sync at the end finds little to do.
	writebackBytes = 16 << 20
)

// extent says where blocks of a file are on the disk.
type extent struct {
	logical, physical, length uint32
}

// disk is an ext4 image while it is written: the contents of files one after the other, then, in finish, all that tells of them.
// Blocks of files that are gone again are free in the result, and holes in the image.
type disk struct {
	file   *os.File
	buffer *bufio.Writer
	// The block that is written next, the first one that must not be written, and how many are kept for group descriptors.
	next, limit int64
	descriptors int64
	freed       []extent
	piece       []byte
}

// newDisk begins an image of at most limit bytes in an empty file.
func newDisk(file *os.File, limit int64) (*disk, error) {
	blocks := min(limit/blockSize, 1<<32-1)
	descriptors := ceil(ceil(blocks, blocksPerGroup)*descriptorSize, blockSize)
	d := &disk{
		file:        file,
		buffer:      bufio.NewWriterSize(&steady{file: file}, writeBuffer),
		limit:       blocks,
		descriptors: descriptors,
		piece:       make([]byte, pieceSize),
	}
	return d, d.skip(1 + descriptors)
}

// steady writes to a file at its offset, and keeps the machine's disk busy with it.
type steady struct {
	file    *os.File
	from    int64
	waiting int
}

func (s *steady) Write(p []byte) (int, error) {
	count, err := s.file.Write(p)
	if s.waiting += count; err == nil && s.waiting >= writebackBytes {
		startWriteback(s.file, s.from)
		s.from, err = s.file.Seek(0, io.SeekCurrent)
		s.waiting = 0
	}
	return count, err
}

// store writes the contents of a file, size bytes of in, and says where they are.
func (d *disk) store(in io.Reader, size int64) ([]extent, error) {
	var extents []extent
	var logical uint32
	for left := size; left > 0; {
		count := min(left, pieceSize)
		left -= count
		if _, err := io.ReadFull(in, d.piece[:count]); err != nil {
			return nil, err
		}
		blocks := uint32(ceil(count, blockSize))
		if count < pieceSize || !bytes.Equal(d.piece, zeros[:]) {
			clear(d.piece[count : int64(blocks)*blockSize])
			start, err := d.put(d.piece[:int64(blocks)*blockSize])
			if err != nil {
				return nil, err
			}
			extents = extend(extents, extent{logical, start, blocks})
		}
		logical += blocks
	}
	return slices.Clip(extents), nil
}

var zeros [pieceSize]byte

func extend(extents []extent, e extent) []extent {
	if len(extents) > 0 {
		last := &extents[len(extents)-1]
		follows := last.logical+last.length == e.logical && last.physical+last.length == e.physical
		if follows && last.length+e.length <= maxExtentBlocks {
			last.length += e.length
			return extents
		}
	}
	return append(extents, e)
}

// release frees the blocks of a file that is not part of the disk any more.
func (d *disk) release(extents []extent) {
	d.freed = append(d.freed, extents...)
}

// put writes whole blocks and gives the number of the first.
func (d *disk) put(blocks []byte) (uint32, error) {
	start := d.next
	if err := d.advance(int64(len(blocks) / blockSize)); err != nil {
		return 0, err
	}
	_, err := d.buffer.Write(blocks)
	return uint32(start), err
}

// skip leaves blocks out: they read as zeros.
func (d *disk) skip(blocks int64) error {
	if err := d.advance(blocks); err != nil {
		return err
	}
	if err := d.buffer.Flush(); err != nil {
		return err
	}
	_, err := d.file.Seek(d.next*blockSize, io.SeekStart)
	return err
}

func (d *disk) advance(blocks int64) error {
	if d.next+blocks > d.limit {
		return overLimit("the disk", inBytes(d.limit*blockSize))
	}
	d.next += blocks
	return nil
}

// punch gives the space of freed blocks back to the host. A file system that cannot do it keeps them.
func (d *disk) punch() {
	slices.SortFunc(d.freed, func(a, b extent) int { return int(int64(a.physical) - int64(b.physical)) })
	for i := 0; i < len(d.freed); {
		start, end := d.freed[i].physical, d.freed[i].physical
		for ; i < len(d.freed) && d.freed[i].physical == end; i++ {
			end += d.freed[i].length
		}
		punchHole(d.file, int64(start)*blockSize, int64(end-start)*blockSize)
	}
}

func ceil(count, unit int64) int64 { return (count + unit - 1) / unit }

func inBytes(count int64) string {
	for _, unit := range []struct {
		size int64
		name string
	}{{1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if count >= unit.size && count%unit.size == 0 {
			return fmt.Sprintf("%d %s", count/unit.size, unit.name)
		}
	}
	return fmt.Sprintf("%d bytes", count)
}
