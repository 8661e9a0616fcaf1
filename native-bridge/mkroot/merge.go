package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"sync/atomic"
)

// mergeRequest is the JSON document on standard input.
type mergeRequest struct {
	// From the bottom up.
	Layers []layerRequest `json:"layers"`
	Limits limits         `json:"limits"`
}

type layerRequest struct {
	// The blob's file, and its digest, which is checked and names the layer in a failure.
	Path   string `json:"path"`
	Digest string `json:"digest"`
	// One of gzip, zstd, none; auto looks at the blob.
	Compression string `json:"compression"`
	// The digest of the unpacked layer, which is checked; not where the image does not tell it.
	DiffID string `json:"diffId"`
}

const (
	compressionGzip = "gzip"
	compressionZstd = "zstd"
	compressionNone = "none"
	compressionAuto = "auto"

	maxRequest = 16 << 20
)

func readRequest(in io.Reader) (*mergeRequest, error) {
	request := &mergeRequest{Limits: defaultLimits()}
	decoder := json.NewDecoder(io.LimitReader(in, maxRequest))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(request); err != nil {
		return nil, &failure{Code: codeBadRequest, Message: err.Error()}
	}
	l := request.Limits
	if min(l.Total, l.File, l.Entries, l.Path, l.Depth, l.Ratio) < 1 {
		return nil, &failure{Code: codeBadRequest, Message: "a limit must be a number from 1"}
	}
	for at, layer := range request.Layers {
		if wrong := layer.check(); wrong != "" {
			return nil, &failure{Code: codeBadRequest, Message: fmt.Sprintf("layer %d: %s", at, wrong)}
		}
	}
	return request, nil
}

func (l *layerRequest) check() string {
	switch l.Compression {
	case compressionGzip, compressionZstd, compressionNone, compressionAuto:
	default:
		return fmt.Sprintf("unknown compression %q", l.Compression)
	}
	for _, digest := range []string{l.Digest, l.DiffID} {
		if digest != "" && !isDigest(digest) {
			return fmt.Sprintf("%q is no sha256 digest", digest)
		}
	}
	if l.Path == "" {
		return "it has no path"
	}
	return ""
}

// merge applies layers from the bottom up to a tree and writes the file system that comes of it to out. Each layer is unpacked
// once. Contents go to the disk as they come; what a later layer hides or replaces is free again in the result. From the top down
// nothing hidden would be written, but an entry's parent may be a symbolic link of a lower layer, and a hard link may need the
// contents of a file whose own name is hidden: neither is known before the layers below have been read.
func merge(request *mergeRequest, out *os.File, limit int64, report func(progress)) (result, error) {
	d, err := newDisk(out, limit)
	if err != nil {
		return result{}, err
	}
	m := &merger{
		request: request, disk: d, report: report,
		tree: newTree(int(request.Limits.Depth), d.release),
		next: make([]*openLayer, 0, layersAhead),
	}
	defer m.end()
	for at := range request.Layers {
		if err := m.apply(at); err != nil {
			return result{}, inLayer(err, request.Layers[at])
		}
	}
	size, err := d.finish(m.tree.root)
	return result{Bytes: size, Entries: m.spent.entries}, err
}

// Layers that are unpacked at the same time: the one that is applied, and the one above it.
const layersAhead = 2

type merger struct {
	request  *mergeRequest
	disk     *disk
	tree     *tree
	report   func(progress)
	spent    spent
	unpacked int64
	read     atomic.Int64
	opened   int
	next     []*openLayer
}

func (m *merger) apply(at int) error {
	for m.opened < len(m.request.Layers) && len(m.next) < layersAhead {
		l, err := open(m.request.Layers[m.opened], &m.request.Limits, &m.read)
		if err != nil {
			return inLayer(err, m.request.Layers[m.opened])
		}
		m.opened++
		m.next = append(m.next, l)
	}
	layer := m.next[0]
	entries := &entryReader{
		source: &counter{reader: &totalled{m, layer}}, disk: m.disk, limits: &m.request.Limits, spent: &m.spent,
		whiteouts: true, markerNeeded: layer.request.DiffID == "",
		report: func() { m.report(progress{BytesIn: m.read.Load(), Entries: m.spent.entries}) },
	}
	var changes []change
	err := entries.each(func(c change) error {
		changes = append(changes, c)
		return nil
	})
	if err != nil {
		return err
	}
	m.next = append(m.next[:0], m.next[1:]...)
	layer.end()
	return m.tree.apply(changes, func(c change, err error) error {
		entries.current = path.Clean(c.name)
		return entries.named(err)
	})
}

func (m *merger) end() {
	for _, layer := range m.next {
		layer.end()
	}
}

// totalled holds all layers together to the limit.
type totalled struct {
	merger *merger
	layer  *openLayer
}

func (t *totalled) Read(p []byte) (int, error) {
	count, err := t.layer.Read(p)
	if t.merger.unpacked += int64(count); t.merger.unpacked > t.merger.request.Limits.Total {
		return 0, overLimit("the unpacked size of all layers", inBytes(t.merger.request.Limits.Total))
	}
	return count, err
}

func inLayer(err error, layer layerRequest) error {
	var known *failure
	if !errors.As(err, &known) {
		known = asFailure(err)
	}
	if known.Layer == "" {
		if known.Layer = layer.Digest; known.Layer == "" {
			known.Layer = layer.Path
		}
	}
	return known
}
