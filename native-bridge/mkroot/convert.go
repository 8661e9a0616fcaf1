package main

import (
	"bufio"
	"io"
	"os"
	"strings"
	"sync/atomic"
)

// convert reads a tar from in to its very end and writes an ext4 image to out. An archive of a whole file system says everything
// once: nothing is replaced, and nothing lies behind a symbolic link. The returned size is what the file system needs; the file
// may be shorter when its last blocks are empty.
func convert(in io.Reader, out *os.File, limit int64, report func(progress)) (result, error) {
	d, err := newDisk(out, limit)
	if err != nil {
		return result{}, err
	}
	bounds := defaultLimits()
	bounds.Total, bounds.File = limit, limit
	source := &counter{reader: bufio.NewReaderSize(in, 1<<20)}
	t := newTree(int(bounds.Depth), d.release)
	var count int64
	entries := &entryReader{
		source: source, disk: d, limits: &bounds, spent: &spent{}, markerNeeded: true,
		report: func() { report(progress{BytesIn: source.bytes, Entries: count}) },
	}
	err = entries.each(func(c change) error {
		count++
		return t.placeOnce(c)
	})
	if err != nil {
		return result{}, err
	}
	size, err := d.finish(t.root)
	return result{Bytes: size, Entries: count}, err
}

// convertFile reads the archive from a file, which may be compressed.
func convertFile(name string) maker {
	return func(_ io.Reader, out *os.File, limit int64, report func(progress)) (result, error) {
		bounds := defaultLimits()
		bounds.Total = limit
		var read atomic.Int64
		file, err := open(layerRequest{Path: name, Compression: compressionAuto}, &bounds, &read)
		if err != nil {
			return result{}, err
		}
		defer file.end()
		return convert(file, out, limit, func(p progress) {
			report(progress{BytesIn: read.Load(), Entries: p.Entries})
		})
	}
}

// placeOnce applies a change that replaces nothing. A directory may come again, to set its attributes.
func (t *tree) placeOnce(c change) error {
	at := t.root
	for to := c.name; to != ""; {
		var name string
		name, to, _ = strings.Cut(to, "/")
		if at = at.children[name]; at == nil {
			break
		}
		if to != "" && at.kind() != kindDirectory {
			return &failure{Code: codeBadPath, Message: "it lies below " + name + ", which is not a directory"}
		}
	}
	if at != nil && at != t.root && !(at.kind() == kindDirectory && c.node.kind() == kindDirectory) {
		return refuse("%q is in the archive already", c.name)
	}
	if c.act == actLink {
		_, err := t.link(c.name, c.target, c.node)
		return err
	}
	return t.place(c.name, c.node)
}
