package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// FuzzLayer merges any bytes as a layer over one that has something of everything.
func FuzzLayer(f *testing.F) {
	low := []entry{
		dir("d", 0o755), regular("d/x", "x"), symlink("l", "d"), symlink("loop", "loop"), symlink("up", "../.."), hardlink("h", "d/x"),
		{Header: tar.Header{Typeflag: tar.TypeFifo, Name: "fifo"}},
	}
	data := archive(f, regular("l/y", "y"), whiteout("d/.wh.x"), whiteout("d/.wh..wh..opq"), hardlink("g", "h"), dir("l", 0o700), symlink("d", "/"))
	f.Add([]byte{}, uint8(0))
	f.Add(data, uint8(0))
	f.Add(gzipped(f, data), uint8(1))
	f.Add(zstandard(f, data), uint8(2))
	compressions := []string{compressionNone, compressionGzip, compressionZstd, compressionAuto}
	f.Fuzz(func(t *testing.T, layer []byte, compression uint8) {
		checkMerge(t, plain(t, low...), blob{layer, compressions[int(compression)%len(compressions)], ""})
	})
}

// FuzzStack makes layers of the bytes: each three of them are an entry.
func FuzzStack(f *testing.F) {
	f.Add([]byte("\x00\x01\x02\x10\x11\x12\x20\x21\x22\x70\x01\x02\x30\x01\x00\x40\x21\x02\x50\x01\x01"))
	names := []string{"a", "b", "a/b", "a/b/c", "b/a", "c", "c/a", ".", "a/c/b", "/.", "./c/b", "b/c/../c", "c/c/c/c", "a/a", "b/b", "up/x"}
	targets := []string{"a", "/b", "..", "../../a/b", "c", "a/b/c", ".", "b/a"}
	f.Fuzz(func(t *testing.T, input []byte) {
		var blobs []blob
		var entries []entry
		for ; len(input) >= 3 && len(blobs) < 6; input = input[3:] {
			name := names[input[1]&15]
			e := entry{Header: tar.Header{Name: name, Mode: int64(input[1]), Linkname: targets[input[2]&7], ModTime: time.Unix(int64(input[2]), 0)}}
			switch input[0] >> 4 {
			case 0, 1:
				e.Typeflag, e.Linkname = tar.TypeDir, ""
			case 2, 3:
				e.Typeflag, e.Linkname, e.data = tar.TypeReg, "", string(input[:3])
			case 4, 5:
				e.Typeflag = tar.TypeSymlink
			case 6, 7:
				e.Typeflag = tar.TypeLink
			case 8:
				e = whiteout(filepath.Dir(name) + "/.wh." + filepath.Base(name))
			case 9:
				e = whiteout(name + "/.wh..wh..opq")
			default:
				blobs = append(blobs, plain(t, entries...))
				entries = nil
				continue
			}
			entries = append(entries, e)
		}
		checkMerge(t, append(blobs, plain(t, entries...))...)
	})
}

// checkMerge wants a sound file system, or a failure that says what is wrong with the layers.
func checkMerge(t *testing.T, blobs ...blob) {
	t.Helper()
	directory := t.TempDir()
	bounds := defaultLimits()
	bounds.Total, bounds.File = 1<<26, 1<<25
	request := &mergeRequest{Limits: bounds}
	for i, b := range blobs {
		file := filepath.Join(directory, string(rune('a'+i)))
		if err := os.WriteFile(file, b.data, 0o600); err != nil {
			t.Fatal(err)
		}
		request.Layers = append(request.Layers, layerRequest{Path: file, Compression: b.compression, DiffID: b.diffID})
	}
	image, err := os.Create(filepath.Join(directory, "image"))
	if err != nil {
		t.Fatal(err)
	}
	defer image.Close()
	made, err := merge(request, image, 1<<28, func(progress) {})
	var known *failure
	switch {
	case err == nil:
		if made.Bytes%blockSize != 0 || image.Truncate(made.Bytes) != nil {
			t.Fatalf("%+v", made)
		}
		fsck(t, image.Name())
	case !errors.As(err, &known) || known.Code == codeInternal || known.Code == codeIO || known.Message == "" || known.Layer == "":
		t.Fatalf("%#v", err)
	case bytes.Contains([]byte(known.Message), []byte("runtime error")):
		t.Fatal(known.Message)
	}
}
